//! How deliveries are answered: well, or badly on request.

use super::check::Verdict;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use std::io;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// The body of an answer; an error cuts the connection.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What to do with a delivery once it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Answer,
    /// A head, then a byte each so often, without end.
    Drip(Duration),
    Hang,
    Reset,
}

/// What was asked for on the command line.
#[derive(Debug, Clone)]
pub(super) struct Conduct {
    pub(super) manner: Manner,
    pub(super) status: Option<StatusCode>,
    pub(super) delay: Duration,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// For how many deliveries; `None`: all.
    pub(super) times: Option<u64>,
}

impl Default for Conduct {
    fn default() -> Self {
        Self {
            manner: Manner::Answer,
            status: None,
            delay: Duration::ZERO,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            times: None,
        }
    }
}

impl Conduct {
    /// What this one is for the delivery of that number, from 1.
    pub(super) fn for_delivery(&self, number: u64) -> Self {
        if self.times.is_some_and(|times| number > times) { Self::default() } else { self.clone() }
    }

    /// The status if there is an answer at all.
    pub(super) fn status(&self, verdict: &Verdict) -> StatusCode {
        let by_verdict = match verdict {
            Verdict::Refused(_) => StatusCode::UNAUTHORIZED,
            Verdict::Verified(_) | Verdict::Unchecked => StatusCode::OK,
        };
        self.status.unwrap_or(by_verdict)
    }

    /// Carries it out; `None`: the connection is to be reset.
    pub(super) async fn answer(self, status: StatusCode, stopping: CancellationToken) -> Option<Response<Body>> {
        sleep(self.delay).await;
        let body = match self.manner {
            Manner::Reset => return None,
            Manner::Hang => {
                stopping.cancelled().await;
                return None;
            }
            Manner::Drip(interval) => drip(interval, stopping),
            Manner::Answer => full(self.body),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = self.headers;
        Some(response)
    }
}

/// A body that is there.
pub(super) fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn drip(interval: Duration, stopping: CancellationToken) -> Body {
    let drops = stream::unfold(stopping, move |stopping| async move {
        let drop = tokio::select! {
            // Ended by an error: it never was a whole answer.
            () = stopping.cancelled() => Err(io::Error::from(io::ErrorKind::Interrupted)),
            () = sleep(interval) => Ok(Frame::data(Bytes::from_static(b"."))),
        };
        Some((drop, stopping))
    });
    StreamBody::new(drops).boxed_unsync()
}
