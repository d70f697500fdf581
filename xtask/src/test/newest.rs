//! Whether the lock file is on the newest wasmtime of its line: a fix of the sandbox is of no use in a registry.

use std::{cell::RefCell, time::Duration};

use anyhow::{Result, bail};

use super::Done;
use crate::{
    process::{cargo, run_within},
    terminal,
};

const PACKAGES: [&str; 3] = ["wasmtime", "wasmtime-wasi", "wasmtime-wasi-http"];
/// An index that can be reached is there in a few seconds.
const LOOK_UP_MAX: Duration = Duration::from_secs(60);

pub(super) fn check() -> Result<Done> {
    let lines = RefCell::new(Vec::new());
    let asked = terminal::task("the newest wasmtime of its line", |progress| {
        let mut command = cargo();
        command.args(["update", "--dry-run"]).args(PACKAGES);
        Ok(run_within(command, LOOK_UP_MAX, &|line| {
            progress(line);
            lines.borrow_mut().push(line.to_owned());
        }))
    })?;
    if asked.is_err() {
        println!("skipped: the newest wasmtime (registry not reachable)");
        return Ok(Done::Without("the newest wasmtime (registry not reachable)".to_owned()));
    }
    let newer = newer(lines.borrow().iter().map(String::as_str));
    if !newer.is_empty() {
        bail!(
            "the lock file is behind the newest wasmtime of its line: {}. Run `cargo update {}`, and change WASMTIME_VERSION in host/runtime/src/engine.rs",
            newer.join(", "),
            PACKAGES.join(" ")
        );
    }
    Ok(Done::Whole)
}

/// What cargo would change of our packages, out of all that it says: `wasmtime v48.0.8 -> v48.0.9`.
fn newer<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let changes = lines.filter_map(|line| line.trim().strip_prefix("Updating "));
    let ours = changes.filter(|change| {
        let name = change.split(' ').next().unwrap_or_default();
        PACKAGES.contains(&name) && change.contains(" -> ")
    });
    ours.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_release_is_seen_among_all_that_cargo_says() {
        let said = "    Updating crates.io index
     Locking 3 packages to latest Rust 1.95.0 compatible versions
    Updating wasmtime v48.0.8 -> v48.0.9 (available: v50.0.1)
    Updating wasmtime-environ v48.0.8 -> v48.0.9
    Removing windows-sys v0.60.2
note: pass `--verbose` to see 21 unchanged dependencies behind latest
warning: not updating lockfile due to dry run";
        assert_eq!(newer(said.lines()), ["wasmtime v48.0.8 -> v48.0.9 (available: v50.0.1)"]);
        let nothing = "    Updating crates.io index\n     Locking 0 packages to latest compatible versions";
        assert!(newer(nothing.lines()).is_empty());
    }
}
