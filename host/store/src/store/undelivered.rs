//! What is not delivered, and sending it again.

use super::StoredDelivery;
use ripost_domain::api::{ApiName, Name};
use ripost_domain::delivery::{self, LaneId};
use ripost_domain::id::{ConsumerId, DeliveryId, RequestId};
use ripost_domain::time::Timestamp;

/// Which undelivered deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct UndeliveredFilter {
    /// Of one consumer.
    pub consumer: Option<ConsumerId>,
    /// Of one owner's APIs.
    pub owner: Option<Name>,
    /// After this place in the feed.
    pub after: u64,
    /// In one state.
    pub state: Option<delivery::State>,
    /// Of one event.
    pub event: Option<String>,
    /// Of one API.
    pub api: Option<ApiName>,
    /// Whose request was accepted from then on.
    pub since: Option<Timestamp>,
    /// Whose request was accepted before then.
    pub until: Option<Timestamp>,
    /// At most so many.
    pub limit: u32,
}

/// A page of the feed.
#[derive(Debug, Clone, Default)]
pub struct Undelivered {
    /// Its entries.
    pub entries: Vec<UndeliveredEntry>,
    /// Where the next page begins: behind what was looked at, whether it fitted the filter or not.
    pub next: u64,
    /// Whether there is another page.
    pub more: bool,
}

/// One that is not delivered.
#[derive(Debug, Clone)]
pub struct UndeliveredEntry {
    /// Its place in the feed.
    pub seq: u64,
    /// Of which request.
    pub request: RequestId,
    /// Whose.
    pub consumer: ConsumerId,
    /// What was called.
    pub api: ApiName,
    /// As it stands.
    pub delivery: StoredDelivery,
}

/// A delivery to send again.
#[derive(Debug, Clone)]
pub struct Redeliver {
    /// Which one.
    pub which: Which,
    /// To another URL, with its lane.
    pub to: Option<(String, LaneId)>,
    /// When it was asked for.
    pub at: Timestamp,
    /// Until when it is tried.
    pub give_up_at: Timestamp,
    /// The id of the copy that is made of one that was delivered.
    pub copy: DeliveryId,
    /// How often a copy is tried.
    pub tries: Tries,
}

/// How a delivery is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The one that a request's event made: `started` or `completed`.
    Event(RequestId, String),
    /// By its own id, copies too.
    Delivery(DeliveryId),
}

/// How often something is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tries {
    /// Once.
    Once,
    /// As a delivery that an event made.
    BySchedule,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redelivered {
    /// It is due now.
    Due(StoredDelivery),
    /// There is no such delivery.
    Unknown,
    /// An attempt is under way, or the next one is due already.
    UnderWay(StoredDelivery),
    /// Its payload has to be made first; see [`Store::unmade`](crate::Store::unmade).
    Unmade(StoredDelivery),
    /// Its payload is no longer kept.
    Forgotten(StoredDelivery),
}

/// A URL that gets no more deliveries from one consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisabledUrl {
    /// Whose.
    pub consumer: ConsumerId,
    /// Exactly.
    pub url: String,
    /// `gone` or `disabled`.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}
