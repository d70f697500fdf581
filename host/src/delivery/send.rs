//! One exchange: sign what is frozen, send it, say what came of it.

use super::attempt::Attempted;
use super::facts::Facts;
use super::{Sender, Signing};
use crate::causes::chain;
use crate::egress::{Answer, Exchange, Outgoing, Party, SendError};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use ripost_domain::address::WebhookUrl;
use ripost_domain::delivery::{Outcome, Wish};
use ripost_domain::signature::{self, Secret, SigningKey};
use ripost_domain::time::Timestamp;
use ripost_store::ClaimedDelivery;
use std::time::Duration;

/// Of an endpoint's answer no more is read; the connection is closed instead.
const RESPONSE_BYTES_READ_MAX: usize = 64 << 10;
/// Of that so much is kept for the consumer.
const RESPONSE_BYTES_KEPT: usize = 16 << 10;
/// An endpoint's wishes, as hosted Svix has them.
const WISH: HeaderName = HeaderName::from_static("webhook-delivery");
/// How many webhooks led to this one: whoever calls us again because of it passes it on.
pub(crate) const DEPTH: HeaderName = HeaderName::from_static("webhook-depth");

/// What the webhook tells, for whoever routes by headers.
pub(super) const EVENT: HeaderName = HeaderName::from_static("ripost-event");

impl Attempted {
    fn ours(class: &str, detail: String) -> Self {
        Self {
            outcome: Outcome::OursToRepeat,
            status: None,
            error_class: Some(class.to_owned()),
            error_detail: Some(detail),
            excerpt: Bytes::new(),
            counted: false,
            facts: Facts::default(),
        }
    }

    fn refused(rule: &str, detail: String) -> Self {
        Self {
            outcome: Outcome::Unanswered,
            status: None,
            error_class: Some(format!("refused-{rule}")),
            error_detail: Some(detail),
            excerpt: Bytes::new(),
            counted: true,
            facts: Facts::default(),
        }
    }

    fn answered(answer: Answer, facts: Facts, now: Timestamp) -> Self {
        let status = answer.status.as_u16();
        let (class, detail) = match status {
            200..=299 => (None, None),
            300..=399 => {
                let location = answer
                    .headers
                    .get(header::LOCATION)
                    .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
                let to = location.map_or_else(String::new, |location| format!(" to {location}"));
                let detail =
                    format!("The endpoint answered {status}{to}; redirects are not followed. Register the final URL.");
                (Some("redirect"), Some(detail))
            }
            410 => (Some("gone"), Some("The endpoint answered 410: it wants no more deliveries.".to_owned())),
            _ => (Some("status"), Some(format!("The endpoint answered {status}; only 2xx counts as delivered."))),
        };
        let wish = answer.headers.get(WISH).and_then(|value| Wish::from_header(value.to_str().ok()?));
        Self {
            outcome: Outcome::Answered { status, retry_after: retry_after(&answer.headers, now), wish },
            status: Some(status),
            error_class: class.map(str::to_owned),
            error_detail: detail,
            excerpt: answer.excerpt,
            counted: true,
            facts,
        }
    }

    fn failed(error: &SendError, facts: Facts) -> Self {
        let ours = error.is_ours();
        // Who is refused is told nothing of the address.
        let facts = if matches!(error, SendError::Refused(_)) { Facts { peer: None, ..facts } } else { facts };
        Self {
            outcome: if ours { Outcome::OursToRepeat } else { Outcome::Unanswered },
            status: None,
            error_class: Some(error.class().to_owned()),
            error_detail: Some(chain(error)),
            excerpt: Bytes::new(),
            counted: !ours,
            facts,
        }
    }
}

impl Sender {
    pub(super) async fn send(&self, claimed: &ClaimedDelivery, now: Timestamp) -> Attempted {
        // Checked again: the policy may be stricter than when the request was accepted.
        let url = match WebhookUrl::parse(&claimed.url, &self.url_policy) {
            Ok(url) => url,
            Err(refused) => return Attempted::refused(refused.rule(), refused.to_string()),
        };
        let signing = match self.needs.secrets.of(claimed.consumer).await {
            Ok(signing) => signing,
            Err(error) => return Attempted::ours("secret", error.to_string()),
        };
        let id = claimed.webhook_id.to_string();
        let seconds = now.as_seconds();
        let signed = sign(&signing, &self.needs.signing_key, &id, now, &claimed.payload);
        // Known by `webhook-id`.
        let outgoing = || self.outgoing(url.clone(), headers(claimed, &id, seconds, &signed), claimed.payload.clone());
        let Exchange { result, facts } = self.needs.egress.send_repeatable(&outgoing).await;
        match result {
            Ok(answer) => Attempted::answered(answer, Facts::new(&facts), self.needs.clock.now()),
            Err(error) => Attempted::failed(&error, Facts::new(&facts)),
        }
    }

    pub(super) fn outgoing(&self, url: WebhookUrl, headers: HeaderMap, body: Bytes) -> Outgoing {
        Outgoing {
            party: Party::Gateway,
            url,
            method: Method::POST,
            headers,
            body,
            deadline: self.deadline,
            response_bytes_read_max: RESPONSE_BYTES_READ_MAX,
            response_bytes_kept: RESPONSE_BYTES_KEPT,
        }
    }
}

/// One token for each secret that is live, the current one's first, then the gateway's own if it is wanted.
pub(super) fn sign(signing: &Signing, key: &SigningKey, id: &str, now: Timestamp, body: &[u8]) -> String {
    let secrets: Vec<&Secret> = signing.live(now).collect();
    let mut signed = signature::sign_v1(&secrets, id, now.as_seconds(), body);
    if signing.v1a {
        signed.push(' ');
        signed.push_str(&key.sign_v1a(id, now.as_seconds(), body));
    }
    signed
}

fn headers(claimed: &ClaimedDelivery, id: &str, seconds: i64, signed: &str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(11 + claimed.headers.len());
    // First, so that none of them can take the place of ours.
    for (name, value) in &claimed.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers.insert(EVENT, HeaderValue::from_static(claimed.event.as_str()));
    let mut set = |name: HeaderName, value: &str| {
        // All of these are ASCII of ours; what is not (a trace context that a caller made up) is left out.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, &claimed.content_type);
    set(HeaderName::from_static(signature::ID_HEADER), id);
    set(HeaderName::from_static(signature::TIMESTAMP_HEADER), &seconds.to_string());
    set(HeaderName::from_static(signature::SIGNATURE_HEADER), signed);
    set(HeaderName::from_static("ripost-request-id"), &claimed.request_id.to_string());
    set(HeaderName::from_static("ripost-attempt"), &claimed.attempt.to_string());
    set(DEPTH, &claimed.depth.saturating_add(1).to_string());
    if let Some(traceparent) = &claimed.traceparent {
        set(HeaderName::from_static("traceparent"), traceparent);
    }
    headers
}

/// Seconds, or an HTTP date; a date that has passed is no wait.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Timestamp::from_millis(date.timestamp().as_millisecond()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms_and_nonsense_is_none() {
        let now: Timestamp = "2026-11-24T08:00:00Z".parse().unwrap();
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Tue, 24 Nov 2026 08:02:00 GMT"), Some(Duration::from_secs(120)));
        assert_eq!(read("Tue, 24 Nov 2026 07:00:00 GMT"), Some(Duration::ZERO));
        for bad in ["-1", "soon", "", "1e9"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
