//! What the host asks of a database, whichever it is.

mod accept;
mod access;
mod adjustment;
mod begun;
mod callback;
mod consumer;
mod delivery;
mod error;
mod finish;
mod journal;
mod key;
mod kv;
mod limits;
mod owner_secret;
mod pinned;
mod refusal;
mod request;
mod reservation;
mod retention;
mod run;
mod seal;
mod stats;
mod token;
mod undelivered;
mod unmade;

pub use accept::{Accept, AcceptError, Accepted, Idempotency, Lease, RequestInput, Wants};
pub use access::{PausedApi, Subscription};
pub use adjustment::{Adjust, Adjusted};
pub use begun::BegunRun;
pub(crate) use begun::Places;
pub use callback::{AwaitCallback, Callback};
pub use consumer::{Balances, Consumer, ConsumerSummary, NewConsumer, RotateSecret, Rotated, SealedSecrets};
pub use delivery::{
    ClaimedDeliveries, ClaimedDelivery, DeliveryClaim, DeliveryLog, NewDelivery, Payload, Record, Retry, StoredAttempt,
    StoredDelivery, Undeliverable,
};
pub use error::{OpenError, StoreError, WriteError};
pub use finish::{Answer, EndOfHold, Ending, Finish, Finished};
pub use journal::{
    JournalCall, JournalCallState, JournalEntries, JournalKind, JournalStep, JournalTimes, JournalWrite, StepReceipt,
};
pub use key::{AddKey, AddedKey, EndKey, EndedKey, IfLast, Key, KeySummary};
pub use kv::{
    Expect, KV_KEY_BYTES_MAX, KV_LIST_MAX, KV_VALUE_BYTES_MAX, KvEntry, KvPage, KvQuota, KvUsage, KvWrite, KvWritten,
};
pub use limits::{ConsumerLimits, UnfinishedCount};
pub use owner_secret::SealedOwnerSecret;
pub use pinned::{PinnedRun, Repin};
pub use refusal::{Cause, Refusal};
pub use request::{Failures, RequestFilter, RequestPage, RequestRecord, ResultMeta, StoredBody, StoredResult, Whose};
pub(crate) use reservation::Reservations;
pub use reservation::{Direct, Reservation};
pub use retention::{DiskUsage, Erased, OldPage, OldRequests, Part};
pub use run::{ClaimedRun, RunAgain, RunClaim, RunReceipt};
pub use seal::{Mark, Resealed, Sealed, SealedSample};
pub use stats::{Recovered, Stats, Violation};
pub use token::{Role, Token};
pub use undelivered::{
    DisabledUrl, Redeliver, Redelivered, Tries, Undelivered, UndeliveredEntry, UndeliveredFilter, Which,
};
pub use unmade::{MakePayload, StoredUnmade, Unmade};

use async_trait::async_trait;
use bytes::Bytes;
use ripost_domain::api::{ApiName, Digest, Name};
use ripost_domain::delivery::LaneId;
use ripost_domain::id::{ConsumerId, RequestId};
use ripost_domain::money::Amount;
use ripost_domain::time::Timestamp;

