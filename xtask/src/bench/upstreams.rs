//! (o) Owners' own services: the rate of one that answers at once beside that of a component, and what requests that
//! wait for a callback cost.

use super::Size;
use super::deliver::{Sink, sustained, template};
use super::figures::Table;
use super::load::{Connection, Latencies, Template, answer_each};
use super::memory::resident_mb;
use crate::products;
use anyhow::{Context as _, Result, bail, ensure};
use ripost_tests::{Host, Plugin};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Requests that wait for their callbacks at once.
const WAITING: usize = 50_000;
/// Connections that post callbacks: what is measured is how long one takes, not how many fit.
const CALLERS: usize = 8;
/// How long all of them may take to be forwarded.
const FORWARDED_WITHIN: Duration = Duration::from_secs(120);

/// What the service says to each request.
#[derive(Clone, Copy)]
pub(super) enum Says {
    /// The result.
    Result,
    /// That the result comes later.
    Later,
}

/// An owner's service that costs little.
pub(super) struct Service {
    address: SocketAddr,
    /// Paths of the callback URLs of those who are to be called back.
    callbacks: Arc<Mutex<Vec<String>>>,
    _connections: JoinSet<()>,
}

impl Service {
    pub(super) async fn start(says: Says) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let callbacks: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = callbacks.clone();
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let kept = kept.clone();
                open.spawn(async move {
                    let _ = serve(stream, says, &kept).await;
                });
                while open.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, callbacks, _connections: connections })
    }

    fn count(&self) -> usize {
        self.callbacks.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.callbacks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn serve(stream: TcpStream, says: Says, callbacks: &Mutex<Vec<String>>) -> Result<()> {
    answer_each(stream, |head| {
        let answer: &'static [u8] = match says {
            Says::Result => {
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"ok\":true}"
            }
            Says::Later => {
                let lines = head.lines().filter_map(|line| line.split_once(": "));
                let mut urls = lines.filter(|(name, _)| name.eq_ignore_ascii_case("ripost-callback-url"));
                let (_, url) = urls.next().context("a callback URL")?;
                let at = url.find("/callbacks/").context("a callback URL has /callbacks/")?;
                callbacks.lock().unwrap_or_else(PoisonError::into_inner).push(url[at..].to_owned());
                b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
            }
        };
        Ok(answer)
    })
    .await
}

/// A plugin that forwards `up/up` to the service.
pub(super) fn forwarding(service: &Service) -> Plugin {
    let api = format!("\n[[api]]\nowner = \"up\"\nslug = \"up\"\nupstream = \"http://{}/\"\n", service.address);
    Plugin::new("up", []).with_manifest(|plugin| plugin + &api)
}

/// A gateway with the component `test/echo` and the service as `up/up`.
async fn gateway(service: &Service, config: &str) -> Result<(Host, SocketAddr)> {
    let echo = products::plugins_dir().join("echo");
    let host = Host::builder().dev().only_config(config).plugin_dir(echo).plugin(&forwarding(service)).start().await?;
    let address = host.url().trim_start_matches("http://").parse().context("the gateway's address")?;
    Ok((host, address))
}

pub(super) async fn measure(size: Size, table: &mut Table) -> Result<()> {
    table.section("(o) Owners' own services: a request is forwarded in place of being run");
    rate(size, table).await?;
    waiting(table).await
}

async fn rate(size: Size, table: &mut Table) -> Result<()> {
    let service = Service::start(Says::Result).await?;
    let (host, address) = gateway(&service, "").await?;
    let sink = Arc::new(Sink::start().await?);
    let (mut rates, mut first) = ([0.0, 0.0], 0);
    for _ in 0..size.rounds {
        for (rate, api) in rates.iter_mut().zip(["test/echo", "up/up"]) {
            let (begun, before) = (Instant::now(), sink.arrived());
            let until = begun + size.round;
            let sent =
                sustained(address, &template(&sink, api, ""), &sink, first, move |_| Instant::now() < until).await?;
            sink.drained(before + sent).await?;
            *rate += sent as f64 / begun.elapsed().as_secs_f64() / size.rounds as f64;
            first += sent + 1_000;
        }
    }
    drop(host);
    let [component, upstream] = rates;
    let share = upstream / component;
    table.figure(
        "end to end with a service that answers at once, beside `echo` in the sandbox",
        format!("{upstream:.0}/s against {component:.0}/s, {:.0} %", share * 100.0),
        "at least 60 %",
        Some(share >= 0.6),
    );
    Ok(())
}

