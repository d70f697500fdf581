//! The journal of a request, in the store: what a run leaves for the next, and what it is given by those before.

use super::Runs;
use crate::keyring::Keyring;
use async_trait::async_trait;
use ripost_domain::api::Digest;
use ripost_domain::id::RequestId;
use ripost_domain::time::Clock;
use ripost_runtime::{CallState, Entries, Journal, JournalError, OutboundResponse, RecordedCall, Step, Times, Writing};
use ripost_store::{
    Answer, ClaimedRun, JournalCall, JournalCallState, JournalEntries, JournalKind, JournalStep, JournalTimes,
    JournalWrite, Store, StoreError, WriteError,
};
use std::sync::Arc;
use tokio::sync::Notify;

/// Of one run. Nothing is read or written until its guest asks for something that is kept.
pub(super) struct RunJournal {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    id: RequestId,
    epoch: u32,
    attempt: u32,
    /// The revision that runs.
    digest: Digest,
    lost: Notify,
}

impl Runs {
    pub(super) fn journal(&self, claimed: &ClaimedRun, digest: Digest) -> Arc<RunJournal> {
        Arc::new(RunJournal {
            store: self.needs.store.clone(),
            keyring: self.needs.keyring.clone(),
            clock: self.needs.clock.clone(),
            id: claimed.id,
            epoch: claimed.epoch,
            attempt: claimed.attempt,
            digest,
            lost: Notify::new(),
        })
    }

    /// Whether a committed step binds a request to its revision.
    pub(super) async fn is_bound(&self, claimed: &ClaimedRun) -> Result<bool, StoreError> {
        match may_have_a_past(claimed) {
            true => Ok(!self.needs.store.steps(claimed.id).await?.is_empty()),
            false => Ok(false),
        }
    }

    /// What the runs before have left; nothing is read for a first run.
    pub(super) async fn past(&self, claimed: &ClaimedRun) -> Result<Option<Arc<Entries>>, StoreError> {
        if !may_have_a_past(claimed) {
            return Ok(None);
        }
        let past = entries(self.needs.store.journal_of(claimed.id).await?);
        Ok((past != Entries::default()).then(|| Arc::new(past)))
    }
}

fn may_have_a_past(claimed: &ClaimedRun) -> bool {
    claimed.attempt > 1 || claimed.epoch > 1
}

impl RunJournal {
    /// Waits until the run has tried to write and its request was not its own any more.
    pub(super) async fn lost(&self) {
        self.lost.notified().await;
    }
}

#[async_trait]
impl Journal for RunJournal {
    async fn write(&self, writing: Writing, entries: Entries) -> Result<(), JournalError> {
        let kind = match writing {
            Writing::Intent => JournalKind::Intent,
            Writing::Done => JournalKind::Done,
            Writing::Commit => JournalKind::Commit,
        };
        let Self { id, epoch, attempt, digest, .. } = *self;
        let at = self.clock.now();
        let write = JournalWrite { id, epoch, digest, attempt, at, kind, entries: rows(entries) };
        match self.store.journal(write).await {
            Ok(()) => Ok(()),
            Err(WriteError::Fenced) => {
                tracing::info!(request.id = %id, attempt, "A run has lost its request; it is stopped");
                self.lost.notify_one();
                std::future::pending().await
            }
            Err(WriteError::Store(error)) => {
                tracing::error!(request.id = %id, attempt, %error, "What a run has done could not be written down");
                Err(JournalError("the store has failed: try again later".to_owned()))
            }
        }
    }

    fn step_key(&self, step: &str) -> String {
        self.keyring.step_key(self.id, step)
    }
}

/// As the sandbox has it.
pub(crate) fn entries(rows: JournalEntries) -> Entries {
    let JournalEntries { steps, calls, times } = rows;
    let step = |JournalStep { name, input, value }| Step { name, input, value };
    let call = |JournalCall { scope, input, digest, nth, state }| {
        let state = match state {
            JournalCallState::Intent => CallState::Intent,
            JournalCallState::Failed => CallState::Failed,
            JournalCallState::Refused(text) => CallState::Refused(text),
            JournalCallState::Done(Answer { status, headers, body }) => {
                CallState::Done(OutboundResponse { status, headers, body })
            }
        };
        RecordedCall { scope, input, digest, nth, state }
    };
    let chunk = |JournalTimes { scope, first, millis }| Times { scope, first, millis };
    Entries {
        steps: steps.into_iter().map(step).collect(),
        calls: calls.into_iter().map(call).collect(),
        times: times.into_iter().map(chunk).collect(),
    }
}

/// As the store has it.
fn rows(entries: Entries) -> JournalEntries {
    let Entries { steps, calls, times } = entries;
    let step = |Step { name, input, value }| JournalStep { name, input, value };
    let call = |RecordedCall { scope, input, digest, nth, state }| {
        let state = match state {
            CallState::Intent => JournalCallState::Intent,
            CallState::Failed => JournalCallState::Failed,
            CallState::Refused(text) => JournalCallState::Refused(text),
            CallState::Done(OutboundResponse { status, headers, body }) => {
                JournalCallState::Done(Answer { status, headers, body })
            }
        };
        JournalCall { scope, input, digest, nth, state }
    };
    let chunk = |Times { scope, first, millis }| JournalTimes { scope, first, millis };
    JournalEntries {
        steps: steps.into_iter().map(step).collect(),
        calls: calls.into_iter().map(call).collect(),
        times: times.into_iter().map(chunk).collect(),
    }
}
