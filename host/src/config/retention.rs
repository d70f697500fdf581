//! Section `[retention]` of the configuration.

use ripost_domain::units::duration_text;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Section `[retention]`: for how long ended requests are kept. One that has a webhook still to be delivered is kept
/// until that has ended; the ledger's transfers are kept for ever.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// What was sent and answered, counted from the request's end: input, result, webhooks, log lines. Default 7 d.
    #[serde(with = "duration_text")]
    pub results: Duration,
    /// All else, the idempotency key among it. Default 30 d.
    #[serde(with = "duration_text")]
    pub requests: Duration,
    /// How often it is looked for. Default 1 m.
    #[serde(with = "duration_text")]
    pub every: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let day = Duration::from_hours(24);
        Self { results: 7 * day, requests: 30 * day, every: Duration::from_secs(60) }
    }
}

impl Retention {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.results < Duration::from_secs(1) {
            return Err("retention.results must be at least 1 s".to_owned());
        }
        if self.requests < self.results {
            return Err("retention.requests must be at least retention.results".to_owned());
        }
        if self.every < Duration::from_millis(10) {
            return Err("retention.every must be at least 10 ms".to_owned());
        }
        Ok(())
    }
}
