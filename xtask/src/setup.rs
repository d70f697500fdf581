//! What a build and its tests need beside Rust, fetched when it is missing and in silence when it is there.

use std::{
    env,
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use camino::Utf8PathBuf;

use crate::guests::Toolchain;

/// Where a long task says what it is at.
pub(crate) type Progress<'a> = &'a dyn Fn(&str);

/// The checkout that this program was built from, or that it is run in.
pub(crate) fn repository() -> Utf8PathBuf {
    let own = env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    Utf8PathBuf::from(own).parent().map(Utf8PathBuf::from).expect("xtask is a folder of the repository")
}

/// Everything: a toolchain for guests, and what the end-to-end tests run the public clients and receivers with.
pub(crate) fn all(progress: Progress<'_>) -> Result<()> {
    Toolchain::find(progress)?;
    node(progress)?;
    python(progress)?;
    faketime(progress)
}

/// What sets the clock of one process: for the tests of waits.
fn faketime(progress: Progress<'_>) -> Result<()> {
    let there = answers(
        "sh",
        &[
            "-c",
            "ls /usr/lib/*/faketime/libfaketimeMT.so.1 /usr/lib/faketime/libfaketimeMT.so.1 2>/dev/null | grep -q .",
        ],
    );
    if there { Ok(()) } else { apt_install(&["libfaketime"], progress) }
}

/// Node.js and npm.
pub(crate) fn node(progress: Progress<'_>) -> Result<()> {
    let missing = [("node", "nodejs"), ("npm", "npm")]
        .into_iter()
        .filter(|(command, _)| !answers(command, &["--version"]))
        .map(|(_, package)| package)
        .collect::<Vec<_>>();
    if !missing.is_empty() {
        apt_install(&missing, progress)?;
    }
    Ok(())
}

/// Python 3 that can make virtual environments with pip in them.
pub(crate) fn python(progress: Progress<'_>) -> Result<()> {
    if !answers("python3", &["-c", "import ensurepip, venv"]) {
        apt_install(&["python3", "python3-venv"], progress)?;
    }
    Ok(())
}

/// Whether a command can be run and ends well.
pub(crate) fn answers(command: &str, args: &[&str]) -> bool {
    quiet(Command::new(command).args(args)).status().is_ok_and(|status| status.success())
}

/// The same, ended when it takes too long: for commands that may wait for a network that is not there.
pub(crate) fn answers_within(command: &mut Command, limit: Duration) -> bool {
    let Ok(mut child) = quiet(command).spawn() else { return false };
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(50)),
            Ok(None) | Err(_) => {
                // It may have ended just now: then there is nothing to kill, and nothing to say about it.
                child.kill().ok();
                child.wait().ok();
                return false;
            }
        }
    }
}

/// Installs Debian packages, as root or with a `sudo` that asks nothing.
///
/// # Errors
/// Says the command to run by hand when it cannot.
pub(crate) fn apt_install(packages: &[&str], progress: Progress<'_>) -> Result<()> {
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

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}
