//! The socket of one connection, as the parser of HTTP sees it and as we do: what is written while no call is being
//! answered is the parser's own refusal of a head, an answer has to be read in time, and a caller may close its side
//! without being gone.

use super::pace::Pace;
use bytes::{Buf as _, Bytes};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// How HTTP/2 begins without TLS (RFC 9113, 3.4); no other method begins so.
const HTTP2: &[u8] = b"PRI";
/// How TLS begins (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 22;
/// From the end of what a caller sends to the question whether it still listens: most answers come before that.
const ASK_AFTER: Duration = Duration::from_secs(1);
/// What asks. Every client of HTTP/1.1 skips it (RFC 9110, 15.2), Python's and others' this one only; a socket that was
/// closed altogether answers with a reset.
const QUESTION: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// More than the head and the body of a small answer.
const JOINED_BYTES: usize = 2048;

/// What a connection turned out to be by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    Unread,
    Http1,
    Http2,
    Tls,
}

/// Where the present call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing was asked.
    Idle,
    /// It is ours to answer.
    Answering,
    /// All of the answer is with the parser; some of it may not be written yet.
    Handed,
}

/// Whether the caller still sends.
enum Caller {
    Sends,
    /// It has closed its side. It may be gone, and may as well wait for its answer.
    HasEnded {
        look: Pin<Box<Sleep>>,
        asked: bool,
    },
}

/// How a reader's time runs out.
struct Stall {
    sleep: Pin<Box<Sleep>>,
    deadline: Instant,
}

/// One connection. Its parts are all polled by one task, so the lock is never waited for.
pub(super) struct Line {
    pace: Pace,
    state: Mutex<State>,
}

struct State {
    stream: TcpStream,
    opening: Opening,
    /// Read already, and to be read again.
    again: Bytes,
    turn: Turn,
    /// Bytes of a head have come.
    in_head: bool,
    /// Whether all that was written before has left.
    flushed: bool,
    /// Whether anything was written since the call began.
    answered: bool,
    caller: Caller,
    stall: Option<Stall>,
    /// The status of the parser's own answer to a head, which was not sent.
    refused: Option<u16>,
    /// An answer was not read in time.
    unread: bool,
}

/// What became of the connection, as the socket knows.
pub(super) struct Left {
    pub(super) stream: TcpStream,
    pub(super) opening: Opening,
    /// The status that the parser would refuse the last head with.
    pub(super) refused: Option<u16>,
    /// A head had begun and not come to its end.
    pub(super) in_head: bool,
    /// An answer was not read in time.
    pub(super) unread: bool,
}

impl Line {
    pub(super) fn new(stream: TcpStream, pace: Pace) -> Arc<Self> {
        let state = State {
            stream,
            opening: Opening::Unread,
            again: Bytes::new(),
            turn: Turn::Idle,
            in_head: false,
            flushed: true,
            answered: false,
            caller: Caller::Sends,
            stall: None,
            refused: None,
            unread: false,
        };
        Arc::new(Self { pace, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A whole head was read.
    pub(super) fn begin(&self) {
        let mut state = self.state();
        state.turn = Turn::Answering;
        state.in_head = false;
        state.answered = false;
    }

    /// The parser has all of the answer.
    pub(super) fn handed(&self) {
        let mut state = self.state();
        if state.turn == Turn::Answering {
            state.turn = Turn::Handed;
        }
    }

    /// Whether HTTP/2 is spoken here. The bytes that say so are read once more.
    pub(super) fn is_http2(&self) -> bool {
        self.state().opening == Opening::Http2
    }

    /// Ready once the caller sends nothing more, or is gone.
    pub(super) fn poll_ended(&self, context: &mut Context<'_>) -> Poll<()> {
        self.state().poll_ended(context)
    }

    /// Ready once nobody is there to hear the answer to the present call. A caller that has closed its side is asked,
    /// if it `can_be_asked`.
    pub(super) fn poll_gone(&self, context: &mut Context<'_>, can_be_asked: bool) -> Poll<()> {
        self.state().poll_gone(context, can_be_asked)
    }

    /// The socket again, once the parser has let go of it.
    pub(super) fn left(self: Arc<Self>) -> Option<Left> {
        let State { stream, opening, refused, in_head, unread, .. } =
            Arc::into_inner(self)?.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        Some(Left { stream, opening, refused, in_head, unread })
    }
}

impl State {
    fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Caller::HasEnded { .. } = self.caller {
            return Poll::Ready(());
        }
        let mut byte = [0];
        match ready!(self.stream.poll_peek(context, &mut ReadBuf::new(&mut byte))) {
            // The rest of its body, or its next call: it is there.
            Ok(1..) => Poll::Pending,
            Ok(0) => {
                let look = Box::pin(sleep_until(Instant::now() + ASK_AFTER));
                self.caller = Caller::HasEnded { look, asked: false };
                Poll::Ready(())
            }
            Err(_) => Poll::Ready(()),
        }
    }

    fn poll_gone(&mut self, context: &mut Context<'_>, can_be_asked: bool) -> Poll<()> {
        ready!(self.poll_ended(context));
        let Caller::HasEnded { look, asked } = &mut self.caller else { return Poll::Ready(()) };
        loop {
            ready!(look.as_mut().poll(context));
            if !matches!(self.stream.take_error(), Ok(None)) {
                return Poll::Ready(());
            }
            // Between two answers, and not amid one.
            if can_be_asked && !*asked && !self.answered && self.flushed && self.turn == Turn::Answering {
                *asked = true;
                if self.stream.try_write(QUESTION).is_err() {
                    return Poll::Ready(());
                }
            }
            look.as_mut().reset(Instant::now() + ASK_AFTER);
        }
    }

    /// Notes what became of a write, and ends a reader that takes too little.
    fn written(
        &mut self,
        pace: Pace,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.flushed = false;
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.answered = true;
                if let Some(stall) = &mut self.stall {
                    stall.deadline = pace.after(stall.deadline, Instant::now(), bytes);
                }
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let stall = self.stall.get_or_insert_with(|| {
                    let deadline = pace.begin(Instant::now());
                    Stall { sleep: Box::pin(sleep_until(deadline)), deadline }
                });
                if stall.sleep.deadline() != stall.deadline {
                    stall.sleep.as_mut().reset(stall.deadline);
                }
                ready!(stall.sleep.as_mut().poll(context));
                // What the kernel still has of the answer goes too.
                let _ = self.stream.set_zero_linger();
                self.unread = true;
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the answer was not read in time")))
            }
        }
    }

