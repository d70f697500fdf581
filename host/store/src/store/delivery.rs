//! Deliveries: made, claimed, attempted.

use super::{Lease, Unmade};
use bytes::Bytes;
use ripost_domain::delivery::{self, LaneId, Next};
use ripost_domain::event::Event;
use ripost_domain::id::{ConsumerId, DeliveryId, RequestId};
use ripost_domain::time::Timestamp;
use std::time::Duration;

/// How a delivery is retried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// The wait before each attempt; `None`: the operator's schedule.
    pub waits: Option<Vec<Duration>>,
    /// When it is not worth sending any more, whatever the schedule says.
    pub give_up_at: Timestamp,
    /// Attempts before the schedule began anew, because somebody asked for it.
    pub base: u32,
}

/// A delivery with its payload, made and frozen.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// Also the `webhook-id`.
    pub id: DeliveryId,
    /// What it tells.
    pub event: Event,
    /// Where to.
    pub url: String,
    /// What it is kept apart by.
    pub lane: LaneId,
    /// The exact bytes of every attempt; of one that is unmade, what should have become them.
    pub payload: Bytes,
    /// `content-type` of the payload.
    pub content_type: String,
    /// Headers that the webhook transforms have set.
    pub headers: Vec<(String, Bytes)>,
    /// Why there is no payload: the delivery is exhausted from the beginning, whatever its lease says.
    pub unmade: Option<Unmade>,
    /// W3C trace context to send along.
    pub traceparent: Option<String>,
    /// How it is retried.
    pub retry: Retry,
    /// How many webhooks led to it.
    pub depth: u8,
    /// When it is due, if nobody sends it at once: now, by the clock that waits are measured with.
    pub due_at: Timestamp,
    /// `ThisProcess`: in flight as attempt 1, counted; `Nobody`: pending.
    pub lease: Lease,
}

/// A delivery to attempt, claimed by this process: counted before it is sent.
#[derive(Debug, Clone)]
pub struct ClaimedDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// What its receiver knows it by: its id, or that of the one that it is a copy of.
    pub webhook_id: DeliveryId,
    /// Of which request.
    pub request_id: RequestId,
    /// Whose.
    pub consumer: ConsumerId,
    /// The epoch that the record must name.
    pub epoch: u32,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// What it tells.
    pub event: Event,
    /// Where to.
    pub url: String,
    /// What it is kept apart by.
    pub lane: LaneId,
    /// What to send.
    pub payload: Bytes,
    /// `content-type` of the payload.
    pub content_type: String,
    /// Headers that the webhook transforms have set.
    pub headers: Vec<(String, Bytes)>,
    /// W3C trace context to send along.
    pub traceparent: Option<String>,
    /// How it is retried.
    pub retry: Retry,
    /// How many webhooks led to it.
    pub depth: u8,
    /// The head of its attempt log; `None`: nothing was tried yet.
    pub chain: Option<[u8; 32]>,
    /// Whether it has waited in the store, and so is in the feed of what is undelivered.
    pub waited: bool,
}

/// Which deliveries to claim.
#[derive(Debug, Clone)]
pub struct DeliveryClaim {
    /// What is due by then.
    pub now: Timestamp,
    /// From each lane at most so many.
    pub lanes: Vec<(LaneId, u32)>,
    /// Lanes that are not to be offered before a time.
    pub parked: Vec<(LaneId, Timestamp)>,
    /// When a lane with more due deliveries is offered again by the store, unless the caller asks for it by name.
    pub offered_again_at: Timestamp,
    /// Bounds the sum of the payloads (at least one delivery is returned).
    pub bytes_max: usize,
}

/// What was claimed.
#[derive(Debug, Clone, Default)]
pub struct ClaimedDeliveries {
    /// In flight now, counted.
    pub deliveries: Vec<ClaimedDelivery>,
    /// Lanes that have more due deliveries.
    pub more: Vec<LaneId>,
    /// Deliveries whose payload cannot be read, with the reason; put back for a minute.
    pub unreadable: Vec<(DeliveryId, String)>,
}

