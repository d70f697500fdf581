//! Section `[runs]` of the configuration.

use ripost_domain::units::{duration_text, size_text};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Section `[runs]`: how handlers are run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Runs {
    /// Accept and keep, but run nothing: for maintenance. What waits is found again when this is lifted. Default false.
    pub paused: bool,
    /// Instances at once over all APIs. Default 200.
    pub concurrency: u32,
    /// Accepted requests that wait in the store for a run, a retry among them; a new call beyond that is 503. Default
    /// 1 000 000.
    pub backlog_max: u32,
    /// Requests in memory that wait for a run; more wait in the store only. Default 4096.
    pub queued_max: u32,
    /// Of those, what one owner may have; the rest of its flood waits in the store. Default a quarter of `queued_max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued_per_owner_max: Option<u32>,
    /// Bodies of requests in memory that run or wait for a run, in bytes all together. Default 128 MiB.
    #[serde(with = "size_text")]
    pub queued_bytes_max: usize,
    /// How often the store is asked for due runs when nothing else triggers it. Default 1 s.
    #[serde(with = "duration_text")]
    pub sweep: Duration,
    /// Runs of one request that may be lost to crashes before it fails, over `max_attempts`. Default 5.
    pub crashes_max: u32,
}

impl Default for Runs {
    fn default() -> Self {
        Self {
            paused: false,
            concurrency: 200,
            backlog_max: 1_000_000,
            queued_max: 4096,
            queued_per_owner_max: None,
            queued_bytes_max: 128 << 20,
            sweep: Duration::from_secs(1),
            crashes_max: 5,
        }
    }
}

impl Runs {
    /// Requests in memory that one owner may have.
    #[must_use]
    pub fn queued_per_owner(&self) -> u32 {
        self.queued_per_owner_max.unwrap_or(self.queued_max / 4).clamp(1, self.queued_max)
    }

    /// Transforms of calls that are not accepted yet, at once: places beside those of the runs.
    #[must_use]
    pub fn transforms(&self) -> u32 {
        (self.concurrency / 4).max(2)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if !(1..=1000).contains(&self.concurrency) {
            return Err("runs.concurrency must be between 1 and 1000".to_owned());
        }
        if self.queued_max == 0 || self.queued_bytes_max == 0 || self.queued_bytes_max > u32::MAX as usize {
            return Err("runs.queued_max must be at least 1 and runs.queued_bytes_max between 1 B and 4 GiB".to_owned());
        }
        if self.backlog_max == 0 {
            return Err("runs.backlog_max must be at least 1; `runs.paused` accepts without running".to_owned());
        }
        if self.queued_per_owner_max == Some(0) {
            return Err("runs.queued_per_owner_max must be at least 1".to_owned());
        }
        if self.sweep < Duration::from_millis(10) {
            return Err("runs.sweep must be at least 10 ms".to_owned());
        }
        Ok(())
    }
}
