//! A request as the outside sees it: the `202`, `GET /requests/{id}` and the webhook are one shape.

use crate::live::Progress;
use crate::problem::Problem;
use bytes::Bytes;
use ripost_domain::api::ApiName;
use ripost_domain::delivery;
use ripost_domain::event::Event;
use ripost_domain::id::{DeliveryId, RequestId};
use ripost_domain::money::{Amount, Split};
use ripost_domain::request::{self, Settlement};
use ripost_domain::time::Timestamp;
use ripost_store::{Answer, StoredDelivery};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

/// A larger result is not embedded but linked: receivers and their libraries expect webhooks to be small.
pub const EMBEDDED_BYTES_MAX: usize = 256 << 10;

/// Where the parts of a request are.
#[derive(Debug, Serialize)]
pub struct Links {
    #[serde(rename = "self")]
    this: String,
    result: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliveries: Option<String>,
}

impl Links {
    /// Absolute, below `base` (no slash at its end).
    #[must_use]
    pub fn new(base: &str, id: RequestId, has_webhook: bool) -> Self {
        let this = format!("{base}/requests/{id}");
        Self {
            result: format!("{this}/result"),
            webhook: has_webhook.then(|| format!("{this}/webhooks/completed")),
            deliveries: has_webhook.then(|| format!("{this}/deliveries")),
            this,
        }
    }
}

/// What becomes of the money.
#[derive(Debug, Serialize)]
pub struct SettlementView {
    state: Settlement,
    price_usdc: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    captured_usdc: Option<Amount>,
    commission_usdc: Amount,
    owner_revenue_usdc: Amount,
    tx_hash: Option<String>,
    chain: Option<String>,
}

impl SettlementView {
    /// Of a request that has not ended: the shares are those of its price.
    #[must_use]
    pub fn open(split: Split) -> Self {
        Self::new(if split.price.is_zero() { Settlement::None } else { Settlement::Held }, split, None)
    }

    /// Price and state, and the shares of what was captured once that is known. Nothing is on a chain in this version.
    #[must_use]
    pub fn new(state: Settlement, split: Split, captured: Option<Amount>) -> Self {
        let shares = captured.map_or(split, |captured| split.rate.split(captured));
        Self {
            state,
            price_usdc: split.price,
            captured_usdc: captured,
            commission_usdc: shares.fee,
            owner_revenue_usdc: shares.owner,
            tx_hash: None,
            chain: None,
        }
    }
}

/// Where the webhook stands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryView {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<DeliveryId>,
    attempts: u32,
    next_attempt_at: Option<Timestamp>,
    last_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    /// Why it ended without having been delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl DeliveryView {
    /// `None`: there is no row (yet); with a webhook URL that is `pending`, without one `none`.
    #[must_use]
    pub fn new(stored: Option<StoredDelivery>, has_webhook: bool) -> Self {
        match stored {
            Some(stored) => Self {
                state: stored.state.as_str(),
                id: Some(stored.id),
                attempts: stored.attempts,
                next_attempt_at: stored.next_attempt_at,
                last_status: stored.last_status,
                last_error: stored.last_error.map(|class| public_class(&class).to_owned()),
                reason: stored.reason,
            },
            None => Self {
                state: if has_webhook { delivery::State::Pending.as_str() } else { "none" },
                id: None,
                attempts: 0,
                next_attempt_at: None,
                last_status: None,
                last_error: None,
                reason: None,
            },
        }
    }
}

/// What a consumer is told of a class: an address that is refused, closed or silent is one and the same, or the
/// gateway would scan networks for whoever asks.
#[must_use]
pub fn public_class(class: &str) -> &str {
    let unreachable = ["refused-", "dns-", "connect-"].iter().any(|prefix| class.starts_with(prefix));
    if unreachable { "unreachable" } else { class }
}

/// How a request ended, for the fields `result…` and `error`.
pub struct Outcome<'a> {
    result: Option<Box<RawValue>>,
    result_type: Option<&'a str>,
    /// A result that is not embedded.
    linked: bool,
    error: Option<&'a RawValue>,
}

impl<'a> Outcome<'a> {
    /// Not ended yet.
    #[must_use]
    pub const fn none() -> Self {
        Self { result: None, result_type: None, linked: false, error: None }
    }

    /// A problem that was stored as JSON.
    #[must_use]
    pub fn problem(json: &'a [u8]) -> Self {
        Self { error: serde_json::from_slice(json).ok(), ..Self::none() }
    }

