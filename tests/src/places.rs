//! Where things are: the checkout, what was built, and which command builds what is missing.

use anyhow::{Result, bail};
use camino::{Utf8Path, Utf8PathBuf};

/// The root of the checkout.
#[must_use]
pub fn workspace() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is a folder of the checkout")
}

/// Where cargo builds, and where the peers are installed.
#[must_use]
pub fn target() -> Utf8PathBuf {
    std::env::var("CARGO_TARGET_DIR").map_or_else(|_| workspace().join("target"), Utf8PathBuf::from)
}

/// The binary that is shipped.
///
/// # Errors
/// It was not built.
pub fn ripost() -> Result<Utf8PathBuf> {
    built("RIPOST_BIN", "ripost", "cargo build --release -p ripost")
}

/// The same with its failpoints.
///
/// # Errors
/// It was not built.
pub fn ripost_failpoints() -> Result<Utf8PathBuf> {
    let command = "cargo build --release -p ripost --features failpoints --bin ripost-failpoints";
    built("RIPOST_FAILPOINTS_BIN", "ripost-failpoints", command)
}

/// The folder of a plugin that was built from Rust: `reports`, `echo`.
///
/// # Errors
/// It was not built.
pub fn built_plugin(name: &str) -> Result<Utf8PathBuf> {
    let path = target().join("plugins").join(name);
    if !path.join("plugin.toml").exists() {
        bail!("there is no built plugin at {path}: build it with `cargo xtask guests`");
    }
    Ok(path)
}

/// Tests never build: a stale binary would be tested as readily as a missing one.
fn built(variable: &str, name: &str, command: &str) -> Result<Utf8PathBuf> {
    let path = std::env::var(variable).map_or_else(|_| target().join("release").join(name), Utf8PathBuf::from);
    if !path.exists() {
        bail!("there is no binary at {path}: build it with `{command}`, or name one in {variable}");
    }
    Ok(path)
}
