//! What goes into a run and what comes out of it. The same shapes as `ripost:plugin/types`, with bodies as
//! [`Bytes`], so that nobody copies one to hand it on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::grants::Grants;
use crate::journal::{Entries, Journal};
use crate::limits::Limits;
use crate::log::LogLine;
use crate::run_error::RunError;
use crate::tape::Remains;

/// A wall clock: Unix time in milliseconds. What a guest sees of time comes from here, so that tests and replays
/// can say what time it is.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A clock that always says the same, for tests and replays.
#[must_use]
pub fn fixed_clock(unix_ms: u64) -> Clock {
    Arc::new(move || unix_ms)
}

/// One run of a handler: what it is given and what it may use.
#[derive(Clone)]
pub struct Call {
    /// What the handler is asked.
    pub request: Request,
    /// What this run may use. Its memory is also bounded by the scheme the handler was loaded under.
    pub limits: Arc<Limits>,
    /// What `config.get` answers from.
    pub config: Arc<BTreeMap<String, String>>,
    /// Seeds everything random that the guest can see: the same seed, the same run.
    pub seed: [u8; 32],
    /// What `clock.now-ms` and the wasi wall clock say.
    pub now: Clock,
    /// Who hears of progress and knows of cancellation.
    pub progress: Arc<dyn ProgressSink>,
    /// What it may reach beyond itself; nothing, unless granted.
    pub grants: Grants,
    /// Keeps its steps and calls for the next run of the same request; none: nothing of it is kept, and it has no steps.
    pub journal: Option<Arc<dyn Journal>>,
    /// What the runs before have left; none: this is the first, or they left nothing.
    pub past: Option<Arc<Entries>>,
}

/// Receives a guest's progress. Called on an async thread from inside the run: it must be quick and never block,
/// and it must throttle what it passes on, for a guest may report in a loop.
pub trait ProgressSink: Send + Sync {
    /// The guest says how far it is: 0 to 100, or nothing if it cannot tell. `message` has at most 1 KiB.
    fn report(&self, percent: Option<u8>, message: &str);
    /// True once the consumer has cancelled.
    fn cancelled(&self) -> bool;
}

/// Hears nothing and never cancels.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl ProgressSink for NoProgress {
    fn report(&self, _percent: Option<u8>, _message: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
}

/// One call of an API, as accepted (after the request transforms).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `req_…`; the same over all runs.
    pub id: String,
    /// Owner of the API.
    pub owner: String,
    /// Slug of the API.
    pub api: String,
    /// Stable, opaque identity of the consumer, different for each owner.
    pub consumer: String,
    /// 1 for the first run.
    pub attempt: u32,
    /// HTTP method.
    pub method: String,
    /// What follows `/api/{owner}/api/{slug}`; empty or begins with `/`.
    pub path: String,
    /// Without the question mark.
    pub query: Option<String>,
    /// Names in lower case.
    pub headers: Vec<(String, Bytes)>,
    /// Without the fields that are for the gateway.
    pub body: Bytes,
    /// Unix time in milliseconds at which the run is stopped.
    pub deadline_ms: u64,
    /// What may grow without a new contract.
    pub attributes: Vec<(String, String)>,
}

/// What a handler answered, checked: a status from 200 to 599, header fields that HTTP allows, names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// 200 to 599.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, Bytes)>,
    /// At most `Limits::response_body_bytes`.
    pub body: Bytes,
    /// What may grow without a new contract, such as `capture-usdc`.
    pub attributes: Vec<(String, String)>,
}

/// What went wrong, in the guest's words, for the consumer to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// A short stable name.
    pub kind: String,
    /// One line.
    pub title: String,
    /// What happened this time.
    pub detail: Option<String>,
    /// 400 to 599; the runtime drops anything else.
    pub status: Option<u16>,
    /// What may grow without a new contract.
    pub attributes: Vec<(String, String)>,
}

/// The guest answered, with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The consumer's mistake: final.
    Invalid(Problem),
    /// Not now: run again.
    Retry {
        /// Seconds; none: the schedule decides.
        after_s: Option<u32>,
        /// What the consumer reads if no run is left.
        problem: Problem,
    },
    /// The owner's failure: final.
    Failed(Problem),
}

/// The guest's answer, or why there is none.
pub type RunOutcome = Result<Result<Response, Failure>, RunError>;

/// What came of one run.
#[derive(Debug)]
pub struct Run {
    /// The guest's answer, or why there is none.
    pub outcome: RunOutcome,
    /// What it used.
    pub usage: Usage,
    /// What it wrote: the first lines and the last ones.
    pub logs: Vec<LogLine>,
    /// How many lines between the two were dropped.
    pub logs_dropped: u64,
    /// What it was told and has not written down; none if there is nothing.
    pub remains: Option<Remains>,
}

/// What one run used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Thread time spent in the guest and in host functions on its behalf, start functions included.
    pub cpu: Duration,
    /// From the first to the last moment of the run, waiting included.
    pub wall: Duration,
    /// The most linear memory it had, summed over all its memories.
    pub memory_bytes_peak: usize,
    /// Calls from the guest into the host.
    pub host_calls: u64,
    /// What it wrote to its log, kept or dropped.
    pub log_bytes: u64,
    /// Calls to the outside that were let through.
    pub outbound_calls: u64,
    /// Bodies sent and received in them.
    pub outbound_bytes: u64,
}
