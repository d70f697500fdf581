//! Accepts connections and serves them. A failed accept is logged and the loop goes on.

use super::reply::Reply;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The wait after an accept that failed for want of sockets.
const ACCEPT_FAILED_WAIT: Duration = Duration::from_millis(50);
/// For a response's head and small bodies in one write.
const MAX_BUFFER_BYTES: usize = 64 << 10;

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
    /// Connections at once.
    pub connections: Arc<Semaphore>,
    /// From the first byte of a head to its last, and for idling.
    pub header_time: Duration,
    /// Who owns the connections' tasks.
    pub tasks: TaskTracker,
    /// Cancelled when the host stops: no new requests, those under way are answered.
    pub stopping: CancellationToken,
}

/// Serves until the host stops.
pub async fn serve<A: Answer>(listener: TcpListener, answerer: Arc<A>, serving: Serving) {
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
                let (answerer, header_time, stopping) =
                    (answerer.clone(), serving.header_time, serving.stopping.clone());
                serving.tasks.spawn(async move {
                    connection(stream, peer, answerer, header_time, stopping).await;
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

async fn connection<A: Answer>(
    stream: TcpStream,
    peer: SocketAddr,
    answerer: Arc<A>,
    header_time: Duration,
    stopping: CancellationToken,
) {
    // Small answers go out at once.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let answerer = answerer.clone();
        async move { Ok::<_, Infallible>(answerer.answer(request, peer).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(header_time)
        .max_buf_size(MAX_BUFFER_BYTES)
        .pipeline_flush(true);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "A connection ended early");
    }
}
