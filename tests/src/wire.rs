//! HTTP byte by byte: what no client would send.

use anyhow::{Context as _, Result, bail, ensure};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// For one whole answer; a test that waits longer has failed.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// A connection to a host.
pub struct Wire {
    /// The socket.
    pub stream: TcpStream,
    read: Vec<u8>,
}

/// One answer, as it came.
#[derive(Debug)]
pub struct Spoken {
    /// HTTP status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// As many bytes as `Content-Length` says, or all until the end.
    pub body: Vec<u8>,
}

impl Spoken {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("no JSON in {self:?}"))
    }

    /// The last part of a problem's type.
    ///
    /// # Errors
    /// It is no problem document of the gateway's own with a link to its page.
    pub fn problem(&self) -> Result<String> {
        ensure!(self.header("content-type") == Some("application/problem+json"), "no problem: {self:?}");
        let json = self.json()?;
        ensure!(json["status"] == self.status, "another status in {json} than {}", self.status);
        let slug = json["type"].as_str().and_then(|kind| kind.strip_prefix("urn:ripost:problem:"));
        let slug = slug.with_context(|| format!("no type of ours in {json}"))?;
        ensure!(self.header("link") == Some(&*format!("</problems/{slug}>; rel=\"help\"")), "no link: {self:?}");
        ensure!(json["detail"].as_str().is_some_and(|detail| detail.len() > 10), "says what to do: {json}");
        Ok(slug.to_owned())
    }
}

impl Wire {
    /// Connects to `http://127.0.0.1:PORT`.
    ///
    /// # Errors
    /// Nothing listens there.
    pub async fn open(url: &str) -> Result<Self> {
        let address: SocketAddr = url.trim_start_matches("http://").parse().context("an address")?;
        Ok(Self { stream: TcpStream::connect(address).await?, read: Vec::new() })
    }

    /// The same with room for so many bytes that were not read, so that the other side soon has to wait for a reader.
    ///
    /// # Errors
    /// Nothing listens there.
    pub async fn open_narrow(url: &str, room: u32) -> Result<Self> {
        let address: SocketAddr = url.trim_start_matches("http://").parse().context("an address")?;
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(room)?;
        Ok(Self { stream: socket.connect(address).await?, read: Vec::new() })
    }

    /// Sends bytes as they are. A host that has closed already takes none of them, which is no failure here: its answer
    /// tells.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Closes the sending side.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn close_sending(&mut self) -> Result<()> {
        Ok(self.stream.shutdown().await?)
    }

    /// The next answer, interim ones passed over.
    ///
    /// # Errors
    /// None came in time, or one that is no answer.
    pub async fn answer(&mut self) -> Result<Spoken> {
        tokio::time::timeout(ANSWER_MAX, self.read_answer()).await.context("no answer in time")?
    }

    /// Whether the other side ends the connection, by a close or a reset, within a time; what comes before is dropped.
    pub async fn ends_within(&mut self, time: Duration) -> bool {
        let mut sink = vec![0; 65536];
        let end = async { while self.stream.read(&mut sink).await.is_ok_and(|bytes| bytes > 0) {} };
        tokio::time::timeout(time, end).await.is_ok()
    }

    async fn more(&mut self) -> Result<bool> {
        let bytes = self.stream.read_buf(&mut self.read).await?;
        Ok(bytes > 0)
    }

    async fn read_answer(&mut self) -> Result<Spoken> {
        loop {
            let end = loop {
                match self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                    Some(at) => break at + 4,
                    None if !self.more().await? => {
                        bail!("the connection ended after {:?}", String::from_utf8_lossy(&self.read))
                    }
                    None => {}
                }
            };
            let head: Vec<u8> = self.read.drain(..end).collect();
            let head = String::from_utf8(head)?;
            let mut lines = head.trim_end().split("\r\n");
            let line = lines.next().unwrap_or_default();
            let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
            let status: u16 = status.with_context(|| format!("no status line: {line:?}"))?;
            if status < 200 {
                continue;
            }
            let mut headers = HeaderMap::new();
            for line in lines {
                let (name, value) = line.split_once(": ").with_context(|| format!("no field: {line:?}"))?;
                headers.append(HeaderName::try_from(name)?, HeaderValue::from_str(value)?);
            }
            let length = headers.get("content-length").and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
            while length.is_none_or(|length| self.read.len() < length) {
                if !self.more().await? {
                    ensure!(length.is_none(), "the answer broke off after {} of {length:?} bytes", self.read.len());
                    break;
                }
            }
            let body = self.read.drain(..length.unwrap_or(self.read.len())).collect();
            return Ok(Spoken { status, headers, body });
        }
    }
}

/// For one exchange.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Sends bytes as they are on a connection of their own, and has all that comes back until the other side closes.
///
/// # Errors
/// No connection, or no end within ten seconds.
pub async fn exchange(address: &str, bytes: &[u8]) -> Result<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address.trim_start_matches("http://")).await?;
        stream.write_all(bytes).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        anyhow::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    tokio::time::timeout(TIME_MAX, exchange).await.with_context(|| format!("{address}: no end of an answer"))?
}

/// Asks for a target as it is written, with more lines in the head, and has the whole answer.
///
/// # Errors
/// As [`exchange`].
pub async fn ask(address: &str, method: &str, target: &str, fields: &[(&str, &str)]) -> Result<String> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    exchange(address, format!("{head}\r\n").as_bytes()).await
}

/// The status of such an answer; 0 for what is none.
#[must_use]
pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}
