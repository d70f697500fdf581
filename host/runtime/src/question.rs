//! What a guest is asked: one type for each export, with what goes in, what comes out, and how the answer is checked.

use bytes::Bytes;
use wasmtime::Store;

use crate::answer;
use crate::bindings::{
    ApplyRequest, ApplyResponse, ApplyWebhook, Handle, HeadersRef, RequestRef, ResponseRef, WebhookRef,
};
use crate::call::{Failure, Problem, Request, Response};
use crate::component::Linked;
use crate::guest::State;
use crate::incoming;
use crate::limits::Limits;
use crate::role::Role;
use crate::run_error::RunError;
use crate::transform::{Rewrite, Webhook};

/// Owned, because a run that turns out to be long goes on in another thread.
pub(crate) trait Question: Send + Sync + 'static {
    type Answer: Send + 'static;

    /// Instantiates the component, calls it once and checks what it says. The outer error is wasmtime's.
    fn ask(
        &self,
        store: &mut Store<State>,
        linked: &Linked,
        limits: &Limits,
    ) -> impl Future<Output = wasmtime::Result<Result<Self::Answer, RunError>>> + Send;
}

/// What a handler is asked.
pub(crate) struct ToHandle(pub(crate) Request);
/// What a request transform is asked.
pub(crate) struct ToRewrite(pub(crate) Request);
/// What a response transform is asked.
pub(crate) struct ToTransform(pub(crate) Request, pub(crate) Response);
/// What a webhook transform is asked.
pub(crate) struct ToSend(pub(crate) Webhook);

impl Question for ToHandle {
    type Answer = Result<Response, Failure>;

    async fn ask(
        &self,
        store: &mut Store<State>,
        linked: &Linked,
        limits: &Limits,
    ) -> wasmtime::Result<Result<Self::Answer, RunError>> {
        if linked.role() == Role::HttpHandler {
            return Ok(incoming::ask(store, linked, &self.0, limits).await?.map(Ok));
        }
        let (answer,) = linked.call::<Handle>(store, (request(&self.0),)).await?;
        Ok(answer::handled(answer, limits))
    }
}

impl Question for ToRewrite {
    type Answer = Result<Rewrite, Problem>;

    async fn ask(
        &self,
        store: &mut Store<State>,
        linked: &Linked,
        limits: &Limits,
    ) -> wasmtime::Result<Result<Self::Answer, RunError>> {
        let (answer,) = linked.call::<ApplyRequest>(store, (request(&self.0),)).await?;
        Ok(answer::or_problem(answer, limits, answer::rewrite))
    }
}

impl Question for ToTransform {
    type Answer = Result<Response, Problem>;

    async fn ask(
        &self,
        store: &mut Store<State>,
        linked: &Linked,
        limits: &Limits,
    ) -> wasmtime::Result<Result<Self::Answer, RunError>> {
        let ToTransform(asked, Response { status, headers: fields, body, attributes }) = self;
        let response = ResponseRef { status: *status, headers: headers(fields), body, attributes };
        let (answer,) = linked.call::<ApplyResponse>(store, (request(asked), response)).await?;
        Ok(answer::or_problem(answer, limits, answer::response))
    }
}

impl Question for ToSend {
    type Answer = Result<Webhook, Problem>;

    async fn ask(
        &self,
        store: &mut Store<State>,
        linked: &Linked,
        limits: &Limits,
    ) -> wasmtime::Result<Result<Self::Answer, RunError>> {
        let Webhook { event, headers: fields, body, attributes } = &self.0;
        let webhook = WebhookRef { event, headers: headers(fields), body, attributes };
        let (answer,) = linked.call::<ApplyWebhook>(store, (webhook,)).await?;
        let checked = answer::or_problem(answer, limits, answer::webhook);
        // A change to the event is ignored, as the contract says.
        Ok(checked.map(|answer| answer.map(|webhook| Webhook { event: event.clone(), ..webhook })))
    }
}

fn request(request: &Request) -> RequestRef<'_> {
    RequestRef {
        id: &request.id,
        owner: &request.owner,
        api: &request.api,
        consumer: &request.consumer,
        attempt: request.attempt,
        method: &request.method,
        path: &request.path,
        query: request.query.as_deref(),
        headers: headers(&request.headers),
        body: &request.body,
        deadline_ms: request.deadline_ms,
        attributes: &request.attributes,
    }
}

fn headers(headers: &[(String, Bytes)]) -> HeadersRef<'_> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_ref())).collect()
}
