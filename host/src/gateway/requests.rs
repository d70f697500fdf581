//! `GET /requests/{id}` and its parts. An unknown id and somebody else's are the same 404.

use super::Gateway;
use super::answer;
use super::reply::Reply;
use super::view::{self, Current, DeliveryView, EMBEDDED_BYTES_MAX, Head, Outcome, SettlementView};
use crate::live::Entry;
use crate::problem::{Kind, Problem};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use ripost_domain::id::RequestId;
use ripost_domain::request::State;
use ripost_domain::time::Timestamp;
use ripost_store::{Answer, RequestRecord};
use serde_json::value::RawValue;
use std::sync::Arc;

/// Which part of a request is asked for.
pub(super) enum Part<'p> {
    Request,
    Result,
    Webhook(&'p str),
}

impl Gateway {
    pub(super) async fn get(
        &self,
        request: &Request<Incoming>,
        part: Part<'_>,
        id: RequestId,
    ) -> Result<Response<Reply>, Problem> {
        allow_get(request.method())?;
        let consumer = self.reader(request.headers()).await?;
        let record = self.own(id, &consumer).await?;
        match part {
            Part::Request => self.status(request.headers(), record).await.map(|response| response.map(Reply::from)),
            Part::Result => self.result(record).await,
            Part::Webhook(event) => {
                let Some((payload, body)) = self.store.open_payload(id, event).await? else {
                    return Err(self.no_payload(&record, event).await?);
                };
                let mut response = Response::new(Reply::from(body));
                let kind = HeaderValue::from_str(&payload.content_type)
                    .unwrap_or(HeaderValue::from_static("application/json"));
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                let id = payload.delivery_id.to_string();
                response.headers_mut().insert("webhook-id", HeaderValue::from_str(&id).expect("an id is ASCII"));
                Ok(response)
            }
        }
    }

    /// What stands in the path for an id can be none of ours.
    pub(super) async fn no_request(
        &self,
        request: &Request<Incoming>,
        id: &str,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        self.reader(request.headers()).await?;
        let shown: String = id.chars().filter(|letter| !letter.is_control()).take(64).collect();
        let detail = format!(
            "`{shown}` is not the id of a request: those are `req_` and 26 letters and digits, such as the `requestId` of a 202. Check the id; `GET /requests` lists yours."
        );
        Err(Problem::new(Kind::UnknownRequest, detail))
    }

    async fn no_payload(&self, record: &RequestRecord, event: &str) -> Result<Problem, Problem> {
        if self.store.unmade(record.id, event).await?.is_some() {
            let detail = format!(
                "The API's webhook transforms gave no payload for `{event}`, and nothing was sent. The result is under links.result; when the owner has mended it, POST /requests/{}/redeliver makes the webhook anew.",
                record.id
            );
            return Ok(Problem::new(Kind::PayloadUnmade, detail));
        }
        if record.state.is_terminal() && self.store.input(record.id).await?.is_none() {
            return Ok(contents_gone());
        }
        let state = record.state.as_str();
        let is_end = State::from_name(event).is_some_and(|named| named.is_terminal() && named != State::Completed);
        let hint = if is_end { " The end of a request is `completed` here, however it came." } else { "" };
        let detail = format!("This request has no webhook `{event}`, or not yet. Its state is `{state}`.{hint}");
        Ok(Problem::new(Kind::NotFound, detail))
    }

    pub(super) async fn result(&self, record: RequestRecord) -> Result<Response<Reply>, Problem> {
        match self.store.open_result(record.id).await? {
            Some((meta, body)) => Ok(answer::stored(record.id, meta, body)),
            None if record.state.is_terminal() && self.store.input(record.id).await?.is_none() => Err(contents_gone()),
            None if record.state.is_terminal() => Err(Problem::new(
                Kind::NotFound,
                format!(
                    "The request ended as `{}` without an answer; the reason is in its `error`.",
                    record.state.as_str()
                ),
            )),
            None => Err(Problem::new(
                Kind::NotFinished,
                format!("Its state is `{}`. Ask again later.", record.state.as_str()),
            )
            .retry_after(std::time::Duration::from_secs(1))),
        }
    }