    /// The owner's answer: JSON as it is, text as a JSON string with its type, anything else by link.
    #[must_use]
    pub fn answer(answer: &'a Answer) -> Self {
        let content_type = content_type(&answer.headers);
        if answer.body.is_empty() {
            return Self::none();
        }
        if answer.body.len() <= EMBEDDED_BYTES_MAX {
            let kind = kind_of(content_type);
            let says_json = is_json(kind);
            if says_json && let Ok(raw) = serde_json::from_slice::<Box<RawValue>>(&answer.body) {
                return Self { result: Some(raw), ..Self::none() };
            }
            let says_text = kind.is_empty() || kind.to_ascii_lowercase().starts_with("text/") || says_json;
            if says_text && let Ok(text) = std::str::from_utf8(&answer.body) {
                let raw = serde_json::value::to_raw_value(text).ok();
                return Self { result: raw, result_type: content_type.or(Some("text/plain")), ..Self::none() };
            }
        }
        Self { result_type: content_type.or(Some("application/octet-stream")), linked: true, ..Self::none() }
    }
}

fn kind_of(content_type: Option<&str>) -> &str {
    content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

fn is_json(kind: &str) -> bool {
    kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json")
}

/// Whether an answer travels as JSON inside its webhook.
#[must_use]
pub fn embeds_as_json(answer: &Answer) -> bool {
    answer.body.len() <= EMBEDDED_BYTES_MAX
        && is_json(kind_of(content_type(&answer.headers)))
        && serde_json::from_slice::<&RawValue>(&answer.body).is_ok()
}

/// The `content-type` among an answer's headers, if it is text.
#[must_use]
pub fn content_type(headers: &[(String, Bytes)]) -> Option<&str> {
    headers.iter().find(|(name, _)| name == "content-type").and_then(|(_, value)| std::str::from_utf8(value).ok())
}

/// The parts of a request that every form has.
pub struct Head<'a> {
    /// Its id.
    pub id: RequestId,
    /// Where the execution stands.
    pub status: request::State,
    /// What was called.
    pub api: &'a ApiName,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Its deadline.
    pub expires_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Runs that count, without one that is under way.
    pub attempts: u32,
    /// When it is run again, of one that waits for that.
    pub next_attempt_at: Option<Timestamp>,
    /// What becomes of the money.
    pub settlement: SettlementView,
    /// Whether there is a webhook URL.
    pub has_webhook: bool,
    /// Makes the link to a result that is not embedded.
    pub result_url: &'a (dyn Fn() -> String + Sync),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    // Of a webhook: what it tells, and the same as CloudEvents have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    request_id: RequestId,
    status: request::State,
    api: String,
    created_at: Timestamp,
    expires_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "is_zero")]
    attempts: u32,
    #[serde(rename = "next_attempt_at", skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Progress>,
    links: Links,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<DeliveryView>,
    settlement: SettlementView,
    // `Some(None)` is an explicit null: there is a result, elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Option<Box<RawValue>>>,
    #[serde(rename = "result_type", skip_serializing_if = "Option::is_none")]
    result_type: Option<&'a str>,
    #[serde(rename = "result_url", skip_serializing_if = "Option::is_none")]
    result_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a RawValue>,
    #[serde(rename = "delivered_to", skip_serializing_if = "Option::is_none")]
    delivered_to: Option<&'a str>,
    #[serde(rename = "delivery_latency_ms", skip_serializing_if = "Option::is_none")]
    delivery_latency_ms: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form of it")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl<'a> View<'a> {
    fn new(base: &str, head: Head<'a>, outcome: Outcome<'a>) -> Self {
        let links = Links::new(base, head.id, head.has_webhook);
        let result_url = outcome.linked.then(|| (head.result_url)());
        Self {
            event: None,
            kind: None,
            request_id: head.id,
            status: head.status,
            api: head.api.to_string(),
            created_at: head.created_at,
            expires_at: head.expires_at,
            finished_at: head.finished_at,
            attempts: head.attempts,
            next_attempt_at: head.next_attempt_at,
            progress: None,
            links,
            delivery: None,
            settlement: head.settlement,
            result: (outcome.result.is_some() || outcome.linked).then_some(outcome.result),
            result_type: outcome.result_type,
            result_url,
            error: outcome.error,
            delivered_to: None,
            delivery_latency_ms: None,
        }
    }

    fn to_json(&self) -> Bytes {
        serde_json::to_vec(self).expect("a view is plain JSON").into()
    }
}

/// The body of the `202` for a request that was accepted this moment.
#[must_use]
pub fn accepted(base: &str, head: Head<'_>) -> Bytes {
    View::new(base, head, Outcome::none()).to_json()
}

/// A request as it stands, and what it is told apart by.
pub struct Current {
    /// JSON.
    pub body: Bytes,
    /// Another one when anything has changed but the link to the result, which is a new one each time.
    pub tag: Tag,
}

/// A representation, as short as an `ETag` needs it.
pub type Tag = [u8; 16];

