//! Who may call what: subscriptions, and APIs that take no new calls.

use ripost_domain::api::ApiName;
use ripost_domain::id::ConsumerId;
use ripost_domain::time::Timestamp;

/// A consumer may call an API that is not open to all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Who.
    pub consumer: ConsumerId,
    /// What.
    pub api: ApiName,
    /// Since when.
    pub created_at: Timestamp,
}

/// An API that takes no new calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PausedApi {
    /// Which.
    pub api: ApiName,
    /// For those who call it.
    pub reason: String,
    /// Since when.
    pub paused_at: Timestamp,
}
