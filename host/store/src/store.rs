//! What the host asks of a database, whichever it is.

mod access;
mod kv;
mod owner_secret;
mod pinned;
mod run;
mod token;
mod unmade;

pub use access::{PausedApi, Subscription};
pub use kv::{
    Expect, KV_KEY_BYTES_MAX, KV_LIST_MAX, KV_VALUE_BYTES_MAX, KvEntry, KvPage, KvQuota, KvUsage, KvWrite, KvWritten,
};
pub use owner_secret::SealedOwnerSecret;
pub use pinned::{PinnedRun, Repin};
pub use run::{RunAgain, RunClaim, RunReceipt};
pub use token::{Role, Token};
pub use unmade::{MakePayload, StoredUnmade, Unmade};

use async_trait::async_trait;
use bytes::Bytes;
use ripost_domain::api::{ApiName, Digest, Name};
use ripost_domain::delivery::{self, LaneId, Next};
use ripost_domain::id::{ConsumerId, DeliveryId, RequestId};
use ripost_domain::money::{Amount, Split};
use ripost_domain::request::{self, Settlement};
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
}

/// Whether the accepting process runs the request itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// State `running` at epoch 1, attempt 1, from the first moment.
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

/// The database did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The writer's queue is full: nothing was written, try again later.
    #[error("the writer's queue is full")]
    Busy,
    /// The commit failed: nothing of its group was written.
    #[error("the commit failed: {0}")]
    CommitFailed(String),
    /// One statement failed: nothing of this operation was written.
    #[error("the database refused: {0}")]
    Sql(String),
    /// A row or file holds what we never write.
    #[error("stored data is not readable: {0}")]
    Corrupt(String),
    /// A result file could not be written or read.
    #[error("file {path}: {message}")]
    File {
        /// Which.
        path: String,
        /// Why.
        message: String,
    },
    /// The store is closing.
    #[error("the store is closed")]
    Closed,
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

/// A write-back did not take place.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// Somebody else ended or claimed it meanwhile; drop the result.
    #[error("another run or a cancellation was first")]
    Fenced,
    /// The store's failure.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the owner answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers as the owner gave them, lower-case names.
    pub headers: Vec<(String, Bytes)>,
    /// The body.
    pub body: Bytes,
}

/// A request's end: a result is captured, everything else released.
#[derive(Debug, Clone)]
pub enum Ending {
    /// The owner's answer.
    Completed {
        /// The result.
        answer: Answer,
    },
    /// It failed.
    Failed {
        /// The problem (RFC 9457) as JSON.
        problem: Bytes,
        /// If the failure was an answer (a 4xx or 5xx of the owner's): it stays readable as the result.
        answer: Option<Answer>,
    },
    /// Withdrawn; the problem says by whom.
    Cancelled {
        /// The problem.
        problem: Bytes,
    },
    /// The deadline passed.
    Expired {
        /// The problem.
        problem: Bytes,
    },
}

impl Ending {
    /// The state it leads to.
    #[must_use]
    pub const fn state(&self) -> request::State {
        match self {
            Self::Completed { .. } => request::State::Completed,
            Self::Failed { .. } => request::State::Failed,
            Self::Cancelled { .. } => request::State::Cancelled,
            Self::Expired { .. } => request::State::Expired,
        }
    }
}

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
    /// `started` or `completed`.
    pub event: String,
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

/// The end of a run: outcome, money and delivery in one transaction.
#[derive(Debug, Clone)]
pub struct Finish {
    /// Which request.
    pub id: RequestId,
    /// The run's fencing epoch; only the current one may finish.
    pub epoch: u32,
    /// From which state: `Running`, or `Accepted` for one that expired before it ran.
    pub from: request::State,
    /// How it ended.
    pub ending: Ending,
    /// When.
    pub finished_at: Timestamp,
    /// What the run used that ended it; `None`: there was none.
    pub run: Option<RunReceipt>,
    /// If a webhook goes out.
    pub delivery: Option<NewDelivery>,
}

/// What a finish did with the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// `Captured`, `Released` or `None`.
    pub settlement: Settlement,
}

