//! Waiting for a condition, with a bound.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(10);

/// Asks `condition` until it gives a value.
///
/// # Errors
/// The condition's own error at once; `limit` without a value, with `what` was waited for.
pub async fn until<T>(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = condition().await? {
            return Ok(value);
        }
        if started.elapsed() > limit {
            bail!("waited {limit:?} for this, and it did not come: {what}");
        }
        tokio::time::sleep(EVERY).await;
    }
}
