//! Runs of synchronous calls: nothing is stored, whoever called waits, and hanging up stops the guest.

use super::Runs;
use super::decide::log_lines;
use super::run::{Answered, Asked, Kept, broken, receipt, uncapturable};
use super::unstored::BrokenRun;
use crate::plugins::ActiveApi;
use crate::transforms::Stopped;
use ripost_runtime::{Handler, RunOutcome, last_message};
use ripost_store::RunReceipt;

/// The guest was not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotRun {
    /// The owner has its share of what waits already, or nothing runs at the moment.
    NoRoom,
    /// Its turn did not come in time.
    TooLate,
}

impl Runs {
    /// Waits for a turn until `asked.until`; a host that stops gives none.
    pub(super) async fn turn_of_direct<T>(&self, asked: Asked<'_>, turn: impl Future<Output = T>) -> Result<T, NotRun> {
        let wait = asked.until.since(self.needs.clock.steady());
        tokio::select! {
            biased;
            () = self.needs.stopping.cancelled() => Err(NotRun::NoRoom),
            turn = tokio::time::timeout(wait, turn) => turn.map_err(|_| NotRun::TooLate),
        }
    }

    /// One run, now: waits for its turn until `asked.until`, when everything ends.
    ///
    /// # Cancel safety
    /// Dropping it gives its place up, or stops the guest.
    pub(crate) async fn run_directly(
        &self,
        asked: Asked<'_>,
        active: &ActiveApi,
        handler: &Handler,
    ) -> Result<Result<RunOutcome, Stopped>, NotRun> {
        let needs = &self.needs;
        let Asked { id, .. } = asked;
        let _slot = self.reserve_now(&active.owner, asked.input.body.len()).ok_or(NotRun::NoRoom)?;
        let turn = async {
            // The API's permit first: a call that waits for its own API must not keep an instance from another's.
            let api = active.permits.acquire().await.expect("the semaphore is never closed");
            (api, self.instances.acquire(&active.owner, handler.weight()).await)
        };
        let _permits = self.turn_of_direct(asked, turn).await?;
        let _in_flight = needs.metrics.run_in_flight();
        let began = needs.clock.now();
        let Answered { outcome, tape: _, usage, mut logs, logs_dropped } =
            self.answer(asked, active, handler, self.no_progress.clone(), Kept::default()).await;
        let label = self.count(active, &outcome, &usage);
        for line in &logs {
            tracing::debug!(request.id = %id, api = %active.name, level = line.level.as_str(), "{}", line.message);
        }
        if let Some(error) = broken(&outcome) {
            let revision = active.digest.short();
            let said = last_message(&logs);
            tracing::warn!(request.id = %id, api = %active.name, revision, logs_dropped, error, said, "A run gave no answer");
        }
        let misasked = uncapturable(&outcome, active.spec.price);
        if misasked.is_some() || is_owners(&outcome) {
            logs.extend(misasked);
            let run = RunReceipt { lines: log_lines(&logs, logs_dropped), ..receipt(1, began, label, &usage) };
            self.unstored.keep(BrokenRun { id, api: active.name.clone(), run });
        }
        Ok(outcome)
    }
}

/// Whether there is something in its log for the owner to see, and not a host that was full.
fn is_owners(outcome: &Result<RunOutcome, Stopped>) -> bool {
    match outcome {
        Ok(Ok(_)) => false,
        Ok(Err(error)) => error.is_owners(),
        Err(stopped) => !stopped.is_hosts(),
    }
}
