//! What an owner answered, as it goes to a consumer: it can never act on our origin.

use super::reply::Reply;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use ripost_domain::id::RequestId;
use ripost_store::{Answer, ResultMeta, StoredBody};

/// The header that names the request.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("ripost-request-id");

/// Whether an owner may set this header: nothing that acts on our origin or connection, or speaks in our name.
fn may_pass(name: &str) -> bool {
    const REFUSED: &[&str] = &[
        "alt-svc",
        "clear-site-data",
        "connection",
        "content-length",
        "content-security-policy",
        "content-security-policy-report-only",
        "expect-ct",
        "idempotent-replayed",
        "keep-alive",
        "nel",
        "preference-applied",
        "public-key-pins",
        "ratelimit",
        "ratelimit-policy",
        "report-to",
        "reporting-endpoints",
        "service-worker-allowed",
        "set-cookie",
        "set-cookie2",
        "strict-transport-security",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-content-type-options",
        "x-frame-options",
    ];
    const REFUSED_PREFIXES: &[&str] = &["access-control-", "proxy-", "ripost-", "webhook-"];
    !REFUSED.contains(&name) && !REFUSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The owner's status, headers and body as the response to the call itself.
#[must_use]
pub fn response_to(method: &Method, id: RequestId, answer: Answer) -> Response<Full<Bytes>> {
    // The length that a GET would have, which only the owner knows (RFC 9110, 9.3.2). Any other answer's is ours to say.
    let length = answer
        .headers
        .iter()
        .find(|(name, _)| *method == Method::HEAD && answer.body.is_empty() && name == header::CONTENT_LENGTH.as_str())
        .and_then(|(_, value)| HeaderValue::from_maybe_shared(value.clone()).ok());
    let mut response = response(id, answer);
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, length);
    }
    response
}

/// The owner's status, headers and body as a response of ours.
#[must_use]
pub fn response(id: RequestId, answer: Answer) -> Response<Full<Bytes>> {
    let Answer { status, headers, body } = answer;
    with_body(id, status, headers, |bodyless| Full::new(if bodyless { Bytes::new() } else { body }))
}

/// The same of one that is stored.
#[must_use]
pub fn stored(id: RequestId, meta: ResultMeta, body: StoredBody) -> Response<Reply> {
    let ResultMeta { status, headers, .. } = meta;
    with_body(id, status, headers, |bodyless| if bodyless { Bytes::new().into() } else { body.into() })
}

fn with_body<B>(id: RequestId, status: u16, owners: Vec<(String, Bytes)>, body: impl FnOnce(bool) -> B) -> Response<B> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let bodyless =
        status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED || status == StatusCode::RESET_CONTENT;
    let mut response = Response::new(body(bodyless));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in owners {
        let pair = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_maybe_shared(value).ok());
        if let Some((name, value)) = pair.filter(|(name, _)| may_pass(name.as_str())) {
            headers.append(name, value);
        }
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REQUEST_ID.clone(), request_id_value(id));
    response
}

/// An id as a header's value.
///
/// # Panics
/// Never: ids are ASCII.
#[must_use]
pub fn request_id_value(id: RequestId) -> HeaderValue {
    HeaderValue::from_str(&id.to_string()).expect("an id is ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripost_domain::time::Timestamp;

    #[test]
    fn an_answer_cannot_act_on_our_origin() {
        let names = [
            "set-cookie",
            "strict-transport-security",
            "access-control-allow-origin",
            "connection",
            "transfer-encoding",
            "content-security-policy",
            "ripost-request-id",
            "idempotent-replayed",
            "clear-site-data",
            "proxy-authenticate",
            "x-content-type-options",
        ];
        let mut headers: Vec<(String, Bytes)> =
            names.iter().map(|name| ((*name).to_owned(), Bytes::from_static(b"x"))).collect();
        headers.push(("content-type".into(), Bytes::from_static(b"text/html")));
        headers.push(("x-mine".into(), Bytes::from_static(b"1")));
        let id = RequestId::new(Timestamp::from_millis(1), [1; 10]);
        let response = response(id, Answer { status: 201, headers, body: Bytes::from_static(b"hi") });
        let mut seen: Vec<(String, String)> = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        seen.sort();
        let expected = [
            ("content-security-policy", "sandbox"),
            ("content-type", "text/html"),
            ("ripost-request-id", &id.to_string()),
            ("x-content-type-options", "nosniff"),
            ("x-mine", "1"),
        ];
        assert_eq!(seen, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(response.status(), 201);
    }

    #[test]
    fn only_the_answer_to_a_head_has_the_owners_content_length() {
        let id = RequestId::new(Timestamp::from_millis(1), [1; 10]);
        let length = |method: Method, body: &'static str| {
            let headers = vec![("content-length".to_owned(), Bytes::from_static(b"5120"))];
            let answer = Answer { status: 200, headers, body: Bytes::from_static(body.as_bytes()) };
            response_to(&method, id, answer).headers().get("content-length").cloned()
        };
        assert_eq!(length(Method::HEAD, "").unwrap(), "5120");
        assert_eq!(length(Method::HEAD, "a body of another length"), None);
        assert_eq!(length(Method::GET, ""), None);
    }
}