/// A request to run, claimed by this process: counted before it starts.
#[derive(Debug, Clone)]
pub struct ClaimedRun {
    /// Its id.
    pub id: RequestId,
    /// The epoch that write-backs must name.
    pub epoch: u32,
    /// 1 for the first run.
    pub attempt: u32,
    /// What was called.
    pub api: ApiName,
    /// The revision it was accepted under.
    pub digest: Digest,
    /// Who called.
    pub consumer: ConsumerId,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Its deadline.
    pub expires_at: Timestamp,
    /// Price and shares as of accept.
    pub split: Split,
    /// Where the result goes.
    pub webhook_url: Option<String>,
    /// Which webhooks, and for how long.
    pub wants: Wants,
    /// What the handler sees.
    pub input: RequestInput,
    /// W3C trace context of the caller.
    pub traceparent: Option<String>,
}

/// A delivery to attempt, claimed by this process: counted before it is sent.
#[derive(Debug, Clone)]
pub struct ClaimedDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// Of which request.
    pub request_id: RequestId,
    /// Whose.
    pub consumer: ConsumerId,
    /// The epoch that the record must name.
    pub epoch: u32,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// `started` or `completed`.
    pub event: String,
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
    /// Why it has no payload.
    pub unmade: Option<Unmade>,
    /// Its attempts, in order.
    pub attempts: Vec<StoredAttempt>,
}

/// Which undelivered deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct UndeliveredFilter {
    /// Of one consumer.
    pub consumer: Option<ConsumerId>,
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
    /// Of which request.
    pub request: RequestId,
    /// Which event's.
    pub event: String,
    /// To another URL, with its lane.
    pub to: Option<(String, LaneId)>,
    /// When it was asked for.
    pub at: Timestamp,
    /// Until when it is tried.
    pub give_up_at: Timestamp,
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
    /// Its payload has to be made first; see [`Store::unmade`].
    Unmade(StoredDelivery),
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

/// What a consumer's webhooks are signed with, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecrets {
    /// The current one.
    pub current: Bytes,
    /// When it was made.
    pub created_at: Timestamp,
    /// Earlier ones that still sign, and until when; latest first.
    pub old: Vec<(Bytes, Timestamp)>,
    /// Whether `v1a` is wanted.
    pub v1a: bool,
}

/// A new secret in the place of the current one.
#[derive(Debug, Clone)]
pub struct RotateSecret {
    /// Whose.
    pub consumer: ConsumerId,
    /// The new one, sealed.
    pub sealed: Bytes,
    /// When.
    pub at: Timestamp,
    /// How long the current one still signs; not after this means not at all.
    pub overlap_until: Timestamp,
    /// So many old ones may sign.
    pub old_max: u32,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotated {
    /// The new one signs.
    Yes,
    /// Too many old ones still sign.
    TooMany,
    /// There is no such consumer.
    Unknown,
}

/// What a start found left over by the process before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Runs whose process is gone, due again.
    pub runs: u64,
    /// Attempts whose process is gone, due again (and counted).
    pub deliveries: u64,
}

/// A consumer with the key that it used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Its id.
    pub id: ConsumerId,
    /// For people.
    pub name: String,
    /// A public key gets no secret, listing, feed, cancel or redeliver.
    pub key_is_public: bool,
    /// The webhook secret, encrypted by the host.
    pub sealed_secret: Bytes,
    /// When it was added.
    pub created_at: Timestamp,
}

/// One line of the operator's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSummary {
    /// Its id.
    pub id: ConsumerId,
    /// For people.
    pub name: String,
    /// What it has.
    pub balances: Balances,
    /// When it was added.
    pub created_at: Timestamp,
}

/// A key at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// Whether it is printed where anybody can read it.
    pub public: bool,
}

/// A consumer to add.
#[derive(Debug, Clone)]
pub struct NewConsumer {
    /// Its id.
    pub id: ConsumerId,
    /// For people; unique.
    pub name: String,
    /// Its first key.
    pub key: Key,
    /// The webhook secret, encrypted by the host.
    pub sealed_secret: Bytes,
    /// The first balance.
    pub credit: Amount,
    /// When.
    pub created_at: Timestamp,
}

/// A consumer's money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Balances {
    /// Can be spent.
    pub available: Amount,
    /// Set aside for requests under way.
    pub held: Amount,
}

/// What is known of a result without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultMeta {
    /// HTTP status.
    pub status: u16,
    /// Headers as the owner gave them.
    pub headers: Vec<(String, Bytes)>,
    /// Length of the body in bytes.
    pub bytes: u64,
}

