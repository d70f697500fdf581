//! One HTTP/1.1 connection. Whoever uses it drives it: there is no task behind it, so an exchange costs no wake-up of
//! another task, and a dropped one is a closed socket.

use super::error::SendError;
use super::facts::Facts;
use super::tls;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

/// Largest head of an answer, interim answers (1xx) before it counted in.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// TCP, or TLS over it.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The other side sent more than an answer may have.
#[derive(Debug, thiserror::Error)]
#[error("more bytes than an answer may have")]
pub(super) struct TooMuch;

/// A stream that stops reading when its allowance is used up: it bounds what a parser would go on skipping for ever,
/// such as interim answers without end.
struct Metered {
    stream: Stream,
    allowance: Arc<AtomicUsize>,
}

/// An open connection, in use by one exchange or idle.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Taken once the connection has ended.
    driver: Option<http1::Connection<TokioIo<Metered>, Full<Bytes>>>,
    allowance: Arc<AtomicUsize>,
    peer: SocketAddr,
    tls: Option<&'static str>,
    opened: Instant,
}

/// The request was not sent.
pub(super) enum Unsent {
    /// Not a byte of it was written: it can go by another connection.
    Untouched(Box<Request<Full<Bytes>>>, hyper::Error),
    /// It may have reached the other side.
    Perhaps(hyper::Error),
}

impl Connection {
    pub(super) async fn over(stream: Stream, peer: SocketAddr) -> Result<Box<Self>, SendError> {
        let allowance = Arc::new(AtomicUsize::new(0));
        let tls = match &stream {
            Stream::Tls(tls) => tls.get_ref().1.protocol_version().and_then(tls::version_name),
            Stream::Plain(_) => None,
        };
        let io = TokioIo::new(Metered { stream, allowance: allowance.clone() });
        let handshake = http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(io).await;
        let (sender, driver) = handshake.map_err(|error| SendError::from_hyper(error, None))?;
        Ok(Box::new(Self { sender, driver: Some(driver), allowance, peer, tls, opened: Instant::now() }))
    }

    /// Whom it reaches, and how.
    pub(super) fn tell(&self, facts: &mut Facts) {
        facts.peer = Some(self.peer);
        facts.tls = self.tls;
    }

    pub(super) const fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) const fn opened(&self) -> Instant {
        self.opened
    }

    /// Sends the request and waits for the head of the answer.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Unsent> {
        self.allow(HEAD_BYTES_MAX);
        let answer = self.sender.try_send_request(request);
        self.drive(answer).await.map_err(|mut error| match error.take_message() {
            Some(request) => Unsent::Untouched(Box::new(request), error.into_error()),
            None => Unsent::Perhaps(error.into_error()),
        })
    }

    /// How much may be read from now on.
    pub(super) fn allow(&self, bytes: usize) {
        self.allowance.store(bytes, Ordering::Relaxed);
    }

    /// Whether anything came in since the last request was to be sent.
    pub(super) fn was_read_from(&self) -> bool {
        self.allowance.load(Ordering::Relaxed) < HEAD_BYTES_MAX
    }

    /// Waits for something that happens on this connection.
    pub(super) async fn drive<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            // Asked first, since it says what the connection is to read; again because of what was read.
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            self.poll(cx);
            future.as_mut().poll(cx)
        })
        .await
    }

    /// Whether another request could be sent now: the last answer was read to its end, and nobody has hung up.
    pub(super) async fn is_idle(&mut self) -> bool {
        poll_fn(|cx| Poll::Ready(self.poll_idle(cx))).await
    }

    /// The same for one that nobody waits for.
    pub(super) fn is_idle_now(&mut self) -> bool {
        self.poll_idle(&mut Context::from_waker(Waker::noop()))
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> bool {
        self.poll(cx);
        self.driver.is_some() && self.sender.is_ready()
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        // How it ended, hyper has told whoever waits for the answer.
        if self.driver.as_mut().is_some_and(|driver| Pin::new(driver).poll(cx).is_ready()) {
            self.driver = None;
        }
    }
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        };
        let read = buf.filled().len() - before;
        // One reader at a time, so load and store need not be one step.
        match self.allowance.load(Ordering::Relaxed).checked_sub(read) {
            Some(rest) => self.allowance.store(rest, Ordering::Relaxed),
            None => return Poll::Ready(Err(io::Error::other(TooMuch))),
        }
        result
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, parts),
            Stream::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(tcp) => tcp.is_write_vectored(),
            Stream::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
