//! What is not kept for ever.

use ripost_domain::id::RequestId;
use ripost_domain::request;
use ripost_domain::time::Timestamp;

/// What of a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What was sent and answered: input, result, payloads, log lines. What happened when is still told.
    Contents,
    /// All of it but the ledger's transfers.
    Everything,
}

/// A look at requests that may be old, oldest first.
#[derive(Debug, Clone, Copy)]
pub struct OldRequests {
    /// What of them is to go.
    pub part: Part,
    /// Behind this one.
    pub after: Option<RequestId>,
    /// They have ended before this.
    pub finished_before: Timestamp,
    /// How many to look at.
    pub limit: u32,
}

/// What such a look found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OldPage {
    /// Those that have ended early enough and have no delivery that is still to be made.
    pub due: Vec<RequestId>,
    /// Where the next look begins; `None`: there is nothing behind.
    pub next: Option<RequestId>,
}

/// What became of a request that was to be erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erased {
    /// It is gone.
    Gone {
        /// Deliveries that will not be made.
        undelivered: u32,
    },
    /// It has not ended.
    Unfinished(request::State),
    /// There is none.
    Unknown,
}

/// What the store takes on the disk, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// The database with its log.
    pub database: u64,
    /// Of the database: what has gone has left it free, and what comes next takes it. The file does not shrink.
    pub reusable: u64,
    /// Large results and payloads.
    pub files: u64,
}