/// A delivery that ended without having been delivered.
#[derive(Debug, Clone)]
pub struct Undeliverable {
    /// Which.
    pub id: DeliveryId,
    /// Of which request.
    pub request: RequestId,
    /// Whose.
    pub consumer: ConsumerId,
    /// Where it should have gone.
    pub url: String,
}

/// What came of an attempt.
#[derive(Debug, Clone)]
pub struct Record {
    /// Which delivery.
    pub id: DeliveryId,
    /// Whose, as claimed.
    pub consumer: ConsumerId,
    /// Its lane, as claimed.
    pub lane: LaneId,
    /// Where to, as claimed.
    pub url: String,
    /// The claim's epoch.
    pub epoch: u32,
    /// The number of the attempt.
    pub attempt: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration_ms: u32,
    /// The endpoint's status, if it answered.
    pub status: Option<u16>,
    /// Class of the failure, stable kebab-case; `None`: delivered.
    pub error_class: Option<String>,
    /// For people.
    pub error_detail: Option<String>,
    /// The beginning of the endpoint's answer.
    pub excerpt: Bytes,
    /// What follows; a failure that was ours gives the attempt back (`counted` false).
    pub next: Next,
    /// Whether the attempt counts against the schedule.
    pub counted: bool,
    /// Whether anything was tried: what was only put back has no place in the log.
    pub logged: bool,
    /// Why it ended, of an exhausted or abandoned one.
    pub reason: Option<&'static str>,
    /// Disables the URL for the consumer, with this reason.
    pub disable: Option<&'static str>,
    /// What else is known of the attempt: JSON.
    pub facts: Bytes,
    /// The new head of the attempt log.
    pub chain: [u8; 32],
    /// As claimed.
    pub waited: bool,
}

/// An attempt as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAttempt {
    /// Its number.
    pub attempt: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration_ms: u32,
    /// The endpoint's status, if it answered.
    pub status: Option<u16>,
    /// Class of the failure.
    pub error_class: Option<String>,
    /// For people.
    pub error_detail: Option<String>,
    /// The beginning of the endpoint's answer.
    pub excerpt: Bytes,
    /// Where it went, if that is not where the delivery goes now.
    pub url: Option<String>,
    /// What else is known of it: JSON.
    pub facts: Bytes,
    /// Its link in the log.
    pub hash: [u8; 32],
}

/// A delivery with everything that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryLog {
    /// As it stands.
    pub delivery: StoredDelivery,
    /// Length of its payload in bytes; zero as long as it has none.
    pub payload_bytes: u64,
    /// The hash of a payload that is no longer kept.
    pub forgotten_sha256: Option<[u8; 32]>,
    /// Why it has no payload.
    pub unmade: Option<Unmade>,
    /// Its attempts, in order.
    pub attempts: Vec<StoredAttempt>,
}

/// A frozen webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The `webhook-id`.
    pub delivery_id: DeliveryId,
    /// The exact bytes.
    pub body: Bytes,
    /// Their `content-type`.
    pub content_type: String,
    /// Headers that the webhook transforms have set.
    pub headers: Vec<(String, Bytes)>,
}

/// One delivery as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// `started` or `completed`.
    pub event: String,
    /// Where to.
    pub url: String,
    /// Where it stands.
    pub state: delivery::State,
    /// Why it ended, of an exhausted or abandoned one.
    pub reason: Option<String>,
    /// Attempts counted.
    pub attempts: u32,
    /// When the next one is due, if one is.
    pub next_attempt_at: Option<Timestamp>,
    /// Status of the last answer.
    pub last_status: Option<u16>,
    /// Class of the last failure.
    pub last_error: Option<String>,
    /// The one that was delivered and is sent again as this: its `webhook-id` and payload are this one's.
    pub copy_of: Option<DeliveryId>,
}
