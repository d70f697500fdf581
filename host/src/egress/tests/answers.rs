//! What receivers answer, and what becomes of it.

use super::super::Phase;
use super::receiver::Receiver;
use super::*;
use http::{HeaderValue, StatusCode, header};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep};

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
    let answer = client().send(outgoing).await.unwrap();
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
async fn every_final_status_is_an_answer() {
    for (line, status) in [
        (&b"HTTP/1.1 204 No Content\r\n\r\n"[..], 204),
        (b"HTTP/1.1 205 Reset\r\ncontent-length: 0\r\n\r\n", 205),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", 304),
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
async fn a_body_without_end_is_cut_at_its_bound_and_the_connection_closed() {
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n"] {
        let sent = Arc::new(AtomicUsize::new(0));
        let counter = sent.clone();
        let receiver = Receiver::start(move |mut stream, _, log| {
            let counter = counter.clone();
            async move {
                log.request(&mut stream).await;
                stream.write_all(head.as_bytes()).await.unwrap();
                while stream.write_all(&[b'x'; 8192]).await.is_ok() {
                    counter.fetch_add(8192, Ordering::SeqCst);
                }
                counter.fetch_add(1 << 40, Ordering::SeqCst); // we were cut off
            }
        })
        .await;
        let client = client();
        let answer = send(&client, &receiver.url()).await.unwrap();
        assert_eq!((answer.status, answer.excerpt.len(), answer.truncated), (StatusCode::OK, 16 * 1024, true));
        assert_eq!(client.idle_connections(), 0);
        let started = Instant::now();
        while sent.load(Ordering::SeqCst) < 1 << 40 {
            assert!(started.elapsed() < 5 * SECOND, "the connection is still open");
            sleep(Duration::from_millis(5)).await;
        }
    }
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

#[tokio::test]
async fn a_compressed_body_is_kept_as_it_is() {
    let receiver =
        Receiver::answering(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x8b\x08\x00")
            .await;
    assert_eq!(&send(&client(), &receiver.url()).await.unwrap().excerpt[..], b"\x1f\x8b\x08\x00");
}

#[tokio::test]
async fn a_body_that_drips_ends_at_the_deadline() {
    let receiver = Receiver::start(|mut stream, _, log| async move {
        log.request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
        while stream.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let started = Instant::now();
    let error = client().send(Outgoing { deadline: SECOND / 4, ..post(&receiver.url()) }).await.unwrap_err();
    assert!(matches!(error, SendError::Timeout { phase: Phase::Body, status: Some(StatusCode::OK) }), "{error:?}");
    assert_eq!((error.class(), error.status(), error.is_ours()), ("body-timeout", Some(StatusCode::OK), false));
    assert!((SECOND / 4..2 * SECOND).contains(&started.elapsed()));
}

#[tokio::test]
async fn an_answer_that_never_begins_or_never_ends_its_head_ends_at_the_deadline() {
    for beginning in [&b""[..], b"HTTP/1.1 200 OK\r\nx-slow: "] {
        let receiver = Receiver::saying_once(beginning).await;
        let error = client().send(Outgoing { deadline: SECOND / 4, ..post(&receiver.url()) }).await.unwrap_err();
        assert!(matches!(error, SendError::Timeout { phase: Phase::Head, status: None }), "{error:?}");
        assert_eq!(receiver.requests().len(), 1);
    }
}

#[tokio::test]
async fn interim_answers_without_end_are_not_read_for_ever() {
    let receiver = Receiver::start(|mut stream, _, log| async move {
        log.request(&mut stream).await;
        while stream.write_all(&b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100)).await.is_ok() {}
    })
    .await;
    let started = Instant::now();
    let error = fails(&client(), &receiver.url()).await;
    assert_eq!(error.class(), "protocol", "{error:?}");
    assert!(started.elapsed() < SECOND, "not by the deadline");
}

#[tokio::test]
async fn a_head_that_is_too_large_or_no_http_is_a_class_of_its_own() {
    let mut many_headers = b"HTTP/1.1 200 OK\r\n".to_vec();
    many_headers.extend((0..100_000).flat_map(|number| format!("x-{number}: y\r\n").into_bytes()));
    let one_long = [&b"HTTP/1.1 200 OK\r\nx: "[..], &b"y".repeat(1 << 20)].concat();
    for bytes in [
        many_headers,
        one_long,
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        b"HTTP/1.1 999999 Wrong\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx".to_vec(),
    ] {
        let bytes: &'static [u8] = bytes.leak();
        let receiver = Receiver::saying_once(bytes).await;
        let error = fails(&client(), &receiver.url()).await;
        assert_eq!(error.class(), "protocol", "{error:?} to {:?}", &bytes[..bytes.len().min(40)]);
        assert!(!error.is_ours());
    }
}

#[tokio::test]
async fn chunks_that_are_not_chunks_break_the_protocol() {
    let receiver = Receiver::saying_once(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").await;
    let error = fails(&client(), &receiver.url()).await;
    assert_eq!((error.class(), error.status()), ("protocol", Some(StatusCode::OK)));
}

#[tokio::test]
async fn a_body_that_is_shorter_than_its_length_is_no_answer() {
    for bytes in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n",
    ] {
        let receiver = Receiver::start(move |mut stream, _, log| async move {
            log.request(&mut stream).await;
            let _ = stream.write_all(bytes).await;
        })
        .await;
        let error = fails(&client(), &receiver.url()).await;
        assert_eq!((error.class(), error.status()), ("body-cut", Some(StatusCode::OK)), "{error:?}");
    }
}

#[tokio::test]
async fn a_reset_before_or_after_the_request_was_read_is_a_broken_connection() {
    for read_first in [true, false] {
        let receiver = Receiver::start(move |mut stream, _, log| async move {
            if read_first {
                log.request(&mut stream).await;
            }
            stream.set_zero_linger().unwrap();
        })
        .await;
        let client = client();
        let error = fails(&client, &receiver.url()).await;
        assert_eq!((error.class(), error.is_ours()), ("connection-closed", false), "{error:?}");
        assert_eq!((receiver.accepted(), client.idle_connections()), (1, 0));
    }
}

#[tokio::test]
async fn a_closed_port_refuses_the_connection() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = fails(&client(), &format!("http://{closed}/")).await;
    assert_eq!((error.class(), error.public_class(), error.is_ours()), ("connect-refused", "unreachable", false));
}
