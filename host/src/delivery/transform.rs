//! Webhook transforms: what they may make of a payload before it is frozen, and what becomes of one that they could not
//! make.

use super::payload::Made;
use super::webhooks::Webhooks;
use super::{Sender, Ticket, payload};
use crate::plugins::ActiveApi;
use crate::problem::{Kind, Problem};
use crate::telemetry::metrics::Outcome;
use crate::transforms::{self, Chained, Of};
use http::{HeaderName, HeaderValue, header};
use ripost_domain::delivery::{Reason, State};
use ripost_domain::id::RequestId;
use ripost_domain::time::Timestamp;
use ripost_runtime::{Webhook, last_message};
use ripost_store::{ClaimedDelivery, MakePayload, NewDelivery, StoredUnmade};
use serde::Deserialize as _;
use std::sync::Arc;

/// Beside those of one connection, which are [`HOP_BY_HOP`]: the gateway's own, and what says how long a body is.
const KEPT_BACK: [&str; 5] = ["host", "content-length", "user-agent", "traceparent", "tracestate"];
const KEPT_BACK_PREFIXES: [&str; 3] = ["webhook-", "ripost-", "proxy-"];
const HOP_BY_HOP: [&str; 7] = ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect"];

/// Which webhook it is.
pub(super) struct Whose<'a> {
    pub(super) request: RequestId,
    pub(super) event: &'a str,
    pub(super) accepted_at: Timestamp,
    /// Where it goes; added when the transforms are through with it.
    pub(super) url: &'a str,
}

impl Made {
    /// Says where it goes, as a payload that no transform has seen does: a request object stays one.
    pub(super) fn addressed(mut self, whose: &Whose<'_>) -> Self {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Object<'a> {
            request_id: Option<&'a str>,
            #[serde(rename = "delivered_to", default, deserialize_with = "present")]
            delivered_to: bool,
        }
        let Ok(object) = serde_json::from_slice::<Object<'_>>(&self.body) else { return self };
        let is_ours = object.request_id.is_some_and(|id| id == whose.request.to_string());
        let Some(end) = self.body.iter().rposition(|byte| *byte == b'}') else { return self };
        if is_ours && !object.delivered_to {
            // Into the text as it stands: numbers that a parser would round stay what they are.
            let url = serde_json::to_string(whose.url).expect("a URL is text");
            let mut body = self.body[..end].to_vec();
            body.extend_from_slice(format!(",\"delivered_to\":{url}}}").as_bytes());
            self.body = body.into();
        }
        self
    }
}

/// A member is there, whatever its value.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// Why the webhook transforms gave no payload.
pub(super) struct NotMade {
    /// One sentence, for the owner and the operator.
    pub(super) reason: String,
    /// By a trap or a limit, which counts against the revision.
    pub(super) is_broken: bool,
}

impl Sender {
    /// Room in memory for a delivery that is about to be written; none for one that is not to be sent.
    pub(crate) fn reserve_for(self: &Arc<Self>, delivery: &NewDelivery) -> Option<Ticket> {
        match &delivery.unmade {
            None => self.reserve(delivery.lane, delivery.payload.len()),
            Some(_) => None,
        }
    }

    /// After the commit that made a delivery durable: sends it if there was room for it, has the sweep look for it if
    /// not, and says so if it could not be made.
    pub(crate) fn hand_over(
        self: &Arc<Self>,
        ticket: Option<Ticket>,
        attempt: Option<ClaimedDelivery>,
        could_be_made: bool,
    ) {
        match (ticket, attempt) {
            (_, None) => {}
            (_, Some(attempt)) if !could_be_made => {
                let ClaimedDelivery { id, request_id, consumer, url, .. } = attempt;
                self.needs.news.tell(consumer);
                let state = State::Exhausted.as_str();
                self.undeliverable(id, request_id, consumer, &url, state, Reason::TransformFailed.as_str());
            }
            (Some(ticket), Some(attempt)) => self.start(ticket, attempt),
            (None, Some(_)) => self.wake(),
        }
    }

    /// The payload as the API's webhook transforms make it, or why they could not.
    pub(super) async fn transform(
        &self,
        whose: &Whose<'_>,
        active: &ActiveApi,
        untransformed: &Made,
    ) -> Result<Made, NotMade> {
        let needs = &self.needs;
        let id = whose.request.to_string();
        let now_ms = u64::try_from(whose.accepted_at.as_millis()).unwrap_or(0);
        let seed = needs.keyring.seed(whose.request);
        let of = Of { id: &id, owner: active.name.owner.as_str(), seed, now_ms };
        let webhook = Webhook {
            event: whose.event.to_owned(),
            headers: vec![("content-type".to_owned(), untransformed.content_type.clone().into())],
            body: untransformed.body.clone(),
            attributes: Vec::new(),
        };
        let chained = transforms::webhook(&needs.runtime, &of, &active.transforms, webhook).await;
        let Chained { outcome, usage, logs, .. } = chained;
        needs.metrics.of_api(&active.name).add_transforms(&usage);
        for line in &logs {
            tracing::debug!(request.id = id, api = %active.name, level = line.level.as_str(), "{}", line.message);
        }
        let (made, label) = match outcome {
            Ok(webhook) => match checked(webhook) {
                Ok(made) => (Ok(made.addressed(whose)), "answered"),
                Err(why) => {
                    let reason = format!("the webhook transforms made what cannot be sent: {why}");
                    (Err(NotMade { reason, is_broken: false }), "invalid")
                }
            },
            Err(stopped) => {
                let label = if stopped.is_broken() { "transform-failed" } else { "refused" };
                (Err(NotMade { reason: stopped.sentence(), is_broken: stopped.is_broken() }), label)
            }
        };
        needs.metrics.webhook_transforms.get_or_create(&Outcome { outcome: label }).inc();
        if let Err(NotMade { reason: error, .. }) = &made {
            let (event, revision) = (whose.event, active.digest.short());
            let said = last_message(&logs);
            tracing::warn!(request.id = id, api = %active.name, event, revision, error, said, "A webhook could not be made");
        }
        made
    }
}

