//! The bodies that we answer with: nearly all are whole, and those cost what a `Full` costs.

mod file;

pub use self::file::FileBody;
use super::stream::EventStream;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use ripost_store::StoredBody;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A response's body.
pub enum Reply {
    /// All of it is there.
    Whole(Full<Bytes>),
    /// It is read from its file as fast as it is taken.
    File(FileBody),
    /// It comes as things happen.
    Events(EventStream),
}

impl Reply {
    /// Whether it ends when something happens, and not when all of it was sent.
    #[must_use]
    pub const fn is_endless(&self) -> bool {
        matches!(self, Self::Events(_))
    }
}

impl From<Full<Bytes>> for Reply {
    fn from(whole: Full<Bytes>) -> Self {
        Self::Whole(whole)
    }
}

impl From<Bytes> for Reply {
    fn from(whole: Bytes) -> Self {
        Self::Whole(Full::new(whole))
    }
}

impl From<StoredBody> for Reply {
    fn from(body: StoredBody) -> Self {
        match body {
            StoredBody::Inline(bytes) => bytes.into(),
            StoredBody::File { file, bytes } => Self::File(FileBody::new(file, bytes)),
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(whole) => Pin::new(whole).poll_frame(context).map_err(|never| match never {}),
            Self::File(file) => file.poll_next(context).map_ok(Frame::data),
            Self::Events(events) => events.poll_next(context).map(|next| next.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::File(file) => file.left() == 0,
            Self::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::File(file) => SizeHint::with_exact(file.left()),
            Self::Events(_) => SizeHint::default(),
        }
    }
}
