//! An answer on its way to the parser, which tells the connection when all of it is there.

use super::line::Line;
use super::streams;
use crate::gateway::reply::Reply;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The body of an answer over HTTP/1.1.
pub(super) struct Sending {
    reply: Reply,
    line: Arc<Line>,
}

impl Sending {
    pub(super) const fn new(reply: Reply, line: Arc<Line>) -> Self {
        Self { reply, line }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.line.handed();
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        // A stream has no end that its reader could be waiting for: one that closes its side has had enough.
        if self.reply.is_endless() && self.line.poll_ended(context).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.reply).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.reply.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.reply.size_hint()
    }
}

/// The body of an answer over HTTP/2: in small pieces, of which each has to be taken in time.
pub(super) struct Pieces {
    reply: Reply,
    /// The rest of a frame.
    rest: Bytes,
}

/// As much as a frame of HTTP/2 has, unless its receiver takes more.
const PIECE_BYTES: usize = 16 << 10;

impl Pieces {
    pub(super) const fn new(reply: Reply) -> Self {
        Self { reply, rest: Bytes::new() }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.rest.is_empty() {
            match Pin::new(&mut self.reply).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                // Now we are waited for, and not the reader.
                other => {
                    streams::nothing_to_take();
                    return other;
                }
            }
        }
        let bytes = self.rest.len().min(PIECE_BYTES);
        streams::to_be_taken(bytes);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.reply.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.reply.size_hint()
    }
}
