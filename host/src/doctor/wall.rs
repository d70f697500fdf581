//! The second wall: what this kernel has, and what would be up.

use super::Finding;
use crate::config::{Config, WallMode};
use crate::wall::{self, ServePaths};

const NEWER: &str = "a newer kernel, or one that has it switched on, would hold more back";

pub(super) fn landlock(_: &Config) -> Finding {
    match wall::landlock() {
        Ok(says) => Finding::ok(says),
        Err(says) => Finding::warn(says, NEWER),
    }
}

pub(super) fn seccomp(_: &Config) -> Finding {
    match wall::seccomp() {
        Ok(says) => Finding::ok(says),
        Err(says) => Finding::warn(says, NEWER),
    }
}

/// Puts it up, on a thread that then ends: this thread and those after it are as before.
pub(super) fn probe(config: &Config) -> Finding {
    if config.wall.mode == WallMode::Off {
        return Finding::warn("off", "set wall.mode to \"auto\", unless something else confines the gateway");
    }
    let mut paths = ServePaths::of(config);
    // `serve` makes these; whether it can is checked by itself.
    for folder in [&mut paths.data, &mut paths.plugins] {
        if !folder.exists() {
            *folder = "/".into();
        }
    }
    let report = std::thread::scope(|scope| scope.spawn(|| wall::serve_this_thread(&paths)).join());
    match (report, config.wall.mode) {
        (Ok(report), _) if report.is_complete() => Finding::ok(report.to_string()),
        (Ok(report), WallMode::Required) => {
            Finding::fail(report.to_string(), "the gateway will not start: wall.mode is \"required\"")
        }
        (Ok(report), _) => Finding::warn(report.to_string(), "what is missing is not held back"),
        (Err(_), _) => Finding::fail("putting it up broke down", "please report this"),
    }
}
