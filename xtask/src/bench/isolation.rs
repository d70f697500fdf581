//! (e) Healthy endpoints beside black holes. (f) A long backlog over many endpoints. (g) What signing costs.

use super::deliver::{Sink, open_loop, template};
use super::figures::Table;
use super::load::Template;
use super::memory::resident_mb;
use super::{Size, host};
use anyhow::{Context as _, Result};
use camino::Utf8Path;
use ripost_domain::address::{PlainHttp, Policy, UrlPolicy, WebhookUrl};
use ripost_domain::signature::{Secret, sign_v1};
use ripost_domain::time::{Clock as _, SystemClock, Timestamp};
use ripost_store::sqlite::{SqliteConfig, SqliteStore};
use ripost_store::{DeliveryClaim, Store as _};
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// One machine plays all hosts, so the cap of a host is out of the way; everything else is as it comes.
const ONE_MACHINE: &str = "[delivery]\nin_flight_per_host = 4096\n";
const RATE: u64 = 1000;
/// Every so many-th call goes into one of the holes.
const HOLE_EVERY: u64 = 100;
const HOLES: u64 = 10;
const LANES: u64 = 10_000;
/// Lanes and deliveries of one claim.
const CLAIM: (u32, u32) = (64, 4);
const CLAIMS: u32 = 40;

pub(super) async fn measure(size: Size, table: &mut Table) -> Result<()> {
    black_holes(size, table).await?;
    backlog(size, table).await?;
    signing(table)
}

/// Accepts and says nothing, for as long as it lives.
async fn black_hole() -> Result<(SocketAddr, JoinSet<()>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    });
    Ok((address, tasks))
}

