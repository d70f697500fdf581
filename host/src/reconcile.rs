//! Finishes what was left: by a crash, by a full queue, by a retry that is due, by a deadline that passed.
//!
//! Each loop has two triggers, an event and a timer, and one idempotent path that reads the store. A call that is
//! accepted with room in memory never comes through here.

use crate::delivery::Sender;
use crate::plugins::Plugins;
use crate::runs::Runs;
use ripost_domain::time::Clock;
use ripost_store::{Store, StoreError};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Rows of one claim: enough to fill a commit, few enough to hold in memory twice.
const CLAIM_MAX: u32 = 256;
/// The wait between two claims under load: claims of one row each would crowd out the accepts.
const CLAIM_PAUSE: Duration = Duration::from_millis(2);
/// After a failure of the store.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);
/// How often revisions that nobody names any more are removed.
const COLLECT_EVERY: Duration = Duration::from_secs(600);

/// What the loops share.
#[derive(Clone)]
pub struct Reconcile {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// The runner.
    pub runs: Arc<Runs>,
    /// The sender.
    pub sender: Arc<Sender>,
    /// Revisions.
    pub plugins: Arc<Plugins>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Cancelled when the host stops.
    pub stopping: CancellationToken,
}

/// What a look into the store says about the next one.
enum Look {
    /// There may be more at once.
    Again,
    /// Nothing before this, unless something wakes the loop.
    After(Duration),
}

impl Reconcile {
    /// Claims requests that are due, and expires those whose deadline passed before they ran.
    pub async fn runs(self, every: Duration) {
        loop {
            let look = self.look_for_runs(every).await;
            let wait = wait_of(look, "requests");
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = self.runs.woken() => tokio::time::sleep(CLAIM_PAUSE).await,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn look_for_runs(&self, every: Duration) -> Result<Look, StoreError> {
        let now = self.clock.now();
        let expired = self.store.expired_requests(now, CLAIM_MAX).await?;
        let more_expired = expired.len() == CLAIM_MAX as usize;
        for claimed in expired {
            self.runs.expire(claimed).await;
        }
        let (rows, bytes) = self.runs.room();
        let limit = rows.min(CLAIM_MAX);
        if limit == 0 || bytes == 0 {
            return Ok(Look::After(every));
        }
        // Before the look: who finds no room after this sets it again.
        self.runs.store_is_drained();
        let claimed = self.store.claim_runs(now, limit, bytes).await?;
        let full = claimed.len() == limit as usize;
        let count = claimed.len();
        for claimed in claimed {
            // Other accepts may have taken the room meanwhile; a claimed request is run all the same.
            let slot = loop {
                match self.runs.reserve(claimed.input.body.len()) {
                    Some(slot) => break slot,
                    None if self.stopping.is_cancelled() => return Ok(Look::After(every)),
                    None => tokio::time::sleep(CLAIM_PAUSE).await,
                }
            };
            let entry = self.runs.live().enter(claimed.id);
            self.runs.start(slot, claimed, entry);
        }
        if full || more_expired {
            return Ok(Look::Again);
        }
        if count > 0 {
            tracing::debug!(count, "Claimed requests that were due");
        }
        let (due, _) = self.store.next_due().await?;
        Ok(Look::After(due.map_or(every, |due| due.since(self.clock.now()).min(every))))
    }

    /// Claims deliveries that are due.
    pub async fn deliveries(self, every: Duration) {
        loop {
            let look = self.look_for_deliveries(every).await;
            let wait = wait_of(look, "deliveries");
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = self.sender.woken() => tokio::time::sleep(CLAIM_PAUSE).await,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn look_for_deliveries(&self, every: Duration) -> Result<Look, StoreError> {
        let (rows, bytes) = self.sender.room();
        let limit = rows.min(CLAIM_MAX);
        if limit == 0 || bytes == 0 {
            return Ok(Look::After(every));
        }
        self.sender.store_is_drained();
        let claimed = self.store.claim_deliveries(self.clock.now(), limit, bytes).await?;
        let full = claimed.len() == limit as usize;
        for claimed in claimed {
            let slot = loop {
                match self.sender.reserve(claimed.payload.len()) {
                    Some(slot) => break slot,
                    None if self.stopping.is_cancelled() => return Ok(Look::After(every)),
                    None => tokio::time::sleep(CLAIM_PAUSE).await,
                }
            };
            self.sender.start(slot, claimed);
        }
        if full {
            return Ok(Look::Again);
        }
        let (_, due) = self.store.next_due().await?;
        Ok(Look::After(due.map_or(every, |due| due.since(self.clock.now()).min(every))))
    }

    /// Removes revisions that neither an API nor an unfinished request names.
    pub async fn revisions(self) {
        loop {
            match self.store.revisions_in_use().await {
                Ok(in_use) => match self.plugins.collect(&in_use.into_iter().collect::<HashSet<_>>()).await {
                    Ok(removed) if removed.is_empty() => {}
                    Ok(removed) => {
                        tracing::info!(count = removed.len(), "Removed revisions that nobody names any more")
                    }
                    Err(error) => tracing::warn!(%error, "Old revisions could not be removed"),
                },
                Err(error) => tracing::warn!(%error, "Revisions in use could not be read"),
            }
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(COLLECT_EVERY) => {}
            }
        }
    }
}

fn wait_of(look: Result<Look, StoreError>, what: &str) -> Duration {
    match look {
        Ok(Look::Again) => CLAIM_PAUSE,
        // A due time in the past with nothing claimable would spin.
        Ok(Look::After(wait)) => wait.max(CLAIM_PAUSE),
        Err(StoreError::Closed) => FAILURE_PAUSE,
        Err(error) => {
            tracing::error!(%error, "The store could not be asked for due {what}");
            FAILURE_PAUSE
        }
    }
}
