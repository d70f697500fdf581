//! (c) Resident memory, idle and after many requests.

use super::deliver::{Sink, sustained, template};
use super::figures::Table;
use super::{Size, host};
use anyhow::{Context as _, Result};
use std::sync::Arc;
use std::time::Duration;

pub(super) fn resident_mb(pid: u32) -> Result<f64> {
    status_mb(pid, "VmRSS:")
}

/// The most there has been since the start.
pub(super) fn peak_mb(pid: u32) -> Result<f64> {
    status_mb(pid, "VmHWM:")
}

fn status_mb(pid: u32, field: &'static str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the gateway's memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).context(field)?;
    let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse().context(field)?;
    Ok(kib * 1024.0 / 1_000_000.0)
}

pub(super) async fn measure(size: Size, table: &mut Table) -> Result<()> {
    let host = host("").await?;
    let address = host.url().trim_start_matches("http://").parse().context("the gateway's address")?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle = resident_mb(host.pid())?;
    let sink = Arc::new(Sink::start().await?);
    let template = template(&sink, "test/echo", "");
    let total = size.requests;
    let sent = sustained(address, &template, &sink, 0, move |number| number < total).await?;
    sink.drained(sent).await?;
    let after = resident_mb(host.pid())?;
    table.section("(c) Resident memory");
    table.figure("idle, two plugins loaded", format!("{idle:.0} MB"), "under 60 MB", Some(idle < 60.0));
    table.figure(
        &format!("after {sent} requests, delivered"),
        format!("{after:.0} MB"),
        "under 200 MB",
        Some(after < 200.0),
    );
    Ok(())
}
