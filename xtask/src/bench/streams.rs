//! (n) What following a request costs: quiet streams of `GET /requests/{id}/events`.

use super::figures::Table;
use super::memory::resident_mb;
use crate::products;
use anyhow::{Context as _, Result, ensure};
use ripost_tests::Host;
use serde_json::json;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const STREAMS: usize = 5000;
/// A stream's head and first event are far shorter.
const BEGINNING_BYTES_MAX: usize = 64 << 10;
/// Runs are paused, so that nothing ends a stream.
const CONFIG: &str = "[runs]\npaused = true\n[connections]\nstreams_per_consumer = 5000\n";

pub(super) async fn measure(table: &mut Table) -> Result<()> {
    let echo = products::plugins_dir().join("echo");
    let host = Host::builder().dev().only_config(CONFIG).plugin_dir(echo).start().await?;
    let address: SocketAddr = host.url().trim_start_matches("http://").parse().context("the gateway's address")?;
    let consumer = host.demo();
    let id = consumer.call("test/echo").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    let before = resident_mb(host.pid())?;
    let mut streams = Vec::with_capacity(STREAMS);
    for _ in 0..STREAMS {
        streams.push(open(address, consumer.key().unwrap_or_default(), &id).await?);
    }
    let grown = resident_mb(host.pid())? - before;
    table.section(&format!("(n) {} streams of one request's events, open and quiet", streams.len()));
    table.figure(
        "memory that they add",
        format!("{grown:.0} MB, {:.1} KB each", grown * 1000.0 / STREAMS as f64),
        "under 200 MB",
        Some(grown < 200.0),
    );
    Ok(())
}

/// A stream whose first event has come.
async fn open(address: SocketAddr, key: &str, id: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await.context("connecting")?;
    let request = format!("GET /requests/{id}/events HTTP/1.1\r\nhost: {address}\r\nx-consumer-key: {key}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains("event:") {
        let mut part = [0; 4096];
        let bytes = stream.read(&mut part).await?;
        ensure!(bytes > 0, "the stream ended: {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&part[..bytes]);
        ensure!(read.len() <= BEGINNING_BYTES_MAX, "the stream has no event at its beginning");
    }
    Ok(stream)
}
