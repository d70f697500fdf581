//! Whether the machine's clock and the store agree about when now is.

use anyhow::Context as _;
use ripost_domain::time::{Clock, Timestamp};
use ripost_store::Store;
use std::time::Duration;

/// How far the data may be ahead of the clock: that of two machines that share a disk.
pub(crate) const AHEAD_MAX: Duration = Duration::from_secs(60);

/// Warns of a store from the future: what was planned by that clock waits until this one gets there.
pub(super) async fn check(store: &dyn Store, clock: &dyn Clock) -> anyhow::Result<()> {
    let newest = store.newest().await.context("reading when the newest request was made")?;
    let now = clock.now();
    if let Some(newest) = newest.filter(|newest| is_ahead(*newest, now)) {
        tracing::warn!(%newest, %now, "The newest request is from the future: the clock was ahead then, or is behind now. Set it (NTP). Retries that were planned by the other clock wait for their time: see `ripost deliveries list`, and send them with `ripost deliveries redeliver`");
    }
    Ok(())
}

/// Whether something of that time was made by another clock than the one that says what now is.
pub(crate) fn is_ahead(written: Timestamp, now: Timestamp) -> bool {
    written > now.after(AHEAD_MAX)
}
