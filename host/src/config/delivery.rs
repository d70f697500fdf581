//! Section `[delivery]` of the configuration.

use camino::Utf8PathBuf;
use ripost_domain::delivery::RetryPolicy;
use ripost_domain::units::{duration_text, format_duration, parse_duration, size_text};
use serde::{Deserialize, Serialize};
use std::time::Duration;

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
        if !(Duration::from_millis(100)..=Duration::from_secs(300)).contains(&self.deadline) {
            return Err("delivery.deadline must be between 100 ms and 5 m".to_owned());
        }
        if self.in_flight == 0 || self.in_flight_bytes == 0 || self.in_flight_bytes > u32::MAX as usize {
            return Err(
                "delivery.in_flight must be at least 1, delivery.in_flight_bytes between 1 B and 4 GiB".to_owned()
            );
        }
        if self.sweep < Duration::from_millis(10) {
            return Err("delivery.sweep must be at least 10 ms".to_owned());
        }
        Ok(())
    }
}
