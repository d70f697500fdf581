//! Owners' services: requests are forwarded to them, and they answer at once or call back.
//!
//! Which addresses may be reached depends on who put the plugin there: the operator knows the network, whoever has an
//! owner's token is held to what is public and to what `[upstream] allow` opens.

mod answer;
mod forward;
mod withdraw;

pub(crate) use answer::{Later, meaning};
pub(crate) use forward::{Forward, Forwarded, NotAnswered, check_target};
pub(crate) use withdraw::{Event, Withdrawal};

use crate::egress::EgressClient;
use crate::keyring::Keyring;
use ripost_domain::address::{PlainHttp, Policy, UrlPolicy, UrlRefused, WebhookUrl};
use ripost_domain::id::RequestId;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// How far an upstream's address may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Anywhere: it is from the plugins folder, or an operator pushed it.
    Any,
    /// Where the address guard lets it: an owner's token pushed it.
    Guarded,
}

/// One way out, with its rules.
pub struct Way {
    /// For this reach alone.
    pub client: EgressClient,
    /// Which addresses.
    pub url_policy: UrlPolicy,
}

/// The ways to all upstreams.
pub struct Upstreams {
    /// For [`Reach::Any`].
    pub any: Way,
    /// For [`Reach::Guarded`].
    pub guarded: Way,
    /// The longest that an exchange may take, whatever an API asks for.
    pub deadline: Duration,
    /// MACs of callback URLs, and what forwarded requests are signed with.
    pub keyring: Arc<Keyring>,
    /// What callback URLs begin with; no slash at its end.
    pub base: Arc<str>,
}

impl Upstreams {
    fn way(&self, reach: Reach) -> &Way {
        match reach {
            Reach::Any => &self.any,
            Reach::Guarded => &self.guarded,
        }
    }

    /// Where an upstream posts its result.
    fn callback_url(&self, id: RequestId, epoch: u32) -> String {
        format!("{}/callbacks/{}", self.base, self.keyring.callback_token(id, epoch))
    }

    /// Ends all exchanges and closes all connections.
    pub fn shutdown(&self) {
        self.any.client.shutdown();
        self.guarded.client.shutdown();
    }
}

/// Any address that a service can have: what hands out credentials, and what is no single machine, stays closed.
///
/// # Panics
/// Never: both networks are well formed.
#[must_use]
pub fn any_address() -> UrlPolicy {
    let everything = ["0.0.0.0/0", "::/0"].map(|network| network.parse().expect("a network"));
    UrlPolicy {
        addresses: Policy { allow_loopback: true, allow: everything.into(), ..Policy::default() },
        plain_http: PlainHttp::Everywhere,
    }
}

/// Reads an upstream's address, as far as it can be judged without knowing who set it.
///
/// # Errors
/// What is wrong with it and what to do, for the owner.
pub fn parse(text: &str) -> Result<Url, String> {
    let checked = WebhookUrl::parse_for_call(text, &any_address()).map_err(|error| match error {
        UrlRefused::Scheme | UrlRefused::Malformed => {
            "this is not the address of a service; write it as http://localhost:8080/process".to_owned()
        }
        UrlRefused::Credentials => {
            "credentials do not belong in it; a service knows the gateway by its signature (`ripost upstream secret`)"
                .to_owned()
        }
        UrlRefused::Address(refused) => format!("{refused}, and nobody's service is there; name another host"),
        error => error.to_string(),
    })?;
    Url::parse(checked.as_str()).map_err(|error| error.to_string())
}
