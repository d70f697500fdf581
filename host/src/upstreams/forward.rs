//! A request on its way to its upstream: what it is made of, and the exchange.

use super::{Reach, Upstreams, any_address};
use crate::egress::{Answer, Exchange, Outgoing, Party, SendError};
use crate::gateway::fields::is_json;
use crate::keyring::{Keyring, random};
use crate::runs::Asked;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use ripost_domain::address::{UrlPolicy, WebhookUrl};
use ripost_domain::api::ApiName;
use ripost_domain::id::{ConsumerId, RequestId};
use ripost_domain::time::Timestamp;
use ripost_domain::{path, signature};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// The field of a JSON body that an owner's service finds our callback URL in.
const WEBHOOK_URL: &str = "webhook_url";

/// The content type of what is ours.
pub(super) const JSON: &str = "application/json";

/// What is forwarded, and where to.
pub(crate) struct Forward<'a> {
    pub(crate) asked: Asked<'a>,
    pub(crate) api: &'a ApiName,
    pub(crate) owner: &'a Arc<str>,
    pub(crate) url: &'a Url,
    pub(crate) reach: Reach,
    /// Of the callback URL; `None`: it answers inline and is given none.
    pub(crate) callback_epoch: Option<u32>,
    /// Bytes of the answer's body that are taken.
    pub(crate) answer_bytes_max: usize,
    /// For the whole exchange.
    pub(crate) deadline: Duration,
    pub(crate) now: Timestamp,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Forwarded {
    pub(crate) result: Result<Answer, NotAnswered>,
    /// Of the body that was sent.
    pub(crate) bytes_sent: usize,
    /// Whether it was sent twice: see [`crate::egress::Facts::resent`].
    pub(crate) resent: bool,
}

/// No answer came.
#[derive(Debug)]
pub(crate) enum NotAnswered {
    /// There is nowhere to send it: see [`check_target`], which a call has passed under the revision that accepted it.
    Address(String),
    /// It was sent, or was to be.
    Send(SendError),
}

impl Upstreams {
    /// Sends a request and reads the answer.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection; the upstream may have had the request.
    pub(crate) async fn forward(&self, forward: Forward<'_>) -> Forwarded {
        let way = self.way(forward.reach);
        let url = match address(forward.url, &forward.asked.input.path, forward.asked.input.query.as_deref()) {
            Ok(text) => parse(&text, &way.url_policy),
            Err(reason) => Err(reason),
        };
        let url = match url {
            Ok(url) => url,
            Err(reason) => {
                return Forwarded { result: Err(NotAnswered::Address(reason)), bytes_sent: 0, resent: false };
            }
        };
        let callback = forward.callback_epoch.map(|epoch| self.callback_url(forward.asked.id, epoch));
        let body = body(&forward.asked.input.headers, &forward.asked.input.body, callback.as_deref());
        let bytes_sent = body.len();
        let method = Method::from_bytes(forward.asked.input.method.as_bytes()).unwrap_or(Method::POST);
        // `Ripost-Request-Id` and `webhook-id` are the same over all attempts.
        let outgoing = || Outgoing {
            party: Party::Owner(forward.owner.clone()),
            url: url.clone(),
            method: method.clone(),
            headers: headers(&forward, &self.keyring, callback.as_deref(), &body),
            body: body.clone(),
            deadline: forward.deadline.min(self.deadline),
            // One byte more, which tells an answer that is too large.
            response_bytes_read_max: forward.answer_bytes_max.saturating_add(1),
            response_bytes_kept: forward.answer_bytes_max,
        };
        let Exchange { result, facts } = way.client.send_repeatable(&outgoing).await;
        Forwarded { result: result.map_err(NotAnswered::Send), bytes_sent, resent: facts.resent }
    }
}

pub(super) fn parse(text: &str, policy: &UrlPolicy) -> Result<WebhookUrl, String> {
    WebhookUrl::parse_for_call(text, policy).map_err(|error| error.to_string())
}

