//! Accepting a call.

use super::StoreError;
use bytes::Bytes;
use ripost_domain::api::{ApiName, Digest};
use ripost_domain::id::{ConsumerId, RequestId};
use ripost_domain::money::{Amount, Split};
use ripost_domain::time::Timestamp;
use std::time::Duration;

/// A call as the handler will see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestInput {
    /// The method, upper case.
    pub method: String,
    /// What follows `/api/{owner}/api/{slug}`; empty or begins with `/`.
    pub path: String,
    /// Without the question mark.
    pub query: Option<String>,
    /// Lower-case names.
    pub headers: Vec<(String, Bytes)>,
    /// Without the gateway's fields.
    pub body: Bytes,
    /// What request transforms have set.
    pub attributes: Vec<(String, String)>,
}

/// Whether the accepting process runs the request itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// State `running` at epoch 1 from the first moment.
    ThisProcess,
    /// State `accepted`, due at once; the sweep finds it.
    Nobody,
}

/// The consumer's name for one intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The key, unique for one consumer and API.
    pub key: String,
    /// SHA-256 of the original call.
    pub fingerprint: [u8; 32],
}

/// What a consumer asks of the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wants {
    /// A webhook when the first run begins.
    pub started: bool,
    /// Webhooks with the progress.
    pub progress: bool,
    /// A webhook at the end.
    pub completed: bool,
    /// How long after the webhook was made it is still worth sending.
    pub retry_max_age: Option<Duration>,
    /// How many webhooks led to this call.
    pub depth: u8,
}

impl Default for Wants {
    fn default() -> Self {
        Self { started: false, progress: false, completed: true, retry_max_age: None, depth: 0 }
    }
}

/// One accepted call: request, hold and idempotency key become durable together or not at all.
#[derive(Debug, Clone)]
pub struct Accept {
    /// Its id.
    pub id: RequestId,
    /// What was called.
    pub api: ApiName,
    /// The revision that answers it.
    pub digest: Digest,
    /// Who calls and pays.
    pub consumer: ConsumerId,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Its deadline.
    pub expires_at: Timestamp,
    /// When it was accepted by the even clock: the run is due from then on, and the deadline is as far from it as
    /// `expires_at` is from `created_at`.
    pub due_at: Timestamp,
    /// Price and shares, frozen here.
    pub split: Split,
    /// Where the result goes, if anywhere.
    pub webhook_url: Option<String>,
    /// Which webhooks, and for how long.
    pub wants: Wants,
    /// What the handler sees.
    pub input: RequestInput,
    /// What the consumer sent, if a transform has made something else of it.
    pub original: Option<RequestInput>,
    /// W3C trace context of the caller.
    pub traceparent: Option<String>,
    /// If the consumer sent one.
    pub idempotency: Option<Idempotency>,
    /// Who runs it first.
    pub lease: Lease,
}

/// What became of an accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// A new request, durable.
    New,
    /// The idempotency key named an earlier one; nothing was written.
    Existing {
        /// The request of that key.
        id: RequestId,
        /// The fingerprint it came with.
        fingerprint: [u8; 32],
    },
}

/// A call was not accepted; nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AcceptError {
    /// The balance does not cover the price.
    #[error("the balance {available} does not cover the price {price}")]
    InsufficientBalance {
        /// What is left.
        available: Amount,
        /// What it costs.
        price: Amount,
    },
    /// The store's failure.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Accept {
    /// The deadline by the even clock.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.due_at.after(self.expires_at.since(self.created_at))
    }
}