/// The durable state of one gateway.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Makes request, hold and idempotency key durable; returns after the commit. Never waits for room in the
    /// writer's queue: full is [`StoreError::Busy`].
    async fn accept(&self, accept: Accept) -> Result<Accepted, AcceptError>;

    /// Sets a part of a balance aside until it is given up or becomes a hold; nothing is written.
    async fn reserve(&self, consumer: ConsumerId, amount: Amount) -> Result<Reservation, AcceptError>;

    /// Writes a call with its answer, its hold and its capture, in one transaction.
    async fn answered(&self, direct: Direct) -> Result<(), AcceptError>;

    /// Ends a request: outcome, capture or release, delivery.
    async fn finish(&self, finish: Finish) -> Result<Finished, WriteError>;

    /// Notes that a leased run begins, without a commit: should this process be killed, the run counts. One that does not
    /// note it has not begun. After [`Self::recover`] only.
    fn begin(&self, request: RequestId, epoch: u32) -> Result<BegunRun, StoreError>;

    /// Puts a run back: `running` → `accepted`, due at `run_at`.
    async fn run_again(&self, again: RunAgain) -> Result<(), WriteError>;

    /// Writes down what a run has done, in one transaction: fenced if the request is not this run's any more.
    async fn journal(&self, write: JournalWrite) -> Result<(), WriteError>;

    /// All that the runs of a request have left for the next.
    async fn journal_of(&self, request: RequestId) -> Result<JournalEntries, StoreError>;

    /// The committed steps of a request, in the order of their commits.
    async fn steps(&self, request: RequestId) -> Result<Vec<StepReceipt>, StoreError>;

    /// What else the run that ended a request was told by the host.
    async fn tape(&self, request: RequestId) -> Result<Option<Bytes>, StoreError>;

    /// Claims requests that are due: `accepted` → `running`, epoch one more. Owners take turns, beginning
    /// behind the one whose turn was the last; of each owner the oldest come first.
    async fn claim_runs(&self, claim: RunClaim) -> Result<Vec<ClaimedRun>, StoreError>;

    /// The upstream will call back: `running` → `awaiting_callback`.
    async fn await_callback(&self, wait: AwaitCallback) -> Result<(), WriteError>;

    /// The callback that ended a request; `None`: none did.
    async fn callback(&self, id: RequestId) -> Result<Option<Callback>, StoreError>;

    /// Requests that wait for a run or a callback and whose deadline has passed; to be finished as expired.
    async fn expired_requests(&self, now: Timestamp, limit: u32) -> Result<Vec<PinnedRun>, StoreError>;

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

    /// At start: everything leased by an earlier process is due again. Of the runs, those that had begun are counted.
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

    /// A fact about a file beside the database; `None`: it was never set.
    async fn mark(&self, mark: Mark) -> Result<Option<Bytes>, StoreError>;

    /// Sets one.
    async fn set_mark(&self, mark: Mark, value: Bytes) -> Result<(), StoreError>;

    /// Something that is sealed with the master key; `None`: nothing is.
    async fn sealed_sample(&self) -> Result<Option<SealedSample>, StoreError>;

    /// All that depends on the master key.
    async fn sealed(&self) -> Result<Sealed, StoreError>;

    /// A new master key: its check value and consumers' new secrets, in place of all that was sealed before.
    async fn reseal(&self, resealed: Resealed) -> Result<(), StoreError>;

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

    /// Adds another key to a consumer.
    async fn add_key(&self, add: AddKey) -> Result<AddedKey, StoreError>;

    /// A consumer's keys, oldest first.
    async fn keys(&self, consumer: ConsumerId) -> Result<Vec<KeySummary>, StoreError>;

    /// Ends a key, now or later.
    async fn end_key(&self, end: EndKey) -> Result<EndedKey, StoreError>;

    /// Adds to a consumer's balance, or takes from what is available of it: once for each reference.
    async fn adjust(&self, adjust: Adjust) -> Result<Adjusted, StoreError>;

    /// A consumer's money.
    async fn balances(&self, consumer: ConsumerId) -> Result<Balances, StoreError>;

    /// What an owner has earned.
    async fn earned(&self, owner: &Name) -> Result<Amount, StoreError>;

    /// What each owner that was ever paid has earned, by name.
    async fn earnings(&self) -> Result<Vec<(Name, Amount)>, StoreError>;

    /// How many of an owner's requests failed or expired, of those that were accepted from then on; bounded, and by API.
    async fn failures(&self, owner: &Name, since: Timestamp) -> Result<Vec<Failures>, StoreError>;

    /// The request of an idempotency key.
    async fn idempotent(
        &self,
        consumer: ConsumerId,
        api: &ApiName,
        key: &str,
    ) -> Result<Option<(RequestId, [u8; 32])>, StoreError>;

    /// One request.
    async fn request(&self, id: RequestId) -> Result<Option<RequestRecord>, StoreError>;

    /// What a run of an unfinished request would be given, and where it stands; `None`: it has ended, or never was.
    async fn unfinished(&self, id: RequestId) -> Result<Option<PinnedRun>, StoreError>;

    /// A page of requests, newest first.
    async fn list_requests(&self, filter: RequestFilter) -> Result<RequestPage, StoreError>;

    /// What the owner answered.
    async fn result(&self, id: RequestId) -> Result<Option<StoredResult>, StoreError>;

    /// The same, to be sent.
    async fn open_result(&self, id: RequestId) -> Result<Option<(ResultMeta, StoredBody)>, StoreError>;

    /// The exact bytes of a webhook.
    async fn payload(&self, id: RequestId, event: &str) -> Result<Option<Payload>, StoreError>;

    /// The same, to be sent; the payload's own body is empty.
    async fn open_payload(&self, id: RequestId, event: &str) -> Result<Option<(Payload, StoredBody)>, StoreError>;

    /// What the handler sees.
    async fn input(&self, id: RequestId) -> Result<Option<RequestInput>, StoreError>;

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

    /// All limits that are single consumers' own.
    async fn consumer_limits(&self) -> Result<Vec<(ConsumerId, ConsumerLimits)>, StoreError>;

    /// Sets a consumer's own limits; false if there is no such consumer.
    async fn set_consumer_limits(&self, consumer: ConsumerId, limits: ConsumerLimits) -> Result<bool, StoreError>;

    /// How many requests have not ended, by consumer and API. Its cost is that of looking at all of them.
    async fn unfinished_counts(&self) -> Result<Vec<UnfinishedCount>, StoreError>;

    /// How many requests of a consumer's were accepted from `from` on and before `until`, at one API or all.
    async fn accepted_between(
        &self,
        consumer: ConsumerId,
        api: Option<&ApiName>,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<u64, StoreError>;

    /// Adds a token of the management API; false if the name is taken.
    async fn add_token(&self, token: Token) -> Result<bool, StoreError>;

    /// All tokens, by name.
    async fn tokens(&self) -> Result<Vec<Token>, StoreError>;

    /// Removes one by its name; false if there was none.
    async fn remove_token(&self, name: &str) -> Result<bool, StoreError>;

    /// Unfinished requests of a revision are to be answered by another; how many there were. Those with a committed step
    /// stay: what follows the step is of the revision that committed it. A thousand at a time, durable each time: whoever
    /// is interrupted asks again.
    async fn repin(&self, repin: Repin) -> Result<u64, StoreError>;

    /// A page of a revision's unfinished requests, by id. Its cost is that of looking at all unfinished ones.
    async fn pinned(&self, digest: Digest, after: Option<RequestId>, limit: u32) -> Result<Vec<PinnedRun>, StoreError>;

    /// Digests that unfinished requests name.
    async fn revisions_in_use(&self) -> Result<Vec<Digest>, StoreError>;

    /// A look at what may be old enough to go.
    async fn old_requests(&self, asked: OldRequests) -> Result<OldPage, StoreError>;

    /// Takes that part of ended requests away; how many there were. One that has a delivery still to be made stays as it
    /// is.
    async fn forget(&self, part: Part, ids: Vec<RequestId>) -> Result<u32, StoreError>;

    /// Takes an ended request away, whatever is still to be delivered of it.
    async fn erase_request(&self, id: RequestId) -> Result<Erased, StoreError>;

    /// Takes a consumer's keys and name away, and marks its requests to go; false if there is none, or it was erased
    /// before. The ledger keeps its id.
    async fn erase_consumer(&self, consumer: ConsumerId, at: Timestamp) -> Result<bool, StoreError>;

    /// Takes up to `limit` ended requests of erased consumers away; how many there were.
    async fn erase_what_is_left(&self, limit: u32) -> Result<u32, StoreError>;

    /// Removes files that no row names: what a crash left. A part of them each turn; how many there were.
    async fn sweep_files(&self, turn: u32, now: Timestamp) -> Result<u32, StoreError>;

    /// What is taken on the disk.
    async fn disk_usage(&self) -> Result<DiskUsage, StoreError>;

    /// Why writes are refused, if one was since the last trial that succeeded.
    fn refusal(&self) -> Option<Refusal>;

    /// How many writes were refused since the start.
    fn refused(&self) -> [(Cause, u64); Cause::ALL.len()];

    /// Tries to write as much as a request may bring; if that works, writes are not refused any more.
    async fn try_to_write(&self) -> Result<(), StoreError>;

    /// Numbers for metrics and status.
    async fn stats(&self) -> Result<Stats, StoreError>;

    /// When the youngest request or delivery was made, by the clock of then.
    async fn newest(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Re-checks invariants I1 to I8 and I10 on the stored rows; empty: all hold.
    async fn audit(&self) -> Result<Vec<Violation>, StoreError>;

    /// Waits for what is queued, checkpoints and closes. Later calls are [`StoreError::Closed`].
    async fn close(&self);
}
