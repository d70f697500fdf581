//! A delivery as its readers may see it: the consumer, the owner and the operator each see something else.

use super::facts::{self, Facts, Phases, hex};
use crate::gateway::view::public_class;
use crate::keyring::Keyring;
use ripost_domain::id::DeliveryId;
use ripost_domain::receipt;
use ripost_domain::time::Timestamp;
use ripost_store::{StoredAttempt, StoredDelivery};
use serde::Serialize;

/// Who reads: what one may see is kept from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// The consumer whose webhook it is.
    Consumer,
    /// The owner whose API was asked: neither where the consumer receives nor what the endpoint said.
    Owner,
    /// The operator: everything.
    Operator,
}

/// A delivery as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryShown {
    id: DeliveryId,
    /// Of one that is sent again after it was delivered: the id that it is sent under.
    #[serde(rename = "copy_of", skip_serializing_if = "Option::is_none")]
    copy_of: Option<DeliveryId>,
    event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// For the owner in place of the URL: its salted hash, as receipts have it.
    #[serde(rename = "url_commitment", skip_serializing_if = "Option::is_none")]
    url_commitment: Option<String>,
    state: &'static str,
    reason: Option<String>,
    /// Why the webhook transforms gave no payload; for the owner and the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unmade: Option<String>,
    attempts: u32,
    next_attempt_at: Option<Timestamp>,
    last_status: Option<u16>,
    last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<Vec<AttemptShown>>,
}

/// An attempt as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AttemptShown {
    attempt: u32,
    at: Timestamp,
    duration_ms: u32,
    status: Option<u16>,
    error_class: Option<String>,
    error_detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(rename = "url_commitment", skip_serializing_if = "Option::is_none")]
    url_commitment: Option<String>,
    reused: bool,
    resent: bool,
    phases: Phases,
    peer: Option<String>,
    tls: Option<String>,
    excerpt: Option<String>,
}

/// For this reader, with the attempts if they are to be shown.
pub(super) fn shown(
    keyring: &Keyring,
    delivery: StoredDelivery,
    attempts: Option<Vec<StoredAttempt>>,
    reader: Reader,
) -> DeliveryShown {
    // As the receipts of this delivery have it.
    let commit = |url: &str| hex(&receipt::commit(&facts::salt(keyring, delivery.id), url.as_bytes()));
    let last_error = delivery.last_error.as_deref().map(|class| class_for(class, reader).to_owned());
    let log = attempts.map(|attempts| {
        attempts.into_iter().map(|attempt| attempt_shown(attempt, &delivery.url, reader, &commit)).collect()
    });
    let (url, url_commitment) = url_for(delivery.url.clone(), reader, &commit);
    DeliveryShown {
        id: delivery.id,
        copy_of: delivery.copy_of,
        event: delivery.event,
        url,
        url_commitment,
        state: delivery.state.as_str(),
        reason: delivery.reason,
        unmade: None,
        attempts: delivery.attempts,
        next_attempt_at: delivery.next_attempt_at,
        last_status: delivery.last_status,
        last_error,
        log,
    }
}

/// The URL for who may see it; for an owner what it can be told apart by.
fn url_for(url: String, reader: Reader, commit: &dyn Fn(&str) -> String) -> (Option<String>, Option<String>) {
    match reader {
        Reader::Owner => (None, Some(commit(&url))),
        Reader::Consumer | Reader::Operator => (Some(url), None),
    }
}

/// Nobody but the operator is told why an endpoint could not be reached.
fn class_for(class: &str, reader: Reader) -> &str {
    if reader == Reader::Operator { class } else { public_class(class) }
}

fn attempt_shown(attempt: StoredAttempt, url: &str, reader: Reader, commit: &dyn Fn(&str) -> String) -> AttemptShown {
    let facts = Facts::read(&attempt.facts);
    let class = attempt.error_class.as_deref();
    let unreachable = reader != Reader::Operator && class.is_some_and(|class| public_class(class) == "unreachable");
    let of_endpoint = reader != Reader::Owner;
    let (url, url_commitment) = url_for(attempt.url.unwrap_or_else(|| url.to_owned()), reader, commit);
    AttemptShown {
        attempt: attempt.attempt,
        at: attempt.started_at,
        duration_ms: attempt.duration_ms,
        status: attempt.status,
        error_class: class.map(|class| class_for(class, reader).to_owned()),
        error_detail: match unreachable {
            true => Some(UNREACHABLE.to_owned()),
            // It may have the endpoint's own words.
            false => attempt.error_detail.filter(|_| of_endpoint),
        },
        url,
        url_commitment,
        reused: facts.reused,
        resent: facts.resent,
        phases: if unreachable { Phases::default() } else { facts.phases() },
        peer: facts.peer.filter(|_| of_endpoint && !unreachable),
        tls: facts.tls,
        excerpt: attempt.status.filter(|_| of_endpoint).map(|_| String::from_utf8_lossy(&attempt.excerpt).into_owned()),
    }
}

/// What consumers and owners are told of an endpoint that could not be reached.
const UNREACHABLE: &str =
    "No connection to the endpoint: its name does not resolve, it does not answer, or it is not a public address.";
