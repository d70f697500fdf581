//! An endpoint that does what no endpoint should: bytes on a socket, no HTTP library in between.
//!
//! All of it is bounded, so that a host that does not defend itself fails a test and not the machine, and ends when it
//! is dropped.

use anyhow::{Context as _, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What one connection is given at most.
const CONNECTION_BYTES_MAX: u64 = 64 << 20;
/// How long one connection lasts at most.
const CONNECTION_MAX: Duration = Duration::from_secs(30);
/// Connections at once; more are closed at once.
const CONNECTIONS_MAX: usize = 512;
/// The longest request that is read.
const REQUEST_BYTES_MAX: usize = 2 << 20;
/// What is written at once.
const PIECE: usize = 16 << 10;

/// How the endpoint misbehaves. All but the first two read the request first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Takes the connection and reads nothing.
    NeverReads,
    /// Resets the connection (RST) as soon as it is there.
    ResetAtOnce,
    /// Never answers.
    Hangs,
    /// Closes without a word.
    Closes,
    /// Resets the connection (RST) instead of an answer.
    ResetsAfterRequest,
    /// Half a status line, and then nothing.
    HalfHead,
    /// A whole head that promises a body, and then nothing.
    HeadThenSilence,
    /// A byte of the head each so often.
    DripsHead(Duration),
    /// A whole head, and a byte of a body without end each so often.
    DripsBody(Duration),
    /// A body without end, as fast as it is taken; it ends with the connection.
    EndlessBody,
    /// A body without end in chunks.
    EndlessChunks,
    /// A chunk whose extension has no end.
    EndlessChunkExtension,
    /// A last chunk whose trailers have no end.
    EndlessTrailers,
    /// So many headers in an answer that is otherwise whole.
    Headers(usize),
    /// One header whose value has no end.
    EndlessHeader,
    /// Interim answers without end.
    InterimFlood,
    /// Says how long its body is, and sends less.
    CutShort,
    /// Begins its body, and resets the connection (RST).
    ResetsInBody,
    /// An answer that is no HTTP.
    Garbage,
    /// A whole answer whose body says `content-encoding: gzip` and would be 1000 times as large.
    GzipBomb,
    /// Two content lengths that differ.
    TwoLengths,
    /// 301 to this place.
    RedirectsTo(String),
    /// A whole answer with this status and these header lines (each with its CRLF).
    Answers(u16, String),
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    open: AtomicUsize,
    requests: AtomicUsize,
    bytes: AtomicU64,
}

/// The endpoint. It stops, with all its connections, when it is dropped.
pub struct Hostile {
    address: SocketAddr,
    counts: Arc<Counts>,
    _tasks: JoinSet<()>,
}

impl Hostile {
    /// An endpoint on a free loopback port.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(mode: Mode) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("binding a hostile endpoint")?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Counts::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, mode, counts.clone()));
        Ok(Self { address, counts, _tasks: tasks })
    }

    /// A URL of it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Connections that were opened to it so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::Acquire)
    }

    /// Connections that are open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::Acquire)
    }

    /// Requests that were read to their end so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::Acquire)
    }

    /// Bytes that were taken from it so far, those in the sockets' buffers included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.counts.bytes.load(Ordering::Acquire)
    }
}

async fn accept(listener: TcpListener, mode: Mode, counts: Arc<Counts>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        counts.connections.fetch_add(1, Ordering::AcqRel);
        while connections.try_join_next().is_some() {}
        if connections.len() < CONNECTIONS_MAX {
            let (mode, counts) = (mode.clone(), counts.clone());
            connections.spawn(async move {
                counts.open.fetch_add(1, Ordering::AcqRel);
                let mut peer = Peer { stream, counts: counts.clone(), left: CONNECTION_BYTES_MAX };
                // The other side hanging up is what it should do.
                let _ = tokio::time::timeout(CONNECTION_MAX, peer.misbehave(&mode)).await;
                drop(peer);
                counts.open.fetch_sub(1, Ordering::AcqRel);
            });
        }
    }
}

/// The other side of one connection.
struct Peer {
    stream: TcpStream,
    counts: Arc<Counts>,
    left: u64,
}

