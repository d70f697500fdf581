//! The configuration: whether `serve` would take it, and what of it is hardly meant.

use super::{Finding, NO_START};
use crate::app;
use crate::causes::chain;
use crate::config::Config;

pub(super) fn configuration(config: &Config) -> Finding {
    if let Err(error) = app::preflight::check(config) {
        return Finding::fail(chain(&error), NO_START);
    }
    let doubts = config.doubts();
    let Some((first, rest)) = doubts.split_first() else { return Finding::ok("can be used") };
    let says = rest.iter().fold(first.says.clone(), |says, doubt| format!("{says}; {}", doubt.says));
    let to_do = rest.iter().fold(first.to_do.to_owned(), |to_do, doubt| format!("{to_do}; {}", doubt.to_do));
    Finding::warn(says, to_do)
}
