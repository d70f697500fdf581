//! One request and its answer.

use super::connection::{Connection, HEAD_BYTES_MAX};
use super::error::SendError;
use super::facts::Facts;
use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use ripost_domain::address::WebhookUrl;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("Ripost/", env!("CARGO_PKG_VERSION")));
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// What is about the connection and not about the message; nobody sets it but us.
pub(crate) const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// What `Connection` says: fields that it names are about the connection too (RFC 9110, 7.6.1).
pub(crate) fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lists = headers.get_all(header::CONNECTION).into_iter();
    lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

/// On whose behalf something is sent. Connections are never shared between two parties: what was opened under one's
/// grant, and whatever the other side remembers of it, serves nobody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Party {
    /// The gateway itself: webhooks, alerts.
    Gateway,
    /// An owner's handler. It may name itself and ask for an encoding.
    Owner(Arc<str>),
}

/// What is sent.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// On whose behalf.
    pub party: Party,
    /// Where to.
    pub url: WebhookUrl,
    /// `POST`, for webhooks.
    pub method: Method,
    /// All but those about the connection and `Host`, which are ours; so are the gateway's `User-Agent` and
    /// `Accept-Encoding`.
    pub headers: HeaderMap,
    /// The bytes, as they are.
    pub body: Bytes,
    /// For all of it: look-up, connection, TLS, head and body of the answer.
    pub deadline: Duration,
    /// Bytes of the answer's body that are read before the connection is closed.
    pub response_bytes_read_max: usize,
    /// Bytes of them that are kept.
    pub response_bytes_kept: usize,
}

/// What came back, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Redirects among them: they are not followed.
    pub status: StatusCode,
    /// As they came.
    pub headers: HeaderMap,
    /// The beginning of the body, not decoded.
    pub excerpt: Bytes,
    /// Whether the body has more than that.
    pub truncated: bool,
}

/// How a request ended.
#[derive(Debug)]
pub struct Exchange {
    /// The answer, or why there is none.
    pub result: Result<Answer, SendError>,
    /// What is known in either case.
    pub facts: Facts,
}

impl Party {
    /// What connections of this party to an origin wait under. No owner's name and no origin has a space.
    pub(super) fn key<'a>(&self, origin: &'a str) -> Cow<'a, str> {
        match self {
            Self::Gateway => origin.into(),
            Self::Owner(owner) => format!("{owner} {origin}").into(),
        }
    }
}

/// Whether the connection can carry another request.
pub(super) enum After {
    Reusable,
    Spent,
}

/// The request as hyper wants it.
pub(super) fn request(outgoing: Outgoing) -> Result<(WebhookUrl, Request<Full<Bytes>>), SendError> {
    let Outgoing { party, url, method, mut headers, body, .. } = outgoing;
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    let uri = Uri::try_from(url.path_and_query()).map_err(|error| SendError::Request(error.into()))?;
    let host = HeaderValue::from_str(url.authority()).map_err(|error| SendError::Request(error.into()))?;
    headers.insert(header::HOST, host);
    for (name, ours) in [(header::USER_AGENT, USER_AGENT), (header::ACCEPT_ENCODING, IDENTITY)] {
        if party == Party::Gateway || !headers.contains_key(&name) {
            headers.insert(name, ours);
        }
    }
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok((url, request))
}

/// Reads the answer's body up to its bounds.
pub(super) async fn read(
    connection: &mut Connection,
    response: Response<Incoming>,
    read_max: usize,
    kept_max: usize,
) -> Result<(Answer, After), SendError> {
    let (head, mut body) = response.into_parts();
    // Chunks of one byte are six bytes on the wire; what is far beyond that is not an answer.
    connection.allow(read_max.saturating_mul(16).saturating_add(2 * HEAD_BYTES_MAX));
    let mut excerpt = BytesMut::new();
    let mut read = 0_usize;
    let mut whole = true;
    while !body.is_end_stream() {
        let frame = match connection.drive(body.frame()).await {
            None => break,
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Err(SendError::from_hyper(error, Some(head.status))),
        };
        let Some(bytes) = frame.data_ref() else { continue };
        read = read.saturating_add(bytes.len());
        excerpt.extend_from_slice(&bytes[..bytes.len().min(kept_max - excerpt.len())]);
        if read > read_max {
            whole = false;
            break;
        }
    }
    let after = if whole && connection.is_idle().await { After::Reusable } else { After::Spent };
    let truncated = !whole || read > excerpt.len();
    Ok((Answer { status: head.status, headers: head.headers, excerpt: excerpt.freeze(), truncated }, after))
}
