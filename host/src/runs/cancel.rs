//! A consumer withdraws a request: the first commit of a cancellation and any other end wins.

use super::Runs;
use super::decide;
use super::finish::Brought;
use super::insist::Insist;
use super::run::{CANCELLED, receipt};
use crate::live::Entry;
use crate::plugins::{ActiveApi, Cancel};
use crate::upstreams::Event;
use ripost_domain::id::RequestId;
use ripost_domain::request::State;
use ripost_runtime::Usage;
use ripost_store::{ClaimedRun, EndOfHold, PinnedRun, RunReceipt, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// Looks at a request that moves meanwhile: claimed, put back, claimed again.
const TRIES: u32 = 16;

/// Far more than there is between a claim and its run.
const REMEMBERED: Duration = Duration::from_secs(5);

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// It is cancelled, by this or before.
    Yes,
    /// A run has begun, and the API allows it before that only.
    RunHasBegun,
    /// It has another end.
    Ended,
}

impl Runs {
    /// Ends a request as cancelled: hold and webhook are seen to as at every end. Before a run has begun at once; a run
    /// that is under way is stopped, and whatever it would still write is refused.
    ///
    /// # Cancel safety
    /// What was begun is done: it is a task of `app`'s.
    ///
    /// # Errors
    /// The store cannot say how the request stands, or cannot write it.
    pub(crate) async fn cancel(self: &Arc<Self>, id: RequestId) -> Result<Cancelled, StoreError> {
        let runs = self.clone();
        let cancelled = self.needs.tasks.spawn(async move { runs.cancel_now(id).await });
        cancelled.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn cancel_now(&self, id: RequestId) -> Result<Cancelled, StoreError> {
        let entry = self.needs.live.enter(id);
        for _ in 0..TRIES {
            // No run begins from here to the commit: what the API charges depends on it.
            let turn = entry.turn().await;
            let Some(PinnedRun { state, claimed }) = self.needs.store.unfinished(id).await? else {
                let record = self.needs.store.request(id).await?;
                let is_cancelled = record.is_some_and(|record| record.state == State::Cancelled);
                return Ok(if is_cancelled { Cancelled::Yes } else { Cancelled::Ended });
            };
            let active = self.needs.plugins.api_of(claimed.digest, &claimed.api).await.ok();
            let begun = Begun::of(state, &claimed, &entry);
            let Some(hold) = end_of_hold(active.as_deref(), begun) else { return Ok(Cancelled::RunHasBegun) };
            let withdrawal = self.withdrawal(&claimed, active.as_deref(), Event::Cancel);
            let withdrawal = withdrawal.filter(|_| begun != Begun::Not);
            let run = self.stopped_run(state, &claimed, &entry);
            let by = Brought { run, tape: None, callback: None, insist: Insist::Once };
            let end = decide::cancelled(hold);
            if self.finish_by(claimed, state, end, by, &entry, active.as_deref()).await {
                entry.cancel();
                drop(turn);
                self.remember(entry);
                if let Some(withdrawal) = withdrawal {
                    self.withdraw(withdrawal);
                }
                return Ok(Cancelled::Yes);
            }
            // It has moved since it was read.
            drop(turn);
            tokio::task::yield_now().await;
        }
        Err(StoreError::Busy)
    }

    /// The receipt of a run that is under way and will be stopped: for how long it has been. What it has used is not known
    /// before it has stopped, and then it is too late to write it with the end.
    fn stopped_run(&self, state: State, claimed: &ClaimedRun, entry: &Entry) -> Option<RunReceipt> {
        let started_at = entry.started_at().filter(|_| state == State::Running)?;
        let wall = self.needs.clock.now().since(started_at);
        let usage = Usage { wall, ..Usage::default() };
        Some(receipt(claimed.attempt, started_at, CANCELLED, &usage))
    }

    /// A claim that was committed just before may still be on its way to its run, which has to find this.
    fn remember(&self, entry: Arc<Entry>) {
        let stopping = self.needs.stopping.clone();
        self.needs.tasks.spawn(async move {
            // Whether the time is over or the host stops: no run begins after it.
            let _ = tokio::time::timeout(REMEMBERED, stopping.cancelled()).await;
            drop(entry);
        });
    }
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    /// Nothing of the owner's has seen it.
    Not,
    /// A run has ended without an end of the request; the next one has not begun.
    Before,
    /// A run is under way, or what it has set going.
    Now,
}

impl Begun {
    fn of(state: State, claimed: &ClaimedRun, entry: &Entry) -> Self {
        match state {
            State::AwaitingCallback => Self::Now,
            State::Running if entry.has_started() => Self::Now,
            // It is leased, and counted, and waits for its turn.
            State::Running if claimed.attempt <= 1 => Self::Not,
            State::Accepted if claimed.attempt == 0 => Self::Not,
            _ => Self::Before,
        }
    }
}

/// What becomes of the money; `None`: the API does not allow it any more. One that cannot be read any more allows it.
fn end_of_hold(active: Option<&ActiveApi>, begun: Begun) -> Option<EndOfHold> {
    allowed(active.map(|active| active.spec.cancel).unwrap_or_default(), begun)
}

const fn allowed(cancel: Cancel, begun: Begun) -> Option<EndOfHold> {
    match (cancel, begun) {
        (Cancel::BeforeRun, Begun::Before | Begun::Now) => None,
        (Cancel::Charged, Begun::Now) => Some(EndOfHold::Captured),
        _ => Some(EndOfHold::Released),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cancellation_costs_depends_on_the_api_and_on_how_far_the_request_has_come() {
        let (released, captured) = (Some(EndOfHold::Released), Some(EndOfHold::Captured));
        for (cancel, not, before, now) in [
            (Cancel::Any, released, released, released),
            (Cancel::BeforeRun, released, None, None),
            (Cancel::Charged, released, released, captured),
        ] {
            let all = [Begun::Not, Begun::Before, Begun::Now].map(|begun| allowed(cancel, begun));
            assert_eq!(all, [not, before, now], "{cancel:?}");
        }
    }
}
