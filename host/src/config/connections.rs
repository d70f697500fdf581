//! Section `[connections]` of the configuration.

use ripost_domain::units::duration_text;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Section `[connections]`: who may stay connected, and for how long without saying anything.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Connections {
    /// Connections at once; one more waits in the kernel's queue. Default 10 000.
    pub max: usize,
    /// From the first byte of a request's head to its last; also how long a connection may idle. Default 30 s.
    #[serde(with = "duration_text")]
    pub header_time: Duration,
    /// For a request's whole body. Default 30 s.
    #[serde(with = "duration_text")]
    pub body_time: Duration,
}

impl Default for Connections {
    fn default() -> Self {
        Self { max: 10_000, header_time: Duration::from_secs(30), body_time: Duration::from_secs(30) }
    }
}
