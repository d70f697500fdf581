//! What the sandbox promises, tried with guests that break the promise if they can.

#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

#[allow(unreachable_pub, reason = "the fuzz targets reach it")]
#[path = "../../../../fuzz/src/admission.rs"]
mod admission;
#[path = "answers.rs"]
mod answering;
#[allow(unreachable_pub, reason = "the fuzz targets reach it")]
#[path = "../../../../fuzz/src/answers.rs"]
mod answers;
mod capabilities;
#[path = "../common/mod.rs"]
mod common;
mod fairness;
mod fuzz;
mod gate;
mod incoming;
mod leaks;
mod limits;
mod load;
mod memory;
mod older;
mod steps;
mod transforms;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use ripost_runtime::{
    Call, Failure, Grants, Handler, Limits, NoProgress, Request, Response, Run, RunError, Runtime, RuntimeConfig,
    fixed_clock,
};

use crate::common::Guest;

/// One runtime for all tests, as in the host.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::start(RuntimeConfig::default()).unwrap())
}

/// Generous where a test is not about it, so that a busy machine does not decide.
fn limits() -> Limits {
    Limits { wall: Duration::from_secs(18), ..Limits::default() }
}

fn load(guest: &Guest) -> Handler {
    runtime().load(&guest.wasm(), &limits()).unwrap()
}

fn request(body: impl Into<Bytes>) -> Request {
    Request {
        id: "req_1".to_owned(),
        owner: "demo".to_owned(),
        api: "echo".to_owned(),
        consumer: "c".to_owned(),
        attempt: 1,
        method: "POST".to_owned(),
        body: body.into(),
        deadline_ms: 1_700_000_030_000,
        ..Request::default()
    }
}

fn call(body: impl Into<Bytes>, limits: Limits) -> Call {
    Call {
        request: request(body),
        limits: Arc::new(limits),
        config: Arc::new(BTreeMap::new()),
        seed: [7; 32],
        now: fixed_clock(1_700_000_000_000),
        progress: Arc::new(NoProgress),
        grants: Grants::default(),
        journal: None,
        past: None,
    }
}

async fn run(guest: &Guest, limits: Limits) -> Run {
    runtime().run(&load(guest), call("", limits)).await
}

/// The answer, of a guest that must have given one.
fn answered(run: Run) -> Response {
    match run.outcome {
        Ok(Ok(response)) => response,
        other => panic!("no answer but {other:?}"),
    }
}

fn failed(run: Run) -> Failure {
    match run.outcome {
        Ok(Err(failure)) => failure,
        other => panic!("no failure but {other:?}"),
    }
}

fn stopped(run: Run) -> RunError {
    match run.outcome {
        Err(error) => error,
        other => panic!("not stopped but {other:?}"),
    }
}
