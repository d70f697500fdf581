//! The component's side of the contract: calls the host, and turns its values into this crate's and back.

mod outside;
mod transforms;

pub use self::transforms::{apply_response, apply_webhook, rewrite_request};

use std::{fmt::Display, panic, sync::Arc};

use crate::{
    Context, Failure, Head, Headers, Level, Problem, Request, Response, Verdict,
    bindings::{self, types},
};

/// What `Context` calls in a component: the imports.
pub(crate) struct Host;

impl Host {
    pub(crate) fn log(&self, level: Level, message: &str, fields: &[(&str, &dyn Display)]) {
        let fields: Vec<(String, String)> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
        bindings::log::write(level.into(), message, &fields);
    }

    pub(crate) fn report(&self, percent: Option<u8>, message: &str) {
        bindings::progress::report(percent, message);
    }

    pub(crate) fn cancelled(&self) -> bool {
        bindings::progress::cancelled()
    }

    pub(crate) fn now_ms(&self) -> u64 {
        bindings::clock::now_ms()
    }

    pub(crate) fn random(&self, bytes: u32) -> Vec<u8> {
        bindings::random::bytes(bytes)
    }

    pub(crate) fn config(&self, key: &str) -> Option<String> {
        bindings::config::get(key)
    }
}

/// Runs the owner's handler on one request. Called once in the life of an instance.
pub fn handle(
    request: types::Request,
    handler: fn(&Context, Request) -> Result<Response, Failure>,
) -> Result<types::Response, types::Failure> {
    log_panics();
    let request = Request::from(request);
    let ctx = Context::new(Arc::clone(&request.head), Host);
    handler(&ctx, request).map(types::Response::from).map_err(|failure| {
        if let Some(cause) = failure.cause() {
            ctx.log(Level::Error, cause, &[("problem", &failure.problem().kind)]);
        }
        types::Failure::from(failure)
    })
}

/// Without this a panic is a trap with no words: standard error of `wasm32-unknown-unknown` goes nowhere.
fn log_panics() {
    panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("a value that is not text");
        let at = info.location().map(ToString::to_string).unwrap_or_default();
        bindings::log::write(
            bindings::log::Level::Error,
            &format!("panicked at {at}: {message}"),
            &[("panic.at".to_owned(), at)],
        );
    }));
}

impl From<Level> for bindings::log::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

impl From<types::Request> for Request {
    fn from(request: types::Request) -> Self {
        Self {
            head: Arc::new(Head {
                id: request.id,
                owner: request.owner,
                api: request.api,
                consumer: request.consumer,
                attempt: request.attempt,
                method: request.method,
                path: request.path,
                query: request.query,
                headers: Headers::from_lower_case(request.headers),
                deadline_ms: request.deadline_ms,
                attributes: request.attributes,
            }),
            body: request.body,
        }
    }
}

impl From<Response> for types::Response {
    fn from(response: Response) -> Self {
        Self {
            status: response.status,
            headers: response.headers.into_pairs(),
            body: response.body,
            attributes: response.attributes,
        }
    }
}

impl From<Problem> for types::Problem {
    fn from(problem: Problem) -> Self {
        Self {
            kind: problem.kind,
            title: problem.title,
            detail: problem.detail,
            status: problem.status,
            attributes: problem.attributes,
        }
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        let (verdict, problem) = failure.into_parts();
        match verdict {
            Verdict::Invalid => Self::Invalid(problem.into()),
            Verdict::Retry { after_s } => Self::Retry(types::Retry { after_s, problem: problem.into() }),
            Verdict::Failed => Self::Failed(problem.into()),
        }
    }
}
