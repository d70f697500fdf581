//! (a) Accepts with the commit made, runs paused.

use super::figures::Table;
use super::load::{Latencies, Template, closed_loop};
use super::peers::{Echo, bare_sqlite};
use super::{Size, host};
use anyhow::{Context as _, Result};

const CONNECTIONS: u64 = 64;

pub(super) async fn measure(size: Size, table: &mut Table) -> Result<()> {
    let host = host("[runs]\npaused = true\n").await?;
    let address = host.url().trim_start_matches("http://").parse().context("the gateway's address")?;
    let echo = Echo::start()?;
    let template = Template::call("test/echo", r#"{"n":"@@@@@@@@@@","webhook_url":"http://127.0.0.1:9/h/@@@@@@@@@@"}"#);
    let (mut accepts, mut echoes, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    let (mut accept_latency, mut echo_latency) = (Latencies::default(), Latencies::default());
    let mut group = 0.0;
    for _ in 0..size.rounds {
        let before = host.metrics().await?;
        let (rate, latency) = closed_loop(address, &template, CONNECTIONS, size.round, 202).await?;
        let after = host.metrics().await?;
        group = (after.sum("ripost_store_operations_total", "") - before.sum("ripost_store_operations_total", ""))
            / (after.sum("ripost_store_commits_total", "") - before.sum("ripost_store_commits_total", "")).max(1.0);
        accepts.push(rate);
        accept_latency.extend(latency);
        let (rate, latency) = closed_loop(echo.address, &template, CONNECTIONS, size.round, 200).await?;
        echoes.push(rate);
        echo_latency.extend(latency);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a group has a few requests")]
        let requests = group.round().max(1.0) as u64;
        bare.push(tokio::task::spawn_blocking(move || bare_sqlite(requests, size.round)).await??.0);
    }
    let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len() as f64;
    let (accept, echo, bare) = (mean(&accepts), mean(&echoes), mean(&bare));
    table.section("(a) Accepts: request, hold and commit before each 202, 64 connections, runs paused");
    table.figure("accepted with its commit", format!("{accept:.0}/s"), "", None);
    let (p50, p99) = (accept_latency.percentile(0.5), accept_latency.percentile(0.99));
    table.figure("latency", format!("p50 {p50:.1} ms, p99 {p99:.1} ms"), "p99 under 15 ms", Some(p99 < 15.0));
    table.figure("requests a commit", format!("{group:.1}"), "", None);
    table.figure(
        "bare hyper echo, same request",
        format!("{echo:.0}/s, p99 {:.1} ms", echo_latency.percentile(0.99)),
        "",
        None,
    );
    table.figure(
        "accepts : echo",
        format!("{:.0} %", 100.0 * accept / echo),
        "at least 25 %",
        Some(accept / echo >= 0.25),
    );
    table.figure("bare SQLite loop, same rows and group size", format!("{bare:.0}/s"), "", None);
    table.figure("accepts : bare SQLite loop", format!("{:.0} %", 100.0 * accept / bare), "", None);
    Ok(())
}