/// What HTTP can carry, receivers' libraries can verify, and nobody takes for the gateway's own word.
fn checked(webhook: Webhook) -> Result<Made, String> {
    if std::str::from_utf8(&webhook.body).is_err() {
        return Err("the body is not UTF-8, and receivers' libraries verify text".to_owned());
    }
    let (mut content_type, mut headers) = (None, Vec::new());
    for (name, value) in webhook.headers {
        let kept_back = KEPT_BACK.contains(&name.as_str())
            || HOP_BY_HOP.contains(&name.as_str())
            || KEPT_BACK_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        if kept_back {
            return Err(format!("the header `{name}` is the gateway's to set; leave it out"));
        }
        let carried = HeaderName::try_from(name.as_str()).is_ok() && HeaderValue::from_bytes(&value).is_ok();
        if !carried {
            return Err(format!("the header `{}` cannot be sent", name.escape_default()));
        }
        if name == header::CONTENT_TYPE.as_str() {
            let text = std::str::from_utf8(&value).map_err(|_| "`content-type` is not text".to_owned())?;
            content_type = Some(text.to_owned());
        } else {
            headers.push((name, value));
        }
    }
    let content_type = content_type.unwrap_or_else(|| payload::JSON.to_owned());
    Ok(Made { body: webhook.body, content_type, headers })
}

impl Webhooks {
    /// Makes a payload that could not be made before, with the revision that serves now: by then it may be mended. What is
    /// made is frozen as any other; it is due when it is sent again.
    ///
    /// # Errors
    /// It cannot be made now either; nothing is sent.
    pub(super) async fn make(&self, unmade: StoredUnmade) -> Result<(), Problem> {
        let not_made = |why: &str| {
            Err(Problem::new(
                Kind::PayloadUnmade,
                format!("{why} Nothing was sent; ask the owner, and send it again when that is mended."),
            ))
        };
        let StoredUnmade { request, delivery, api, event, url, content_type, body, created_at, .. } = unmade;
        let registry = self.plugins.registry();
        let Some(active) = registry.api(api.owner.as_str(), api.slug.as_str()) else {
            return not_made(&format!("The API {api} is not offered at the moment, and its transforms with it."));
        };
        let whose = Whose { request, event: &event, accepted_at: created_at, url: &url };
        let untransformed = Made { body, content_type, headers: Vec::new() };
        let made = if active.transforms.webhook.is_empty() {
            untransformed.addressed(&whose)
        } else {
            match self.sender.transform(&whose, active, &untransformed).await {
                Ok(made) => made,
                Err(_) => return not_made("The API's webhook transforms still give no payload."),
            }
        };
        let Made { body: payload, content_type, headers } = made;
        // False: somebody else has made it meanwhile.
        self.store.make(MakePayload { delivery, payload, content_type, headers }).await?;
        tracing::info!(request.id = %request, delivery.id = %delivery, event, "A webhook was made after all");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn webhook(headers: &[(&str, &[u8])], body: &'static [u8]) -> Webhook {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), Bytes::copy_from_slice(value)));
        Webhook {
            event: "completed".to_owned(),
            headers: headers.collect(),
            body: Bytes::from_static(body),
            attributes: Vec::new(),
        }
    }

    fn addressed(body: &str) -> String {
        let request = RequestId::new(Timestamp::from_millis(1), [1; 10]);
        let whose = Whose {
            request,
            event: "completed",
            accepted_at: Timestamp::from_millis(1),
            url: "https://x.example/h?a=\"1\"",
        };
        let body = body.replace("REQ", &request.to_string());
        let made = Made { body: body.into(), content_type: payload::JSON.to_owned(), headers: Vec::new() };
        String::from_utf8(made.addressed(&whose).body.to_vec()).unwrap().replace(&request.to_string(), "REQ")
    }

    #[test]
    fn a_request_object_is_told_where_it_goes_and_nothing_else_is() {
        assert_eq!(
            addressed(r#"{"requestId":"REQ","n":1e400} "#),
            r#"{"requestId":"REQ","n":1e400,"delivered_to":"https://x.example/h?a=\"1\""}"#
        );
        for other in [
            r#"{"text":"done"}"#,
            r#"{"requestId":"req_other"}"#,
            r#"{"requestId":"REQ","delivered_to":null}"#,
            "[1]",
            "plain",
        ] {
            assert_eq!(addressed(other), other);
        }
    }

    #[test]
    fn a_transform_may_set_headers_of_its_own_and_none_of_the_gateways() {
        let made = checked(webhook(&[("content-type", b"text/plain"), ("x-team", b"a")], b"hello")).unwrap();
        assert_eq!((made.content_type.as_str(), made.headers.len()), ("text/plain", 1));
        assert_eq!(checked(webhook(&[], b"{}")).unwrap().content_type, payload::JSON);
        for name in [
            "webhook-id",
            "webhook-signature",
            "ripost-attempt",
            "host",
            "connection",
            "proxy-authorization",
            "traceparent",
        ] {
            let refused = checked(webhook(&[(name, b"x")], b"{}")).err().unwrap();
            assert!(refused.contains(name), "{refused}");
        }
        assert!(checked(webhook(&[("x", b"a\r\nb")], b"{}")).is_err());
        assert!(checked(webhook(&[], b"\xff")).err().unwrap().contains("UTF-8"));
    }
}
