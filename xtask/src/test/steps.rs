//! The steps. The build comes before the checks that reuse it, so that wasmtime is compiled once to run and once to lint.

use std::{process::Command, time::Duration};

use anyhow::Result;

use super::{Done, Step, deny};
use crate::{
    guests,
    process::{cargo, cargo_in, run, run_shown},
    products,
    setup::{self, answers},
    terminal,
};

/// Workspaces of the checkout beside the host's: they are for guests, and tested natively.
const GUEST_WORKSPACES: [&str; 2] = ["examples", "tests/guests"];

pub(super) const STEPS: &[Step] = &[
    Step {
        name: "setup",
        what: "toolchain for plugins, Node.js, Python, their packages",
        needs: &[],
        budget: Duration::from_secs(300),
        run: setup_all,
    },
    Step {
        name: "fmt",
        what: "the formatting of every workspace",
        needs: &[],
        budget: Duration::from_secs(30),
        run: fmt,
    },
    Step {
        name: "plugins",
        what: "examples and test guests, as components",
        needs: &[],
        budget: Duration::from_secs(300),
        run: plugins,
    },
    Step {
        name: "build",
        what: "everything, and the binary with failpoints",
        needs: &[],
        budget: Duration::from_secs(780),
        run: build,
    },
    Step {
        name: "clippy",
        what: "warnings are errors, with and without failpoints",
        needs: &["build"],
        budget: Duration::from_secs(300),
        run: clippy,
    },
    Step {
        name: "tests",
        what: "unit, store contract, end-to-end and crash tests",
        needs: &["build", "plugins"],
        budget: Duration::from_secs(900),
        run: tests,
    },
    Step {
        name: "doctests",
        what: "examples in the documentation",
        needs: &["build"],
        budget: Duration::from_secs(90),
        run: doctests,
    },
    Step {
        name: "guests",
        what: "plugins' own tests and lints, natively",
        needs: &[],
        budget: Duration::from_secs(180),
        run: guests_natively,
    },
    Step {
        name: "rebuild",
        what: "an edited copy of a plugin becomes another one",
        needs: &["plugins"],
        budget: Duration::from_secs(180),
        run: rebuild,
    },
    Step {
        name: "deny",
        what: "licences, bans, sources, the newest wasmtime, advisories",
        needs: &[],
        budget: Duration::from_secs(60),
        run: deny::check,
    },
    Step { name: "docs", what: "warnings are errors", needs: &["build"], budget: Duration::from_secs(180), run: docs },
];

fn setup_all() -> Result<Done> {
    whole(terminal::task("setup", products::peers))
}

fn plugins() -> Result<Done> {
    whole(terminal::task("plugins", products::plugins).map(drop))
}

fn fmt() -> Result<Done> {
    quiet("fmt", cargo(), &["fmt", "--all", "--check"])?;
    // The fuzz targets are formatted like the rest; building them takes a nightly compiler.
    for workspace in GUEST_WORKSPACES.into_iter().chain(["fuzz"]) {
        quiet("fmt", cargo_in(workspace), &["fmt", "--all", "--check"])?;
    }
    Ok(Done::Whole)
}

fn build() -> Result<Done> {
    quiet("build", cargo(), &["build", "--release", "--workspace", "--all-targets"])?;
    let failpoints =
        ["build", "--release", "--package", "ripost", "--features", "failpoints", "--bin", "ripost-failpoints"];
    whole(quiet("build with failpoints", cargo(), &failpoints))
}

fn clippy() -> Result<Done> {
    const ALL: [&str; 4] = ["clippy", "--release", "--workspace", "--all-targets"];
    const STRICT: [&str; 3] = ["--", "-D", "warnings"];
    quiet("clippy", cargo(), &[&ALL[..], &STRICT].concat())?;
    whole(quiet("clippy with failpoints", cargo(), &[&ALL[..], &["--features", "ripost/failpoints"], &STRICT].concat()))
}

/// The runner speaks for itself, test by test.
fn tests() -> Result<Done> {
    let mut command = cargo();
    if answers("cargo", &["nextest", "--version"]) {
        command.args(["nextest", "run", "--release", "--workspace", "--no-fail-fast"]);
    } else {
        command.args(["test", "--release", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]);
    }
    // A check writes nothing into the checkout.
    command.env("INSTA_UPDATE", "no");
    whole(run_shown(command))
}

fn doctests() -> Result<Done> {
    let mut command = cargo();
    command.args(["test", "--release", "--workspace", "--doc", "--no-fail-fast"]);
    whole(run_shown(command))
}

fn guests_natively() -> Result<Done> {
    for workspace in GUEST_WORKSPACES {
        let mut command = cargo_in(workspace);
        command.args(["test", "--release", "--workspace", "--locked"]);
        run_shown(command)?;
        let lint = ["clippy", "--release", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        quiet(&format!("clippy of {workspace}"), cargo_in(workspace), &lint)?;
    }
    Ok(Done::Whole)
}

/// The tests of this program that build plugins, which the other tests do not wait for.
fn rebuild() -> Result<Done> {
    terminal::task("toolchain for plugins", |progress| guests::Toolchain::find(progress).map(drop))?;
    let mut command = cargo();
    command.args(["test", "--release", "--package", "xtask", "--", "--ignored"]);
    whole(run_shown(command))
}

fn docs() -> Result<Done> {
    let mut command = cargo();
    command.env("RUSTDOCFLAGS", "-D warnings");
    whole(quiet("docs", command, &["doc", "--release", "--workspace", "--no-deps"]))
}

/// What it prints is shown when it fails.
fn quiet(name: &str, mut command: Command, args: &[&str]) -> Result<()> {
    command.args(args);
    terminal::task(name, |progress: setup::Progress<'_>| run(command, progress))
}

fn whole(done: Result<()>) -> Result<Done> {
    done.map(|()| Done::Whole)
}
