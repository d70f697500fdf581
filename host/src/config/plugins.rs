//! Section `[plugins]` of the configuration.

use ripost_domain::units::duration_text;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Section `[plugins]`: how changes in the plugins folder are noticed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plugins {
    /// Without a write for so long, a file that is written in place counts as whole. Default 250 ms.
    #[serde(with = "duration_text")]
    pub quiet: Duration,
    /// After a rename into place, the wait for others that belong to it. Default 20 ms.
    #[serde(with = "duration_text")]
    pub rename_settle: Duration,
    /// How often the folder is read without an event. Default 5 s.
    #[serde(with = "duration_text")]
    pub rescan: Duration,
    /// How long a start waits for what has to be compiled or tried before it answers calls. Default 0 s: not at all; APIs
    /// that are not ready are answered 503 until they are. What was compiled before serves from the start.
    #[serde(with = "duration_text")]
    pub start_wait: Duration,
    /// How changes are noticed. Default "auto": by file events, and by reading the folder from time to time. "poll": by
    /// reading it, every second at least, for file systems without events. "off": only when told to (`ripost reload`,
    /// SIGHUP, `POST /admin/v1/reload`); a start still reads it.
    pub watch: WatchMode,
    /// How long a revision counts as new: only then is it put aside for its failures. Default 10 min.
    #[serde(with = "duration_text")]
    pub probation: Duration,
    /// Runs of a new revision that trap or come to a limit after which it is put aside, if they are at least half of its
    /// runs, and the revision before serves again. 0: never. Default 5.
    pub quarantine_after: u32,
    /// How long all smoke cases of one revision may take together. Default 30 s.
    #[serde(with = "duration_text")]
    pub smoke_wall: Duration,
    /// How long a deleted plugin may take to come back before it counts as missing. Default 5 s.
    #[serde(with = "duration_text")]
    pub deleted_grace: Duration,
}

/// How changes in the plugins folder are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchMode {
    /// By file events, with a rescan from time to time.
    #[default]
    Auto,
    /// By reading the folder.
    Poll,
    /// When told to.
    Off,
}

impl Plugins {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.rescan < Duration::from_millis(10) {
            return Err(
                "plugins.rescan must be at least 10 ms; `watch = \"off\"` reads the folder when told to".to_owned()
            );
        }
        Ok(())
    }
}

impl Default for Plugins {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(250),
            rename_settle: Duration::from_millis(20),
            rescan: Duration::from_secs(5),
            start_wait: Duration::ZERO,
            watch: WatchMode::Auto,
            probation: Duration::from_mins(10),
            quarantine_after: 5,
            smoke_wall: Duration::from_secs(30),
            deleted_grace: Duration::from_secs(5),
        }
    }
}
