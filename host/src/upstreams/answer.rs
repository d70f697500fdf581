//! What an upstream's answer is. Pure.

use crate::egress::{Answer, HOP_BY_HOP, connection_options};
use crate::plugins::Reply;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};
use ripost_runtime::{Limits, Response, Value};

/// It will call back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Later;

/// Reads an answer to a request with this method: the result, or word that it comes later.
///
/// # Errors
/// Why it cannot be used, in words for the owner and for the consumer.
pub(crate) fn meaning(
    reply: Reply,
    method: &str,
    answer: Answer,
    limits: &Limits,
) -> Result<Result<Response, Later>, String> {
    let status = answer.status.as_u16();
    if means_later(reply, method, status, answer.excerpt.is_empty()) {
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
        .filter(|(name, _)| passes(name, method) && !is_named_by_connection(name, &answer.headers))
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

/// A HEAD has no body that could say anything, so its answer is what it is. Of PUT and DELETE an empty 2xx is what most
/// services say when all is done; of POST and PATCH it is what those say who have only taken it.
fn means_later(reply: Reply, method: &str, status: u16, empty: bool) -> bool {
    let success = (200..=299).contains(&status);
    match reply {
        Reply::Inline => false,
        Reply::Callback => success,
        Reply::Auto => match method {
            "HEAD" => false,
            "POST" | "PATCH" => status == 202 || success && empty,
            _ => status == 202,
        },
    }
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

    fn read(reply: Reply, method: &str, status: u16, body: &'static str) -> &'static str {
        match meaning(reply, method, answer(status, body), &Limits::default()) {
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
            let seen = [Reply::Auto, Reply::Callback, Reply::Inline].map(|reply| read(reply, "POST", status, body));
            assert_eq!(seen, [auto, callback, inline], "{status} {body:?}");
        }
    }

    #[test]
    fn an_empty_success_is_the_answer_unless_something_was_to_be_done_with_a_body() {
        // 202; an empty 200, 201 or 204.
        for (method, accepted, empty) in [
            ("POST", "later", "later"),
            ("PATCH", "later", "later"),
            ("GET", "later", "result"),
            ("PUT", "later", "result"),
            ("DELETE", "later", "result"),
            ("HEAD", "result", "result"),
            ("PROPFIND", "later", "result"),
        ] {
            assert_eq!(read(Reply::Auto, method, 202, ""), accepted, "{method}");
            for status in [200, 201, 204, 205, 206] {
                assert_eq!(read(Reply::Auto, method, status, ""), empty, "{method} {status}");
                assert_eq!(read(Reply::Callback, method, status, ""), "later", "{method} {status}");
            }
        }
    }

    #[test]
    fn the_answer_to_a_head_keeps_the_length_that_it_names() {
        let mut named = answer(200, "");
        named.headers.insert("content-length", "5120".parse().unwrap());
        let headers =
            |method| meaning(Reply::Auto, method, named.clone(), &Limits::default()).unwrap().unwrap().headers;
        assert_eq!(headers("HEAD"), [("content-length".to_owned(), Bytes::from_static(b"5120"))]);
        assert_eq!(headers("GET"), []);
    }

    #[test]
    fn an_answer_over_its_limits_or_with_no_status_of_http_cannot_be_used() {
        let limits = Limits::default();
        let large = Answer { truncated: true, ..answer(200, "{") };
        assert!(meaning(Reply::Auto, "POST", large, &limits).unwrap_err().contains("response_body"));
        assert!(meaning(Reply::Auto, "POST", answer(999, "x"), &limits).unwrap_err().contains("999"));
        let mut wide = answer(200, "x");
        wide.headers.insert("x-wide", "y".repeat(limits.response_headers_bytes).parse().unwrap());
        assert!(meaning(Reply::Auto, "POST", wide, &limits).unwrap_err().contains("response_headers"));
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
