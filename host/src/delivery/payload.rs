//! What a webhook says: made once, stored with its delivery, sent as it is.

use super::transform::{NotMade, Whose};
use super::{Sender, lane_of};
use crate::gateway::view::{self, Head, Outcome};
use crate::keyring;
use crate::live::Progress;
use crate::plugins::{ActiveApi, OnError, PayloadForm, Ran};
use bytes::Bytes;
use ripost_domain::event::Event;
use ripost_domain::id::DeliveryId;
use ripost_domain::time::Timestamp;
use ripost_store::{Answer, ClaimedDelivery, ClaimedRun, Lease, NewDelivery, Retry, Unmade};
use serde::Serialize;
use serde_json::value::RawValue;

pub(super) const JSON: &str = "application/json";

/// The bytes and what they are.
pub(super) struct Made {
    pub(super) body: Bytes,
    pub(super) content_type: String,
    /// What a transform sends beside those of the gateway.
    pub(super) headers: Vec<(String, Bytes)>,
}

/// What a payload is made of.
pub(crate) struct Material<'a> {
    pub(crate) form: PayloadForm,
    pub(crate) event: Event,
    pub(crate) base: &'a str,
    pub(crate) head: Head<'a>,
    pub(crate) outcome: Outcome<'a>,
    pub(crate) progress: Option<Progress>,
    /// Where it goes; the owner's transforms do not see it.
    pub(crate) url: &'a str,
    /// The owner's answer, of a request that has completed.
    pub(crate) answer: Option<&'a Answer>,
}

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: DeliveryId,
    source: String,
    #[serde(rename = "type")]
    kind: &'static str,
    subject: String,
    time: Timestamp,
    datacontenttype: &'static str,
    data: &'a RawValue,
}

/// Whether a payload says where it goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Addressed {
    Yes,
    /// It is for a transform first, and the owner never learns it.
    Later,
}

impl Material<'_> {
    /// A bare result is one that receivers' libraries can verify: JSON, and small. Any other end is the request object.
    fn make(self, id: DeliveryId, at: Timestamp, addressed: Addressed) -> Made {
        if self.form == PayloadForm::Result
            && let Some(answer) = self.answer
            && view::embeds_as_json(answer)
        {
            let content_type = view::content_type(&answer.headers).unwrap_or(JSON).to_owned();
            return Made { body: answer.body.clone(), content_type, headers: Vec::new() };
        }
        let Self { form, event, base, head, outcome, progress, url, .. } = self;
        let (source, subject) = (format!("{base}/api/{}/api/{}", head.api.owner, head.api.slug), head.id.to_string());
        let body = view::webhook(base, event, head, outcome, progress, (addressed == Addressed::Yes).then_some(url));
        let json = |body| Made { body, content_type: JSON.to_owned(), headers: Vec::new() };
        if form != PayloadForm::CloudEvents {
            return json(body);
        }
        let Ok(data) = serde_json::from_slice(&body) else { return json(body) };
        let event = CloudEvent {
            specversion: "1.0",
            id,
            source,
            kind: event.kind(),
            subject,
            time: at,
            datacontenttype: JSON,
            data,
        };
        let body = serde_json::to_vec(&event).expect("an event is plain JSON").into();
        Made { content_type: "application/cloudevents+json".to_owned(), ..json(body) }
    }
}

impl Sender {
    /// A delivery of a request's event, waiting; or exhausted from the beginning, if the API's webhook transforms could
    /// not make its payload.
    pub(crate) async fn delivery(
        &self,
        claimed: &ClaimedRun,
        active: Option<&ActiveApi>,
        material: Material<'_>,
        at: Timestamp,
    ) -> NewDelivery {
        let due_at = self.steady();
        let id = DeliveryId::new(at, keyring::random_id());
        let (event, url) = (material.event, material.url.to_owned());
        let transforming = active.filter(|active| !active.transforms.webhook.is_empty());
        let (made, unmade) = match transforming {
            None => (material.make(id, at, Addressed::Yes), None),
            Some(active) => {
                let untransformed = material.make(id, at, Addressed::Later);
                let whose = Whose {
                    request: claimed.id,
                    event: event.subscription(),
                    accepted_at: claimed.created_at,
                    url: &url,
                };
                match self.transform(&whose, active, &untransformed).await {
                    Ok(made) => (made, None),
                    Err(NotMade { reason, is_broken }) => {
                        // Once for an event of a request: neither progress, of which there may be a hundred, nor a consumer
                        // who asks for it again and again, may put a revision aside.
                        if is_broken && event != Event::Progress {
                            self.needs.plugins.ran(active.digest, &active.name, Ran::Broke);
                        }
                        if active.transforms.webhook_on_error == OnError::SendOriginal {
                            tracing::warn!(request.id = %claimed.id, reason, "The webhook goes out untransformed, as its API has it");
                            (untransformed.addressed(&whose), None)
                        } else {
                            (untransformed, Some(Unmade { reason }))
                        }
                    }
                }
            }
        };
        let Made { body: payload, content_type, headers } = made;
        let of_api = active.and_then(|active| active.retry.as_deref());
        NewDelivery {
            id,
            event,
            lane: lane_of(claimed.consumer, &url),
            url,
            payload,
            content_type,
            headers,
            unmade,
            traceparent: claimed.traceparent.clone(),
            retry: self.retry(of_api, due_at, claimed.wants.retry_max_age),
            depth: claimed.wants.depth,
            due_at,
            lease: Lease::Nobody,
        }
    }
}

/// The first attempt of a delivery that is born in flight.
pub(crate) fn first_attempt(claimed: &ClaimedRun, delivery: &NewDelivery) -> ClaimedDelivery {
    ClaimedDelivery {
        id: delivery.id,
        webhook_id: delivery.id,
        request_id: claimed.id,
        consumer: claimed.consumer,
        epoch: 1,
        attempt: 1,
        event: delivery.event,
        url: delivery.url.clone(),
        lane: delivery.lane,
        payload: delivery.payload.clone(),
        content_type: delivery.content_type.clone(),
        headers: delivery.headers.clone(),
        traceparent: delivery.traceparent.clone(),
        retry: Retry::clone(&delivery.retry),
        depth: delivery.depth,
        chain: None,
        waited: false,
    }
}
