//! Section `[connections]` of the configuration.

use crate::gateway::TrustedProxies;
use ripost_domain::address::Network;
use ripost_domain::units::duration_text;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Section `[connections]`: who may stay connected, and for how long without saying anything.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Connections {
    /// Connections at once; one more waits in the kernel's queue. Default 10 000.
    pub max: usize,
    /// Streams of events (`GET /requests/{id}/events`) that are open at once; one more is 503. Default 5 000.
    pub streams_max: usize,
    /// The same of one consumer; one more is 429. Default 500.
    pub streams_per_consumer: usize,
    /// From the first byte of a request's head to its last; also how long a connection may idle. Default 30 s.
    #[serde(with = "duration_text")]
    pub header_time: Duration,
    /// For a request's whole body. Default 30 s.
    #[serde(with = "duration_text")]
    pub body_time: Duration,
    /// Networks (CIDR) of your own reverse proxies: what they say of a caller (`Forwarded`, `X-Forwarded-*`,
    /// `X-Real-IP`) reaches the owner; from all others these fields are removed. Default none.
    pub trusted_proxies: Vec<String>,
}

impl Connections {
    /// Whose word about callers counts.
    ///
    /// # Errors
    /// What is no network, in words for the operator.
    pub fn trusted_proxies(&self) -> Result<TrustedProxies, String> {
        let networks = self.trusted_proxies.iter().map(|text| text.parse::<Network>());
        networks.collect::<Result<_, _>>().map_err(|error| format!("connections.trusted_proxies: {error}"))
    }

    pub(super) fn check(&self) -> Result<(), String> {
        self.trusted_proxies().map(drop)
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            max: 10_000,
            streams_max: 5_000,
            streams_per_consumer: 500,
            header_time: Duration::from_secs(30),
            body_time: Duration::from_secs(30),
            trusted_proxies: Vec::new(),
        }
    }
}
