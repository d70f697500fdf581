//! `cargo xtask bench`: one machine, one run, every ratio with both figures from that run.
//!
//! The load generator is this process; it shares the cores with what it measures, and BENCHMARKS.md says so.

mod accept;
mod against;
mod apis;
mod deliver;
mod figures;
mod flood;
mod isolation;
mod load;
mod machine;
mod many;
mod memory;
mod neighbours;
mod peers;
mod reload;
mod sandbox;
mod streams;
mod synchronous;
mod transforms;
mod upstreams;

use crate::products;
use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use figures::Table;
use ripost_tests::Host;
use std::time::Duration;

pub(crate) use peers::serve_echo;

const PARTS: [&str; 14] = [
    "accept",
    "deliver",
    "memory",
    "reload",
    "isolation",
    "sandbox",
    "synchronous",
    "transforms",
    "many",
    "apis",
    "streams",
    "upstreams",
    "flood",
    "neighbours",
];

/// What `--only` takes.
pub(crate) fn part_names() -> clap::builder::PossibleValuesParser {
    PARTS.into()
}

/// How long and how much.
#[derive(Clone, Copy)]
struct Size {
    /// Of one round.
    round: Duration,
    /// Rounds of each, alternating with the peers'.
    rounds: usize,
    /// Requests before memory is read again.
    requests: u64,
    /// Renames into place.
    renames: usize,
    /// Distinct components in one process; also plugins of ten APIs each.
    components: usize,
}

const WHOLE: Size = Size { round: Duration::from_secs(6), rounds: 3, requests: 100_000, renames: 10, components: 1000 };
const QUICK: Size = Size { round: Duration::from_secs(2), rounds: 1, requests: 10_000, renames: 3, components: 100 };

/// Measures, prints, and writes BENCHMARKS.md after a whole run.
pub(crate) fn run(quick: bool, only: &[String], against: Option<&Utf8Path>) -> Result<()> {
    products::for_the_bench()?;
    let size = if quick { QUICK } else { WHOLE };
    let wanted = |part: &str| match against {
        Some(_) => only.iter().any(|name| name == part),
        None => only.is_empty() || only.iter().any(|name| name == part),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut table = Table::default();
    runtime.block_on(async {
        if let Some(other) = against {
            against::measure(size, other, &mut table).await.context("measuring against another build")?;
        }
        if wanted("accept") {
            accept::measure(size, &mut table).await.context("measuring accepts")?;
        }
        if wanted("deliver") {
            deliver::measure(size, &mut table).await.context("measuring deliveries")?;
        }
        if wanted("memory") {
            memory::measure(size, &mut table).await.context("measuring memory")?;
        }
        if wanted("reload") {
            reload::measure(size, &mut table).await.context("measuring reloads")?;
        }
        if wanted("isolation") {
            isolation::measure(size, &mut table).await.context("measuring isolation")?;
        }
        if wanted("sandbox") {
            sandbox::measure(size, &mut table).context("measuring the sandbox")?;
        }
        if wanted("synchronous") {
            synchronous::measure(size, &mut table).await.context("measuring the synchronous path")?;
        }
        if wanted("transforms") {
            transforms::measure(size, &mut table).await.context("measuring transforms")?;
        }
        if wanted("many") {
            many::measure(size, &mut table).await.context("measuring many components")?;
        }
        if wanted("apis") {
            apis::measure(size, &mut table).await.context("measuring many APIs")?;
        }
        if wanted("streams") {
            streams::measure(&mut table).await.context("measuring streams")?;
        }
        if wanted("upstreams") {
            upstreams::measure(size, &mut table).await.context("measuring upstreams")?;
        }
        if wanted("flood") {
            flood::measure(size, &mut table).await.context("measuring a flood")?;
        }
        if wanted("neighbours") {
            neighbours::measure(size, &mut table).await.context("measuring neighbours")?;
        }
        anyhow::Ok(())
    })?;
    let page = table.page(&machine::describe()?);
    println!("{page}");
    if !quick && only.is_empty() && against.is_none() {
        let path = ripost_tests::places::workspace().join("BENCHMARKS.md");
        std::fs::write(&path, page).with_context(|| format!("writing {path}"))?;
        println!("written to {path}");
    }
    Ok(())
}

/// A gateway in development mode with the bench's plugins.
async fn host(config: &str) -> Result<Host> {
    let plugin = |name: &str| -> Utf8PathBuf { products::plugins_dir().join(name) };
    Host::builder().dev().only_config(config).plugin_dir(plugin("echo")).plugin_dir(plugin("reports")).start().await
}
