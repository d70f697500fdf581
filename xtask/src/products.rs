//! What the other tasks start from: the host's binary and the plugins, built the way a release is.

use anyhow::Result;
use camino::Utf8PathBuf;
use ripost_tests::places;

use crate::{
    guests::{self, BuiltPlugin},
    process::{cargo, run},
    setup::{self, Progress},
    terminal,
};

/// Where built plugins are, ready to be copied into any `plugins/` folder.
pub(crate) fn plugins_dir() -> Utf8PathBuf {
    places::target().join("plugins")
}

/// Builds `target/release/ripost`.
///
/// # Errors
/// It does not compile.
pub(crate) fn host(progress: Progress<'_>) -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--release", "--package", "ripost", "--bin", "ripost"]);
    run(build, progress)
}

/// Builds all plugins of the repository into [`plugins_dir`].
///
/// # Errors
/// One does not compile, or there is no toolchain for them.
pub(crate) fn plugins(progress: Progress<'_>) -> Result<Vec<BuiltPlugin>> {
    guests::build_all(&["examples", "tests/guests"], &plugins_dir(), progress)
}

/// The host and the examples, all that a demonstration starts: it does without npm. Says what takes long.
///
/// # Errors
/// Something is missing and cannot be had, or does not compile.
pub(crate) fn for_the_demo() -> Result<Vec<BuiltPlugin>> {
    with_the_host(|progress| guests::build_all(&["examples"], &plugins_dir(), progress))
}

/// The same with the guests that are measured.
///
/// # Errors
/// Something is missing and cannot be had, or does not compile.
pub(crate) fn for_the_bench() -> Result<Vec<BuiltPlugin>> {
    with_the_host(plugins)
}

fn with_the_host(plugins: impl FnOnce(Progress<'_>) -> Result<Vec<BuiltPlugin>>) -> Result<Vec<BuiltPlugin>> {
    terminal::task("toolchain for plugins", |progress| guests::Toolchain::find(progress).map(drop))?;
    let built = terminal::task("plugins", plugins)?;
    terminal::task("host (10 minutes the first time)", host)?;
    // A folder that the harness looks into; asked here, so that what is missing is said before anything starts.
    places::ripost()?;
    Ok(built)
}

/// The tools of the end-to-end tests, which the demonstration does without.
///
/// # Errors
/// They are missing and cannot be had.
pub(crate) fn peers(progress: Progress<'_>) -> Result<()> {
    setup::all(progress)?;
    progress("npm and PyPI packages of the end-to-end tests");
    ripost_tests::peers::Peers::ensure().map(drop)
}
