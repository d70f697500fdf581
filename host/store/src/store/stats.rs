//! Numbers, and what is wrong with the rows.

/// What a start found left over by the process before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Runs whose process is gone, due again.
    pub runs: u64,
    /// Attempts whose process is gone, due again (and counted).
    pub deliveries: u64,
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
    /// Requests whose upstream will call back.
    pub requests_awaiting: u64,
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
