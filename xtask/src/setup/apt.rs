//! Debian's packages.

use std::{
    fs,
    process::{Command, Stdio},
    sync::OnceLock,
};

use anyhow::{Context, Result, bail};
use camino::Utf8Path;

use super::{Progress, answers};

/// Installs Debian packages, as root or with a `sudo` that asks nothing.
///
/// # Errors
/// Says the command to run by hand when it cannot.
pub(crate) fn install(packages: &[&str], progress: Progress<'_>) -> Result<()> {
    let by_hand =
        format!("run `apt-get update && apt-get install -y --no-install-recommends {}` as root", packages.join(" "));
    if !answers("apt-get", &["--version"]) {
        bail!("{} is missing, and there is no apt-get: install it, or on Debian {by_hand}", packages.join(", "));
    }
    if !nix::unistd::geteuid().is_root() && !answers("sudo", &["-n", "true"]) {
        bail!("{} is missing: {by_hand}", packages.join(", "));
    }
    update(progress);
    progress(&format!("apt-get install {}", packages.join(" ")));
    let install = [&["install", "-y", "--no-install-recommends"], packages].concat();
    apt_get(&install).with_context(|| by_hand)
}

/// Once a run: every list of packages is of the same day.
fn update(progress: Progress<'_>) {
    static UPDATED: OnceLock<bool> = OnceLock::new();
    UPDATED.get_or_init(|| {
        progress("apt-get update");
        apt_get(&["update"]).is_ok()
    });
}

/// Unpacks a Debian package into a folder of the checkout: only the list of packages may need root.
///
/// # Errors
/// Says what to install when it cannot.
pub(crate) fn unpack(package: &str, folder: &Utf8Path, progress: Progress<'_>) -> Result<()> {
    let advice = || format!("install {package} (Debian: `apt-get install {package}`)");
    if !answers("apt-get", &["--version"]) {
        bail!("{package} is missing, and there is no apt-get: {}", advice());
    }
    if !answers("apt-cache", &["show", package]) {
        update(progress);
    }
    progress(&format!("apt-get download {package}"));
    fs::create_dir_all(folder).with_context(|| format!("making {folder}"))?;
    let script = format!("apt-get -qq download {package} && dpkg -x {package}_*.deb . && rm {package}_*.deb");
    let output = Command::new("sh").args(["-c", &script]).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.with_context(advice)?;
    if !output.status.success() {
        bail!("{script}: {}: {}", String::from_utf8_lossy(&output.stderr).trim(), advice());
    }
    Ok(())
}

fn apt_get(args: &[&str]) -> Result<()> {
    let mut command = if nix::unistd::geteuid().is_root() {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "apt-get"]);
        sudo
    };
    let output = command
        .args(["-qq", "-o", "Dpkg::Use-Pty=0"])
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .context("starting apt-get")?;
    if !output.status.success() {
        bail!("apt-get {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
