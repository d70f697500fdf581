//! (k) One owner floods with guests that compute for ever; everybody else calls as before.

use super::Size;
use super::deliver::{Sink, sustained, template};
use super::figures::Table;
use super::load::{Connection, Latencies, Template, closed_loop};
use crate::products;
use anyhow::{Context as _, Result, bail};
use ripost_tests::{Api, Host, Plugin, guests};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Calls of the flood at the start, and each second after it. Each wants two seconds of CPU.
const FLOOD: u64 = 400;
const FLOOD_RATE: u64 = 50;
/// Calls of others for the accept path's latency, each second: well below what the machine can do.
const RATE: u64 = 500;
const CONNECTIONS: u64 = 32;

/// What others had.
#[derive(Default)]
struct Others {
    /// Until the 202, at [`RATE`].
    accept: Latencies,
    /// Until the webhook, at [`RATE`].
    webhook: Latencies,
    /// Accepted, run and delivered, as many as go.
    delivered: Vec<f64>,
    /// Synchronous calls, as many as go.
    answered: Vec<f64>,
}

pub(super) async fn measure(size: Size, table: &mut Table) -> Result<()> {
    let echo = std::fs::read(products::plugins_dir().join("echo/echo.wasm")).context("the built echo")?;
    let plugins = [
        Plugin::new("echo", [Api::new("test", "echo", echo.clone())]),
        Plugin::new("plain", [Api::new("test", "plain", echo).line("delivery = \"off\"")]),
        Plugin::new("flood", [Api::new("flood", "spin", guests::spins()).limit("cpu = \"2 s\"")]),
    ];
    let host = plugins.iter().fold(Host::builder().dev(), |builder, plugin| builder.plugin(plugin)).start().await?;
    let address: SocketAddr = host.url().trim_start_matches("http://").parse().context("the gateway's address")?;
    let sink = Arc::new(Sink::start().await?);
    let mut first = 0;
    let (mut alone, mut beside) = (Others::default(), Others::default());
    // Without, then with: what is accepted of a flood cannot be taken back.
    for _ in 0..size.rounds {
        others(address, &sink, &mut first, size, &mut alone).await?;
    }
    let _flood = flood(address).await?;
    for _ in 0..size.rounds {
        others(address, &sink, &mut first, size, &mut beside).await?;
    }
    let spun = host.metrics().await?.sum("ripost_api_cpu_seconds_total", "owner=\"flood\"").abs();
    let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len() as f64;
    table.section(&format!(
        "(k) One owner floods with guests that compute for ever: {FLOOD} calls at once, {FLOOD_RATE}/s more, 2 s of CPU each"
    ));
    let (before, after) = (alone.accept.percentile(0.99), beside.accept.percentile(0.99));
    table.figure(
        &format!("accepts of others at {RATE}/s, p99 without and with the flood"),
        format!("{before:.2} and {after:.2} ms, {:.1} times", after / before),
        "at most 2 times",
        Some(after <= 2.0 * before),
    );
    let (before, after) = (alone.webhook.percentile(0.99), beside.webhook.percentile(0.99));
    table.figure("their webhooks, p99", format!("{before:.1} and {after:.1} ms"), "", None);
    for (what, before, after) in [
        ("calls accepted, run and delivered", &alone.delivered, &beside.delivered),
        ("synchronous calls", &alone.answered, &beside.answered),
    ] {
        let (before, after) = (mean(before), mean(after));
        table.figure(
            &format!("{what} of others, as many as go"),
            format!("{before:.0}/s and {after:.0}/s, {:.0} %", 100.0 * after / before),
            "at least 80 %",
            Some(after >= 0.8 * before),
        );
    }
    table.figure("CPU time of the flood's runs that ended meanwhile", format!("{spun:.0} s"), "", None);
    Ok(())
}

/// Calls that are accepted and wait for their turn, for as long as the set lives.
async fn flood(address: SocketAddr) -> Result<JoinSet<Result<()>>> {
    let template = Template::call("flood/spin", r#"{"n":"@@@@@@@@@@"}"#).with_header("prefer: respond-async");
    let mut connection = Connection::open(address, &template).await?;
    for number in 0..FLOOD {
        let status = connection.call(number).await?;
        if status != 202 {
            bail!("a call of the flood had {status}");
        }
    }
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        for number in FLOOD.. {
            tokio::time::sleep(Duration::from_secs(1) / u32::try_from(FLOOD_RATE)?).await;
            connection.call(number).await?;
        }
        Ok(())
    });
    Ok(tasks)
}

async fn others(address: SocketAddr, sink: &Arc<Sink>, first: &mut u64, size: Size, had: &mut Others) -> Result<()> {
    let webhooks = template(sink, "test/echo", "");
    let arrived = sink.arrived();
    let _ = sink.take_latencies();
    had.accept.extend(at_a_rate(address, &webhooks, sink, *first, size.round).await?);
    let mut sent = RATE * size.round.as_secs();
    *first += sent;
    sink.drained(arrived + sent).await?;
    had.webhook.extend(sink.take_latencies());

    let begun = Instant::now();
    let until = begun + size.round;
    let made = sustained(address, &webhooks, sink, *first, move |_| Instant::now() < until).await?;
    sent += made;
    *first += made + CONNECTIONS * 4;
    sink.drained(arrived + sent).await?;
    had.delivered.push(made as f64 / begun.elapsed().as_secs_f64());

    let plain = Template::call("test/plain", r#"{"n":"@@@@@@@@@@"}"#);
    had.answered.push(closed_loop(address, &plain, CONNECTIONS, size.round, 200).await?.0);
    Ok(())
}

/// Until each 202, counted from when the call was due.
async fn at_a_rate(
    address: SocketAddr,
    template: &Template,
    sink: &Arc<Sink>,
    first: u64,
    round: Duration,
) -> Result<Latencies> {
    let (total, begun, mut workers) = (RATE * round.as_secs(), Instant::now(), JoinSet::new());
    for worker in 0..CONNECTIONS {
        let mut connection = Connection::open(address, template).await?;
        let sink = sink.clone();
        workers.spawn(async move {
            let mut latencies = Latencies::default();
            for number in (worker..total).step_by(usize::try_from(CONNECTIONS)?) {
                let due = begun + Duration::from_secs_f64(number as f64 / RATE as f64);
                tokio::time::sleep_until(due.into()).await;
                let sent = Instant::now();
                sink.begin(first + number);
                let status = connection.call(first + number).await?;
                if status != 202 {
                    bail!("a call was not accepted: {status}");
                }
                latencies.add(sent.elapsed());
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
