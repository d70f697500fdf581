//! (j) A thousand distinct components in one process.

use super::Size;
use super::figures::Table;
use super::memory::resident_mb;
use super::reload::marked;
use crate::products;
use anyhow::{Context as _, Result};
use ripost_tests::{Api, Host, Plugin, Stopped};
use serde_json::json;
use std::time::{Duration, Instant};

/// One after the other is compiled, in a process of its own, on a machine that may be busy.
const START_MAX: Duration = Duration::from_secs(900);

pub(super) async fn measure(size: Size, table: &mut Table) -> Result<()> {
    let count = size.components;
    let component = std::fs::read(products::plugins_dir().join("echo/echo.wasm")).context("the built echo")?;
    let few = ready(plugins(&component, 1)).await?;
    let least = warm(few).await?;

    let begun = Instant::now();
    let host = ready(plugins(&component, count)).await?;
    let cold = begun.elapsed();
    serve_all(&host, count).await?;
    let after_cold = resident_mb(host.pid())?;
    let again = warm(host).await?;
    serve_all(&again.host, count).await?;
    let after_warm = resident_mb(again.host.pid())?;
    let hits = again.host.metrics().await?.sum("ripost_artefact_cache_total", "hit");

    table.section(&format!("(j) {count} distinct components (`echo` and a mark, {} KB each)", component.len() / 1000));
    table.figure("first start, nothing compiled yet, to readiness", format!("{:.1} s", cold.as_secs_f64()), "", None);
    let memory = |table: &mut Table, what: &str, mb: f64| {
        table.figure(what, format!("{mb:.0} MB"), "under 1 000 MB", Some(mb < 1000.0));
    };
    memory(table, "memory after one call of each", after_cold);
    let each = again.took.saturating_sub(least.took).as_secs_f64() * 1e3 / count as f64;
    if hits > 0.0 {
        table.figure(
            &format!("next start, {hits:.0} from the cache, to readiness"),
            format!("{:.2} s, {each:.2} ms for each component", again.took.as_secs_f64()),
            "under 1 ms each",
            Some(each < 1.0),
        );
    } else {
        table.figure(
            "next start, without a cache, to readiness",
            format!("{:.1} s", again.took.as_secs_f64()),
            "",
            None,
        );
    }
    memory(table, "memory after one call of each", after_warm);
    Ok(())
}

fn slug(number: usize) -> String {
    format!("p{number:04}")
}

fn plugins(component: &[u8], count: usize) -> Vec<Plugin> {
    let plugin = |number| Plugin::new(&slug(number), [Api::new("test", &slug(number), marked(component, number))]);
    (0..count).map(plugin).collect()
}

async fn ready(plugins: Vec<Plugin>) -> Result<Host> {
    // Ready means that all of them serve.
    let builder = Host::builder().dev().config("[plugins]\nstart_wait = \"15 m\"\n").start_within(START_MAX);
    plugins.iter().fold(builder, |builder, plugin| builder.plugin(plugin)).start().await
}

/// The same folder, started again.
struct Again {
    host: Host,
    took: Duration,
}

async fn warm(host: Host) -> Result<Again> {
    let stopped: Stopped = host.sigterm().await?;
    let begun = Instant::now();
    let host = stopped.start().await?;
    Ok(Again { host, took: begun.elapsed() })
}

/// One call of each, so that what a component needs when it runs is there.
async fn serve_all(host: &Host, count: usize) -> Result<()> {
    let consumer = host.demo();
    for number in 0..count {
        let call = consumer.call(&format!("test/{}", slug(number))).json(&json!({ "n": number }));
        call.send().await?.expect(200)?;
    }
    Ok(())
}
