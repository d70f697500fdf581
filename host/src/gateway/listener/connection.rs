//! One connection, from its first byte to its last: HTTP/1.1, or HTTP/2 by prior knowledge.

use super::line::{Left, Line, Wire};
use super::sending::Sending;
use super::share::Share;
use super::{Answer, HEAD_BYTES_MAX, Serving, http2, refusal};
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::net::TcpStream;

/// Nobody hears the answer any more.
#[derive(Debug, thiserror::Error)]
#[error("the caller has hung up")]
struct HungUp;

/// Serves a connection until it ends.
pub(super) async fn serve<A: Answer>(
    stream: TcpStream,
    peer: SocketAddr,
    answerer: Arc<A>,
    serving: Arc<Serving>,
    share: Share,
) {
    // Small answers go out at once.
    let _ = stream.set_nodelay(true);
    let line = Line::new(stream, serving.pace);
    let mut served = http1(&line, peer, &answerer, &serving).await;
    if line.is_http2() {
        // Boxed: few connections need it, and each would be as large as if it did.
        served = Box::pin(http2::serve(line.clone(), peer, answerer, serving.clone())).await;
    }
    let Err(error) = served else { return };
    tracing::debug!(%peer, %error, "A connection ended early");
    let Some(Left { stream, opening, refused, in_head, unread }) = line.left() else { return };
    if unread {
        serving.cut("unread");
    }
    let problem = match refused {
        Some(status) => refusal::unreadable(status, opening, &error),
        None if in_head && error.is_timeout() => refusal::slow(serving.header_time),
        None if in_head && error.is_incomplete_message() => refusal::torn(),
        None => return,
    };
    serving.refused(problem.status());
    refusal::say(stream, problem, serving.clock.now()).await;
    drop(share);
}

async fn http1<A: Answer>(
    line: &Arc<Line>,
    peer: SocketAddr,
    answerer: &Arc<A>,
    serving: &Serving,
) -> hyper::Result<()> {
    let service = service_fn(|request| {
        line.begin();
        answer_over(line.clone(), answerer.clone(), request, peer)
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(serving.header_time)
        .max_buf_size(HEAD_BYTES_MAX)
        // A caller may close its side once it has sent a whole request; `Line` finds out whether it is gone.
        .half_close(true);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(Wire(line.clone())), service));
    tokio::select! {
        served = connection.as_mut() => served,
        () = serving.stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

/// The answer, unless the caller is gone before it.
async fn answer_over<A: Answer>(
    line: Arc<Line>,
    answerer: Arc<A>,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response<Sending>, HungUp> {
    // Before HTTP/1.1 there were no interim answers.
    let can_be_asked = request.version() == Version::HTTP_11;
    let mut answering = pin!(answerer.answer(request, peer));
    let answered = poll_fn(|context| match answering.as_mut().poll(context) {
        Poll::Ready(response) => Poll::Ready(Some(response)),
        Poll::Pending => line.poll_gone(context, can_be_asked).map(|()| None),
    });
    let response = answered.await.ok_or(HungUp)?;
    Ok(response.map(|reply| Sending::new(reply, line)))
}
