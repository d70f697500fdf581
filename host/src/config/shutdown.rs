//! Section `[shutdown]` of the configuration.

use ripost_domain::units::duration_text;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Section `[shutdown]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// After SIGTERM: for runs and deliveries under way to end. What is left is found again at the next start. Default 30 s.
    #[serde(with = "duration_text")]
    pub grace: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace: Duration::from_secs(30) }
    }
}
