//! Finishes what was left: by a crash, by a full queue, by a retry that is due, by a deadline that passed.
//!
//! Each loop has two triggers, an event and a timer, and one idempotent path that reads the store. A call that is
//! accepted with room in memory never comes through here.

use crate::delivery::Sender;
use crate::plugins::Plugins;
use crate::runs::Runs;
use ripost_domain::api::Name;
use ripost_domain::time::Clock;
use ripost_store::{DeliveryClaim, Recovered, RunClaim, Store, StoreError};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Rows of one claim: enough to fill a commit, few enough to hold in memory twice.
const CLAIM_MAX: u32 = 256;
/// The wait between two claims under load: claims of one row each would crowd out the accepts.
const CLAIM_PAUSE: Duration = Duration::from_millis(2);
/// After a failure of the store.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);
/// When deliveries are due and there is no room for them.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(100);
/// A lane with more deliveries is known to the sender; should it forget, the store offers it again after this.
const OFFERED_AGAIN: Duration = Duration::from_secs(30);
/// How often the waiting requests are counted; in between the count is kept by what this process does.
const BACKLOG_EVERY: Duration = Duration::from_secs(10);
/// How often keys that have expired are removed.
const KV_EVERY: Duration = Duration::from_secs(60);
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

/// How often the tables are looked at when nothing else says so.
#[derive(Debug, Clone, Copy)]
pub struct Every {
    /// For runs.
    pub runs: Duration,
    /// For deliveries.
    pub deliveries: Duration,
}

/// What a look into the store says about the next one.
enum Look {
    /// There may be more at once.
    Again,
    /// Nothing before this, unless something wakes the loop.
    After(Duration),
}

impl Reconcile {
    /// Makes due again what the process before had leased; `None`: the host stops before the store can write it.
    pub async fn recover(&self) -> Option<Recovered> {
        let mut is_told = false;
        loop {
            match self.store.recover(self.clock.steady()).await {
                Ok(recovered) => {
                    self.runs.set_recovered();
                    return Some(recovered);
                }
                Err(StoreError::Closed) => return None,
                Err(error) if is_told => tracing::debug!(%error, "Still not recovered"),
                Err(error) => {
                    tracing::error!(%error, "What the process before left cannot be taken over yet; nothing is run or delivered until the store can write");
                    is_told = true;
                }
            }
            tokio::select! {
                () = self.stopping.cancelled() => return None,
                () = tokio::time::sleep(FAILURE_PAUSE) => {}
            }
        }
    }

    /// All loops, each a task of its own.
    pub fn start(self, tasks: &TaskTracker, every: Every) {
        tasks.spawn(self.clone().runs(every.runs));
        tasks.spawn(self.clone().backlog());
        tasks.spawn(self.clone().deliveries(every.deliveries));
        tasks.spawn(self.clone().give_up(every.deliveries));
        tasks.spawn(self.clone().kv());
        tasks.spawn(self.revisions());
    }

    /// Claims requests that are due, and expires those whose deadline passed before they ran.
    async fn runs(self, every: Duration) {
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
        let now = self.clock.steady();
        let expired = self.store.expired_requests(now, CLAIM_MAX).await?;
        let more_expired = expired.len() == CLAIM_MAX as usize;
        for expired in expired {
            self.runs.expire(expired).await;
        }
        let room = self.runs.room();
        let limit = room.requests.min(CLAIM_MAX);
        if limit == 0 || room.bytes == 0 {
            return Ok(Look::After(every));
        }
        // Before the look: who finds no room after this sets it again.
        self.runs.store_is_drained();
        let full_owners: Vec<Name> = room.full.iter().filter_map(|owner| owner.parse().ok()).collect();
        if !full_owners.is_empty() {
            // What is passed over now is looked for again when one of their runs has ended.
            self.runs.store_has_more();
        }
        let claim = RunClaim {
            now,
            limit,
            bytes_max: room.bytes,
            per_owner_max: limit.min(room.per_owner),
            full: full_owners.clone(),
        };
        let claimed = self.store.claim_runs(claim).await?;
        let full = claimed.len() == limit as usize;
        let count = claimed.len();
        self.runs.wait_no_more(count);
        for claimed in claimed {
            let owner: Arc<str> = Arc::from(claimed.api.owner.as_str());
            match self.runs.reserve(&owner, claimed.input.body.len()) {
                Some(slot) => {
                    let entry = self.runs.live().enter(claimed.id);
                    self.runs.start(slot, claimed, entry);
                }
                // Other accepts have taken the room meanwhile; a claimed request is run all the same.
                None => self.runs.start_when_there_is_room(owner, claimed),
            }
        }
        if full || more_expired {
            return Ok(Look::Again);
        }
        if count > 0 {
            tracing::debug!(count, "Claimed requests that were due");
        }
        let due = self.store.next_run(full_owners).await?;
        Ok(Look::After(due.map_or(every, |due| due.since(self.clock.steady()).min(every))))
    }

