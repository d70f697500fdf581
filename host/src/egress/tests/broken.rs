//! Receivers that hang up, or that speak something else than HTTP/1.1.

use super::receiver::Receiver;
use super::*;
use tokio::io::AsyncWriteExt as _;

/// Reads the request, says these bytes, and closes in the usual way.
async fn saying_and_closing(bytes: &'static [u8]) -> Receiver {
    Receiver::start(move |mut stream, _, log| async move {
        log.request(&mut stream).await;
        let _ = stream.write_all(bytes).await;
    })
    .await
}

async fn breaks(receiver: &Receiver, class: &str, status: Option<u16>) {
    let client = client();
    let Exchange { result, facts } = hurried(&client, post(&receiver.url())).await;
    let error = result.unwrap_err();
    assert_eq!((error.class(), error.status().map(|status| status.as_u16())), (class, status), "{error:?}");
    assert_eq!((error.is_ours(), facts.peer), (false, Some(receiver.address)));
    assert_eq!((receiver.accepted(), client.idle_connections()), (1, 0));
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
        breaks(&receiver, "connection-closed", None).await;
    }
}

#[tokio::test]
async fn a_reset_in_the_middle_of_an_answer() {
    for (bytes, class, status) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-"[..], "connection-closed", None),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", "body-cut", Some(200)),
    ] {
        let receiver = Receiver::start(move |mut stream, _, log| async move {
            log.request(&mut stream).await;
            stream.write_all(bytes).await.unwrap();
            tokio::time::sleep(Duration::from_millis(30)).await; // read first, so that the reset does not overtake it
            stream.set_zero_linger().unwrap();
        })
        .await;
        breaks(&receiver, class, status).await;
    }
}

#[tokio::test]
async fn an_end_before_the_answer_does() {
    for (bytes, class, status) in [
        (&b""[..], "connection-closed", None),
        (b"HTTP/1.1 200 OK\r\ncontent-", "connection-closed", None),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "connection-closed", None),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort", "body-cut", Some(200)),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n", "body-cut", Some(200)),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "body-cut", Some(200)),
    ] {
        breaks(&saying_and_closing(bytes).await, class, status).await;
    }
}

#[tokio::test]
async fn what_is_not_http_1_breaks_the_protocol() {
    for bytes in [
        &b"\0\xff\xfe garbage \x80\r\n\r\n"[..],
        b"hello\r\n\r\n",
        b"<html>HTTP/0.9</html>\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"-ERR unknown command 'POST'\r\n",
        b"220 mail.example.com ESMTP\r\n500 what?\r\n",
        b"\x15\x03\x01\0\x02\x02\x28\r\n\r\n",                         // TLS alert
        b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64",                     // HTTP/2: SETTINGS
        b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\x01", // and GOAWAY
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 2000 Wrong\r\n\r\n",
        b"HTTP/1.1 -20 Wrong\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbroken header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: \0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
    ] {
        breaks(&Receiver::saying_once(bytes).await, "protocol", None).await;
    }
}

#[tokio::test]
async fn chunks_that_are_not_chunks_break_the_protocol() {
    for bytes in [
        &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxx\r\n",
    ] {
        breaks(&Receiver::saying_once(bytes).await, "protocol", Some(200)).await;
    }
}

#[tokio::test]
async fn a_closed_port_refuses_the_connection() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let Exchange { result, facts } = hurried(&client(), post(&format!("http://{closed}/"))).await;
    let error = result.unwrap_err();
    assert_eq!((error.class(), error.public_class(), error.is_ours()), ("connect-refused", "unreachable", false));
    assert!(facts.phases.connect.is_some() && facts.peer.is_none() && facts.phases.first_byte.is_none());
}
