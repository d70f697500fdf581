//! What an operator is told of at once: a signed POST each, besides the log line and the metric that always are there.

use super::facts::hex;
use crate::egress::{EgressClient, Exchange, Outgoing, Party};
use crate::keyring;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use ripost_domain::address::{UrlPolicy, WebhookUrl};
use ripost_domain::id::{ConsumerId, DeliveryId, RequestId};
use ripost_domain::signature::{self, Secret};
use ripost_domain::time::Clock;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

/// Alerts that wait to be sent; what comes on top is only in the log and the metrics.
const WAITING_MAX: usize = 1024;
/// Tries of one alert, and the wait after each that failed.
const WAITS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(0)];
const DEADLINE: Duration = Duration::from_secs(10);

/// Something that an operator may want to act on.
#[derive(Debug, Clone)]
pub enum Alert {
    /// A delivery ended without having been delivered.
    Undeliverable {
        /// Which.
        id: DeliveryId,
        /// Of which request.
        request: RequestId,
        /// Whose.
        consumer: ConsumerId,
        /// Where it should have gone, without the query.
        endpoint: String,
        /// `exhausted` or `abandoned`.
        state: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// An endpoint wants no more deliveries.
    UrlDisabled {
        /// Whose.
        consumer: ConsumerId,
        /// Which, without the query.
        endpoint: String,
        /// Why.
        reason: &'static str,
    },
    /// An endpoint keeps failing.
    BreakerOpen {
        /// Whose.
        consumer: ConsumerId,
        /// Which, without the query.
        endpoint: String,
        /// For how long it is left alone.
        wait: Duration,
    },
}

impl Alert {
    fn to_json(&self, at: ripost_domain::time::Timestamp) -> Value {
        match self {
            Self::Undeliverable { id, request, consumer, endpoint, state, reason } => json!({
                "type": format!("delivery.{state}"), "at": at, "delivery": id, "requestId": request,
                "consumer": consumer, "endpoint": endpoint, "reason": reason,
            }),
            Self::UrlDisabled { consumer, endpoint, reason } => {
                json!({ "type": "url.disabled", "at": at, "consumer": consumer, "endpoint": endpoint, "reason": reason })
            }
            Self::BreakerOpen { consumer, endpoint, wait } => json!({
                "type": "breaker.open", "at": at, "consumer": consumer, "endpoint": endpoint,
                "waitSeconds": wait.as_secs_f64(),
            }),
        }
    }
}

/// Where alerts go; nowhere, if the operator named no URL.
#[derive(Clone, Default)]
pub struct Alerts {
    queue: Option<mpsc::Sender<Alert>>,
}

impl Alerts {
    /// Starts the one task that sends them.
    ///
    /// # Errors
    /// The URL is one that nothing may be sent to, in words for the operator.
    pub fn start(
        target: Option<(Url, Secret)>,
        policy: &UrlPolicy,
        egress: Arc<EgressClient>,
        clock: Arc<dyn Clock>,
        tasks: &TaskTracker,
        stopping: CancellationToken,
    ) -> Result<Self, String> {
        let Some((url, secret)) = target else { return Ok(Self::default()) };
        let url = WebhookUrl::parse(url.as_str(), policy).map_err(|refused| format!("alerts.url: {refused}"))?;
        let (queue, mut waiting) = mpsc::channel::<Alert>(WAITING_MAX);
        tasks.spawn(async move {
            loop {
                let alert = tokio::select! {
                    () = stopping.cancelled() => return,
                    alert = waiting.recv() => alert,
                };
                let Some(alert) = alert else { return };
                let body = Bytes::from(alert.to_json(clock.now()).to_string());
                let id = format!("alt_{}", hex(&keyring::random::<12>()));
                for wait in WAITS {
                    if send(&egress, &url, &secret, &id, &body, clock.now().as_seconds()).await {
                        break;
                    }
                    tokio::select! {
                        () = stopping.cancelled() => return,
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        });
        Ok(Self { queue: Some(queue) })
    }

    /// Never waits: an operator's receiver that is slow holds nothing up.
    pub(super) fn raise(&self, alert: Alert) {
        if let Some(queue) = &self.queue
            && queue.try_send(alert).is_err()
        {
            tracing::warn!("Too many alerts wait to be sent; this one is only in the log");
        }
    }
}

async fn send(egress: &EgressClient, url: &WebhookUrl, secret: &Secret, id: &str, body: &Bytes, now_s: i64) -> bool {
    let signed = signature::sign_v1(&[secret], id, now_s, body);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let timestamp = now_s.to_string();
    for (name, value) in [
        (signature::ID_HEADER, id),
        (signature::TIMESTAMP_HEADER, timestamp.as_str()),
        (signature::SIGNATURE_HEADER, signed.as_str()),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let outgoing = || Outgoing {
        party: Party::Gateway,
        url: url.clone(),
        method: Method::POST,
        headers: headers.clone(),
        body: body.clone(),
        deadline: DEADLINE,
        response_bytes_read_max: 1024,
        response_bytes_kept: 0,
    };
    let Exchange { result, .. } = egress.send_repeatable(&outgoing).await;
    match result {
        Ok(answer) if answer.status.is_success() => true,
        Ok(answer) => {
            tracing::warn!(status = answer.status.as_u16(), "The alert URL did not take an alert");
            false
        }
        Err(error) => {
            tracing::warn!(class = error.class(), "An alert could not be sent");
            false
        }
    }
}