/// The body of `GET /requests/{id}`.
#[must_use]
pub fn current(
    base: &str,
    head: Head<'_>,
    outcome: Outcome<'_>,
    progress: Option<Progress>,
    delivery: DeliveryView,
) -> Current {
    let mut view = View { progress, delivery: Some(delivery), ..View::new(base, head, outcome) };
    let body = view.to_json();
    let stays = if view.result_url.take().is_some() { view.to_json() } else { body.clone() };
    Current { body, tag: tag_of(&stays) }
}

/// A request in a list.
///
/// # Errors
/// Never: a view is plain JSON.
pub fn outline(base: &str, head: Head<'_>, delivery: DeliveryView) -> serde_json::Result<Box<RawValue>> {
    serde_json::value::to_raw_value(&View { delivery: Some(delivery), ..View::new(base, head, Outcome::none()) })
}

fn tag_of(json: &[u8]) -> Tag {
    let hash: [u8; 32] = Sha256::digest(json).into();
    *hash.first_chunk().expect("a hash is longer")
}

/// The webhook's payload: what it tells, and the same fields as they are now, without `delivery`. `delivered_to` is none if that is to be
/// added later.
#[must_use]
pub fn webhook(
    base: &str,
    event: Event,
    head: Head<'_>,
    outcome: Outcome<'_>,
    progress: Option<Progress>,
    delivered_to: Option<&str>,
) -> Bytes {
    let latency = head.finished_at.map(|at| at.since(head.created_at).as_millis());
    let delivery_latency_ms = latency.map(|millis| u64::try_from(millis).unwrap_or(u64::MAX));
    let (event, kind) = (Some(event.as_str()), Some(event.kind()));
    View { event, kind, progress, delivered_to, delivery_latency_ms, ..View::new(base, head, outcome) }.to_json()
}

/// A problem as it is stored with a request: with the request's id, so that it explains itself.
#[must_use]
pub fn stored_problem(problem: Problem, id: RequestId) -> Bytes {
    problem.with("requestId", id.to_string()).to_json()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(content_type: &str, body: &'static [u8]) -> Answer {
        let headers = vec![("content-type".to_owned(), Bytes::copy_from_slice(content_type.as_bytes()))];
        Answer { status: 200, headers, body: Bytes::from_static(body) }
    }

    fn payload(answer: &Answer) -> serde_json::Value {
        let api = ApiName { owner: "demo".parse().unwrap(), slug: "a".parse().unwrap() };
        let head = Head {
            id: RequestId::new(Timestamp::from_millis(1), [1; 10]),
            status: request::State::Completed,
            api: &api,
            created_at: Timestamp::from_millis(1000),
            expires_at: Timestamp::from_millis(9000),
            finished_at: Some(Timestamp::from_millis(1850)),
            attempts: 1,
            next_attempt_at: None,
            settlement: SettlementView::open(ripost_domain::money::FeeRate::DEFAULT.split(Amount::ZERO)),
            has_webhook: true,
            result_url: &|| "https://gw.example/results/token".to_owned(),
        };
        let json = webhook(
            "https://gw.example",
            Event::Completed,
            head,
            Outcome::answer(answer),
            None,
            Some("https://x.example/h"),
        );
        serde_json::from_slice(&json).unwrap()
    }

    #[test]
    fn every_state_is_in_the_document_for_consumers() {
        const DOCUMENT: &str = include_str!("../../../docs/consumer.md");
        let executions = request::State::ALL.map(request::State::as_str);
        let deliveries = delivery::State::ALL.map(delivery::State::as_str);
        for state in executions.into_iter().chain(deliveries) {
            let row = format!("\n| `{state}` | ");
            assert!(DOCUMENT.contains(&row), "docs/consumer.md says nothing of `{state}`");
        }
        for event in Event::ALL {
            assert!(DOCUMENT.contains(&format!("`{}`", event.as_str())), "docs/consumer.md says nothing of {event:?}");
        }
    }

    #[test]
    fn json_travels_as_json_text_as_a_string_and_anything_else_by_link() {
        let json = payload(&answer("application/json", br#"{"a":1}"#));
        assert_eq!((&json["result"]["a"], &json["delivery_latency_ms"]), (&1.into(), &850.into()));
        assert_eq!(json["delivered_to"], "https://x.example/h");
        let text = payload(&answer("text/csv; charset=utf-8", b"a,b\n"));
        assert_eq!((&text["result"], &text["result_type"]), (&"a,b\n".into(), &"text/csv; charset=utf-8".into()));
        let binary = payload(&answer("image/png", b"\x89PNG"));
        assert!(binary["result"].is_null() && binary.as_object().unwrap().contains_key("result"));
        assert!(binary["result_url"].as_str().unwrap().ends_with("/results/token"));
        let wrong = payload(&answer("application/json", b"nope"));
        assert_eq!(wrong["result"], "nope");
        let broken = payload(&answer("text/plain", b"\xff"));
        assert!(broken["result_url"].is_string());
    }
}
