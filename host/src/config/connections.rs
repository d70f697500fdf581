//! Section `[connections]` of the configuration.

use crate::gateway::TrustedProxies;
use crate::gateway::listener::Pace;
use ripost_domain::address::Network;
use ripost_domain::units::{duration_text, size_text};
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
    /// How long the reader of an answer may take nothing of it. Default 30 s.
    #[serde(with = "duration_text")]
    pub answer_time: Duration,
    /// What the reader of an answer has to take each second in the long run: who takes less is ended like one who takes
    /// nothing, only later. Default 1 KiB.
    #[serde(with = "size_text")]
    pub answer_rate_min: usize,
    /// Connections of one IPv4 address, or of one /64 network of IPv6; one more is closed. Loopback and
    /// `trusted_proxies` are not counted. Never more than half of `max`. Default 1 000.
    pub per_address: usize,
    /// Networks (CIDR) of your own reverse proxies: what they say of a caller (`Forwarded`, `X-Forwarded-*`,
    /// `X-Real-IP`) reaches the owner; from all others these fields are removed. They are not held to `per_address`.
    /// Default none.
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
        if self.max == 0 || self.per_address == 0 {
            return Err("connections.max and connections.per_address must be at least 1".to_owned());
        }
        if self.answer_time < Duration::from_millis(100) {
            return Err("connections.answer_time must be at least 100 ms".to_owned());
        }
        if self.answer_rate_min == 0 {
            return Err("connections.answer_rate_min must be at least 1 B".to_owned());
        }
        self.trusted_proxies().map(drop)
    }

    /// How slowly an answer may be read.
    #[must_use]
    pub const fn pace(&self) -> Pace {
        Pace { patience: self.answer_time, bytes_per_second: self.answer_rate_min }
    }

    /// The connections of one address.
    #[must_use]
    pub fn share(&self) -> usize {
        self.per_address.min(self.max.div_ceil(2))
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
            answer_time: Duration::from_secs(30),
            answer_rate_min: 1 << 10,
            per_address: 1_000,
        }
    }
}
