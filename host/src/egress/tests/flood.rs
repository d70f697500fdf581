//! Receivers that send more than anybody wants: what is read is bounded, long before the deadline.

use super::receiver::Receiver;
use super::*;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep};

/// What the sockets of both sides hold besides what we read: far from 10 GiB, and from what fits the deadline.
const SOCKETS_HOLD: usize = 24 << 20;

/// Says `head`, and then `pattern` for ever. Counts what its socket took.
struct Flood {
    receiver: Receiver,
    sent: Arc<AtomicUsize>,
    cut_off: Arc<AtomicUsize>,
}

impl Flood {
    async fn start(head: &'static [u8], pattern: &'static [u8]) -> Self {
        let (sent, cut_off) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (counter, end) = (sent.clone(), cut_off.clone());
        let block = pattern.repeat(16 * 1024 / pattern.len());
        let receiver = Receiver::start(move |mut stream, _, log| {
            let (counter, end, block) = (counter.clone(), end.clone(), block.clone());
            async move {
                log.request(&mut stream).await;
                stream.write_all(head).await.unwrap();
                while let Ok(sent) = stream.write(&block).await {
                    counter.fetch_add(sent, Ordering::SeqCst);
                }
                end.fetch_add(1, Ordering::SeqCst);
            }
        })
        .await;
        Self { receiver, sent, cut_off }
    }

    async fn exchange(&self, client: &EgressClient) -> Result<Answer, SendError> {
        let started = Instant::now();
        // Not the deadline ends it.
        let Exchange { result, .. } =
            client.send(Outgoing { deadline: 60 * SECOND, ..post(&self.receiver.url()) }).await;
        while self.cut_off.load(Ordering::SeqCst) == 0 {
            assert!(started.elapsed() < 5 * SECOND, "the connection is still open");
            sleep(Duration::from_millis(2)).await;
        }
        let sent = self.sent.load(Ordering::SeqCst);
        assert!(sent < SOCKETS_HOLD, "{sent} bytes were taken");
        assert_eq!((client.idle_connections(), self.receiver.accepted()), (0, 1));
        result
    }
}

#[tokio::test]
async fn a_body_without_end_is_cut_at_its_bound() {
    for (head, pattern) in [
        (&b"HTTP/1.1 200 OK\r\n\r\n"[..], &b"x"[..]),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"8\r\nxxxxxxxx\r\n"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffff\r\n", b"x"),
    ] {
        let answer = Flood::start(head, pattern).await.exchange(&client()).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.excerpt.len(), answer.truncated), (200, 16 * 1024, true));
        assert!(answer.excerpt.iter().all(|byte| *byte == b'x'));
    }
}

#[tokio::test]
async fn a_compressed_body_is_not_decoded_but_cut_as_it_is() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03";
    let answer = Flood::start(head, b"\xec\xc1\x01").await.exchange(&client()).await.unwrap();
    assert_eq!((answer.excerpt.len(), answer.truncated), (16 * 1024, true));
    assert_eq!(&answer.excerpt[..16], b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xec\xc1\x01\xec\xc1\x01");
}

#[tokio::test]
async fn a_head_without_end_breaks_the_protocol() {
    for (head, pattern) in [
        (&b"HTTP/1.1 200 OK\r\n"[..], &b"x: y\r\n"[..]), // 100 000 headers and more
        (b"HTTP/1.1 200 OK\r\nx: ", b"y"),               // one of 1 MiB and more
        (b"HTTP/1.1 200 ", b"y"),
        (b"HTTP/1.1 ", b"2"),
        (b"", b"y"),
        (b"", b"\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n"),
    ] {
        let error = Flood::start(head, pattern).await.exchange(&client()).await.unwrap_err();
        assert_eq!((error.class(), error.status()), ("protocol", None), "{error:?} to {pattern:?}");
    }
}

#[tokio::test]
async fn what_is_around_chunks_without_end_breaks_the_protocol() {
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let in_trailers = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n";
    for (head, pattern) in [
        (&head[..], &b"1;extension=extension\r\nx\r\n"[..]),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", b"e"),
        (head, b"0"),
        (head, b"f"),
        (in_trailers, b"x: y\r\n"),
        (in_trailers, b"x"),
    ] {
        let error = Flood::start(head, pattern).await.exchange(&client()).await.unwrap_err();
        assert_eq!(
            (error.class(), error.status().map(|status| status.as_u16())),
            ("protocol", Some(200)),
            "{error:?} to {pattern:?}"
        );
    }
}
