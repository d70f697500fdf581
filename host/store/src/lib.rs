//! Durable state: SQL and nothing else. One method of [`Store`] is one transaction that means something.
//!
//! **Invariant:** this package knows no HTTP, no wasmtime and no configuration file; it decides nothing that
//! `ripost-domain` can decide. Nothing is ever sent from inside a transaction.

pub mod failpoint;
mod store;

pub mod sqlite;

pub use store::{
    Accept, AcceptError, Accepted, AddKey, AddedKey, Adjust, Adjusted, Answer, AwaitCallback, Balances, BegunRun,
    Callback, Cause, ClaimedDeliveries, ClaimedDelivery, ClaimedRun, Consumer, ConsumerLimits, ConsumerSummary,
    DeliveryClaim, DeliveryLog, Direct, DisabledUrl, DiskUsage, EndKey, EndOfHold, EndedKey, Ending, Erased, Expect,
    Failures, Finish, Finished, Idempotency, IfLast, JournalCall, JournalCallState, JournalEntries, JournalKind,
    JournalStep, JournalTimes, JournalWrite, KV_KEY_BYTES_MAX, KV_LIST_MAX, KV_VALUE_BYTES_MAX, Key, KeySummary,
    KvEntry, KvPage, KvQuota, KvUsage, KvWrite, KvWritten, Lease, MakePayload, Mark, NewConsumer, NewDelivery, OldPage,
    OldRequests, OpenError, Part, PausedApi, Payload, PinnedRun, Record, Recovered, Redeliver, Redelivered, Refusal,
    Repin, RequestFilter, RequestInput, RequestPage, RequestRecord, Resealed, Reservation, ResultMeta, Retry, Role,
    RotateSecret, Rotated, RunAgain, RunClaim, RunReceipt, Sealed, SealedOwnerSecret, SealedSample, SealedSecrets,
    Stats, StepReceipt, Store, StoreError, StoredAttempt, StoredBody, StoredDelivery, StoredResult, StoredUnmade,
    Subscription, Token, Tries, Undeliverable, Undelivered, UndeliveredEntry, UndeliveredFilter, UnfinishedCount,
    Unmade, Violation, Wants, Which, Whose, WriteError,
};