/// Whether a call can be sent on: what it asks for stands below the upstream's own path, and the whole is a URL.
///
/// # Errors
/// What is wrong with its path or query, in words for the caller.
pub(crate) fn check_target(base: &Url, rest: &str, query: Option<&str>) -> Result<(), String> {
    if rest.is_empty() && query.is_none() {
        // As it was checked when it was loaded.
        return Ok(());
    }
    parse(&address(base, rest, query)?, &any_address()).map(drop)
}

/// The upstream's URL with what follows the API's own path appended, and both queries.
fn address(base: &Url, rest: &str, query: Option<&str>) -> Result<String, String> {
    let mut url = path::below(base, rest).map_err(|refused| format!("the path cannot be forwarded: {refused}"))?;
    let query: Vec<&str> = base.query().into_iter().chain(query).filter(|query| !query.is_empty()).collect();
    let mut query = query.join("&");
    if query.contains('\\') {
        // Not every program writes it as it should, and no URL has one.
        query = query.replace('\\', "%5C");
    }
    url.set_query((!query.is_empty()).then_some(&query));
    Ok(url.into())
}

/// The body with `webhook_url` put back as our callback URL, if it is a JSON object.
fn body(headers: &[(String, Bytes)], body: &Bytes, callback: Option<&str>) -> Bytes {
    let json = headers
        .iter()
        .any(|(name, value)| name == header::CONTENT_TYPE.as_str() && std::str::from_utf8(value).is_ok_and(is_json));
    let Some(callback) = callback.filter(|_| json) else { return body.clone() };
    let trimmed = body.trim_ascii();
    if trimmed.len() < 2 || !trimmed.starts_with(b"{") || !trimmed.ends_with(b"}") {
        return body.clone();
    }
    // At the end: whoever reads a name twice takes the last.
    let inner = trimmed[..trimmed.len() - 1].trim_ascii_end();
    let mut member = String::new();
    if inner.len() > 1 {
        member.push(',');
    }
    // The URL is ours, and has nothing in it that JSON would escape.
    let _ = write!(member, "\"{WEBHOOK_URL}\":\"{callback}\"}}");
    let mut whole = BytesMut::with_capacity(inner.len() + member.len());
    whole.extend_from_slice(inner);
    whole.extend_from_slice(member.as_bytes());
    whole.freeze()
}

