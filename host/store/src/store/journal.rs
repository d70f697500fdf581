//! What runs of a request leave for the next: steps, calls to the outside, what the clock said.

use super::Answer;
use bytes::Bytes;
use ripost_domain::api::Digest;
use ripost_domain::id::RequestId;
use ripost_domain::time::Timestamp;

/// One durable write of a run.
#[derive(Debug, Clone)]
pub struct JournalWrite {
    /// Of which request.
    pub id: RequestId,
    /// The run's epoch; only the current run writes.
    pub epoch: u32,
    /// The revision that runs. A step binds its request to it.
    pub digest: Digest,
    /// The number of the run.
    pub attempt: u32,
    /// When.
    pub at: Timestamp,
    /// What it is written for.
    pub kind: JournalKind,
    /// What is written.
    pub entries: JournalEntries,
}

/// What a write is for: each has its failpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalKind {
    /// A call will be sent.
    Intent,
    /// A call has ended.
    Done,
    /// A step is committed.
    Commit,
}

/// What a journal holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalEntries {
    /// Committed steps, in the order of their commits.
    pub steps: Vec<JournalStep>,
    /// Calls to the outside, in the order in which they were written down first.
    pub calls: Vec<JournalCall>,
    /// What the clock said.
    pub times: Vec<JournalTimes>,
}

/// A committed step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalStep {
    /// Unique within its request.
    pub name: String,
    /// SHA-256 of its input.
    pub input: [u8; 32],
    /// What it committed.
    pub value: Bytes,
}

/// A call to the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalCall {
    /// The step that was open, or empty.
    pub scope: String,
    /// SHA-256 of that step's input.
    pub input: Option<[u8; 32]>,
    /// SHA-256 of the call.
    pub digest: [u8; 32],
    /// Which of the equal calls in that scope, from 0.
    pub nth: u32,
    /// How far it came.
    pub state: JournalCallState,
}

/// How far a call came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalCallState {
    /// It may have been sent.
    Intent,
    /// It was answered.
    Done(Answer),
    /// It was sent, and what came back could not be given to the guest.
    Refused(String),
    /// It has come to nothing: it may be made again.
    Failed,
}

/// What the clock said in one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalTimes {
    /// The step that was open, or empty.
    pub scope: String,
    /// How many values there were in it before.
    pub first: u32,
    /// Unix milliseconds.
    pub millis: Vec<u64>,
}

/// A committed step, for whoever looks at a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReceipt {
    /// Its name.
    pub name: String,
    /// Length of what it committed.
    pub bytes: u64,
    /// The run that committed it.
    pub attempt: u32,
    /// When.
    pub committed_at: Timestamp,
}
