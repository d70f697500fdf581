//! The server: reads a delivery, reports it, answers as it is told to.

use super::check::Checks;
use super::conduct::{Body, Conduct, Manner, full};
use super::report::{Answered, Received, Report};
use crate::cli::out::note;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ripost_domain::signature::ID_HEADER;
use ripost_domain::time::Clock;
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, VecDeque};
use std::error::Error as _;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const BODY_BYTES_MAX: usize = 8 << 20;
const CONNECTIONS_MAX: usize = 256;
const IDS_MAX: usize = 10_000;
const ACCEPT_FAILED_WAIT: Duration = Duration::from_millis(50);
const HELP: &str = "ripost listen: give this address as `webhook_url`; what is POSTed here is shown in its terminal\n";

/// The answer is a reset.
#[derive(Debug, thiserror::Error)]
#[error("reset on request")]
struct Reset;

/// Ids that were here before, with what they brought.
#[derive(Default)]
struct Seen {
    bodies: HashMap<String, [u8; 32]>,
    order: VecDeque<String>,
}

/// The endpoint.
pub(super) struct Receiver {
    checks: Checks,
    conduct: Conduct,
    clock: Arc<dyn Clock>,
    reports: mpsc::Sender<Report>,
    /// How many were received, and which.
    seen: Mutex<(u64, Seen)>,
    connections: Arc<Semaphore>,
    /// Ends the server once cancelled; what is being answered still is.
    pub(super) stopping: CancellationToken,
    /// Who owns the connections.
    pub(super) tasks: TaskTracker,
}

impl Receiver {
    pub(super) fn new(checks: Checks, conduct: Conduct, clock: Arc<dyn Clock>, reports: mpsc::Sender<Report>) -> Self {
        Self {
            checks,
            conduct,
            clock,
            reports,
            seen: Mutex::default(),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let permit = self.connections.clone().acquire_owned().await.expect("the semaphore is never closed");
            let accepted = tokio::select! {
                () = self.stopping.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let receiver = self.clone();
                    self.tasks.spawn(async move {
                        receiver.connection(stream).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    note!("a connection could not be accepted: {error}");
                    tokio::time::sleep(ACCEPT_FAILED_WAIT).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(|request| self.answer(request));
        let mut connection =
            http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        let mut stopped = pin!(self.stopping.cancelled());
        let mut stopping = false;
        let ended = poll_fn(|context| {
            if !stopping && stopped.as_mut().poll(context).is_ready() {
                stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            Pin::new(&mut connection).poll(context)
        });
        if let Err(error) = ended.await
            && error.source().is_some_and(|cause| cause.is::<Reset>())
        {
            // Without lingering the socket's end is a RST.
            let _ = connection.into_parts().io.into_inner().set_zero_linger();
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Reset> {
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            let (status, text) = match request.uri().path() {
                "/" => (StatusCode::OK, HELP),
                _ => (StatusCode::NOT_FOUND, "nothing is here but /\n"),
            };
            return Ok(plain(status, text));
        }
        let (head, body) = request.into_parts();
        let read = Limited::new(body, BODY_BYTES_MAX).collect().await;
        let body = match read {
            Ok(body) => body.to_bytes(),
            Err(error) => {
                let (status, why) = if error.is::<LengthLimitError>() {
                    (StatusCode::PAYLOAD_TOO_LARGE, "its body is over 8 MiB".to_owned())
                } else {
                    (StatusCode::BAD_REQUEST, format!("its body did not arrive whole: {error}"))
                };
                self.report(Report::unread(self.clock.now(), &head, why, status)).await;
                return Ok(plain(status, ""));
            }
        };
        let at = self.clock.now();
        let id = head.headers.get(ID_HEADER).and_then(|id| id.to_str().ok());
        let (number, before) = self.count(id, &body);
        let verdict = self.checks.check(&head.headers, &body, at.as_seconds());
        let conduct = self.conduct.for_delivery(number);
        let status = conduct.status(&verdict);
        let answered = match conduct.manner {
            Manner::Answer => Answered::Status(status.as_u16()),
            Manner::Drip(_) => Answered::Drip(status.as_u16()),
            Manner::Hang => Answered::Nothing,
            Manner::Reset => Answered::Reset,
        };
        // Before it is answered: who waits wants to see it.
        let received = Received { at, head: &head, body: &body, verdict, before, answered, delay: conduct.delay };
        self.report(Report::new(received)).await;
        conduct.answer(status, self.stopping.clone()).await.ok_or(Reset)
    }

    async fn report(&self, report: Report) {
        // Nobody reads any more once --count is reached.
        let _ = self.reports.send(report).await;
    }

    /// The delivery's number, and whether its id was here before: `Some(true)` with the same body.
    fn count(&self, id: Option<&str>, body: &Bytes) -> (u64, Option<bool>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, seen) = &mut *seen;
        *count += 1;
        let Some(id) = id else { return (*count, None) };
        let hash: [u8; 32] = Sha256::digest(body).into();
        if let Some(known) = seen.bodies.get(id) {
            return (*count, Some(*known == hash));
        }
        if seen.order.len() == IDS_MAX
            && let Some(oldest) = seen.order.pop_front()
        {
            seen.bodies.remove(&oldest);
        }
        seen.order.push_back(id.to_owned());
        seen.bodies.insert(id.to_owned(), hash);
        (*count, None)
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(full(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
