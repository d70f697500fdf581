//! The second wall: what this kernel has, and what would be up.

use super::{Finding, NO_START};
use crate::app;
use crate::config::{Config, WallMode};
use crate::wall;

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
    let Some(report) = app::preflight::try_wall(config) else {
        return Finding::fail("putting it up broke down", "please report this");
    };
    if report.is_complete() {
        return Finding::ok(report.to_string());
    }
    match app::preflight::check_wall(config, &report) {
        Ok(()) => Finding::warn(report.to_string(), "what is missing is not held back"),
        Err(error) => Finding::fail(error.to_string(), NO_START),
    }
}
