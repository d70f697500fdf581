//! Debian's packages.

use std::{
    process::{Command, Stdio},
    sync::OnceLock,
};

use anyhow::{Context, Result, bail};

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
    // Once a run: every list of packages is of the same day.
    static UPDATED: OnceLock<bool> = OnceLock::new();
    UPDATED.get_or_init(|| {
        progress("apt-get update");
        apt_get(&["update"]).is_ok()
    });
    progress(&format!("apt-get install {}", packages.join(" ")));
    let install = [&["install", "-y", "--no-install-recommends"], packages].concat();
    apt_get(&install).with_context(|| by_hand)
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
