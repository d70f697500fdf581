//! One attempt: sign what is frozen, send it, say what came of it.

use super::Sender;
use crate::egress::{Answer, Outgoing, SendError};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use ripost_domain::address::WebhookUrl;
use ripost_domain::delivery::Outcome;
use ripost_domain::signature;
use ripost_domain::time::Timestamp;
use ripost_store::ClaimedDelivery;
use std::time::Duration;

/// Of an endpoint's answer no more is read; the connection is closed instead.
const RESPONSE_BYTES_READ_MAX: usize = 64 << 10;
/// Of that so much is kept for the consumer.
const RESPONSE_BYTES_KEPT: usize = 16 << 10;

/// What came of an attempt.
pub(super) struct Attempted {
    pub(super) outcome: Outcome,
    pub(super) status: Option<u16>,
    pub(super) error_class: Option<String>,
    pub(super) error_detail: Option<String>,
    pub(super) excerpt: Bytes,
    pub(super) counted: bool,
}

impl Attempted {
    fn ours(class: &str, detail: String) -> Self {
        Self {
            outcome: Outcome::OursToRepeat,
            status: None,
            error_class: Some(class.to_owned()),
            error_detail: Some(detail),
            excerpt: Bytes::new(),
            counted: false,
        }
    }

    fn refused(detail: String) -> Self {
        Self {
            outcome: Outcome::Unanswered,
            status: None,
            error_class: Some("refused".to_owned()),
            error_detail: Some(detail),
            excerpt: Bytes::new(),
            counted: true,
        }
    }

    fn answered(answer: Answer, now: Timestamp) -> Self {
        let status = answer.status.as_u16();
        let (class, detail) = match status {
            200..=299 => (None, None),
            300..=399 => {
                let location = answer
                    .headers
                    .get(header::LOCATION)
                    .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
                let to = location.map_or_else(String::new, |location| format!(" to {location}"));
                (
                    Some("redirect"),
                    Some(format!(
                        "The endpoint answered {status}{to}; redirects are not followed. Register the final URL."
                    )),
                )
            }
            410 => (Some("gone"), Some("The endpoint answered 410: it wants no more deliveries.".to_owned())),
            _ => (Some("status"), Some(format!("The endpoint answered {status}; only 2xx counts as delivered."))),
        };
        Self {
            outcome: Outcome::Answered { status, retry_after: retry_after(&answer.headers, now) },
            status: Some(status),
            error_class: class.map(str::to_owned),
            error_detail: detail,
            excerpt: answer.excerpt,
            counted: true,
        }
    }

    fn failed(error: &SendError) -> Self {
        if error.is_ours() {
            return Self::ours(error.class(), error.to_string());
        }
        Self {
            outcome: Outcome::Unanswered,
            status: None,
            error_class: Some(error.class().to_owned()),
            error_detail: Some(error.to_string()),
            excerpt: Bytes::new(),
            counted: true,
        }
    }
}

impl Sender {
    pub(super) async fn send(&self, claimed: &ClaimedDelivery, now: Timestamp) -> Attempted {
        // Checked again: the policy may be stricter than when the request was accepted.
        let url = match WebhookUrl::parse(&claimed.url, &self.url_policy) {
            Ok(url) => url,
            Err(refused) => return Attempted::refused(refused.to_string()),
        };
        let secret = match self.needs.secrets.of(claimed.consumer).await {
            Ok(secret) => secret,
            Err(error) => return Attempted::ours("secret", error.to_string()),
        };
        let id = claimed.id.to_string();
        let seconds = now.as_seconds();
        let signed = signature::sign_v1(&[&*secret], &id, seconds, &claimed.payload);
        let outgoing = Outgoing {
            url,
            method: Method::POST,
            headers: headers(claimed, &id, seconds, &signed),
            body: claimed.payload.clone(),
            deadline: self.deadline,
            response_bytes_read_max: RESPONSE_BYTES_READ_MAX,
            response_bytes_kept: RESPONSE_BYTES_KEPT,
        };
        match self.needs.egress.send(outgoing).await {
            Ok(answer) => Attempted::answered(answer, self.needs.clock.now()),
            Err(error) => Attempted::failed(&error),
        }
    }
}

fn headers(claimed: &ClaimedDelivery, id: &str, seconds: i64, signed: &str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(10);
    let mut set = |name: HeaderName, value: &str| {
        // All of these are ASCII of ours; what is not (a trace context that a caller made up) is left out.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, &claimed.content_type);
    set(HeaderName::from_static("webhook-id"), id);
    set(HeaderName::from_static("webhook-timestamp"), &seconds.to_string());
    set(HeaderName::from_static("webhook-signature"), signed);
    set(HeaderName::from_static("ripost-request-id"), &claimed.request_id.to_string());
    set(HeaderName::from_static("ripost-attempt"), &claimed.attempt.to_string());
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
