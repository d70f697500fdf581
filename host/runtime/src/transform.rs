//! What goes into a run of a transform and what comes out of it. A transform is a pure function: it has no capability but
//! `log`, its time stands still and its randomness is seeded, so that the same input gives the same output.

use std::sync::Arc;

use bytes::Bytes;

use crate::call::{Problem, Usage};
use crate::limits::Limits;
use crate::log::LogLine;
use crate::run_error::RunError;

/// One run of a transform, beside what it rewrites.
#[derive(Clone, Debug)]
pub struct TransformCall {
    /// Of the request, for logs.
    pub id: String,
    /// Owner of the API, who takes turns with others when runs are long.
    pub owner: String,
    /// What this run may use.
    pub limits: Arc<Limits>,
    /// Seeds everything random that the guest can see.
    pub seed: [u8; 32],
    /// Unix time in milliseconds: what the wall clock says throughout the run.
    pub now_ms: u64,
}

/// What a request transform made of a request, checked: a path that is empty or begins with `/`, neither query nor
/// fragment in it, header fields that HTTP allows, names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// In place of the request's path.
    pub path: String,
    /// In place of the request's query.
    pub query: Option<String>,
    /// In place of all the request's headers.
    pub headers: Vec<(String, Bytes)>,
    /// In place of the request's body; at most `Limits::response_body_bytes`.
    pub body: Bytes,
    /// In place of the request's attributes.
    pub attributes: Vec<(String, String)>,
}

/// A payload for the consumer's endpoint, before it is signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Webhook {
    /// `started`, `progress`, `completed`; no transform changes it.
    pub event: String,
    /// Sent beside those of the gateway.
    pub headers: Vec<(String, Bytes)>,
    /// What is signed and sent.
    pub body: Bytes,
    /// What may grow without a new contract.
    pub attributes: Vec<(String, String)>,
}

/// What came of one run of a transform.
#[derive(Debug)]
pub struct Transformed<T> {
    /// What the guest made of it, the problem it has with it, or why there is neither.
    pub outcome: Result<Result<T, Problem>, RunError>,
    /// What it used.
    pub usage: Usage,
    /// What it wrote: the first lines and the last ones.
    pub logs: Vec<LogLine>,
    /// How many lines between the two were dropped.
    pub logs_dropped: u64,
}