async fn waiting(table: &mut Table) -> Result<()> {
    let service = Service::start(Says::Later).await?;
    let (host, address) = gateway(&service, "").await?;
    // What one of them makes the process keep for good is not what they cost.
    accept(address, 0, 1_000).await?;
    forwarded(&service, 1_000).await?;
    let before = resident_mb(host.pid())?;
    accept(address, 1_000, WAITING as u64).await?;
    forwarded(&service, WAITING + 1_000).await?;
    let grown = resident_mb(host.pid())? - before;
    table.figure(
        &format!("memory that {WAITING} requests add that wait for a callback"),
        format!("{grown:.0} MB"),
        "under 100 MB",
        Some(grown < 100.0),
    );
    let mut latencies = call_back(address, service.take()).await?;
    let (p50, p99) = (latencies.percentile(0.5), latencies.percentile(0.99));
    table.figure(
        &format!("a callback, {CALLERS} at once, posted to committed"),
        format!("p50 {p50:.1} ms, p99 {p99:.1} ms"),
        "p99 under 20 ms",
        Some(p99 < 20.0),
    );
    let consumer = host.demo();
    let open = consumer.get("/requests?status=awaiting_callback").await?.expect(200)?.json()?;
    ensure!(open["requests"].as_array().is_some_and(Vec::is_empty), "some were not called back: {open}");
    Ok(())
}

async fn accept(address: SocketAddr, first: u64, count: u64) -> Result<()> {
    let call = Template::call("up/up", r#"{"n":"@@@@@@@@@@"}"#).with_header("prefer: respond-async");
    let mut workers = JoinSet::new();
    let each = count / 50;
    for worker in 0..50 {
        let mut connection = Connection::open(address, &call).await?;
        workers.spawn(async move {
            for number in 0..each {
                let status = connection.call(first + worker * each + number).await?;
                ensure!(status == 202, "a call was not accepted: {status}");
            }
            anyhow::Ok(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(())
}

async fn forwarded(service: &Service, count: usize) -> Result<()> {
    let begun = Instant::now();
    while service.count() < count {
        if begun.elapsed() > FORWARDED_WITHIN {
            bail!("{} of {count} were forwarded within {} s", service.count(), FORWARDED_WITHIN.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The last acknowledgements are being written.
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(())
}

async fn call_back(address: SocketAddr, paths: Vec<String>) -> Result<Latencies> {
    let mut workers = JoinSet::new();
    let share = paths.len().div_ceil(CALLERS);
    for paths in paths.chunks(share) {
        let paths = paths.to_vec();
        let mut stream = TcpStream::connect(address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        workers.spawn(async move {
            let (mut latencies, mut buffer) = (Latencies::default(), Vec::with_capacity(4096));
            for path in paths {
                let request = format!(
                    "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{{\"ok\":true}}"
                );
                let begun = Instant::now();
                stream.write_all(request.as_bytes()).await?;
                buffer.clear();
                let status = loop {
                    ensure!(stream.read_buf(&mut buffer).await? > 0, "the gateway closed the connection");
                    match super::load::answer(&buffer)? {
                        Some((status, length)) if buffer.len() >= length => break status,
                        _ => {}
                    }
                };
                ensure!(status == 200, "a callback was answered {status}");
                latencies.add(begun.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    let mut all = Latencies::default();
    while let Some(worker) = workers.join_next().await {
        all.extend(worker??);
    }
    Ok(all)
}
