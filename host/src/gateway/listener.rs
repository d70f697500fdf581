//! Accepts connections and serves them. A failed accept is logged and the loop goes on.

mod connection;
mod http2;
mod line;
mod pace;
mod refusal;
mod sending;
mod share;
mod streams;

pub use self::pace::Pace;
pub use self::share::Shares;
use super::class_of;
use super::reply::Reply;
use crate::telemetry::metrics::{Metrics, Reason, State};
use http::{Request, Response};
use hyper::body::Incoming;
use prometheus_client::metrics::counter::Counter;
use ripost_domain::time::Clock;
use socket2::SockRef;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The wait after an accept that failed for want of sockets.
const ACCEPT_FAILED_WAIT: Duration = Duration::from_millis(50);
/// For a request's head; a response's head and small bodies leave in one write of as much.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Fields of a request's head: what the parser has room for without allocating.
const HEAD_FIELDS_MAX: usize = 100;
/// What the kernel keeps of an answer beyond what is on its way to the reader.
const UNSENT_BYTES: u32 = 128 << 10;

/// What answers requests.
pub trait Answer: Send + Sync + 'static {
    /// Answers one request of a peer.
    fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Response<Reply>> + Send;
}

impl Answer for super::Gateway {
    async fn answer(self: &Arc<Self>, request: Request<Incoming>, peer: SocketAddr) -> Response<Reply> {
        super::Gateway::answer(self, request, peer).await
    }
}

/// How connections are served.
pub struct Serving {
    /// Connections at once, and calls at once of those that have many.
    pub connections: Arc<Semaphore>,
    /// How many of them one address may have.
    pub shares: Arc<Shares>,
    /// From the first byte of a head to its last, and for idling.
    pub header_time: Duration,
    /// How slowly an answer may be read.
    pub pace: Pace,
    /// Numbers.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who owns the connections' tasks.
    pub tasks: TaskTracker,
    /// Cancelled when the host stops: no new requests, those under way are answered.
    pub stopping: CancellationToken,
}

impl Serving {
    /// Counts a head that was refused.
    fn refused(&self, status: u16) {
        self.metrics.refused.get_or_create(&State { state: class_of(status) }).inc();
    }

    /// Counts a connection that was cut off.
    fn cut(&self, reason: &'static str) {
        self.cuts(reason).inc();
    }

    fn cuts(&self, reason: &'static str) -> Counter {
        self.metrics.connections_cut.get_or_create(&Reason { reason }).clone()
    }
}

/// Serves until the host stops.
pub async fn serve<A: Answer>(listener: TcpListener, answerer: Arc<A>, serving: Serving) {
    let serving = Arc::new(serving);
    keep_little_unsent(&listener);
    loop {
        let permit = tokio::select! {
            () = serving.stopping.cancelled() => return,
            permit = serving.connections.clone().acquire_owned() => permit.expect("the semaphore is never closed"),
        };
        let accepted = tokio::select! {
            () = serving.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(share) = serving.shares.enter(peer.ip()) else {
                    serving.cut("share");
                    continue;
                };
                let (answerer, kept) = (answerer.clone(), serving.clone());
                serving.tasks.spawn(async move {
                    connection::serve(stream, peer, answerer, kept, share).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "A connection could not be accepted");
                tokio::time::sleep(ACCEPT_FAILED_WAIT).await;
            }
        }
    }
}

/// Else the kernel takes megabytes of each large answer at once, read or not: memory that no budget of ours counts, and
/// copying that other answers wait for. Connections have it from the socket that accepts them.
fn keep_little_unsent(listener: &TcpListener) {
    if let Err(error) = SockRef::from(listener).set_tcp_notsent_lowat(UNSENT_BYTES) {
        tracing::warn!(%error, "The kernel does not bound what it keeps of answers that are not read");
    }
}
