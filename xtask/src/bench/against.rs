//! `--against BINARY`: another build of the gateway and today's, by turns, under the same load.

use super::Size;
use super::deliver::{Sink, sustained, template};
use super::figures::Table;
use super::load::{Template, closed_loop};
use super::synchronous::cpu_seconds;
use super::upstreams::{Says, Service, forwarding};
use crate::products;
use anyhow::{Context as _, Result};
use camino::Utf8Path;
use ripost_tests::{Api, Host, HostBuilder, Plugin};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const CONNECTIONS: u64 = 64;
/// Turns of each build for each of a whole run's rounds: the median of many pairs is steady where a mean is not.
const TURNS: usize = 5;
/// A turn is shorter than a round.
const TURNS_A_ROUND: u32 = 4;
/// The part of a turn that goes before it, unmeasured.
const WARM_UP: u32 = 3;

/// A path through the gateway.
#[derive(Clone, Copy)]
enum Path {
    Accept,
    Synchronous,
    EndToEnd,
    Forwarded,
}

const PATHS: [Path; 4] = [Path::Accept, Path::Synchronous, Path::EndToEnd, Path::Forwarded];

impl Path {
    fn name(self) -> &'static str {
        match self {
            Self::Accept => "accepts, runs paused",
            Self::Synchronous => "synchronous calls, `delivery = \"off\"`",
            Self::EndToEnd => "end to end with `echo`, accepted to delivered",
            Self::Forwarded => "end to end with a service that answers at once",
        }
    }

    /// The least share of the other build's rate.
    fn least(self) -> f64 {
        if matches!(self, Self::Accept) { 0.99 } else { 0.97 }
    }

    fn gateway(self, service: &Service) -> Result<HostBuilder> {
        let plugin = |name: &str| products::plugins_dir().join(name);
        let host = Host::builder().dev();
        Ok(match self {
            Self::Accept => host.only_config("[runs]\npaused = true\n").plugin_dir(plugin("echo")),
            Self::Synchronous => {
                let component = std::fs::read(plugin("echo/echo.wasm")).context("the built echo")?;
                let api = Api::new("test", "plain", component).line("delivery = \"off\"");
                host.plugin(&Plugin::new("plain", [api]))
            }
            Self::EndToEnd => host.plugin_dir(plugin("echo")),
            Self::Forwarded => host.plugin(&forwarding(service)),
        })
    }
}

/// Of one turn.
#[derive(Clone, Copy)]
struct Turn {
    rate: f64,
    cpu_us: f64,
}

/// A gateway of its own for each turn: two processes of one build differ by as much as two builds that are alike, in
/// where their memory happens to be.
async fn turn(path: Path, gateway: HostBuilder, round: Duration) -> Result<Turn> {
    let host = gateway.start().await?;
    let address = host.url().trim_start_matches("http://").parse().context("the gateway's address")?;
    let sink = Arc::new(Sink::start().await?);
    load(path, address, &sink, 0, round / WARM_UP).await?;
    let (begun, cpu) = (Instant::now(), cpu_seconds(host.pid())?);
    let calls = load(path, address, &sink, 1 << 20, round).await? as f64;
    let (took, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds(host.pid())? - cpu);
    Ok(Turn { rate: calls / took, cpu_us: cpu * 1e6 / calls })
}

/// How many calls were answered, or delivered.
async fn load(path: Path, address: SocketAddr, sink: &Arc<Sink>, first: u64, round: Duration) -> Result<u64> {
    let closed = async |template: Template, status| {
        let (_, latencies) = closed_loop(address, &template, CONNECTIONS, round, status).await?;
        Ok(latencies.len() as u64)
    };
    let delivered = async |api: &str| {
        let (until, before) = (Instant::now() + round, sink.arrived());
        let call = template(sink, api, "");
        let sent = sustained(address, &call, sink, first, move |_| Instant::now() < until).await?;
        sink.drained(before + sent).await?;
        Ok(sent)
    };
    match path {
        Path::Accept => {
            let call = r#"{"n":"@@@@@@@@@@","webhook_url":"http://127.0.0.1:9/h/@@@@@@@@@@"}"#;
            closed(Template::call("test/echo", call), 202).await
        }
        Path::Synchronous => closed(Template::call("test/plain", r#"{"n":"@@@@@@@@@@"}"#), 200).await,
        Path::EndToEnd => delivered("test/echo").await,
        Path::Forwarded => delivered("up/up").await,
    }
}

pub(super) async fn measure(size: Size, other: &Utf8Path, table: &mut Table) -> Result<()> {
    table.section(&format!("Today's build against `{}`, by turns", other.file_name().unwrap_or("another")));
    let (service, round) = (Service::start(Says::Result).await?, size.round / TURNS_A_ROUND);
    for path in PATHS {
        let today = async || turn(path, path.gateway(&service)?, round).await;
        let before = async || turn(path, path.gateway(&service)?.other_build(other), round).await;
        let mut pairs = Vec::new();
        for number in 0..TURNS * size.rounds {
            // Whichever goes first in a pair finds a machine that has rested.
            pairs.push(if number % 2 == 0 {
                let first = today().await?;
                (first, before().await?)
            } else {
                let first = before().await?;
                (today().await?, first)
            });
        }
        let of = |figure: &dyn Fn(&(Turn, Turn)) -> f64| median(pairs.iter().map(figure).collect());
        let ratio = of(&|(today, before)| today.rate / before.rate);
        let figures = format!(
            "{:.0}/s against {:.0}/s, {:.1} µs of CPU each against {:.1} µs: {ratio:.3} times",
            of(&|(today, _)| today.rate),
            of(&|(_, before)| before.rate),
            of(&|(today, _)| today.cpu_us),
            of(&|(_, before)| before.cpu_us),
        );
        let aim = format!("at least {} times", path.least());
        table.figure(path.name(), figures, &aim, Some(ratio >= path.least()));
    }
    Ok(())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}
