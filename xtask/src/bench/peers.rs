//! What the gateway is compared with: a bare hyper echo in its own process, `wasmtime serve`, and a bare loop that commits
//! the same rows.

use super::load::Latencies;
use anyhow::{Context as _, Result};
use bytes::Bytes;
use camino::Utf8Path;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The echo server, in a process of its own; ends with this value.
pub(super) struct Echo {
    process: Child,
    pub(super) address: SocketAddr,
}

impl Echo {
    pub(super) fn start() -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("bench-echo")
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the echo")?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("the echo's output")?).read_line(&mut line)?;
        Ok(Self { process, address: line.trim().parse().context("the echo's address")? })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `wasmtime serve` with a component of `wasi:http`; ends with this value.
pub(super) struct Serve {
    process: Child,
    pub(super) address: SocketAddr,
    pub(super) version: String,
}

impl Serve {
    /// Where the program is: variable `WASMTIME`, or `wasmtime` on the path; nothing if it is not installed.
    pub(super) fn program() -> Option<String> {
        let program = std::env::var("WASMTIME").unwrap_or_else(|_| "wasmtime".to_owned());
        crate::setup::answers(&program, &["--version"]).then_some(program)
    }

    pub(super) async fn start(program: &str, component: &Utf8Path) -> Result<Self> {
        let version = Command::new(program).arg("--version").output().context("asking wasmtime for its version")?;
        let version = String::from_utf8_lossy(&version.stdout);
        let version = version.split(' ').nth(1).unwrap_or_default().trim().to_owned();
        // Taken and given back: the program says its address in words only.
        let address = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?;
        let process = Command::new(program)
            .args(["serve", "--addr", &address.to_string(), component.as_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting wasmtime serve")?;
        let serve = Self { process, address, version };
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return Ok(serve);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("wasmtime serve does not listen on {address}")
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Ok(Response::new(Full::new(body)))
}

/// Serves until it is killed.
pub(crate) fn serve_echo() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", listener.local_addr()?);
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            connections.spawn(async move {
                let _ = http1::Builder::new()
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(stream), service_fn(echo))
                    .await;
            });
            while connections.try_join_next().is_some() {}
        }
    })
}

/// The rows of one accept, `group` of them a commit, on the gateway's own schema: per second, and each commit's time.
pub(super) fn bare_sqlite(group: u64, round: Duration) -> Result<(f64, Latencies)> {
    let folder = tempfile::tempdir_in(ripost_tests::places::target()).context("a folder for the bare loop")?;
    let connection = rusqlite::Connection::open(folder.path().join("bare.sqlite3"))?;
    connection.execute_batch(
        "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 16384; PRAGMA cache_size = -16384;",
    )?;
    connection.execute_batch(include_str!("../../../host/store/src/sqlite/migrations/0001_first.sql"))?;
    connection.execute_batch("INSERT INTO accounts VALUES (1, 'available', 1000000000000), (2, 'held', 0)")?;
    let (mut number, mut latencies, begun) = (0_u64, Latencies::default(), Instant::now());
    while begun.elapsed() < round {
        let commit = Instant::now();
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for _ in 0..group {
            number += 1;
            accept_rows(&connection, number)?;
        }
        connection.execute_batch("COMMIT")?;
        latencies.add(commit.elapsed());
    }
    Ok((number as f64 / begun.elapsed().as_secs_f64(), latencies))
}

fn accept_rows(connection: &rusqlite::Connection, number: u64) -> Result<()> {
    let mut id = [7_u8; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let run = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
        connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params))
    };
    run("UPDATE accounts SET balance = balance - 100 WHERE id = 1 AND balance >= 100", &[])?;
    run("UPDATE accounts SET balance = balance + 100 WHERE id = 2", &[])?;
    run("INSERT INTO transfers (kind, request_id, created_at) VALUES ('hold', ?1, 1)", &[&id])?;
    let transfer = connection.last_insert_rowid();
    run("INSERT INTO entries VALUES (?1, 1, -100)", &[&transfer])?;
    run("INSERT INTO entries VALUES (?1, 2, 100)", &[&transfer])?;
    run(
        "INSERT INTO requests (id, consumer_id, owner, slug, digest, state, settlement, attempt, epoch, run_at, created_at, expires_at, price, fee) \
         VALUES (?1, ?2, 'test', 'echo', ?3, 'accepted', 'held', 0, 0, 1, 1, 2, 100, 5)",
        &[&id, &[1_u8; 16], &[2_u8; 32]],
    )?;
    run("INSERT INTO inputs VALUES (?1, 'POST', '', NULL, ?2, ?3)", &[&id, &[0_u8; 40], &[b'x'; 60]])?;
    Ok(())
}