    /// Whether what is to be written is the parser's own: it refuses a head that it cannot read, in its own words.
    fn refuses(&mut self, bytes: &[u8]) -> bool {
        if self.opening == Opening::Http2 || self.turn != Turn::Idle {
            return false;
        }
        let status = bytes.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.first_chunk::<3>());
        let status = status.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        self.refused = Some(status.unwrap_or(400));
        true
    }
}

/// What the parser reads from and writes to.
pub(super) struct Wire(pub(super) Arc<Line>);

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state();
        if state.again.has_remaining() {
            let bytes = state.again.len().min(buffer.remaining());
            buffer.put_slice(&state.again.split_to(bytes));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut state.stream).poll_read(context, buffer))?;
        let read = &buffer.filled()[before..];
        if read.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if state.turn == Turn::Idle {
            state.in_head = true;
        }
        if state.opening == Opening::Unread {
            state.opening = match read {
                [TLS_HANDSHAKE, ..] => Opening::Tls,
                read if read.starts_with(HTTP2) => Opening::Http2,
                _ => Opening::Http1,
            };
            if state.opening == Opening::Http2 {
                state.again = Bytes::copy_from_slice(read);
                buffer.set_filled(before);
                return Poll::Ready(Err(io::Error::other("HTTP/2")));
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Parts that are together as small as most answers are: one buffer costs the kernel less than several.
fn join<'a>(parts: &[IoSlice<'_>], joined: &'a mut [u8; JOINED_BYTES]) -> Option<&'a [u8]> {
    let mut length = 0;
    for part in parts {
        joined.get_mut(length..length + part.len())?.copy_from_slice(part);
        length += part.len();
    }
    joined.get(..length)
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.state();
        if state.refuses(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut state.stream).poll_write(context, bytes);
        state.written(self.0.pace, context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.state();
        if state.refuses(slices.first().map_or(&[], |first| first)) {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let mut joined = [0; JOINED_BYTES];
        let written = match join(slices, &mut joined) {
            Some(bytes) => Pin::new(&mut state.stream).poll_write(context, bytes),
            None => Pin::new(&mut state.stream).poll_write_vectored(context, slices),
        };
        state.written(self.0.pace, context, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Comes when nothing is left to be written.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state();
        ready!(Pin::new(&mut state.stream).poll_flush(context))?;
        state.flushed = true;
        state.stall = None;
        if state.turn == Turn::Handed {
            state.turn = Turn::Idle;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state();
        // The refusal is still to be written, or HTTP/2 to be spoken.
        if state.refused.is_some() || state.again.has_remaining() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut state.stream).poll_shutdown(context)
    }
}
