//! HTTP/2 without TLS, by prior knowledge (RFC 9113, 3.3): what speaks it is a proxy or a library that was told to.
//! Each stream is bounded as a connection of HTTP/1.1 is, and all of them together as one peer.

use super::line::{Line, Wire};
use super::sending::Pieces;
use super::streams::{Streams, Under};
use super::{Answer, HEAD_BYTES_MAX, Serving};
use crate::gateway::reply::Reply;
use crate::problem::{Kind, Problem};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Calls at once on one connection.
const STREAMS_MAX: u32 = 100;
/// What may come of a body before it is read: of one, and of all.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// What is kept of answers, for each stream, when its reader is slow.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// Streams that were reset by their caller and not looked at yet, and those that we have reset: more is a flood.
const RESETS_PENDING_MAX: usize = 20;
const RESETS_LOCAL_MAX: usize = 100;
/// A ping has to be answered within this.
const PONG_TIME: Duration = Duration::from_secs(20);

/// Serves a connection whose first bytes say that it is one of HTTP/2.
pub(super) async fn serve<A: Answer>(
    line: Arc<Line>,
    peer: SocketAddr,
    answerer: Arc<A>,
    serving: Arc<Serving>,
) -> hyper::Result<()> {
    let streams = Streams::new(&serving);
    let service = service_fn(|request: Request<Incoming>| {
        let under = streams.begin();
        let (answerer, serving) = (answerer.clone(), serving.clone());
        async move { Ok::<_, Infallible>(answer(under, answerer, serving, request, peer).await.map(Pieces::new)) }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(streams.clone());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(RESETS_LOCAL_MAX)
        .keep_alive_interval(serving.header_time)
        .keep_alive_timeout(PONG_TIME);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(Wire(line)), service));
    let rest = tokio::select! {
        served = connection.as_mut() => return served,
        () = streams.flooded() => {
            serving.cut("resets");
            return Ok(());
        }
        // Nothing is under way, and perhaps not even the beginning is whole.
        () = streams.idle(serving.header_time) => serving.header_time,
        () = serving.stopping.cancelled() => serving.pace.patience,
    };
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        served = connection => served,
        // A peer that does not take the rest.
        () = streams.stuck(rest) => Ok(()),
    }
}

async fn answer<A: Answer>(
    under: Under,
    answerer: Arc<A>,
    serving: Arc<Serving>,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Response<Reply> {
    let refused = |problem: Problem| {
        serving.refused(problem.status());
        problem.into_response().map(Reply::from)
    };
    // One connection has many callers: each counts like a connection of its own.
    let (place, share) = (serving.connections.clone().try_acquire_owned(), serving.shares.enter(peer.ip()));
    let response = match (place, share) {
        (Ok(_place), Some(_share)) => answerer.answer(request, peer).await,
        _ => {
            let detail = "Too many calls are under way on the connections of this address, or on all. Send it again.";
            refused(Problem::new(Kind::Overloaded, detail).retry_after(Duration::from_secs(1)))
        }
    };
    under.answered();
    response
}