/// The consumer's headers without what is for somebody else, and ours.
fn headers(forward: &Forward<'_>, keyring: &Keyring, callback: Option<&str>, body: &[u8]) -> HeaderMap {
    let Forward { asked, api, now, .. } = forward;
    let mut headers = HeaderMap::with_capacity(asked.input.headers.len() + 8);
    for (name, value) in &asked.input.headers {
        // The answer is stored as it comes: nothing is asked for that only the one who asked could decode.
        if name == "accept-encoding" || name.starts_with("ripost-") || name.starts_with("webhook-") {
            continue;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers.insert(HeaderName::from_static("ripost-attempt"), HeaderValue::from(asked.attempt));
    let message = asked.id.to_string();
    announce(&mut headers, keyring, api, &message, asked.id, asked.consumer, callback, *now, body);
    let traceparent = HeaderName::from_static("traceparent");
    if !headers.contains_key(&traceparent)
        && let Ok(made) = HeaderValue::from_str(&new_traceparent(asked.id.as_bytes()))
    {
        headers.insert(traceparent, made);
    }
    headers
}

/// What every message to an upstream has: which request it is about, and the signature.
#[expect(clippy::too_many_arguments, reason = "each is one header")]
pub(super) fn announce(
    headers: &mut HeaderMap,
    keyring: &Keyring,
    api: &ApiName,
    message: &str,
    id: RequestId,
    consumer: ConsumerId,
    callback: Option<&str>,
    now: Timestamp,
    body: &[u8],
) {
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    let seconds = now.as_seconds();
    let secret = keyring.upstream_secret(&api.owner);
    set(HeaderName::from_static(signature::ID_HEADER), message);
    set(HeaderName::from_static(signature::TIMESTAMP_HEADER), &seconds.to_string());
    set(HeaderName::from_static(signature::SIGNATURE_HEADER), &signature::sign_v1(&[&secret], message, seconds, body));
    set(HeaderName::from_static("ripost-request-id"), &id.to_string());
    set(HeaderName::from_static("ripost-consumer"), &keyring.opaque_consumer(api.owner.as_str(), consumer));
    if let Some(callback) = callback {
        set(HeaderName::from_static("ripost-callback-url"), callback);
    }
}

/// A trace of its own for a request that came without one: the same over all its attempts.
fn new_traceparent(id: &[u8; 16]) -> String {
    let (trace, parent) = (u128::from_be_bytes(*id), u64::from_be_bytes(random()));
    format!("00-{trace:032x}-{:016x}-01", parent | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_and_both_queries_are_appended() {
        let to = |base: &str, rest: &str, query: Option<&str>| address(&base.parse().unwrap(), rest, query);
        for (base, rest, query, url) in [
            ("http://h:8080/process", "", None, "http://h:8080/process"),
            ("http://h:8080/process", "/a/b", Some("x=1"), "http://h:8080/process/a/b?x=1"),
            ("http://h:8080/process?k=1", "", Some("x=1&y"), "http://h:8080/process?k=1&x=1&y"),
            ("http://h:8080/process", "/a/../b%20c", Some(""), "http://h:8080/process/b%20c"),
            ("http://h:8080/process", "", Some("x=C:\\a&y=../b"), "http://h:8080/process?x=C:%5Ca&y=../b"),
        ] {
            assert_eq!(to(base, rest, query).as_deref(), Ok(url), "{base} {rest}");
        }
    }

    #[test]
    fn what_cannot_be_sent_on_is_known_before() {
        let base = "http://h:8080/process".parse().unwrap();
        for (rest, query, says) in [
            ("/..%2fadmin", None, "encoded form"),
            ("/../admin", None, "leads out of the API"),
            ("", Some("q".repeat(8192)), "longer than 8192 bytes"),
        ] {
            let error = check_target(&base, rest, query.as_deref()).unwrap_err();
            assert!(error.contains(says), "{rest}: {error}");
        }
        for (rest, query) in [("", None), ("/a%2fb", Some("x=\\")), ("/\u{e9}", Some("\u{4e16}=1"))] {
            assert_eq!(check_target(&base, rest, query), Ok(()), "{rest}");
        }
    }

    #[test]
    fn a_json_object_gets_our_callback_url_and_any_other_body_stays_as_it_is() {
        let json = [("content-type".to_owned(), Bytes::from_static(b"application/json; charset=utf-8"))];
        let put = |text: &'static str| body(&json, &Bytes::from_static(text.as_bytes()), Some("http://g/callbacks/x"));
        for (given, made) in [
            ("{}", r#"{"webhook_url":"http://g/callbacks/x"}"#),
            (" { } ", r#"{"webhook_url":"http://g/callbacks/x"}"#),
            (r#"{"a":1}"#, r#"{"a":1,"webhook_url":"http://g/callbacks/x"}"#),
            ("{ \"a\" : 1 }\n", r#"{ "a" : 1,"webhook_url":"http://g/callbacks/x"}"#),
            ("[1]", "[1]"),
            ("\"}\"", "\"}\""),
            ("", ""),
        ] {
            assert_eq!(put(given), made, "{given}");
        }
        let text = [("content-type".to_owned(), Bytes::from_static(b"text/plain"))];
        assert_eq!(body(&text, &Bytes::from_static(b"{}"), Some("x")), "{}");
        assert_eq!(body(&json, &Bytes::from_static(b"{}"), None), "{}", "who answers inline is given none");
    }
}
