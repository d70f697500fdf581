//! A component of `wasi:http/incoming-handler`: our request as an HTTP one, and its HTTP answer as ours.
//!
//! Its author never heard of us. What our own handlers know from the record, these read in header fields: `ripost-request-id`,
//! `ripost-attempt`, `ripost-deadline-ms`, `ripost-owner`, `ripost-api`, `ripost-consumer`.

use std::fmt::Write as _;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use http_body_util::{BodyExt as _, Full};
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::answer;
use crate::bindings::HandleHttp;
use crate::call::{Request, Response};
use crate::component::Linked;
use crate::guest::State;
use crate::limits::Limits;
use crate::run_error::RunError;

/// Who the guest is told it is: it has no name that anybody could resolve.
const AUTHORITY: &str = "ripost.invalid";

type Head = Result<http::Response<HyperOutgoingBody>, ErrorCode>;
type Answer = Result<Response, RunError>;

/// Calls it, and reads its answer while it runs: a body that does not fit into the buffer between the two would wait
/// for its reader for ever.
pub(crate) async fn ask(
    store: &mut Store<State>,
    linked: &Linked,
    request: &Request,
    limits: &Limits,
) -> wasmtime::Result<Answer> {
    let request = match incoming(request) {
        Ok(request) => request,
        Err(error) => return Ok(Err(RunError::Host(format!("its request is none that HTTP can carry: {error}")))),
    };
    let (sender, receiver) = oneshot::channel();
    let (request, outparam) = {
        let mut http = store.data_mut().http();
        (http.new_incoming_request(Scheme::Http, request)?, http.new_response_outparam(sender)?)
    };
    let mut told = false;
    // A budget that other tasks have used up would make it pend with everything there.
    let mut reading = Box::pin(tokio::task::unconstrained(read(receiver, limits, &mut told)));
    let mut answer = None;
    {
        let mut calling = std::pin::pin!(linked.call::<HandleHttp>(store, (request, outparam)));
        let called = std::future::poll_fn(|context| {
            if answer.is_none()
                && let Poll::Ready(read) = reading.as_mut().poll(context)
            {
                if read.is_err() {
                    // Whatever it still does, this is what came of it.
                    return Poll::Ready(Err(read));
                }
                answer = Some(read);
            }
            calling.as_mut().poll(context).map(Ok)
        });
        match called.await {
            Ok(returned) => returned?,
            Err(broken) => return Ok(broken),
        }
    }
    if answer.is_none() {
        // What it wrote last is there by now, or never will be.
        answer = std::future::poll_fn(|context| match reading.as_mut().poll(context) {
            Poll::Ready(read) => Poll::Ready(Some(read)),
            Poll::Pending => Poll::Ready(None),
        })
        .await;
    }
    drop(reading);
    Ok(answer.unwrap_or_else(|| {
        Err(RunError::InvalidResponse(if told {
            "it returned before it had finished its body (`outgoing-body.finish`)".to_owned()
        } else {
            NO_ANSWER.to_owned()
        }))
    }))
}

const NO_ANSWER: &str = "it never set `response-outparam`";

/// Head and body, checked as any handler's; trailers are dropped. `told` once there is a head.
async fn read(receiver: oneshot::Receiver<Head>, limits: &Limits, told: &mut bool) -> Answer {
    let response = match receiver.await {
        Ok(Ok(response)) => response,
        Ok(Err(code)) => {
            return Err(RunError::InvalidResponse(format!("it said `{}` in place of a response", named(&code))));
        }
        Err(_dropped) => return Err(RunError::InvalidResponse(NO_ANSWER.to_owned())),
    };
    *told = true;
    let (head, body) = response.into_parts();
    let body = collect(body, limits.response_body_bytes).await?;
    let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    answer::http(head.status.as_u16(), headers.collect(), body, limits)
}

