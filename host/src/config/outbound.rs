//! Section `[outbound]` of the configuration.

use crate::capability::outbound::OutletBounds;
use camino::Utf8PathBuf;
use ripost_domain::address::{Network, PlainHttp, Policy, UrlPolicy};
use serde::{Deserialize, Serialize};

/// Section `[outbound]`: calls that handlers make to where their manifests grant it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outbound {
    /// Networks (CIDR) that handlers may reach although they are not public. Default none.
    pub allow: Vec<String>,
    /// Networks (CIDR) that are refused besides those that always are. Default none.
    pub deny: Vec<String>,
    /// Lets manifests grant plain http. Default false (development mode allows it for loopback).
    pub plain_http: bool,
    /// Calls at once over all owners; more are refused. Default 512.
    pub in_flight: u32,
    /// Calls at once of one owner; more are refused. Default 64.
    pub in_flight_per_owner: u32,
    /// What a handler gets that asks for a secret. Default `placeholder`.
    pub secrets: SecretForm,
    /// Certificate authorities to trust besides the public ones: a PEM file. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<Utf8PathBuf>,
}

/// What a handler gets that asks for a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretForm {
    /// A text that is replaced by the value in calls to granted hosts: no handler ever holds a secret.
    Placeholder,
    /// The value.
    Plain,
}

impl Default for Outbound {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            deny: Vec::new(),
            plain_http: false,
            in_flight: 512,
            in_flight_per_owner: 64,
            secrets: SecretForm::Placeholder,
            ca_file: None,
        }
    }
}

impl Outbound {
    /// Which addresses and URLs a call may go to.
    ///
    /// # Errors
    /// What is no network, in words for the operator.
    pub fn url_policy(&self, dev: bool) -> Result<UrlPolicy, String> {
        let networks = |name: &str, texts: &[String]| {
            let parsed = texts.iter().map(|text| text.parse()).collect::<Result<Vec<Network>, _>>();
            parsed.map_err(|error| format!("outbound.{name}: {error}"))
        };
        let addresses = Policy {
            allow_loopback: dev,
            extra_deny: networks("deny", &self.deny)?,
            allow: networks("allow", &self.allow)?,
        };
        Ok(UrlPolicy { addresses, plain_http: self.plain_http(dev) })
    }

    /// Where a manifest may grant plain http.
    #[must_use]
    pub const fn plain_http(&self, dev: bool) -> PlainHttp {
        match (self.plain_http, dev) {
            (true, _) => PlainHttp::Everywhere,
            (false, true) => PlainHttp::Loopback,
            (false, false) => PlainHttp::Refused,
        }
    }

    /// How many calls go at once.
    #[must_use]
    pub const fn bounds(&self) -> OutletBounds {
        OutletBounds { in_flight: self.in_flight as usize, in_flight_per_owner: self.in_flight_per_owner as usize }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        self.url_policy(false)?;
        if self.in_flight == 0 || self.in_flight_per_owner == 0 {
            return Err("outbound.in_flight and in_flight_per_owner must be at least 1".to_owned());
        }
        Ok(())
    }
}
