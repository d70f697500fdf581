//! What receivers answer, and what becomes of it.

use super::receiver::Receiver;
use super::*;
use http::{HeaderValue, StatusCode, header};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn a_request_is_sent_as_it_is_with_our_own_headers_about_the_connection() {
    let receiver = Receiver::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-theirs: 1\r\n\r\nok").await;
    let mut outgoing = post(&format!("http://{}/a/b?c=d%20e#f", receiver.address));
    for (name, value) in [
        ("webhook-id", "dlv_1"),
        ("host", "evil.example"),
        ("user-agent", "somebody"),
        ("accept-encoding", "gzip"),
        ("transfer-encoding", "chunked"),
        ("content-length", "3"),
        ("connection", "close"),
        ("upgrade", "websocket"),
        ("expect", "100-continue"),
    ] {
        outgoing.headers.insert(http::HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let answer = client().send(outgoing).await.result.unwrap();
    assert_eq!((answer.status, &answer.excerpt[..], answer.truncated), (StatusCode::OK, &b"ok"[..], false));
    assert_eq!(answer.headers["x-theirs"], "1");
    let requests = receiver.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.lines().collect();
    lines[1..].sort_unstable();
    let host = format!("host: {}", receiver.address);
    let agent = format!("user-agent: Ripost/{}", env!("CARGO_PKG_VERSION"));
    let expected = [
        "POST /a/b?c=d%20e HTTP/1.1",
        "accept-encoding: identity",
        "content-length: 17",
        &host,
        &agent,
        "webhook-id: dlv_1",
    ];
    assert_eq!(lines, expected);
    assert_eq!(body, r#"{"hello":"world"}"#);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let elsewhere = Receiver::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    for status in [301, 302, 303, 307, 308] {
        let location = elsewhere.url();
        let receiver = Receiver::start(move |mut stream, _, log| {
            let answer = format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
            async move {
                log.request(&mut stream).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                std::future::pending().await
            }
        })
        .await;
        let answer = send(&client(), &receiver.url()).await.unwrap();
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.headers[header::LOCATION], elsewhere.url());
    }
    assert_eq!(elsewhere.accepted(), 0);
}

#[tokio::test]
async fn a_redirect_to_where_credentials_are_handed_out_is_told_and_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let location = "http://169.254.169.254/latest/meta-data/iam/";
        let text = format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let receiver = Receiver::saying_once(text.into_bytes().leak()).await;
        let Exchange { result, facts } = client().send(post(&receiver.url())).await;
        let answer = result.unwrap();
        assert_eq!((answer.status.as_u16(), answer.headers[header::LOCATION].to_str().unwrap()), (status, location));
        assert_eq!((facts.peer, receiver.requests().len()), (Some(receiver.address), 1));
    }
}

#[tokio::test]
async fn every_final_status_is_an_answer() {
    for (line, status) in [
        (&b"HTTP/1.1 204 No Content\r\n\r\n"[..], 204),
        (b"HTTP/1.1 205 Reset\r\ncontent-length: 0\r\n\r\n", 205),
        (b"HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-0/9\r\ncontent-length: 0\r\n\r\n", 206),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", 304),
        (b"HTTP/1.1 599 \r\ncontent-length: 0\r\n\r\n", 599),
        (b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n", 410),
        (b"HTTP/1.1 429 Slow Down\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n", 429),
        (b"HTTP/1.1 503\r\ncontent-length: 0\r\n\r\n", 503),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", 101),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", 200),
    ] {
        let receiver = Receiver::saying_once(line).await;
        let answer = send(&client(), &receiver.url()).await.unwrap();
        assert_eq!(answer.status.as_u16(), status);
        assert!(answer.excerpt.is_empty() && !answer.truncated);
    }
}

#[tokio::test]
async fn a_body_where_none_belongs_belongs_to_nothing() {
    for (bytes, status, excerpt) in [
        (&b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nextra"[..], 204, &b""[..]),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\nextra", 304, b""),
        (b"HTTP/1.1 205 Reset\r\ncontent-length: 5\r\n\r\nextra", 205, b"extra"),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n\x00\x00\x00\x04", 101, b""),
    ] {
        let receiver = Receiver::saying_once(bytes).await;
        let client = client();
        let answer = send(&client, &receiver.url()).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.excerpt[..]), (status, excerpt));
        // What is left over must not be taken for the answer to the next request.
        assert_eq!(client.idle_connections(), usize::from(status == 205), "{status}");
    }
}

#[tokio::test]
async fn an_answer_to_a_request_that_was_not_read_to_its_end_is_an_answer() {
    let receiver = Receiver::start(|mut stream, _, _| async move {
        let mut first = [0; 16];
        stream.read_exact(&mut first).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        std::future::pending().await
    })
    .await;
    let client = client();
    let body = Bytes::from(vec![b'x'; 32 << 20]);
    let answer = client.send(Outgoing { body, ..post(&receiver.url()) }).await.result.unwrap();
    assert_eq!((answer.status, &answer.excerpt[..]), (StatusCode::OK, &b"ok"[..]));
    assert_eq!(client.idle_connections(), 0, "half a request was sent on it");
}

#[tokio::test]
async fn chunks_of_one_byte_still_make_an_answer() {
    let receiver = Receiver::start(|mut stream, _, log| async move {
        log.request(&mut stream).await;
        let chunks = b"1\r\nx\r\n".repeat(10_000);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        let _ = stream.write_all(&chunks).await;
        let _ = stream.write_all(b"0\r\n\r\n").await;
        std::future::pending().await
    })
    .await;
    let client = client();
    let answer = send(&client, &receiver.url()).await.unwrap();
    assert_eq!((answer.excerpt.len(), answer.truncated), (10_000, false));
    assert_eq!(client.idle_connections(), 1);
}
