//! Section `[upstream]` of the configuration.

use camino::Utf8PathBuf;
use ripost_domain::address::{Network, PlainHttp, Policy, UrlPolicy};
use ripost_domain::units::duration_text;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Section `[upstream]`: owners' services that requests are forwarded to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Upstream {
    /// Networks (CIDR) that an owner's token may name although they are not public. What is in the plugins folder, and
    /// what an operator pushes, may name any address. Default none.
    pub allow: Vec<String>,
    /// Networks (CIDR) that an owner's token may never name, besides those that are always refused. Default none.
    pub deny: Vec<String>,
    /// Lets an owner's token name an address without TLS. Default false (development mode allows it for loopback).
    pub plain_http: bool,
    /// The longest that an upstream may take to answer, whatever an API's `wall` is. Default 5 min.
    #[serde(with = "duration_text")]
    pub deadline: Duration,
    /// Requests being forwarded at once. Default 512.
    pub in_flight: u32,
    /// Of those, what one owner may have. Default 128.
    pub in_flight_per_owner: u32,
    /// Certificate authorities to trust besides the public ones: a PEM file. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<Utf8PathBuf>,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            deny: Vec::new(),
            plain_http: false,
            deadline: Duration::from_mins(5),
            in_flight: 512,
            in_flight_per_owner: 128,
            ca_file: None,
        }
    }
}

impl Upstream {
    /// Which addresses an owner's token may name.
    ///
    /// # Errors
    /// What is no network, in words for the operator.
    pub fn url_policy(&self, dev: bool) -> Result<UrlPolicy, String> {
        let networks = |name: &str, texts: &[String]| {
            let parsed = texts.iter().map(|text| text.parse()).collect::<Result<Vec<Network>, _>>();
            parsed.map_err(|error| format!("upstream.{name}: {error}"))
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

    pub(super) fn check(&self) -> Result<(), String> {
        self.url_policy(false)?;
        if self.deadline < Duration::from_millis(10) {
            return Err("upstream.deadline must be at least 10 ms".to_owned());
        }
        if self.in_flight == 0 || self.in_flight_per_owner == 0 {
            return Err("upstream.in_flight and in_flight_per_owner must be at least 1".to_owned());
        }
        Ok(())
    }
}
