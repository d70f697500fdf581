//! Section `[delivery]` of the configuration.

use crate::delivery::Bounds;
use camino::Utf8PathBuf;
use ripost_domain::address::{Network, PlainHttp, Policy, UrlPolicy};
use ripost_domain::delivery::RetryPolicy;
use ripost_domain::units::{duration_text, format_duration, parse_duration, size_text};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Attempts a second that one host gets from all consumers together.
const HOST_PER_SECOND: u32 = 500;
/// Endpoints that are remembered: some 20 MiB.
const LANES_MAX: usize = 65_536;

/// Section `[delivery]`: how webhooks are sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Delivery {
    /// The wait before each attempt, the first included. Default twelve attempts over about three days.
    pub schedule: Vec<String>,
    /// For one whole exchange: look-up, connection, TLS, headers and body. Default 20 s.
    #[serde(with = "duration_text")]
    pub deadline: Duration,
    /// Attempts at once. Default 1024.
    pub in_flight: u32,
    /// Attempts at once to one endpoint of one consumer's; fewer while it fails. Default 16.
    pub in_flight_per_endpoint: u32,
    /// Attempts at once to one host, over all consumers. Default 64.
    pub in_flight_per_host: u32,
    /// Attempts a second to one host, over all consumers. Default 500, and no bound for development mode's loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_per_second: Option<u32>,
    /// Failures in a row after which an endpoint is left alone for a while. Default 5.
    pub breaker_failures: u32,
    /// For how long; twice as long after each probe that fails. Default 10 s.
    #[serde(with = "duration_text")]
    pub breaker_wait: Duration,
    /// And no longer than this. Default 5 m.
    #[serde(with = "duration_text")]
    pub breaker_wait_max: Duration,
    /// How long the link to a result that is not in its webhook works without a key. Default 5 d, as long as the
    /// schedule, because the payload is made once and the last attempt must carry a link that works.
    #[serde(with = "duration_text")]
    pub result_url_ttl: Duration,
    /// Payloads of attempts under way, in bytes all together. Default 64 MiB.
    #[serde(with = "size_text")]
    pub in_flight_bytes: usize,
    /// Networks (CIDR) that are refused besides those that always are. Default none.
    pub deny: Vec<String>,
    /// Networks (CIDR) that are allowed although they are not public. Default none.
    pub allow: Vec<String>,
    /// Lets webhook URLs be plain http everywhere. Default false (development mode allows it for loopback).
    pub plain_http: bool,
    /// Certificate authorities to trust besides the public ones: a PEM file. Default none.
    pub ca_file: Option<Utf8PathBuf>,
    /// How often the store is asked for due deliveries when nothing else triggers it. Default 1 s.
    #[serde(with = "duration_text")]
    pub sweep: Duration,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            schedule: RetryPolicy::default().waits().iter().map(|wait| format_duration(*wait)).collect(),
            deadline: Duration::from_secs(20),
            in_flight: 1024,
            in_flight_per_endpoint: 16,
            in_flight_per_host: 64,
            host_per_second: None,
            breaker_failures: 5,
            breaker_wait: Duration::from_secs(10),
            breaker_wait_max: Duration::from_secs(300),
            result_url_ttl: Duration::from_secs(5 * 86_400),
            in_flight_bytes: 64 << 20,
            deny: Vec::new(),
            allow: Vec::new(),
            plain_http: false,
            ca_file: None,
            sweep: Duration::from_secs(1),
        }
    }
}

impl Delivery {
    /// What keeps endpoints apart. Without an own number the bucket of a host is for hosts of others: in development
    /// mode webhooks go to this machine.
    #[must_use]
    pub(crate) fn bounds(&self, dev: bool) -> Bounds {
        Bounds {
            per_lane: self.in_flight_per_endpoint,
            per_host: self.in_flight_per_host,
            total: self.in_flight,
            bytes: self.in_flight_bytes,
            host_per_second: self.host_per_second.or((!dev).then_some(HOST_PER_SECOND)),
            breaker_failures: self.breaker_failures,
            breaker_wait: self.breaker_wait,
            breaker_wait_max: self.breaker_wait_max,
            lanes_max: LANES_MAX,
        }
    }

    /// Which addresses and URLs a webhook may go to.
    ///
    /// # Errors
    /// What is no network, in words for the operator.
    pub fn url_policy(&self, dev: bool) -> Result<UrlPolicy, String> {
        let networks = |name: &str, texts: &[String]| {
            let parsed = texts.iter().map(|text| text.parse()).collect::<Result<Vec<Network>, _>>();
            parsed.map_err(|error| format!("delivery.{name}: {error}"))
        };
        let addresses = Policy {
            allow_loopback: dev,
            extra_deny: networks("deny", &self.deny)?,
            allow: networks("allow", &self.allow)?,
        };
        let plain_http = match (self.plain_http, dev) {
            (true, _) => PlainHttp::Everywhere,
            (false, true) => PlainHttp::Loopback,
            (false, false) => PlainHttp::Refused,
        };
        Ok(UrlPolicy { addresses, plain_http })
    }

    /// The schedule as the domain has it.
    ///
    /// # Errors
    /// A wait that is not a duration, or a schedule that is not usable, in words for the operator.
    pub fn policy(&self) -> Result<RetryPolicy, String> {
        let waits = self.schedule.iter().map(|text| parse_duration(text)).collect::<Result<Vec<_>, _>>();
        let waits = waits.map_err(|error| format!("delivery.schedule: {error}"))?;
        RetryPolicy::new(waits).map_err(|error| format!("delivery.schedule: {error}"))
    }

    pub(super) fn check(&self) -> Result<(), String> {
        self.policy()?;
        self.url_policy(false)?;
        if !(Duration::from_millis(100)..=Duration::from_secs(300)).contains(&self.deadline) {
            return Err("delivery.deadline must be between 100 ms and 5 m".to_owned());
        }
        if self.in_flight == 0 || self.in_flight_bytes == 0 || self.in_flight_bytes > u32::MAX as usize {
            return Err(
                "delivery.in_flight must be at least 1, delivery.in_flight_bytes between 1 B and 4 GiB".to_owned()
            );
        }
        if self.in_flight_per_endpoint == 0 || self.in_flight_per_host == 0 || self.host_per_second == Some(0) {
            return Err(
                "delivery.in_flight_per_endpoint, in_flight_per_host and host_per_second must be at least 1".to_owned()
            );
        }
        let waits = Duration::from_millis(100)..=Duration::from_secs(86_400);
        if self.breaker_failures == 0
            || !waits.contains(&self.breaker_wait)
            || !waits.contains(&self.breaker_wait_max)
            || self.breaker_wait_max < self.breaker_wait
        {
            return Err("delivery.breaker_failures must be at least 1, breaker_wait and breaker_wait_max between 100 ms and 1 d, the second not below the first".to_owned());
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(30 * 86_400)).contains(&self.result_url_ttl) {
            return Err("delivery.result_url_ttl must be between 1 s and 30 d".to_owned());
        }
        if self.sweep < Duration::from_millis(10) {
            return Err("delivery.sweep must be at least 10 ms".to_owned());
        }
        Ok(())
    }
}