async fn black_holes(size: Size, table: &mut Table) -> Result<()> {
    let host = host(ONE_MACHINE).await?;
    let address = host.url().trim_start_matches("http://").parse().context("the gateway's address")?;
    let sink = Arc::new(Sink::start().await?);
    let healthy = template(&sink, "test/echo", "");
    let mut sent = 0;
    let mut alone = None;
    for with_holes in [false, true] {
        let (hole, _tasks) = black_hole().await?;
        let into_holes: Vec<Template> = (0..if with_holes { HOLES } else { 0 })
            .map(|number| {
                let url = format!("http://{hole}/{number}/@@@@@@@@@@");
                // The query would not be part of the endpoint: each hole is one.
                let url = url.replace("/@@@@@@@@@@", "?n=@@@@@@@@@@");
                Template::call("test/echo", &format!(r#"{{"n":"@@@@@@@@@@","webhook_url":"{url}"}}"#))
            })
            .collect();
        let first = 500_000 * (1 + u64::from(with_holes));
        let made = open_loop(address, &healthy, &into_holes, HOLE_EVERY, &sink, first, RATE, size.round * 2).await?;
        sent += made;
        sink.drained(sent).await?;
        let mut latencies = sink.take_latencies();
        let (p50, p99) = (latencies.percentile(0.5), latencies.percentile(0.99));
        if !with_holes {
            table.section("(e) Isolation: calls offered at 1000/s, one in a hundred into one of ten black holes");
            table.figure("without them, call to webhook", format!("p50 {p50:.1} ms, p99 {p99:.1} ms"), "", None);
            alone = Some(p99);
            continue;
        }
        let factor = p99 / alone.unwrap_or(p99);
        table.figure(
            "healthy endpoints beside them",
            format!("p50 {p50:.1} ms, p99 {p99:.1} ms ({factor:.1} times)"),
            "p99 under 100 ms",
            Some(p99 < 100.0),
        );
    }
    Ok(())
}

/// Puts deliveries that are due into a data folder that no process uses.
fn fill(data: &Utf8Path, count: u64, lanes: u64, sink: SocketAddr) -> Result<()> {
    let connection = rusqlite::Connection::open(data.join("ripost.sqlite3"))?;
    let now = SystemClock::start().now().as_millis();
    connection.execute_batch(&format!(
        "PRAGMA synchronous = OFF; BEGIN;
         CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT i FROM n;
         INSERT INTO requests (id, consumer_id, owner, slug, digest, state, settlement, attempt, epoch, run_at, created_at, expires_at, finished_at, price, fee, webhook_url)
           SELECT unhex(printf('0190000000007000%016x', i)), (SELECT id FROM consumers LIMIT 1), 'test', 'echo', zeroblob(32), 'completed', 'none',
                  1, 1, {now}, {now}, {now}, {now}, 0, 0, 'http://{sink}/h/' || printf('%010d', i) FROM n;
         INSERT INTO deliveries (id, request_id, consumer_id, event, url, state, attempts, epoch, next_at, lane)
           SELECT unhex(printf('0190000000007001%016x', i)), unhex(printf('0190000000007000%016x', i)), (SELECT id FROM consumers LIMIT 1), 'completed',
                  'http://{sink}/h/' || printf('%010d', i), 'pending', 0, 0, {now} - 1000, unhex(printf('%032x', i % {lanes})) FROM n;
         INSERT INTO payloads (delivery_id, content_type, bytes, body)
           SELECT unhex(printf('0190000000007001%016x', i)), 'application/json', 200, CAST(printf('{{\"n\":%0194d}}', i) AS BLOB) FROM n;
         INSERT INTO lanes (id, ready_at) SELECT lane, min(next_at) FROM deliveries WHERE state = 'pending' GROUP BY lane;
         INSERT INTO feed (consumer_id, delivery_id) SELECT consumer_id, id FROM deliveries;
         COMMIT;"
    ))?;
    Ok(())
}

/// The median time of a claim that takes so many rows.
async fn claim_cost(data: &Utf8Path) -> Result<Duration> {
    let store =
        SqliteStore::open(SqliteConfig::new(data.to_owned()), Arc::new(|reason| eprintln!("the disk: {reason}")))?;
    let now: Timestamp = SystemClock::start().now();
    let mut times = Vec::new();
    for _ in 0..CLAIMS {
        let begun = Instant::now();
        let lanes = store.due_lanes(now, CLAIM.0).await?;
        anyhow::ensure!(lanes.len() == CLAIM.0 as usize, "{} lanes are due", lanes.len());
        let claim = DeliveryClaim {
            now,
            lanes: lanes.into_iter().map(|lane| (lane, CLAIM.1)).collect(),
            parked: Vec::new(),
            offered_again_at: now.after(Duration::from_secs(600)),
            bytes_max: 64 << 20,
        };
        let claimed = store.claim_deliveries(claim).await?;
        anyhow::ensure!(
            claimed.deliveries.len() == (CLAIM.0 * CLAIM.1) as usize,
            "{} were claimed",
            claimed.deliveries.len()
        );
        times.push(begun.elapsed());
    }
    store.close().await;
    times.sort();
    Ok(times[times.len() / 2])
}

async fn backlog(size: Size, table: &mut Table) -> Result<()> {
    let sink = Arc::new(Sink::start().await?);
    let small = host(ONE_MACHINE).await?.sigterm().await?;
    // Just enough for the claims that are measured.
    fill(small.data(), u64::from(CLAIMS * CLAIM.0 * CLAIM.1) + 1000, u64::from(CLAIMS * CLAIM.0), sink.address)?;
    let empty = claim_cost(small.data()).await?;
    let stopped = host(ONE_MACHINE).await?.sigterm().await?;
    let count = size.requests * 10;
    fill(stopped.data(), count, LANES, sink.address)?;
    let full = claim_cost(stopped.data()).await?;
    table.section(&format!("(f) A backlog of {count} due deliveries over {LANES} endpoints"));
    let factor = full.as_secs_f64() / empty.as_secs_f64();
    table.figure(
        &format!("claiming {} of them from {} endpoints", CLAIM.0 * CLAIM.1, CLAIM.0),
        format!("{:.2} ms, {factor:.2} times that with no backlog", full.as_secs_f64() * 1e3),
        "at most 1.5 times",
        Some(factor <= 1.5),
    );
    let host = stopped.start().await?;
    let begun = Instant::now();
    let (mut most, before) = (0.0_f64, sink.arrived());
    while begun.elapsed() < size.round * 3 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        most = most.max(resident_mb(host.pid())?);
    }
    let rate = (sink.arrived() - before) as f64 / begun.elapsed().as_secs_f64();
    table.figure("draining it, delivered", format!("{rate:.0}/s"), "", None);
    table.figure("memory meanwhile", format!("{most:.0} MB"), "under 500 MB", Some(most < 500.0));
    Ok(())
}

fn signing(table: &mut Table) -> Result<()> {
    const ROUNDS: u32 = 20_000;
    let secret = Secret::from_bytes([7; 32]).context("a secret")?;
    let policy = UrlPolicy { addresses: Policy::default(), plain_http: PlainHttp::Refused };
    let body = vec![b'x'; 1024];
    let begun = Instant::now();
    for round in 0..ROUNDS {
        let url = WebhookUrl::parse(black_box("https://hooks.example.com/ripost/7f3c?tenant=42"), &policy)
            .context("a URL")?;
        let verdict = policy.addresses.check(black_box(Ipv4Addr::new(93, 184, 215, 14).into()));
        let signed = sign_v1(&[&secret], "dlv_01m86v1f01e4ys3efw3n7h9qqe", i64::from(round), black_box(&body));
        black_box((url, verdict.is_ok(), signed));
    }
    let each = begun.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS);
    table.section("(g) What signing and the address rules cost a delivery");
    table.figure(
        "URL rules, address table and `v1` over 1 KiB",
        format!("{each:.1} µs of CPU"),
        "under 50 µs",
        Some(each < 50.0),
    );
    Ok(())
}
