//! Unfinished requests and the revision that answers them.

use super::ClaimedRun;
use ripost_domain::api::{ApiName, Digest};
use ripost_domain::request;

/// Unfinished requests are to be answered by another revision.
#[derive(Debug, Clone)]
pub struct Repin {
    /// Those that name this one.
    pub from: Digest,
    /// They name this one then.
    pub to: Digest,
    /// Of these APIs only.
    pub apis: Vec<ApiName>,
}

/// An unfinished request.
#[derive(Debug, Clone)]
pub struct PinnedRun {
    /// `Accepted`, `Running` or `AwaitingCallback`.
    pub state: request::State,
    /// The request; epoch and attempt as they are stored.
    pub claimed: ClaimedRun,
}
