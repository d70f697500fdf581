//! Receivers that take their time: the deadline is for all of it.

use super::receiver::Receiver;
use super::*;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

const DRIP: Duration = Duration::from_millis(10);

/// Ends by the deadline, in this phase, and nothing is kept of it.
async fn ends_late(receiver: &Receiver, class: &str, status: Option<u16>) {
    let client = client();
    let Exchange { result, facts } = hurried(&client, post(&receiver.url())).await;
    let error = result.unwrap_err();
    assert_eq!((error.class(), error.status().map(|status| status.as_u16())), (class, status), "{error:?}");
    assert!(!error.is_ours());
    let in_time = if status.is_some() { facts.phases.body } else { facts.phases.first_byte };
    assert!(in_time.unwrap() > DEADLINE / 2, "{facts:?}");
    assert_eq!((facts.peer, client.idle_connections()), (Some(receiver.address), 0));
}

/// Reads the request, says `beginning`, and goes on with `drop` by `drop` until it is cut off.
async fn dripping(beginning: &'static [u8], drop: &'static [u8], every: Duration) -> Receiver {
    Receiver::start(move |mut stream, _, log| async move {
        log.request(&mut stream).await;
        let _ = stream.write_all(beginning).await;
        loop {
            sleep(every).await;
            if stream.write_all(drop).await.is_err() {
                break;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_receiver_that_accepts_and_hangs() {
    let receiver = Receiver::start(|stream, _, _| async move {
        let _open: TcpStream = stream;
        std::future::pending().await
    })
    .await;
    ends_late(&receiver, "answer-timeout", None).await;
}

#[tokio::test]
async fn a_receiver_that_never_accepts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let error = hurried(&client(), post(&url)).await.result.unwrap_err();
    assert_eq!(error.class(), "answer-timeout", "the kernel has accepted in its place");
}

#[tokio::test]
async fn a_receiver_that_never_reads() {
    let receiver = Receiver::start(|stream, _, _| async move {
        let _open: TcpStream = stream;
        std::future::pending().await
    })
    .await;
    let body = Bytes::from(vec![b'x'; 32 << 20]);
    let error = hurried(&client(), Outgoing { body, ..post(&receiver.url()) }).await.result.unwrap_err();
    assert_eq!(error.class(), "answer-timeout");
}

#[tokio::test]
async fn a_receiver_that_reads_and_keeps_silent() {
    ends_late(&Receiver::saying_once(b"").await, "answer-timeout", None).await;
}

#[tokio::test]
async fn a_head_that_stops_in_the_middle() {
    ends_late(&Receiver::saying_once(b"HTTP/1.1 200 OK\r\nx-slow: ").await, "answer-timeout", None).await;
}

#[tokio::test]
async fn a_head_byte_by_byte() {
    ends_late(&dripping(b"HTTP/1.1 200 OK\r\nx: ", b"y", DRIP).await, "answer-timeout", None).await;
}

#[tokio::test]
async fn interim_answers_one_after_the_other() {
    ends_late(&dripping(b"", b"HTTP/1.1 102 Processing\r\n\r\n", DRIP).await, "answer-timeout", None).await;
}

#[tokio::test]
async fn a_head_and_then_silence() {
    for head in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n",
    ] {
        ends_late(&Receiver::saying_once(head).await, "body-timeout", Some(200)).await;
    }
}

#[tokio::test]
async fn a_body_byte_by_byte() {
    let lengthy = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
    for every in [DRIP, SECOND] {
        ends_late(&dripping(lengthy, b"x", every).await, "body-timeout", Some(200)).await;
    }
}

#[tokio::test]
async fn a_body_chunk_by_chunk_or_digit_by_digit() {
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for drop in [&b"1\r\nx\r\n"[..], b"0"] {
        ends_late(&dripping(chunked, drop, DRIP).await, "body-timeout", Some(200)).await;
    }
}

#[tokio::test]
async fn a_tls_handshake_byte_by_byte() {
    let receiver = Receiver::start(|mut stream, _, _| async move {
        // A record that is to have 16 KiB of a handshake.
        let _ = stream.write_all(&[0x16, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc]).await;
        while stream.write_all(&[0]).await.is_ok() {
            sleep(DRIP).await;
        }
    })
    .await;
    let url = format!("https://localhost:{}/", receiver.address.port());
    let Exchange { result, facts } = hurried(&client(), post(&url)).await;
    assert_eq!(result.unwrap_err().class(), "tls-timeout");
    assert!(facts.phases.tls.unwrap() > DEADLINE / 2 && facts.phases.first_byte.is_none());
    assert_eq!((facts.peer, facts.tls), (Some(receiver.address), None));
}