    /// What `GET /requests/{id}` shows.
    pub(super) async fn current(&self, record: RequestRecord) -> Result<Current, Problem> {
        let live = self.live.get(record.id);
        let status = visible(record.state, live.as_ref());
        let embedded = record.result.as_ref().is_some_and(|meta| meta.bytes <= EMBEDDED_BYTES_MAX as u64);
        let answer = match (&record.result, embedded, record.state) {
            (Some(_), true, State::Completed) => self.store.result(record.id).await?.map(|stored| Answer {
                status: stored.meta.status,
                headers: stored.meta.headers,
                body: stored.body,
            }),
            (Some(meta), false, State::Completed) => {
                // Only its type and length matter: it is linked.
                let body = Bytes::from(vec![0; EMBEDDED_BYTES_MAX + 1]);
                Some(Answer { status: meta.status, headers: meta.headers.clone(), body })
            }
            _ => None,
        };
        let outcome = match (&answer, &record.problem) {
            (Some(answer), _) => Outcome::answer(answer),
            (None, Some(problem)) => Outcome::problem(problem),
            (None, None) => Outcome::none(),
        };
        let has_webhook = record.webhook_url.is_some();
        let result_url = || {
            let until = self.clock.now().after(self.result_url_ttl).as_seconds();
            format!("{}/results/{}", self.base, self.keyring.result_token(record.id, until))
        };
        let head = Head {
            id: record.id,
            status,
            api: &record.api,
            created_at: record.created_at,
            expires_at: record.expires_at,
            finished_at: record.finished_at,
            attempts: record.attempt,
            next_attempt_at: next_attempt_at(&record),
            settlement: SettlementView::new(record.settlement, record.split, record.captured),
            has_webhook,
            result_url: &result_url,
        };
        // Of a run that is over it says nothing any more.
        let progress = live.filter(|_| !record.state.is_terminal()).and_then(|entry| entry.progress());
        Ok(view::current(&self.base, head, outcome, progress, DeliveryView::new(record.delivery, has_webhook)))
    }

    /// A request among others: without progress and outcome.
    pub(super) fn outline(&self, record: RequestRecord) -> Result<Box<RawValue>, Problem> {
        let has_webhook = record.webhook_url.is_some();
        let head = Head {
            id: record.id,
            status: visible(record.state, self.live.get(record.id).as_ref()),
            api: &record.api,
            created_at: record.created_at,
            expires_at: record.expires_at,
            finished_at: record.finished_at,
            attempts: record.attempt,
            next_attempt_at: next_attempt_at(&record),
            settlement: SettlementView::new(record.settlement, record.split, record.captured),
            has_webhook,
            result_url: &String::new,
        };
        let delivery = DeliveryView::new(record.delivery, has_webhook);
        view::outline(&self.base, head, delivery).map_err(|error| Problem::new(Kind::Internal, error.to_string()))
    }
}

/// When it is run again; before the first run it is a queue that it waits for, and not a time.
fn next_attempt_at(record: &RequestRecord) -> Option<Timestamp> {
    (record.state == State::Accepted && record.attempt > 0).then_some(record.run_at)
}

/// A lease alone is not a run yet: it may be waiting in memory for its turn.
pub(crate) fn visible(state: State, live: Option<&Arc<Entry>>) -> State {
    match (state, live) {
        (State::Running, Some(entry)) if !entry.has_started() => State::Accepted,
        (state, _) => state,
    }
}

/// The request is still known, what was sent and answered is not.
pub(crate) fn contents_gone() -> Problem {
    let detail = "The request has ended long ago, and what was sent and answered is no longer kept. How long that is is the operator's setting `retention.results`.";
    Problem::new(Kind::ContentsGone, detail)
}

/// Not there, or not the caller's.
pub(super) fn unknown() -> Problem {
    Problem::new(Kind::UnknownRequest, "Check the id and the consumer key; requests are kept for a while only.")
}

/// A JSON response.
pub(super) fn json(body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// # Errors
/// 405 for anything but GET and HEAD.
pub(super) fn allow_get(method: &Method) -> Result<(), Problem> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    Err(Problem::new(Kind::MethodNotAllowed, "This can only be read: use GET or HEAD.")
        .header(header::ALLOW, HeaderValue::from_static("GET, HEAD")))
}