/// A result with its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResult {
    /// Status and headers.
    pub meta: ResultMeta,
    /// The body.
    pub body: Bytes,
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
}

/// One request as it stands.
#[derive(Debug, Clone)]
pub struct RequestRecord {
    /// Its id.
    pub id: RequestId,
    /// Whose it is.
    pub consumer: ConsumerId,
    /// What was called.
    pub api: ApiName,
    /// The revision it was accepted under.
    pub digest: Digest,
    /// Where the execution stands.
    pub state: request::State,
    /// Runs started.
    pub attempt: u32,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Its deadline.
    pub expires_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Price and shares.
    pub split: Split,
    /// What became of the money.
    pub settlement: Settlement,
    /// Where the result goes.
    pub webhook_url: Option<String>,
    /// Which webhooks, and for how long.
    pub wants: Wants,
    /// What the owner answered, of a completed or failed one.
    pub result: Option<ResultMeta>,
    /// Of a failed, cancelled or expired one: a problem as JSON.
    pub problem: Option<Bytes>,
    /// The delivery of `completed`.
    pub delivery: Option<StoredDelivery>,
}

/// Numbers for metrics and status; cheap to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Groups committed since start.
    pub commits: u64,
    /// Operations in those groups.
    pub operations: u64,
    /// Waiting for the writer now.
    pub queued: u64,
    /// Requests waiting for a run.
    pub requests_accepted: u64,
    /// Requests running.
    pub requests_running: u64,
    /// Deliveries waiting for an attempt.
    pub deliveries_pending: u64,
    /// Deliveries in flight.
    pub deliveries_in_flight: u64,
    /// Deliveries with no attempts left.
    pub deliveries_exhausted: u64,
    /// Deliveries whose endpoint wants them no more.
    pub deliveries_abandoned: u64,
    /// Endpoints with deliveries that wait.
    pub lanes_waiting: u64,
}

/// A rule of the ledger or of the state machines that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// `I1` to `I8`.
    pub invariant: &'static str,
    /// Which rows.
    pub detail: String,
}

/// The data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Written by a newer version of the program.
    #[error(
        "the data folder {path} was written by a newer version (schema {found}, this program knows {known}): use that version, or another folder"
    )]
    Newer {
        /// The folder.
        path: String,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Another process has it.
    #[error("the data folder {path} is in use by another ripost process: stop it, or use another folder")]
    InUse {
        /// The folder.
        path: String,
    },
    /// Not writable.
    #[error("the data folder {path} cannot be written: {message}")]
    NotWritable {
        /// The folder or file.
        path: String,
        /// Why.
        message: String,
    },
    /// SQLite's failure.
    #[error("opening the database {path}: {message}")]
    Database {
        /// The file.
        path: String,
        /// Why.
        message: String,
    },
}

