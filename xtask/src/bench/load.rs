//! A load generator that costs little: keep-alive connections, requests made once, answers skipped by their length.

use anyhow::{Context as _, Result, bail};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Digits of the number that makes each request another one.
const DIGITS: usize = 10;
const PLACE: &str = "@@@@@@@@@@";

/// A request with places for its number, always of the same length.
#[derive(Clone)]
pub(super) struct Template {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Template {
    /// A JSON call of an API; `@@@@@@@@@@` in the body is its number.
    pub(super) fn call(api: &str, body: &str) -> Self {
        let (owner, slug) = api.split_once('/').expect("an API is owner/slug");
        let text = format!(
            "POST /api/{owner}/api/{slug} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n\
             x-consumer-key: demo-public-key-2026\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let places = text.match_indices(PLACE).map(|(at, _)| at).collect();
        Self { bytes: text.into_bytes(), places }
    }

    /// With one more header, `name: value`.
    pub(super) fn with_header(self, line: &str) -> Self {
        let text = String::from_utf8(self.bytes).expect("a template is text");
        let (request_line, rest) = text.split_once("\r\n").expect("a template is a request");
        let text = format!("{request_line}\r\n{line}\r\n{rest}");
        let added = line.len() + 2;
        Self { bytes: text.into_bytes(), places: self.places.iter().map(|place| place + added).collect() }
    }

    fn number(&mut self, number: u64) -> &[u8] {
        let digits = format!("{number:0DIGITS$}");
        for place in &self.places {
            self.bytes[*place..place + DIGITS].copy_from_slice(digits.as_bytes());
        }
        &self.bytes
    }
}

/// One keep-alive connection.
pub(super) struct Connection {
    stream: TcpStream,
    template: Template,
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr, template: &Template) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, template: template.clone(), buffer: Vec::with_capacity(16 << 10) })
    }

    /// Sends request `number` and reads its answer; the status.
    pub(super) async fn call(&mut self, number: u64) -> Result<u16> {
        self.stream.write_all(self.template.number(number)).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the gateway closed the connection");
            }
            if let Some((status, length)) = answer(&self.buffer)?
                && self.buffer.len() >= length
            {
                return Ok(status);
            }
        }
    }
}

/// Status and whole length of an answer, once its head is there.
pub(super) fn answer(bytes: &[u8]) -> Result<Option<(u16, usize)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end]).context("an answer's head")?;
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).context("an answer's status")?;
    Ok(Some((status, end + 4 + content_length(head))))
}

/// What a head says of its body's length.
pub(super) fn content_length(head: &str) -> usize {
    let lengths = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.map(|(_, value)| value.trim().parse().unwrap_or(0)).next().unwrap_or(0)
}

/// The other side of a keep-alive connection: `answer` is given the head of each request once all of it is there.
pub(super) async fn answer_each(
    mut stream: TcpStream,
    mut answer: impl FnMut(&str) -> Result<&'static [u8]> + Send,
) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer: Vec<u8> = Vec::with_capacity(16 << 10);
    while stream.read_buf(&mut buffer).await? > 0 {
        let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end])?;
        let length = end + 4 + content_length(head);
        if buffer.len() < length {
            continue;
        }
        let said = answer(head)?;
        buffer.drain(..length);
        stream.write_all(said).await?;
    }
    Ok(())
}

/// Latencies of one kind, in microseconds.
#[derive(Default)]
pub(super) struct Latencies(Vec<u32>);

impl Latencies {
    pub(super) fn add(&mut self, latency: Duration) {
        self.0.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// In milliseconds; `share` of them are at most that.
    pub(super) fn percentile(&mut self, share: f64) -> f64 {
        if self.0.is_empty() {
            return f64::NAN;
        }
        self.0.sort_unstable();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index below the length")]
        let index = ((self.0.len() - 1) as f64 * share).round() as usize;
        f64::from(self.0[index]) / 1000.0
    }
}

/// Calls as fast as `connections` can, each waiting for its answer; every answer must have `status`.
pub(super) async fn closed_loop(
    address: SocketAddr,
    template: &Template,
    connections: u64,
    round: Duration,
    status: u16,
) -> Result<(f64, Latencies)> {
    let mut workers = tokio::task::JoinSet::new();
    let until = Instant::now() + round;
    for worker in 0..connections {
        let mut connection = Connection::open(address, template).await?;
        workers.spawn(async move {
            let (mut latencies, mut number) = (Latencies::default(), worker);
            while Instant::now() < until {
                let begun = Instant::now();
                let answered = connection.call(number).await?;
                if answered != status {
                    bail!("expected {status}, got {answered}");
                }
                latencies.add(begun.elapsed());
                number += connections;
            }
            Ok(latencies)
        });
    }
    let mut all = Latencies::default();
    while let Some(worker) = workers.join_next().await {
        all.extend(worker??);
    }
    Ok((all.len() as f64 / round.as_secs_f64(), all))
}
