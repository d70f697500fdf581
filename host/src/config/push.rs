//! Section `[push]` of the configuration.

use ripost_domain::units::{duration_text, size_text};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Section `[push]`: plugins that come over the wire.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Push {
    /// An upload, all its files together; a longer one is 413. Two are taken at once and one of an owner, each held in memory
    /// twice while it is unpacked. Default 160 MiB.
    #[serde(with = "size_text")]
    pub bytes_max: usize,
    /// For a whole upload. Default 10 m.
    #[serde(with = "duration_text")]
    pub time: Duration,
    /// Pushed plugins of one owner, whether they serve or not. Default 100.
    pub plugins_per_owner_max: usize,
}

impl Default for Push {
    fn default() -> Self {
        Self { bytes_max: 160 << 20, time: Duration::from_secs(600), plugins_per_owner_max: 100 }
    }
}

impl Push {
    pub(super) fn check(&self) -> Result<(), String> {
        if !(64 << 10..=1 << 30).contains(&self.bytes_max) {
            return Err("push.bytes_max must be between 64 KiB and 1 GiB".to_owned());
        }
        if !(Duration::from_secs(1)..=Duration::from_hours(1)).contains(&self.time) {
            return Err("push.time must be between 1 s and 1 h".to_owned());
        }
        if self.plugins_per_owner_max == 0 {
            return Err("push.plugins_per_owner_max must be at least 1".to_owned());
        }
        Ok(())
    }
}