/// The durable state of one gateway.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Makes request, hold and idempotency key durable; returns after the commit. Never waits for room in the
    /// writer's queue: full is [`StoreError::Busy`].
    async fn accept(&self, accept: Accept) -> Result<Accepted, AcceptError>;

    /// Ends a request: outcome, capture or release, delivery.
    async fn finish(&self, finish: Finish) -> Result<Finished, WriteError>;

    /// Puts a run back: `running` → `accepted`, due at `run_at`. One that is not counted gives its attempt back.
    async fn run_again(&self, again: RunAgain) -> Result<(), WriteError>;

    /// Claims requests that are due: `accepted` → `running`, epoch and attempt one more. Owners take turns, beginning
    /// behind the one whose turn was the last; of each owner the oldest come first.
    async fn claim_runs(&self, claim: RunClaim) -> Result<Vec<ClaimedRun>, StoreError>;

    /// Requests in `accepted` whose deadline has passed; to be finished as expired. Their epoch is as stored.
    async fn expired_requests(&self, now: Timestamp, limit: u32) -> Result<Vec<ClaimedRun>, StoreError>;

    /// Lanes with a delivery that is due and that are not parked, longest ready first.
    async fn due_lanes(&self, now: Timestamp, limit: u32) -> Result<Vec<LaneId>, StoreError>;

    /// Claims due deliveries of the lanes named, in each the longest due first: `pending` → `in_flight`, epoch and
    /// attempts one more.
    async fn claim_deliveries(&self, claim: DeliveryClaim) -> Result<ClaimedDeliveries, StoreError>;

    /// Adds a delivery to a request that has not ended; false if there is one for that event, or it has ended.
    async fn add_delivery(&self, request: RequestId, delivery: NewDelivery) -> Result<bool, StoreError>;

    /// Pending deliveries whose time is over become exhausted.
    async fn give_up(&self, now: Timestamp, limit: u32) -> Result<Vec<Undeliverable>, StoreError>;

    /// Writes an attempt and moves the delivery on.
    async fn record(&self, record: Record) -> Result<(), WriteError>;

    /// At start: everything leased by an earlier process is due again.
    async fn recover(&self, now: Timestamp) -> Result<Recovered, StoreError>;

    /// When the next run is due of those whose owners are not `full`; `None`: nothing waits.
    async fn next_run(&self, full: Vec<Name>) -> Result<Option<Timestamp>, StoreError>;

    /// When the next delivery is due; `None`: nothing waits.
    async fn next_delivery(&self) -> Result<Option<Timestamp>, StoreError>;

    /// The receipts of a request's runs, in order.
    async fn runs(&self, request: RequestId) -> Result<Vec<RunReceipt>, StoreError>;

    /// All deliveries of a request with their attempts.
    async fn deliveries(&self, request: RequestId) -> Result<Vec<DeliveryLog>, StoreError>;

    /// A page of what is not delivered.
    async fn undelivered(&self, filter: UndeliveredFilter) -> Result<Undelivered, StoreError>;

    /// Makes a delivery due at once, on a new schedule.
    async fn redeliver(&self, redeliver: Redeliver) -> Result<Redelivered, StoreError>;

    /// URLs that get no more deliveries: one consumer's, or all.
    async fn disabled_urls(&self, consumer: Option<ConsumerId>) -> Result<Vec<DisabledUrl>, StoreError>;

    /// Lets a URL get deliveries again; false if it was not disabled.
    async fn enable_url(&self, consumer: ConsumerId, url: &str) -> Result<bool, StoreError>;

    /// What a consumer's webhooks are signed with at `now`.
    async fn secrets(&self, consumer: ConsumerId, now: Timestamp) -> Result<Option<SealedSecrets>, StoreError>;

    /// Puts a new secret in the place of the current one.
    async fn rotate_secret(&self, rotate: RotateSecret) -> Result<Rotated, StoreError>;

    /// Whether a consumer's webhooks carry `v1a` signatures too; false if there is no such consumer.
    async fn set_v1a(&self, consumer: ConsumerId, v1a: bool) -> Result<bool, StoreError>;

    /// All secrets of all owners.
    async fn owner_secrets(&self) -> Result<Vec<SealedOwnerSecret>, StoreError>;

    /// Sets one of an owner's secrets.
    async fn set_owner_secret(&self, owner: &Name, name: &str, sealed: Bytes, now: Timestamp)
    -> Result<(), StoreError>;

    /// Removes one; false if there was none.
    async fn delete_owner_secret(&self, owner: &Name, name: &str) -> Result<bool, StoreError>;

    /// What an owner keeps under a key; what has expired at `now` is absent.
    async fn kv_get(&self, owner: &Name, key: &str, now: Timestamp) -> Result<Option<KvEntry>, StoreError>;

    /// Sets a key, if what is there is what was expected and the quota has room.
    async fn kv_set(&self, write: KvWrite) -> Result<KvWritten, StoreError>;

    /// Removes a key; false if there was none, or it had expired.
    async fn kv_delete(&self, owner: &Name, key: &str, now: Timestamp) -> Result<bool, StoreError>;

    /// A page of keys, in order of their bytes.
    async fn kv_list(&self, page: KvPage) -> Result<Vec<String>, StoreError>;

    /// How much an owner keeps.
    async fn kv_usage(&self, owner: &Name) -> Result<KvUsage, StoreError>;

    /// Takes away what has expired, up to `limit` keys of all owners together; how many there were.
    async fn kv_sweep(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError>;

    /// Who holds the key with this hash.
    async fn consumer_by_key(&self, hash: [u8; 32]) -> Result<Option<Consumer>, StoreError>;

    /// By id.
    async fn consumer(&self, id: ConsumerId) -> Result<Option<Consumer>, StoreError>;

    /// Adds a consumer with a key and a first balance; false if the name is taken (nothing is written).
    async fn add_consumer(&self, consumer: NewConsumer) -> Result<bool, StoreError>;

    /// All consumers, by name.
    async fn consumers(&self) -> Result<Vec<ConsumerSummary>, StoreError>;

    /// Adds to a consumer's balance; `None` if there is no such consumer.
    async fn credit(&self, consumer: ConsumerId, amount: Amount, at: Timestamp)
    -> Result<Option<Balances>, StoreError>;

    /// A consumer's money.
    async fn balances(&self, consumer: ConsumerId) -> Result<Balances, StoreError>;

    /// What an owner has earned.
    async fn earned(&self, owner: &Name) -> Result<Amount, StoreError>;

    /// The request of an idempotency key.
    async fn idempotent(
        &self,
        consumer: ConsumerId,
        api: &ApiName,
        key: &str,
    ) -> Result<Option<(RequestId, [u8; 32])>, StoreError>;

    /// One request.
    async fn request(&self, id: RequestId) -> Result<Option<RequestRecord>, StoreError>;

    /// What the owner answered.
    async fn result(&self, id: RequestId) -> Result<Option<StoredResult>, StoreError>;

    /// The exact bytes of a webhook.
    async fn payload(&self, id: RequestId, event: &str) -> Result<Option<Payload>, StoreError>;

    /// What the consumer sent, of a request that a transform has changed.
    async fn original(&self, id: RequestId) -> Result<Option<RequestInput>, StoreError>;

    /// What should have become the payload of an event's delivery; `None`: it has one, or there is no such delivery.
    async fn unmade(&self, request: RequestId, event: &str) -> Result<Option<StoredUnmade>, StoreError>;

    /// Gives a delivery the payload that it lacked; it stays exhausted until it is redelivered. False if it has one.
    async fn make(&self, made: MakePayload) -> Result<bool, StoreError>;

    /// Lets a consumer call an API; false if it may already.
    async fn subscribe(&self, consumer: ConsumerId, api: &ApiName, at: Timestamp) -> Result<bool, StoreError>;

    /// Takes that back; false if there was nothing to take.
    async fn unsubscribe(&self, consumer: ConsumerId, api: &ApiName) -> Result<bool, StoreError>;

    /// All subscriptions, by API.
    async fn subscriptions(&self) -> Result<Vec<Subscription>, StoreError>;

    /// An API takes no new calls; one that is paused already gets the new reason and keeps its time.
    async fn pause(&self, api: &ApiName, reason: &str, at: Timestamp) -> Result<(), StoreError>;

    /// An API takes calls again; false if it was not paused.
    async fn resume(&self, api: &ApiName) -> Result<bool, StoreError>;

    /// All paused APIs, by name.
    async fn paused(&self) -> Result<Vec<PausedApi>, StoreError>;

    /// Adds a token of the management API; false if the name is taken.
    async fn add_token(&self, token: Token) -> Result<bool, StoreError>;

    /// All tokens, by name.
    async fn tokens(&self) -> Result<Vec<Token>, StoreError>;

    /// Removes one by its name; false if there was none.
    async fn remove_token(&self, name: &str) -> Result<bool, StoreError>;

    /// Unfinished requests of a revision are to be answered by another; how many there were. In steps, each of them
    /// durable: whoever is interrupted asks again.
    async fn repin(&self, repin: Repin) -> Result<u64, StoreError>;

    /// A page of a revision's unfinished requests, by id. Its cost is that of looking at all unfinished ones.
    async fn pinned(&self, digest: Digest, after: Option<RequestId>, limit: u32) -> Result<Vec<PinnedRun>, StoreError>;

    /// Digests that unfinished requests name.
    async fn revisions_in_use(&self) -> Result<Vec<Digest>, StoreError>;

    /// Numbers for metrics and status.
    async fn stats(&self) -> Result<Stats, StoreError>;

    /// Re-checks invariants I1 to I8 on the stored rows; empty: all hold.
    async fn audit(&self) -> Result<Vec<Violation>, StoreError>;

    /// Waits for what is queued, checkpoints and closes. Later calls are [`StoreError::Closed`].
    async fn close(&self);
}