    /// Puts the count of waiting requests right.
    async fn backlog(self) {
        loop {
            match self.runs.count_backlog().await {
                Ok(()) | Err(StoreError::Closed) => {}
                Err(error) => tracing::warn!(%error, "The waiting requests could not be counted"),
            }
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(BACKLOG_EVERY) => {}
            }
        }
    }

    /// Claims deliveries that are due.
    async fn deliveries(self, every: Duration) {
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
        let now = self.clock.steady();
        let offered = self.store.due_lanes(now, CLAIM_MAX).await?;
        let plan = self.sender.plan(offered, CLAIM_MAX);
        if plan.claim.is_empty() && plan.park.is_empty() {
            let due = self.store.next_delivery().await?;
            let wait = due.map_or(every, |due| due.since(self.clock.steady()).min(every));
            // Due and not to be had: an attempt that ends wakes the loop.
            return Ok(Look::After(if wait.is_zero() { every.min(NO_ROOM_PAUSE) } else { wait }));
        }
        let claim = DeliveryClaim {
            now,
            lanes: plan.claim.clone(),
            parked: plan.park.iter().map(|(lane, wait)| (*lane, now.after(*wait))).collect(),
            offered_again_at: now.after(OFFERED_AGAIN),
            bytes_max: plan.bytes,
        };
        match self.store.claim_deliveries(claim).await {
            Ok(claimed) => self.sender.take(&plan, claimed),
            Err(error) => {
                self.sender.abandon(&plan);
                return Err(error);
            }
        }
        Ok(Look::Again)
    }

    /// Ends deliveries whose time is over while their endpoints are not tried.
    async fn give_up(self, every: Duration) {
        loop {
            match self.store.give_up(self.clock.steady(), CLAIM_MAX).await {
                Ok(given_up) if given_up.is_empty() => {}
                Ok(given_up) => {
                    let full = given_up.len() == CLAIM_MAX as usize;
                    self.sender.gave_up(given_up);
                    if full {
                        tokio::time::sleep(CLAIM_PAUSE).await;
                        continue;
                    }
                }
                Err(StoreError::Closed) => return,
                Err(error) => tracing::error!(%error, "Deliveries whose time is over could not be ended"),
            }
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
        }
    }

    /// Removes what owners' components kept for a time that is over.
    async fn kv(self) {
        loop {
            match self.store.kv_sweep(self.clock.steady(), CLAIM_MAX).await {
                Ok(CLAIM_MAX) => {
                    tokio::time::sleep(CLAIM_PAUSE).await;
                    continue;
                }
                Ok(_) => {}
                Err(StoreError::Closed) => return,
                Err(error) => tracing::warn!(%error, "Keys that have expired could not be removed"),
            }
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(KV_EVERY) => {}
            }
        }
    }

    /// Removes revisions that neither an API nor an unfinished request names.
    async fn revisions(self) {
        loop {
            // What failed when it was due.
            self.plugins.carry_out_moves().await;
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
