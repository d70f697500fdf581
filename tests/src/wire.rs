//! HTTP byte by byte: what no client would send.

use anyhow::{Context as _, Result};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

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
