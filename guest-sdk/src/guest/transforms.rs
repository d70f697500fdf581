//! Transforms: the message that came becomes this crate's, what the owner's function made becomes the contract's.

use super::{Host, log_panics};
use crate::{
    Failure, Headers, Level, Log, Request, Response, Verdict, Webhook,
    bindings::{
        request_transform::exports::ripost::plugin::transform_request::Rewrite, types,
        webhook_transform::exports::ripost::plugin::transform_webhook,
    },
};

/// Runs the owner's request transform. Called once in the life of an instance.
pub fn rewrite_request(
    request: types::Request,
    transform: fn(&Log, Request) -> Result<Request, Failure>,
) -> Result<Rewrite, types::Problem> {
    run(|log| transform(log, request.into())).map(Rewrite::from)
}

/// Runs the owner's response transform. Called once in the life of an instance.
pub fn apply_response(
    request: types::Request,
    response: types::Response,
    transform: fn(&Log, &Request, Response) -> Result<Response, Failure>,
) -> Result<types::Response, types::Problem> {
    run(|log| transform(log, &request.into(), response.into())).map(types::Response::from)
}

/// Runs the owner's webhook transform. Called once in the life of an instance.
pub fn apply_webhook(
    webhook: transform_webhook::Webhook,
    transform: fn(&Log, Webhook) -> Result<Webhook, Failure>,
) -> Result<transform_webhook::Webhook, types::Problem> {
    run(|log| transform(log, webhook.into())).map(transform_webhook::Webhook::from)
}

fn run<M>(transform: impl FnOnce(&Log) -> Result<M, Failure>) -> Result<M, types::Problem> {
    log_panics();
    let log = Log::new(Host);
    transform(&log).map_err(|failure| {
        if let Some(cause) = failure.cause() {
            log.log(Level::Error, cause, &[("problem", &failure.problem().kind)]);
        }
        if matches!(failure.verdict(), Verdict::Retry { .. }) {
            log.log(Level::Warn, "a transform is not run again: its `retry` is final", &[]);
        }
        let (_, problem) = failure.into_parts();
        problem.into()
    })
}

impl From<Request> for Rewrite {
    fn from(Request { head, body }: Request) -> Self {
        let head = std::sync::Arc::unwrap_or_clone(head);
        Self {
            path: head.path,
            query: head.query,
            headers: head.headers.into_pairs(),
            body,
            attributes: head.attributes,
        }
    }
}

impl From<types::Response> for Response {
    fn from(response: types::Response) -> Self {
        let headers = Headers::from_lower_case(response.headers);
        Self { status: response.status, headers, body: response.body, attributes: response.attributes }
    }
}

impl From<transform_webhook::Webhook> for Webhook {
    fn from(webhook: transform_webhook::Webhook) -> Self {
        let headers = Headers::from_lower_case(webhook.headers);
        Self { event: webhook.event, headers, body: webhook.body, attributes: webhook.attributes }
    }
}

impl From<Webhook> for transform_webhook::Webhook {
    fn from(webhook: Webhook) -> Self {
        let headers = webhook.headers.into_pairs();
        Self { event: webhook.event, headers, body: webhook.body, attributes: webhook.attributes }
    }
}
