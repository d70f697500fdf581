//! What an upstream's answer is. Pure.

use crate::egress::{Answer, HOP_BY_HOP, connection_options};
use crate::plugins::Reply;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};
use ripost_runtime::{Limits, Response, Value};

/// It will call back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Later;

/// Reads an answer: the result, or word that it comes later.
///
/// # Errors
/// Why it cannot be used, in words for the owner and for the consumer.
pub(crate) fn meaning(reply: Reply, answer: Answer, limits: &Limits) -> Result<Result<Response, Later>, String> {
    let status = answer.status.as_u16();
    let empty = answer.excerpt.is_empty();
    let later = match reply {
        Reply::Inline => false,
        Reply::Callback => (200..=299).contains(&status),
        Reply::Auto => matches!(status, 202 | 204) || (200..=299).contains(&status) && empty,
    };
    if later {
        return Ok(Err(Later));
    }
    if !(200..=599).contains(&status) {
        return Err(format!("it answered with status {status}, which is none of 200 to 599"));
    }
    if answer.truncated {
        return Err(too_large(limits));
    }
    let mut bytes = 0;
    let headers: Vec<(String, Bytes)> = answer
        .headers
        .iter()
        .filter(|(name, _)| passes(name))
        .map(|(name, value)| {
            bytes += name.as_str().len() + value.len();
            (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes()))
        })
        .collect();
    if bytes > limits.response_headers_bytes {
        let max = Value::Bytes(limits.response_headers_bytes);
        return Err(format!("its headers have more than {max}, the limit `response_headers`"));
    }
    Ok(Ok(Response { status, headers, body: answer.excerpt, attributes: Vec::new() }))
}

/// Its body is too large.
pub(crate) fn too_large(limits: &Limits) -> String {
    let max = Value::Bytes(limits.response_body_bytes);
    format!("its body has more than {max}, the limit `response_body`")
}

fn is_named_by_connection(name: &HeaderName, headers: &HeaderMap) -> bool {
    connection_options(headers).any(|option| option.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// Cookies are for who called it, and that was the gateway. The length of a body that did not come is the answer to a HEAD.
fn passes(name: &HeaderName, method: &str) -> bool {
    let of_a_head = method == "HEAD" && *name == header::CONTENT_LENGTH;
    (of_a_head || !HOP_BY_HOP.contains(name)) && *name != header::SET_COOKIE && !name.as_str().starts_with("proxy-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn answer(status: u16, body: &'static str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            excerpt: Bytes::from_static(body.as_bytes()),
            truncated: false,
        }
    }

    fn read(reply: Reply, status: u16, body: &'static str) -> &'static str {
        match meaning(reply, answer(status, body), &Limits::default()) {
            Ok(Ok(response)) if response.status == status && response.body == body => "result",
            Ok(Err(Later)) => "later",
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_means_later_depends_on_the_reply() {
        for (status, body, auto, callback, inline) in [
            (200, "{}", "result", "later", "result"),
            (200, "", "later", "later", "result"),
            (201, "", "later", "later", "result"),
            (202, "{\"queued\":true}", "later", "later", "result"),
            (204, "", "later", "later", "result"),
            (303, "", "result", "result", "result"),
            (404, "", "result", "result", "result"),
            (500, "x", "result", "result", "result"),
        ] {
            let seen = [Reply::Auto, Reply::Callback, Reply::Inline].map(|reply| read(reply, status, body));
            assert_eq!(seen, [auto, callback, inline], "{status} {body:?}");
        }
    }

    #[test]
    fn an_answer_over_its_limits_or_with_no_status_of_http_cannot_be_used() {
        let limits = Limits::default();
        let large = Answer { truncated: true, ..answer(200, "{") };
        assert!(meaning(Reply::Auto, large, &limits).unwrap_err().contains("response_body"));
        assert!(meaning(Reply::Auto, answer(999, "x"), &limits).unwrap_err().contains("999"));
        let mut wide = answer(200, "x");
        wide.headers.insert("x-wide", "y".repeat(limits.response_headers_bytes).parse().unwrap());
        assert!(meaning(Reply::Auto, wide, &limits).unwrap_err().contains("response_headers"));
    }

    #[test]
    fn what_is_about_the_connection_or_for_a_browser_is_not_part_of_the_result() {
        let mut answer = answer(200, "x");
        for name in ["set-cookie", "connection", "keep-alive", "transfer-encoding", "content-length", "x-mine"] {
            answer.headers.insert(HeaderName::from_static(name), "1".parse().unwrap());
        }
        answer.headers.append("connection", "close, X-Hop".parse().unwrap());
        answer.headers.insert("x-hop", "1".parse().unwrap());
        let response = meaning(Reply::Auto, "POST", answer, &Limits::default()).unwrap().unwrap();
        assert_eq!(response.headers, [("x-mine".to_owned(), Bytes::from_static(b"1"))]);
    }
}
