//! (i) The synchronous path: `delivery = "off"`, free, one fresh instance a call, the answer on the same connection.

use super::Size;
use super::figures::Table;
use super::load::{Latencies, Template, closed_loop};
use super::peers::{Echo, Serve};
use crate::guests;
use crate::products;
use anyhow::{Context as _, Result};
use ripost_tests::{Api, Host, Plugin};
use std::net::SocketAddr;

const CONNECTIONS: u64 = 64;

/// Figures of one server over all rounds.
#[derive(Default)]
pub(super) struct Rounds {
    rates: Vec<f64>,
    latencies: Latencies,
    cpu_us: Vec<f64>,
}

impl Rounds {
    pub(super) async fn add(&mut self, server: (SocketAddr, u32), template: &Template, size: Size) -> Result<()> {
        let (address, pid) = server;
        let before = cpu_seconds(pid)?;
        let (rate, latencies) = closed_loop(address, template, CONNECTIONS, size.round, 200).await?;
        self.cpu_us.push((cpu_seconds(pid)? - before) * 1e6 / latencies.len().max(1) as f64);
        self.rates.push(rate);
        self.latencies.extend(latencies);
        Ok(())
    }

    /// What the server's process took for one call, in the round where it was least: what disturbs only adds.
    pub(super) fn cpu_us(&self) -> f64 {
        self.cpu_us.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(super) fn rate(&self) -> f64 {
        self.rates.iter().sum::<f64>() / self.rates.len() as f64
    }

    pub(super) fn text(&mut self) -> String {
        let (p50, p99) = (self.latencies.percentile(0.5), self.latencies.percentile(0.99));
        let cpu = self.cpu_us.iter().sum::<f64>() / self.cpu_us.len() as f64;
        format!("{:.0}/s, p50 {p50:.1} ms, p99 {p99:.1} ms, {cpu:.0} µs of CPU each", self.rate())
    }
}

pub(super) async fn measure(size: Size, table: &mut Table) -> Result<()> {
    let component = std::fs::read(products::plugins_dir().join("echo/echo.wasm")).context("the built echo")?;
    let api = Api::new("test", "plain", component).line("delivery = \"off\"");
    let host = Host::builder().dev().plugin(&Plugin::new("plain", [api])).start().await?;
    let address = host.url().trim_start_matches("http://").parse().context("the gateway's address")?;
    let echo = Echo::start()?;
    let serve = match Serve::program() {
        Some(program) => Some(Serve::start(&program, &guests::build_peer(&|_| ())?).await?),
        None => None,
    };
    let template = Template::call("test/plain", r#"{"n":"@@@@@@@@@@"}"#);
    let (mut ours, mut bare, mut peer) = (Rounds::default(), Rounds::default(), Rounds::default());
    for _ in 0..size.rounds {
        ours.add((address, host.pid()), &template, size).await?;
        bare.add((echo.address, echo.pid()), &template, size).await?;
        if let Some(serve) = &serve {
            peer.add((serve.address, serve.pid()), &template, size).await?;
        }
    }
    table.section(
        "(i) The synchronous path (`delivery = \"off\"`): `echo` in a fresh sandbox each time, 64 connections",
    );
    table.figure("answered", ours.text(), "", None);
    table.figure("bare hyper echo, same request", bare.text(), "", None);
    table.figure("synchronous calls : echo", format!("{:.0} %", 100.0 * ours.rate() / bare.rate()), "", None);
    match serve {
        Some(serve) => {
            table.figure(&format!("`wasmtime serve` ({}), a `wasi:http` hello", serve.version), peer.text(), "", None);
            let factor = ours.rate() / peer.rate();
            table.figure(
                "synchronous calls : `wasmtime serve`",
                format!("{factor:.1} times"),
                "at least 4 times",
                Some(factor >= 4.0),
            );
        }
        None => table.figure("`wasmtime serve`", "not installed".to_owned(), "", None),
    }
    Ok(())
}

/// CPU time of a process so far, user and system.
pub(super) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("a server's CPU time")?;
    // After the name in parentheses: state is the third field, the two times are the 14th and the 15th.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    let ticks: f64 = fields.take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    let ticks_a_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.context("the clock's ticks")?;
    Ok(ticks / ticks_a_second as f64)
}
