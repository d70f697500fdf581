//! Telling an upstream that nobody waits for a request any more: a POST of its own, signed as a forwarded request is.

use super::forward::{JSON, announce, parse};
use super::{Reach, Upstreams};
use crate::causes::chain;
use crate::egress::{Exchange, Outgoing, Party};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use ripost_domain::api::ApiName;
use ripost_domain::id::{ConsumerId, RequestId};
use ripost_domain::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Of the answer only the status counts.
const ANSWER_BYTES_READ_MAX: usize = 4 << 10;

/// Why nobody waits any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The consumer cancelled it.
    Cancel,
    /// Its deadline has passed.
    Expire,
}

impl Event {
    /// As it stands in the body.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Expire => "expire",
        }
    }
}

/// Which request, and to whom it was forwarded.
pub(crate) struct Withdrawal {
    pub(crate) event: Event,
    pub(crate) id: RequestId,
    pub(crate) consumer: ConsumerId,
    pub(crate) callback_epoch: u32,
    pub(crate) traceparent: Option<String>,
    pub(crate) api: ApiName,
    pub(crate) owner: Arc<str>,
    pub(crate) url: Url,
    pub(crate) reach: Reach,
    /// For the whole exchange.
    pub(crate) deadline: Duration,
}

impl Upstreams {
    /// Tells it once; the status of the answer.
    ///
    /// # Errors
    /// No answer came: why.
    pub(crate) async fn withdraw(&self, withdrawal: Withdrawal, now: Timestamp) -> Result<u16, String> {
        let Withdrawal { event, id, consumer, callback_epoch, traceparent, api, owner, url, reach, deadline } =
            withdrawal;
        let way = self.way(reach);
        let url = parse(url.as_str(), &way.url_policy)?;
        let body = Bytes::from(serde_json::json!({ "requestId": id, "event": event.as_str() }).to_string());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        headers.insert(HeaderName::from_static("ripost-cancel"), HeaderValue::from_static("1"));
        if let Some(Ok(traceparent)) = traceparent.as_deref().map(HeaderValue::from_str) {
            headers.insert(HeaderName::from_static("traceparent"), traceparent);
        }
        let callback = self.callback_url(id, callback_epoch);
        // A message of its own: who drops what came before must not drop this.
        let message = format!("{id}_{}", event.as_str());
        announce(&mut headers, &self.keyring, &api, &message, id, consumer, Some(&callback), now, &body);
        let outgoing = || Outgoing {
            party: Party::Owner(owner.clone()),
            url: url.clone(),
            method: Method::POST,
            headers: headers.clone(),
            body: body.clone(),
            deadline: deadline.min(self.deadline),
            response_bytes_read_max: ANSWER_BYTES_READ_MAX,
            response_bytes_kept: 0,
        };
        let Exchange { result, .. } = way.client.send_repeatable(&outgoing).await;
        result.map(|answer| answer.status.as_u16()).map_err(|error| chain(&error))
    }
}
