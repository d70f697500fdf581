//! A body in a file, of which a piece at a time is in memory.

use bytes::Bytes;
use std::fs::File;
use std::io::{self, Read as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::task::{JoinHandle, spawn_blocking};

/// Larger pieces are no faster, and each reader has one in memory and one on its way.
const PIECE_BYTES: u64 = 64 << 10;

/// An open file of a known length: what becomes of its name meanwhile is nothing to its reader.
pub struct FileBody {
    /// Not told yet.
    left: u64,
    state: State,
}

enum State {
    Open(File),
    Reading(JoinHandle<io::Result<(File, Bytes)>>),
    Ended,
}

impl FileBody {
    /// From where the file stands, so many bytes.
    #[must_use]
    pub const fn new(file: File, bytes: u64) -> Self {
        Self { left: bytes, state: State::Open(file) }
    }

    pub(super) const fn left(&self) -> u64 {
        self.left
    }

    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let State::Open(_) = self.state
            && let State::Open(file) = std::mem::replace(&mut self.state, State::Ended)
            && self.left > 0
        {
            let bytes = self.left.min(PIECE_BYTES);
            self.state = State::Reading(spawn_blocking(move || piece(file, bytes)));
        }
        let State::Reading(reading) = &mut self.state else { return Poll::Ready(None) };
        let read = ready!(Pin::new(reading).poll(context)).map_err(io::Error::other).and_then(|read| read);
        Poll::Ready(Some(match read {
            Ok((file, bytes)) => {
                self.left -= bytes.len() as u64;
                self.state = State::Open(file);
                Ok(bytes)
            }
            Err(error) => {
                tracing::error!(%error, "A large result could not be read to its end; its reader is cut off");
                self.state = State::Ended;
                Err(error)
            }
        }))
    }
}

/// Blocks.
fn piece(mut file: File, bytes: u64) -> io::Result<(File, Bytes)> {
    let mut piece = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
    file.read_exact(&mut piece)?;
    Ok((file, piece.into()))
}

#[cfg(test)]
mod tests {
    use super::super::Reply;
    use super::*;
    use http_body_util::BodyExt as _;
    use hyper::body::Body as _;
    use std::io::{Seek as _, Write as _};

    async fn body(bytes: &[u8], announced: u64) -> Option<Bytes> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        let reply = Reply::File(FileBody::new(file, announced));
        assert_eq!(reply.size_hint().exact(), Some(announced));
        reply.collect().await.ok().map(http_body_util::Collected::to_bytes)
    }

    #[tokio::test]
    async fn a_file_comes_whole_or_breaks_off() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        assert_eq!(body(&bytes, 200_000).await.unwrap(), bytes);
        assert_eq!(body(&[], 0).await.unwrap(), Bytes::new());
        assert!(body(&bytes, 200_001).await.is_none(), "a file that is too short is no whole answer");
    }
}
