//! What is old goes, a few requests at a time beside everything else.

use crate::config;
use crate::telemetry::metrics::Metrics;
use ripost_domain::time::Clock;
use ripost_store::{OldRequests, Part, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Requests of one look and of one write: short enough for no accept to notice.
const STEP: u32 = 64;
/// Between two steps.
const PAUSE: Duration = Duration::from_millis(5);

/// Keeps what the operator wants to be kept, and no more.
pub struct Retention {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// For how long.
    pub config: config::Retention,
    /// Numbers.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Somebody was erased.
    pub asked: Notify,
    /// Cancelled when the host stops.
    pub stopping: CancellationToken,
}

impl Retention {
    /// Until the host stops.
    pub async fn run(self: Arc<Self>) {
        for turn in 0_u32.. {
            match self.turn(turn).await {
                Ok(()) => {}
                Err(StoreError::Closed) => return,
                Err(error) => tracing::warn!(%error, "What is old could not be removed; it is tried again"),
            }
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = self.asked.notified() => {}
                () = tokio::time::sleep(self.config.every) => {}
            }
        }
    }

    async fn turn(&self, turn: u32) -> Result<(), StoreError> {
        while self.store.erase_what_is_left(STEP).await? == STEP && self.pause().await {}
        let contents = self.pass(Part::Contents, self.config.results).await?;
        let requests = self.pass(Part::Everything, self.config.requests).await?;
        if contents + requests > 0 {
            tracing::info!(contents, requests, "Removed what is old");
        }
        let files = self.store.sweep_files(turn, self.clock.now()).await?;
        if files > 0 {
            tracing::info!(files, "Removed files that no request names");
        }
        Ok(())
    }

    /// All that has ended for longer than `kept`. What is open is passed over, and looked at again the next time.
    async fn pass(&self, part: Part, kept: Duration) -> Result<u64, StoreError> {
        // A clock that is set does not make everything old.
        let finished_before = self.clock.steady().before(kept);
        let mut asked = OldRequests { part, after: None, finished_before, limit: STEP };
        let mut count = 0;
        loop {
            let page = self.store.old_requests(asked).await?;
            if !page.due.is_empty() {
                let gone = self.store.forget(part, page.due).await?;
                self.metrics.forgotten(part).inc_by(gone.into());
                count += u64::from(gone);
            }
            if page.next.is_none() || !self.pause().await {
                return Ok(count);
            }
            asked.after = page.next;
        }
    }

    /// False if there is no more to be done.
    async fn pause(&self) -> bool {
        tokio::select! {
            () = self.stopping.cancelled() => false,
            () = tokio::time::sleep(PAUSE) => true,
        }
    }
}
