//! A webhook that tests an endpoint: the whole path of a real one, without a request.

use super::facts::{Facts, Phases};
use super::send::{self, sign};
use super::{Sender, lane_of};
use crate::egress::Exchange;
use crate::keyring;
use crate::problem::{Kind, Problem};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use ripost_domain::address::WebhookUrl;
use ripost_domain::id::{ConsumerId, DeliveryId};
use ripost_domain::signature;
use serde::Serialize;
use serde_json::json;

/// What came of a test.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tested {
    delivered: bool,
    status: Option<u16>,
    error_class: Option<String>,
    detail: Option<String>,
    duration_ms: u64,
    phases: Phases,
    peer: Option<String>,
    tls: Option<String>,
    webhook_id: DeliveryId,
    timestamp: i64,
    signature: String,
    body: String,
    response: Option<String>,
    verify: &'static str,
}

/// What it tells, which no request's webhook does.
const EVENT: &str = "test";

/// What to do with the signature.
const VERIFY: &str = "Verify the raw body with any Standard Webhooks library (`standardwebhooks` or `svix` for JavaScript, Python, Rust, Go and more) \
    and the secret from GET /consumer/webhook-secret; docs/verify.md has verifiers to copy.";

impl Sender {
    /// Sends one signed test webhook to `url` and says all that is known of it.
    ///
    /// # Errors
    /// There is no room now, or the consumer's secret cannot be had.
    pub(crate) async fn test(
        self: &std::sync::Arc<Self>,
        consumer: ConsumerId,
        url: WebhookUrl,
    ) -> Result<Tested, Problem> {
        let lane = lane_of(consumer, url.as_str());
        // Through the lane's bounds, though not through its queue: a test is answered at once or not at all.
        let Some(_ticket) = self.reserve(lane, 1) else {
            let detail =
                "This endpoint keeps failing or has too much under way. Try again after the time in Retry-After.";
            return Err(Problem::new(Kind::Overloaded, detail).retry_after(std::time::Duration::from_secs(10)));
        };
        let signing = self.needs.secrets.of(consumer).await.map_err(|error| {
            tracing::error!(consumer.id = %consumer, %error, "A webhook secret cannot be opened");
            Problem::new(Kind::Internal, "The operator finds the cause in the log.")
        })?;
        let now = self.needs.clock.now();
        let id = DeliveryId::new(now, keyring::random());
        let body = Bytes::from(
            json!({ "event": EVENT, "type": "webhook.test", "timestamp": now, "message": "Your endpoint works." })
                .to_string(),
        );
        let signed = sign(&signing, &self.needs.signing_key, &id.to_string(), now, &body);
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in [
            (HeaderName::from_static(signature::ID_HEADER), id.to_string()),
            (HeaderName::from_static(signature::TIMESTAMP_HEADER), now.as_seconds().to_string()),
            (HeaderName::from_static(signature::SIGNATURE_HEADER), signed.clone()),
            (send::EVENT, EVENT.to_owned()),
            (HeaderName::from_static("ripost-attempt"), "1".to_owned()),
            (HeaderName::from_static("webhook-depth"), "1".to_owned()),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        let outgoing = self.outgoing(url, headers, body.clone());
        let Exchange { result, facts } = self.needs.egress.send(outgoing).await;
        let duration = self.needs.clock.now().since(now);
        let facts = Facts::new(&facts);
        let (status, error_class, detail, response) = match &result {
            Ok(answer) => {
                let class = (!answer.status.is_success())
                    .then(|| if answer.status.is_redirection() { "redirect" } else { "status" });
                let response = String::from_utf8_lossy(&answer.excerpt).into_owned();
                let detail = class.map(|_| "Only 2xx counts as delivered; redirects are not followed.".to_owned());
                (Some(answer.status.as_u16()), class.map(str::to_owned), detail, Some(response))
            }
            Err(error) => (None, Some(error.public_class().to_owned()), Some(error.to_string()), None),
        };
        let refused = matches!(&result, Err(crate::egress::SendError::Refused(_)));
        Ok(Tested {
            delivered: status.is_some_and(|status| (200..300).contains(&status)),
            status,
            error_class,
            detail: if refused { None } else { detail },
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            phases: facts.phases(),
            peer: if refused { None } else { facts.peer },
            tls: facts.tls,
            webhook_id: id,
            timestamp: now.as_seconds(),
            signature: signed,
            body: String::from_utf8_lossy(&body).into_owned(),
            response,
            verify: VERIFY,
        })
    }
}
