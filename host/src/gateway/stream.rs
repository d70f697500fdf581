//! `GET /requests/{id}/events`: what happens to a request, as server-sent events, until it has ended.
//!
//! Nothing is queued for a reader: whenever it has room it gets what is the case then. So a slow one costs nothing and
//! sees the latest progress only, and none misses the end, which is read from the store.

mod event;
mod places;

use self::event::{Seen, Standing, event};
use self::places::Place;
pub use self::places::Streams;
use super::Gateway;
use super::reply::Reply;
use super::requests::{allow_get, unknown, visible};
use super::status::LOOK_EVERY;
use crate::live::{News, Watcher};
use crate::problem::Problem;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use ripost_domain::id::RequestId;
use ripost_domain::request::State;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Between two events with the progress of one request; what comes in between is left out.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// So that whatever stands in between does not take the connection for dead; the store is looked at as well.
const HEARTBEAT_EVERY: Duration = LOOK_EVERY;
const HEARTBEAT: Bytes = Bytes::from_static(b": still here\n\n");
/// How soon a reader whose connection broke should come back.
const RETRY: &str = "retry: 2000\n";

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What comes next, and who goes on after it; `None`: nothing more.
type Next = Option<(Bytes, Option<Following>)>;

/// The events of one request for one reader.
pub struct EventStream {
    // Only as large as what it waits for: thousands of them are open and quiet.
    next: Option<Pin<Box<dyn Future<Output = Next> + Send>>>,
    _place: Place,
}

impl EventStream {
    fn new(following: Following, place: Place) -> Self {
        Self { next: Some(Box::pin(following.next())), _place: place }
    }

    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        let next = ready!(next.as_mut().poll(context));
        let (bytes, following) = next.unzip();
        self.next = following.flatten().map(|following| Box::pin(following.next()) as _);
        Poll::Ready(bytes)
    }
}

/// One reader's place in a request's story.
struct Following {
    gateway: Arc<Gateway>,
    watcher: Watcher,
    id: RequestId,
    seen: Seen,
    /// As the store had it last; `None`: it is to be asked.
    standing: Option<Standing>,
    progress_from: Instant,
    has_begun: bool,
}

/// What a look has found.
enum Found {
    Nothing,
    /// Progress that has to wait.
    TooEarly,
    Event(Bytes),
    Last(Bytes),
}

impl Following {
    async fn next(mut self) -> Next {
        loop {
            match Box::pin(self.look()).await {
                Ok(Found::Nothing) => {}
                Ok(Found::TooEarly) => {
                    self.wait_for_turn().await;
                    continue;
                }
                Ok(Found::Event(bytes)) => return Some((self.begun(bytes), Some(self))),
                Ok(Found::Last(bytes)) => return Some((self.begun(bytes), None)),
                // The reader comes back and is told why.
                Err(problem) => {
                    tracing::warn!(request.id = %self.id, problem = problem.kind(), "A stream of events ends early");
                    return None;
                }
            }
            tokio::select! {
                news = self.watcher.changed() => {
                    if news == News::Moved {
                        self.standing = None;
                    }
                }
                () = sleep(HEARTBEAT_EVERY) => {
                    self.standing = None;
                    return Some((HEARTBEAT, Some(self)));
                }
                () = self.gateway.stopping.cancelled() => return None,
            }
        }
    }

    /// Until the next progress may be told, or the store has news.
    async fn wait_for_turn(&mut self) {
        tokio::select! {
            () = sleep_until(self.progress_from) => {}
            () = self.watcher.moved() => self.standing = None,
            () = self.gateway.stopping.cancelled() => self.progress_from = Instant::now(),
        }
    }

    fn begun(&mut self, bytes: Bytes) -> Bytes {
        if std::mem::replace(&mut self.has_begun, true) {
            return bytes;
        }
        [RETRY.as_bytes(), &bytes].concat().into()
    }

    /// What the reader has not seen yet.
    async fn look(&mut self) -> Result<Found, Problem> {
        let standing = match self.standing {
            Some(standing) => standing,
            None => {
                let record = self.gateway.store.request(self.id).await?.ok_or_else(unknown)?;
                let state = visible(record.state, Some(self.watcher.entry()));
                // A run that is under way is in the count once it has ended.
                let attempt = record.attempt + u32::from(state == State::Running);
                let standing = Standing { state, attempt };
                if record.state.is_terminal() {
                    let current = self.gateway.current(record).await?;
                    return Ok(Found::Last(event("completed", &standing.last_id(), &current.body)));
                }
                self.standing = Some(standing);
                standing
            }
        };
        if self.seen.standing != Some(standing) {
            self.seen.standing = Some(standing);
            return Ok(Found::Event(event("state", &self.seen.id(), &standing.to_json(self.id))));
        }
        let Some(progress) = self.watcher.entry().progress() else { return Ok(Found::Nothing) };
        let json = serde_json::to_vec(&progress).expect("progress is plain JSON");
        let mut seen = self.seen;
        if !seen.is_new(&json) {
            return Ok(Found::Nothing);
        }
        if Instant::now() < self.progress_from {
            return Ok(Found::TooEarly);
        }
        self.seen = seen;
        self.progress_from = Instant::now() + PROGRESS_EVERY;
        Ok(Found::Event(event("progress", &self.seen.id(), &json)))
    }
}

impl Gateway {
    /// Opens a stream; a reader that has seen the end already is told not to come back.
    pub(super) async fn event_stream(
        self: &Arc<Self>,
        request: &Request<Incoming>,
        id: RequestId,
    ) -> Result<Response<Reply>, Problem> {
        allow_get(request.method())?;
        let consumer = self.reader(request.headers()).await?;
        self.own(id, &consumer).await?;
        let last = request.headers().get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if Standing::is_last_id(last) {
            let mut response = Response::new(Full::default().into());
            *response.status_mut() = StatusCode::NO_CONTENT;
            return Ok(response);
        }
        let place = self.streams.enter(consumer.id)?;
        let following = Following {
            gateway: self.clone(),
            watcher: Watcher::new(self.live.enter(id)),
            id,
            seen: Seen::parse(last),
            standing: None,
            progress_from: Instant::now(),
            has_begun: false,
        };
        let mut response = Response::new(Reply::Events(EventStream::new(following, place)));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Proxies of nginx's kind would keep events back.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        Ok(response)
    }
}
