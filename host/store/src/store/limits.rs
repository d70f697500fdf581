//! What an operator says of one consumer's limits, and what is counted against limits.

use ripost_domain::api::ApiName;
use ripost_domain::id::ConsumerId;
use ripost_domain::limit::{Count, Rate, Setting};

/// One consumer's limits, as far as they are its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConsumerLimits {
    /// Calls with one key.
    pub rate: Setting<Rate>,
    /// Requests that have not ended.
    pub concurrency: Setting<Count>,
    /// Requests accepted on one day, in UTC.
    pub daily: Setting<Count>,
}

/// Requests of a consumer at an API that have not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedCount {
    /// Whose.
    pub consumer: ConsumerId,
    /// Of which API.
    pub api: ApiName,
    /// How many.
    pub count: u32,
}
