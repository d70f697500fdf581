//! Answers to heads that no call came of: the parser knows a status, and says nothing of what to do.

use super::line::Opening;
use crate::problem::{Kind, Problem};
use http_body_util::BodyExt as _;
use ripost_domain::time::Timestamp;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Of what still comes so much is read, for so long at most: who sends to a closed socket may never see the answer.
const LINGER_BYTES_MAX: usize = 16 << 20;
const LINGER_TIME_MAX: Duration = Duration::from_secs(2);

/// A head that the parser refuses with a status, for the reason that it gives.
pub(super) fn unreadable(status: u16, opening: Opening, reason: &hyper::Error) -> Problem {
    match status {
        431 => Problem::new(
            Kind::HeadTooLarge,
            format!(
                "At most {} header fields, and {} KiB of them with the request line, are accepted. Send fewer or shorter fields.",
                super::HEAD_FIELDS_MAX,
                super::HEAD_BYTES_MAX >> 10
            ),
        ),
        414 => Problem::new(Kind::UrlTooLong, "A URL has at most 65 534 bytes. Send long values in the body."),
        _ if opening == Opening::Tls => Problem::new(
            Kind::MalformedRequest,
            "This address speaks HTTP without TLS, and a TLS handshake came. Use http://, or the address of the proxy that has the certificate.",
        ),
        _ => Problem::new(
            Kind::MalformedRequest,
            format!(
                "The request line or a header field is not valid HTTP/1.1 ({reason}). Percent-encode what a URL may not contain, and send header values without control characters."
            ),
        ),
    }
}

/// A head that did not come to its end in time.
pub(super) fn slow(header_time: Duration) -> Problem {
    let detail = format!("The request line and the header fields must arrive within {} s.", header_time.as_secs_f64());
    Problem::new(Kind::RequestTimeout, detail)
}

/// A head whose sender ended before it.
pub(super) fn torn() -> Problem {
    Problem::new(
        Kind::MalformedRequest,
        "The connection ended within the request line or the header fields. Send the request again.",
    )
}

/// Says so, and lets the caller hear it before the connection ends.
pub(super) async fn say(mut stream: TcpStream, problem: Problem, now: Timestamp) {
    let answer = written(problem, now).await;
    let say = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        let (mut sink, mut read) = ([0; 4096], 0);
        while read < LINGER_BYTES_MAX {
            match stream.read(&mut sink).await? {
                0 => break,
                bytes => read += bytes,
            }
        }
        std::io::Result::Ok(())
    };
    // Who is gone already hears nothing.
    let _ = tokio::time::timeout(LINGER_TIME_MAX, say).await;
}

/// The problem as HTTP/1.1 has it on the wire.
async fn written(problem: Problem, now: Timestamp) -> Vec<u8> {
    let (head, body) = problem.into_response().into_parts();
    let body = body.collect().await.map_or_else(|never| match never {}, http_body_util::Collected::to_bytes);
    let mut bytes = format!(
        "HTTP/1.1 {}\r\nconnection: close\r\ncontent-length: {}\r\ndate: {}\r\n",
        head.status,
        body.len(),
        http_date(now)
    )
    .into_bytes();
    for (name, value) in &head.headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body);
    bytes
}

/// As `Date` has it (RFC 9110, 5.6.7).
fn http_date(now: Timestamp) -> String {
    let moment = jiff::Timestamp::from_millisecond(now.as_millis()).unwrap_or_default();
    // Fails only for years that have not four digits.
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&moment).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refusal_is_a_whole_answer_with_its_problem() {
        let answer = written(torn(), Timestamp::from_millis(784_111_777_000)).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n"), "{head}");
        assert!(head.contains("\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-type: application/problem+json\r\n"), "{head}");
        assert!(head.contains("link: </problems/malformed-request>; rel=\"help\""), "{head}");
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["status"], 400);
    }
}