impl Peer {
    async fn misbehave(&mut self, mode: &Mode) -> Result<()> {
        match mode {
            Mode::NeverReads => return self.silence().await,
            Mode::ResetAtOnce => return Ok(self.stream.set_zero_linger()?),
            _ => self.read_request().await?,
        }
        match mode {
            Mode::NeverReads | Mode::ResetAtOnce | Mode::Closes => Ok(()),
            Mode::ResetsAfterRequest => Ok(self.stream.set_zero_linger()?),
            Mode::Hangs => self.silence().await,
            Mode::HalfHead => {
                self.write(b"HTTP/1.1 20").await?;
                self.silence().await
            }
            Mode::HeadThenSilence => {
                self.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n").await?;
                self.silence().await
            }
            Mode::DripsHead(every) => {
                self.write(b"HTTP/1.1 200 OK\r\n").await?;
                self.drip(*every).await
            }
            Mode::DripsBody(every) => {
                self.write(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                self.drip(*every).await
            }
            Mode::EndlessBody => self.flood(b"HTTP/1.1 200 OK\r\n\r\n", b"x").await,
            Mode::EndlessChunks => {
                self.flood(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n").await
            }
            Mode::EndlessChunkExtension => {
                self.flood(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;a=", b"x").await
            }
            Mode::EndlessTrailers => {
                self.flood(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n").await
            }
            Mode::Headers(count) => {
                self.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n").await?;
                self.write("x-a: b\r\n".repeat(*count).as_bytes()).await?;
                self.write(b"\r\n").await
            }
            Mode::EndlessHeader => self.flood(b"HTTP/1.1 200 OK\r\nx-a: ", b"b").await,
            Mode::InterimFlood => self.flood(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await,
            Mode::CutShort => self.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf").await,
            Mode::ResetsInBody => {
                self.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf").await?;
                // So that what was written arrives before the reset does.
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok(self.stream.set_zero_linger()?)
            }
            Mode::Garbage => self.write(b"220 mail.example ESMTP\r\n\0\x01\x02\xff\r\n\r\n").await,
            Mode::GzipBomb => {
                let bomb = gzip_bomb();
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
                self.write(head.as_bytes()).await?;
                self.write(&bomb).await
            }
            Mode::TwoLengths => {
                self.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab").await
            }
            Mode::RedirectsTo(to) => {
                let head =
                    format!("HTTP/1.1 301 Moved\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                self.write(head.as_bytes()).await
            }
            Mode::Answers(status, headers) => {
                let head = format!("HTTP/1.1 {status} So\r\n{headers}content-length: 2\r\nconnection: close\r\n\r\nno");
                self.write(head.as_bytes()).await
            }
        }
    }

    /// Until the other side hangs up; nothing is taken from what it sent.
    async fn silence(&mut self) -> Result<()> {
        while self.stream.peek(&mut [0]).await? > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn drip(&mut self, every: Duration) -> Result<()> {
        loop {
            self.write(b"x").await?;
            tokio::time::sleep(every).await;
        }
    }

    /// As much as is taken, up to the bound.
    async fn flood(&mut self, begin: &[u8], again: &[u8]) -> Result<()> {
        self.write(begin).await?;
        let piece = again.repeat(PIECE.div_ceil(again.len()));
        while self.left > 0 {
            self.write(&piece).await?;
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await?;
        let written = u64::try_from(bytes.len())?;
        self.left = self.left.saturating_sub(written);
        self.counts.bytes.fetch_add(written, Ordering::AcqRel);
        Ok(())
    }

    async fn read_request(&mut self) -> Result<()> {
        let mut read = Vec::new();
        let mut buffer = [0; 4096];
        while read.len() < REQUEST_BYTES_MAX {
            if whole(&read) {
                self.counts.requests.fetch_add(1, Ordering::AcqRel);
                return Ok(());
            }
            let count = self.stream.read(&mut buffer).await?;
            anyhow::ensure!(count > 0, "the request was not whole");
            read.extend_from_slice(&buffer[..count]);
        }
        anyhow::bail!("the request is too long")
    }
}

/// Whether head and body are there; webhooks say how long their body is.
fn whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    request.len() >= end + 4 + length.unwrap_or(0)
}

/// Some 200 KiB that a decoder would make 200 MiB of zeros from: one deflate block after another, each of one zero
/// and many copies of it.
fn gzip_bomb() -> Vec<u8> {
    let mut bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    let mut bits = Bits::default();
    for _ in 0..100 {
        // A block with the fixed codes, not the last: BFINAL 0, BTYPE 01.
        bits.put(0b010, 3);
        // The literal 0 is 00110000, most significant bit first.
        bits.put_code(0b0011_0000, 8);
        for _ in 0..8_000 {
            // 258 bytes (code 285, 11000101) from one byte back (distance code 0, five bits).
            bits.put_code(0b1100_0101, 8);
            bits.put_code(0, 5);
        }
        // End of the block: 0000000.
        bits.put_code(0, 7);
    }
    bomb.extend(bits.bytes);
    bomb
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    /// Least significant bit first.
    fn put(&mut self, value: u32, count: u32) {
        for bit in 0..count {
            if self.used == 0 {
                self.bytes.push(0);
            }
            if value >> bit & 1 == 1
                && let Some(last) = self.bytes.last_mut()
            {
                *last |= 1 << self.used;
            }
            self.used = (self.used + 1) % 8;
        }
    }

    /// Most significant bit first, as Huffman codes are.
    fn put_code(&mut self, code: u32, count: u32) {
        for bit in (0..count).rev() {
            self.put(code >> bit & 1, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(mode: Mode, most: usize) -> Vec<u8> {
        let hostile = Hostile::start(mode).await.unwrap();
        let mut stream = TcpStream::connect(hostile.address).await.unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
        let mut read = Vec::new();
        let mut buffer = [0; 4096];
        while read.len() < most {
            let count = stream.read(&mut buffer);
            match tokio::time::timeout(Duration::from_millis(500), count).await {
                Ok(Ok(count)) if count > 0 => read.extend_from_slice(&buffer[..count]),
                _ => break,
            }
        }
        assert_eq!((hostile.connections(), hostile.requests()), (1, 1));
        read
    }

    #[tokio::test]
    async fn each_endpoint_misbehaves_as_told() {
        assert!(answer(Mode::Hangs, 1).await.is_empty());
        assert!(answer(Mode::HeadThenSilence, 1000).await.ends_with(b"\r\n\r\n"));
        assert!(answer(Mode::CutShort, 1000).await.ends_with(b"half"));
        assert!(answer(Mode::EndlessBody, 1 << 20).await.len() >= 1 << 20);
        assert!(answer(Mode::Headers(100), 1000).await.ends_with(b"\r\n\r\n"));
        assert!(answer(Mode::Answers(410, String::new()), 1000).await.starts_with(b"HTTP/1.1 410 So\r\n"));
        let bomb = answer(Mode::GzipBomb, 1 << 20).await;
        assert!(bomb.len() >= 100_000, "{}", bomb.len());
    }

    #[test]
    fn a_request_is_whole_with_its_body_only() {
        assert!(!whole(b"POST / HTTP/1.1\r\n"));
        assert!(!whole(b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nhi"));
        assert!(whole(b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nhi!"));
        assert!(whole(b"GET / HTTP/1.1\r\n\r\n"));
    }
}
