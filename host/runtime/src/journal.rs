//! What the runs of a request leave for the next: committed steps, calls to the outside, what the clock said. The host's
//! other parts keep it; what it means is decided in `tape`.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use crate::grants::OutboundResponse;

/// Committed steps of one request.
pub const STEPS_MAX: usize = 256;
/// Bytes of a step's value.
pub const STEP_VALUE_BYTES_MAX: usize = 256 << 10;
/// Bytes of a step's name.
pub const STEP_NAME_BYTES_MAX: usize = 128;
/// Bytes of all that the runs of one request leave. Looked at before a call is made, so that its answer may go beyond.
pub const JOURNAL_BYTES_MAX: usize = 8 << 20;
/// What is kept of a clock that is read in a loop.
pub const TIMES_MAX: usize = 4096;

/// What a journal holds, or one write adds to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// In the order of their commits.
    pub steps: Vec<Step>,
    /// In the order in which they were written down first. A later entry of the same call takes the place of an earlier.
    pub calls: Vec<RecordedCall>,
    /// In order.
    pub times: Vec<Times>,
}

/// A committed step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Unique within its request.
    pub name: String,
    /// SHA-256 of what it was begun with.
    pub input: [u8; 32],
    /// What it committed.
    pub value: Bytes,
}

/// A call to the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedCall {
    /// The step that was open, or empty.
    pub scope: String,
    /// SHA-256 of what that step was begun with.
    pub input: Option<[u8; 32]>,
    /// SHA-256 of what the guest wrote: method, URL, headers and body, with placeholders in the place of secrets.
    pub digest: [u8; 32],
    /// Which of the equal calls in that scope, from 0.
    pub nth: u32,
    /// How far it came.
    pub state: CallState,
}

/// How far a call came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallState {
    /// It may have been sent.
    Intent,
    /// It was answered; what the guest was given.
    Done(OutboundResponse),
    /// It was sent, and its answer is more than the guest may have; what the guest was told.
    Refused(String),
    /// It has come to nothing: it may be made again.
    Failed,
}

/// What the clock said in one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    /// The step that was open, or empty.
    pub scope: String,
    /// How many values there were in it before.
    pub first: u32,
    /// Unix milliseconds.
    pub millis: Vec<u64>,
}

/// What a write is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// A call will be sent.
    Intent,
    /// A call has ended.
    Done,
    /// A step is committed.
    Commit,
}

/// Nothing was written; the text is for the owner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JournalError(pub String);

/// Keeps what the runs of one request leave.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Durable when it returns, all of it or nothing. For a run that has lost its request it does not return at all:
    /// whoever runs it stops it.
    async fn write(&self, writing: Writing, entries: Entries) -> Result<(), JournalError>;

    /// The idempotency key of a step: the same in all runs of the request, and for others not to be guessed.
    fn step_key(&self, step: &str) -> String;
}

/// A journal that ends with the process: for cases, and for tests of what another run finds.
#[derive(Debug, Default)]
pub struct MemoryJournal(Mutex<Entries>);

impl MemoryJournal {
    /// What the next run finds.
    #[must_use]
    pub fn past(&self) -> Arc<Entries> {
        Arc::new(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn write(&self, _writing: Writing, entries: Entries) -> Result<(), JournalError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.steps.extend(entries.steps);
        kept.times.extend(entries.times);
        for call in entries.calls {
            match kept.calls.iter_mut().find(|kept| kept.is_same(&call)) {
                Some(kept) => *kept = call,
                None => kept.calls.push(call),
            }
        }
        Ok(())
    }

    fn step_key(&self, step: &str) -> String {
        format!("key-of-{step}")
    }
}

impl RecordedCall {
    fn is_same(&self, other: &RecordedCall) -> bool {
        (&self.scope, self.digest, self.nth) == (&other.scope, other.digest, other.nth)
    }
}
