//! What a build and its tests need beside Rust, fetched when it is missing and in silence when it is there.

pub(crate) mod apt;

use std::{
    env,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use camino::Utf8PathBuf;
use ripost_tests::{
    Node, Version,
    peers::{self, PYTHON_LEAST},
};

use crate::guests::Toolchain;

/// Where a long task says what it is at.
pub(crate) type Progress<'a> = &'a dyn Fn(&str);

/// The checkout that this program was built from, or that it is run in.
pub(crate) fn repository() -> Utf8PathBuf {
    let own = env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    Utf8PathBuf::from(own).parent().map(Utf8PathBuf::from).expect("xtask is a folder of the repository")
}

/// The compiler that the checkout is written for.
pub(crate) const RUST_LEAST: Version = Version(1, 95, 0);

/// Everything: a toolchain for guests, and what the end-to-end tests run the public clients and receivers with.
pub(crate) fn all(progress: Progress<'_>) -> Result<()> {
    const RUST: &str = "run `rustup toolchain install` in the checkout, or install the release of rust-toolchain.toml";
    new_enough("cargo", RUST_LEAST, RUST)?;
    Toolchain::find(progress)?;
    if !answers("curl", &["--version"]) {
        apt::install(&["curl"], progress)?;
    }
    node(progress)?;
    python(progress)?;
    nginx(progress)?;
    faketime(progress)
}

/// nginx, which the tests of paths put behind the gateway. Unpacked and not installed: the package starts a server.
fn nginx(progress: Progress<'_>) -> Result<()> {
    let there = || answers(peers::nginx().as_str(), &["-v"]);
    if there() {
        return Ok(());
    }
    apt::unpack("nginx", &peers::nginx_folder(), progress)?;
    if !there() {
        // What the package depends on.
        apt::install(&["libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g"], progress)?;
    }
    ensure!(there(), "{} does not run: install nginx", peers::nginx());
    Ok(())
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
    if there { Ok(()) } else { apt::install(&["libfaketime"], progress) }
}

/// npm, and a Node.js that is new enough for what it installs: Debian's serves to fetch a newer one.
pub(crate) fn node(progress: Progress<'_>) -> Result<Node> {
    let missing = [("node", "nodejs"), ("npm", "npm")]
        .into_iter()
        .filter(|(command, _)| !answers(command, &["--version"]))
        .map(|(_, package)| package)
        .collect::<Vec<_>>();
    if !missing.is_empty() {
        apt::install(&missing, progress)?;
    }
    progress("Node.js, from npm if the machine's is too old");
    Node::ensure()
}

/// Python 3 that can make virtual environments with pip in them.
pub(crate) fn python(progress: Progress<'_>) -> Result<()> {
    if !answers("python3", &["-c", "import ensurepip, venv"]) {
        apt::install(&["python3", "python3-venv"], progress)?;
    }
    new_enough("python3", PYTHON_LEAST, "put a newer one on the path as `python3`, with venv and ensurepip")
}

/// # Errors
/// The program is older, or not there: with what to do.
fn new_enough(program: &str, least: Version, advice: &str) -> Result<()> {
    let found = Version::of(Command::new(program)).with_context(|| format!("{program} is needed: {advice}"))?;
    ensure!(found >= least, "{program} is {found}, and {least} or newer is needed: {advice}");
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

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_too_old_or_missing_is_named_with_what_to_do() {
        new_enough("cargo", RUST_LEAST, "install it").unwrap();
        let error = format!("{:#}", new_enough("cargo", Version(1000, 0, 0), "install it").unwrap_err());
        assert!(error.contains("1000.0.0 or newer is needed: install it"), "{error}");
        let error = format!("{:#}", new_enough("no-such-program", RUST_LEAST, "install it").unwrap_err());
        assert!(error.starts_with("no-such-program is needed: install it"), "{error}");
    }

    #[test]
    fn the_checkout_names_one_release_of_rust() {
        let file = std::fs::read_to_string(repository().join("rust-toolchain.toml")).unwrap();
        assert!(file.contains(&format!("\"{RUST_LEAST}\"")), "{file}");
        assert_eq!(env!("CARGO_PKG_RUST_VERSION"), format!("{}.{}", RUST_LEAST.0, RUST_LEAST.1));
    }
}