async fn collect(mut body: HyperOutgoingBody, bytes_max: usize) -> Result<Bytes, RunError> {
    let (mut first, mut all, mut bytes) = (None, BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            RunError::InvalidResponse(
                "its body broke off before it was finished, or is not as long as it said".to_owned(),
            )
        })?;
        let Ok(data) = frame.into_data() else { continue };
        bytes += data.len();
        if bytes > bytes_max {
            return Err(RunError::ResponseTooLarge { part: "body", bytes, bytes_max });
        }
        // Most bodies are one piece, and are not copied.
        match first.take() {
            None if all.is_empty() => first = Some(data),
            None => all.extend_from_slice(&data),
            Some(before) => {
                all.extend_from_slice(&before);
                all.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| all.freeze()))
}

fn incoming(request: &Request) -> Result<http::Request<Full<Bytes>>, http::Error> {
    let mut headers = HeaderMap::with_capacity(request.headers.len() + 7);
    for (name, value) in &request.headers {
        headers.append(HeaderName::try_from(name.as_str())?, HeaderValue::from_maybe_shared(value.clone())?);
    }
    // In place of what a consumer may have sent by these names.
    for (name, value) in [
        ("ripost-request-id", request.id.as_str()),
        ("ripost-owner", request.owner.as_str()),
        ("ripost-api", request.api.as_str()),
        ("ripost-consumer", request.consumer.as_str()),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::try_from(value)?);
    }
    headers.insert(HeaderName::from_static("ripost-attempt"), HeaderValue::from(request.attempt));
    headers.insert(HeaderName::from_static("ripost-deadline-ms"), HeaderValue::from(request.deadline_ms));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(request.body.len()));
    let uri = Uri::builder().scheme("http").authority(AUTHORITY).path_and_query(target(request)?).build()?;
    let mut built = http::Request::new(Full::new(request.body.clone()));
    *built.method_mut() = Method::from_bytes(request.method.as_bytes())?;
    *built.uri_mut() = uri;
    *built.headers_mut() = headers;
    Ok(built)
}

/// Path and query, with what a URI may not have encoded.
fn target(request: &Request) -> Result<PathAndQuery, http::Error> {
    let mut target = String::with_capacity(request.path.len() + 1);
    if !request.path.starts_with('/') {
        target.push('/');
    }
    encode(&request.path, &mut target);
    if let Some(query) = &request.query {
        target.push('?');
        encode(query, &mut target);
    }
    Ok(PathAndQuery::try_from(target)?)
}

fn encode(text: &str, target: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte) {
            target.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(target, "%{byte:02X}");
        }
    }
}

/// As WIT has it, with what the guest adds; short, and in one line.
fn named(code: &ErrorCode) -> String {
    format!("{code:?}").chars().take(120).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_ours_is_an_http_request_that_says_the_same() {
        let request = Request {
            id: "req_1".to_owned(),
            owner: "demo".to_owned(),
            api: "echo".to_owned(),
            consumer: "c_1".to_owned(),
            attempt: 2,
            method: "PUT".to_owned(),
            path: "/a b/%20".to_owned(),
            query: Some("q=<1>".to_owned()),
            headers: vec![
                ("x-a".to_owned(), Bytes::from_static(b"1")),
                ("x-a".to_owned(), Bytes::from_static(b"2")),
                ("ripost-owner".to_owned(), Bytes::from_static(b"somebody else")),
                ("content-length".to_owned(), Bytes::from_static(b"999")),
            ],
            body: Bytes::from_static(b"body"),
            deadline_ms: 17,
            ..Request::default()
        };
        let built = incoming(&request).unwrap();
        assert_eq!(built.method(), "PUT");
        assert_eq!(built.uri(), "http://ripost.invalid/a%20b/%20?q=%3C1%3E");
        let values = |name: &str| built.headers().get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
        assert_eq!(values("x-a"), [b"1", b"2"]);
        for (name, value) in [
            ("ripost-request-id", "req_1"),
            ("ripost-owner", "demo"),
            ("ripost-api", "echo"),
            ("ripost-consumer", "c_1"),
            ("ripost-attempt", "2"),
            ("ripost-deadline-ms", "17"),
            ("content-length", "4"),
        ] {
            assert_eq!(values(name), [value.as_bytes()], "{name}");
        }
        assert_eq!(incoming(&Request { path: String::new(), ..request }).unwrap().uri().path(), "/");
    }
}
