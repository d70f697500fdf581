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
    /// How long a start waits for new revisions to be made ready before it answers calls without them; what served before
    /// serves at once. Default 30 s.
    #[serde(with = "duration_text")]
    pub start_wait: Duration,
    /// How long a deleted plugin may take to come back before it counts as missing. Default 5 s.
    #[serde(with = "duration_text")]
    pub deleted_grace: Duration,
}

impl Default for Plugins {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(250),
            rename_settle: Duration::from_millis(20),
            rescan: Duration::from_secs(5),
            start_wait: Duration::from_secs(30),
            deleted_grace: Duration::from_secs(5),
        }
    }
}
