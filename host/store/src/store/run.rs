//! Runs: which to claim, how one is put back, what one has used.

use super::{RequestInput, Wants};
use bytes::Bytes;
use ripost_domain::api::{ApiName, Digest, Name};
use ripost_domain::id::{ConsumerId, RequestId};
use ripost_domain::money::Split;
use ripost_domain::time::Timestamp;

/// Which requests to claim for a run.
#[derive(Debug, Clone)]
pub struct RunClaim {
    /// What is due by then and not past its deadline, by the even clock.
    pub now: Timestamp,
    /// At most so many.
    pub limit: u32,
    /// Bounds the sum of their bodies (at least one is returned).
    pub bytes_max: usize,
    /// Of one owner at most so many.
    pub per_owner_max: u32,
    /// Owners that have no room now: passed over.
    pub full: Vec<Name>,
}

/// A run that did not end its request.
#[derive(Debug, Clone)]
pub struct RunAgain {
    /// Which request.
    pub id: RequestId,
    /// The run's epoch.
    pub epoch: u32,
    /// When the next run is due, by the even clock.
    pub run_at: Timestamp,
    /// False: it did not take place because of us. No receipt is kept either.
    pub counted: bool,
    /// The upstream said that it has not taken it: the callback URL of this run is good for nothing any more.
    pub refused: bool,
    /// What it used.
    pub run: Option<RunReceipt>,
}

/// What one run was and used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunReceipt {
    /// 1 for the first run.
    pub attempt: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How it ended: `answered`, `refused`, or the kind of failure.
    pub outcome: String,
    /// CPU time in microseconds.
    pub cpu_us: u64,
    /// From its beginning to its end in microseconds, waiting included.
    pub wall_us: u64,
    /// The most linear memory it had.
    pub memory_bytes: u64,
    /// Calls from the guest into the host.
    pub host_calls: u64,
    /// Requests it sent to the outside.
    pub outbound_calls: u64,
    /// Bytes of those and of their answers.
    pub outbound_bytes: u64,
    /// What it wrote to its log, kept or dropped.
    pub log_bytes: u64,
    /// What is kept of its log: bounded, for the owner; JSON lines; empty: none.
    pub lines: Bytes,
}

/// A request to run, claimed by this process. It counts as a run when the run begins, and not before.
#[derive(Debug, Clone)]
pub struct ClaimedRun {
    /// Its id.
    pub id: RequestId,
    /// The epoch that write-backs must name.
    pub epoch: u32,
    /// The number of the run that it is claimed for: 1 for the first. Of one that is not leased, the runs so far.
    pub attempt: u32,
    /// Of the callback URL that an upstream is given.
    pub callback_epoch: u32,
    /// What was called.
    pub api: ApiName,
    /// The revision it was accepted under.
    pub digest: Digest,
    /// Who called.
    pub consumer: ConsumerId,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Its deadline, by the machine's clock as it was at the accept: what people are told.
    pub expires_at: Timestamp,
    /// The same by the even clock: what is waited for.
    pub deadline: Timestamp,
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
