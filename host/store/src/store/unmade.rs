//! Payloads that a webhook transform failed to make.

use bytes::Bytes;
use ripost_domain::api::{ApiName, Digest};
use ripost_domain::id::{ConsumerId, DeliveryId, RequestId};
use ripost_domain::time::Timestamp;

/// Why there is no payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmade {
    /// One sentence, for people.
    pub reason: String,
}

/// A payload that is still to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredUnmade {
    /// The delivery that has none: also the `webhook-id`.
    pub delivery: DeliveryId,
    /// Of which request.
    pub request: RequestId,
    /// Whose.
    pub consumer: ConsumerId,
    /// What was called: its transforms make the payload.
    pub api: ApiName,
    /// The revision that failed to make it, or the one in its place since.
    pub digest: Digest,
    /// When the request was accepted.
    pub created_at: Timestamp,
    /// `started` or `completed`.
    pub event: String,
    /// Where to.
    pub url: String,
    /// `content-type` of the body.
    pub content_type: String,
    /// What the first transform is given.
    pub body: Bytes,
    /// One sentence, for people.
    pub reason: String,
}

/// A payload that could be made after all.
#[derive(Debug, Clone)]
pub struct MakePayload {
    /// Which delivery's.
    pub delivery: DeliveryId,
    /// The exact bytes of every attempt.
    pub payload: Bytes,
    /// `content-type` of the payload.
    pub content_type: String,
    /// Headers that the transforms have set.
    pub headers: Vec<(String, Bytes)>,
}
