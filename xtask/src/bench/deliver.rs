//! (b) End to end: accepted, run, delivered to a keep-alive sink.

use super::figures::Table;
use super::load::{Connection, Latencies, Template, answer_each};
use super::{Size, host};
use anyhow::{Context as _, Result, bail};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Requests that are not delivered yet, in the closed loop.
const OUTSTANDING: usize = 256;
const CONNECTIONS: u64 = 64;
const NUMBERS_MAX: usize = 4_000_000;

/// Where webhooks arrive: `/h/{number}`.
pub(super) struct Sink {
    pub(super) address: SocketAddr,
    state: Arc<State>,
    _connections: JoinSet<()>,
}

struct State {
    origin: Instant,
    /// Microseconds since `origin` at which the call of each number began.
    begun: Vec<AtomicU64>,
    arrived: AtomicU64,
    latencies: Mutex<Latencies>,
    outstanding: Semaphore,
}

impl Sink {
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let begun = (0..NUMBERS_MAX).map(|_| AtomicU64::new(0)).collect();
        let state = Arc::new(State {
            origin: Instant::now(),
            begun,
            arrived: AtomicU64::new(0),
            latencies: Mutex::default(),
            outstanding: Semaphore::new(OUTSTANDING),
        });
        let shared = state.clone();
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                open.spawn(async move {
                    let _ = receive(stream, &shared).await;
                });
                while open.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, state, _connections: connections })
    }

    pub(super) fn begin(&self, number: u64) {
        let micros = u64::try_from(self.state.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let Some(begun) = usize::try_from(number).ok().and_then(|index| self.state.begun.get(index)) {
            begun.store(micros, Ordering::Relaxed);
        }
    }

    pub(super) fn arrived(&self) -> u64 {
        self.state.arrived.load(Ordering::Relaxed)
    }

    pub(super) fn take_latencies(&self) -> Latencies {
        std::mem::take(&mut *self.state.latencies.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Until as many have arrived as were sent, within a bound.
    pub(super) async fn drained(&self, sent: u64) -> Result<()> {
        for _ in 0..3000 {
            if self.arrived() >= sent {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("{} of {sent} webhooks arrived within 30 s", self.arrived())
    }
}

async fn receive(stream: TcpStream, state: &State) -> Result<()> {
    answer_each(stream, |head| {
        let number: usize =
            head.strip_prefix("POST /h/").and_then(|rest| rest.get(..10)).context("a number")?.parse()?;
        let now = u64::try_from(state.origin.elapsed().as_micros())?;
        let begun = state.begun.get(number).map_or(now, |begun| begun.load(Ordering::Relaxed));
        state
            .latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(Duration::from_micros(now.saturating_sub(begun)));
        state.arrived.fetch_add(1, Ordering::Relaxed);
        state.outstanding.add_permits(1);
        Ok(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    })
    .await
}

/// The calls of one API to this sink.
pub(super) fn template(sink: &Sink, api: &str, fields: &str) -> Template {
    Template::call(
        api,
        &format!(r#"{{{fields}"n":"@@@@@@@@@@","webhook_url":"http://{}/h/@@@@@@@@@@"}}"#, sink.address),
    )
}

/// As many as are delivered, with a bounded number outstanding: calls until `until`; how many were made.
pub(super) async fn sustained(
    address: SocketAddr,
    template: &Template,
    sink: &Arc<Sink>,
    first: u64,
    until: impl Fn(u64) -> bool + Send + Sync + 'static,
) -> Result<u64> {
    let (until, next, mut workers) = (Arc::new(until), Arc::new(AtomicU64::new(first)), JoinSet::new());
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::open(address, template).await?;
        let (sink, next, until) = (sink.clone(), next.clone(), until.clone());
        workers.spawn(async move {
            let mut made = 0;
            loop {
                sink.state.outstanding.acquire().await?.forget();
                let number = next.fetch_add(1, Ordering::Relaxed);
                if !until(number - first) {
                    sink.state.outstanding.add_permits(1);
                    return anyhow::Ok(made);
                }
                sink.begin(number);
                let status = connection.call(number).await?;
                if status != 202 {
                    bail!("expected 202, got {status}");
                }
                made += 1;
            }
        });
    }
    let mut made = 0;
    while let Some(worker) = workers.join_next().await {
        made += worker??;
    }
    Ok(made)
}

/// Calls at a fixed rate, whether or not the answers keep up; every `other_every`-th by one of `others`, which do not
/// lead to the sink. How many did.
#[expect(clippy::too_many_arguments, reason = "a load has these parts")]
pub(super) async fn open_loop(
    address: SocketAddr,
    template: &Template,
    others: &[Template],
    other_every: u64,
    sink: &Arc<Sink>,
    first: u64,
    rate: u64,
    round: Duration,
) -> Result<u64> {
    let total = rate * round.as_secs();
    let (begun, mut workers) = (Instant::now(), JoinSet::new());
    for worker in 0..CONNECTIONS {
        let mut connection = Connection::open(address, template).await?;
        let mut elsewhere = Vec::new();
        for other in others {
            elsewhere.push(Connection::open(address, other).await?);
        }
        let sink = sink.clone();
        workers.spawn(async move {
            let mut made = 0;
            for number in (worker..total).step_by(usize::try_from(CONNECTIONS)?) {
                let due = begun + Duration::from_secs_f64(number as f64 / rate as f64);
                tokio::time::sleep_until(due.into()).await;
                let other = number / other_every % elsewhere.len().max(1) as u64;
                let elsewhere = elsewhere.get_mut(usize::try_from(other)?).filter(|_| number % other_every == 0);
                let status = match elsewhere {
                    Some(elsewhere) => elsewhere.call(first + number).await?,
                    None => {
                        sink.begin(first + number);
                        made += 1;
                        connection.call(first + number).await?
                    }
                };
                if status != 202 {
                    bail!("a call was not accepted: {status}");
                }
            }
            anyhow::Ok(made)
        });
    }
    let mut made = 0;
    while let Some(worker) = workers.join_next().await {
        made += worker??;
    }
    Ok(made)
}

pub(super) async fn measure(size: Size, table: &mut Table) -> Result<()> {
    let reports = r#""action":"generate-report","format":"json","rows":50000,"#;
    for (api, fields, target) in [("test/echo", "", true), ("demo/bb-webhook-receiver", reports, false)] {
        let host = host("").await?;
        let address = host.url().trim_start_matches("http://").parse().context("the gateway's address")?;
        let sink = Arc::new(Sink::start().await?);
        let template = template(&sink, api, fields);
        let name = if target { "`echo`" } else { "`reports`, 50 000 rows each" };
        table.section(&format!(
            "(b) End to end with {name}: accepted, run in a fresh sandbox, delivered to a keep-alive sink"
        ));
        let begun = Instant::now();
        let until = begun + size.round * u32::try_from(size.rounds)?;
        let mut sent = sustained(address, &template, &sink, 0, move |_| Instant::now() < until).await?;
        sink.drained(sent).await?;
        let rate = sent as f64 / begun.elapsed().as_secs_f64();
        let mut latencies = sink.take_latencies();
        table.figure(
            &format!("sustained, at most {OUTSTANDING} outstanding"),
            format!(
                "{rate:.0}/s, call to webhook p50 {:.1} ms, p99 {:.1} ms",
                latencies.percentile(0.5),
                latencies.percentile(0.99)
            ),
            if target { "at least 5 000/s" } else { "" },
            target.then_some(rate >= 5000.0),
        );
        let rates: &[u64] = if target { &[200, 1000] } else { &[200] };
        for &rate in rates {
            sent += open_loop(address, &template, &[], 1, &sink, sent + 1_000_000, rate, size.round).await?;
            sink.drained(sent).await?;
            let mut latencies = sink.take_latencies();
            let (p50, p99) = (latencies.percentile(0.5), latencies.percentile(0.99));
            let aim = target && rate == 1000;
            table.figure(
                &format!("call to webhook at {rate}/s offered"),
                format!("p50 {p50:.1} ms, p99 {p99:.1} ms"),
                if aim { "p99 under 50 ms" } else { "" },
                aim.then_some(p99 < 50.0),
            );
        }
    }
    Ok(())
}
