//! Whether what is in the data folder is what `serve` would take.

use super::{Finding, NO_START};
use crate::causes::chain;
use crate::config::Config;
use crate::plugins::{Plugins, RECORD_FILE};
use ripost_store::Mark;
use ripost_store::sqlite::Beside;

/// A newer version's is refused, and one that is no database.
pub(super) fn version(config: &Config) -> Finding {
    let database = match Beside::open(&config.data) {
        Ok(Some(database)) => database,
        Ok(None) => return Finding::ok("none yet; the first start makes it"),
        Err(error) => return Finding::fail(chain(&error), NO_START),
    };
    match database.check_version() {
        Ok(()) => Finding::ok("of a version that this program knows"),
        Err(error) => Finding::fail(chain(&error), NO_START),
    }
}

/// They belong to the database: a start misses them.
pub(super) fn revisions(config: &Config) -> Finding {
    let folder = config.data.join("revisions");
    if let Err(error) = Plugins::check_record(&folder) {
        return Finding::fail(chain(&error), NO_START);
    }
    let marked = match Beside::open(&config.data) {
        Ok(Some(database)) => database.mark(Mark::Revisions),
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    match marked {
        Ok(Some(_)) if !Plugins::has_record(&folder) => Finding::fail(
            format!("{folder} has no {RECORD_FILE} any more"),
            "restore the folder from a backup; to go on without it, start once with --new-revisions",
        ),
        Ok(_) => Finding::ok(format!("{folder} is as it was left")),
        // The line of the database says why.
        Err(error) => Finding::fail(chain(&error), NO_START),
    }
}
