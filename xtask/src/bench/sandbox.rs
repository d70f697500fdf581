//! (h) One call in a fresh instance, everything included, and where the border between the two engines lies.

use super::Size;
use super::figures::Table;
use crate::process::cargo;
use crate::products;
use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use std::process::Stdio;

/// One line of `host/runtime/examples/call.rs`.
#[derive(Deserialize)]
struct Cost {
    scheme: String,
    threads: u32,
    /// Whether the component runs in this engine by itself.
    #[serde(default)]
    own: bool,
    best_us: f64,
    median_us: f64,
    faults: f64,
    cpu_us: f64,
    /// With wasmtime alone.
    #[serde(default)]
    bare_us: Option<f64>,
    /// The guest's own work: with wasmtime alone, in an instance that is used again.
    #[serde(default)]
    reused_us: Option<f64>,
    #[serde(default)]
    pages: u32,
    #[serde(default)]
    shape: String,
}

/// Name, component, body, and the most that one call may take, in microseconds.
const GUESTS: [(&str, &str, &str, f64, &str); 3] = [
    ("`echo` (Rust)", "echo/echo.wasm", r#"{"n":1}"#, 15.0, "best under 15 µs"),
    (
        "`reports`, one row (Rust)",
        "reports/reports.wasm",
        r#"{"action":"generate-report","format":"json","rows":1}"#,
        15.0,
        "best under 15 µs",
    ),
    ("`qjs` (JavaScript in QuickJS)", "qjs/qjs.wasm", r#"{"n":1}"#, 310.0, "best under 310 µs (aim 250)"),
];

pub(super) fn measure(size: Size, table: &mut Table) -> Result<()> {
    table.section("(h) One call in a fresh instance, everything included: store, limits, instantiation, call, reset");
    for (name, component, body, aim_us, aim) in GUESTS {
        let component = products::plugins_dir().join(component);
        for cost in call(&["component", component.as_str(), body], size.rounds * 3)? {
            let own = if cost.own { "its own engine" } else { "for comparison" };
            let bare = cost.bare_us.zip(cost.reused_us).map_or_else(String::new, |(bare, reused)| {
                format!("; wasmtime alone {bare:.1} µs, the guest's own work of it {reused:.1} µs")
            });
            let counts = cost.own && cost.threads == 1;
            table.figure(
                &format!("{name}, {} engine ({own}), {}", cost.scheme, threads(cost.threads)),
                format!(
                    "best {:.1} µs, median {:.1} µs, {:.1} µs of CPU, {:.0} page faults{bare}",
                    cost.best_us, cost.median_us, cost.cpu_us, cost.faults
                ),
                if counts { aim } else { "" },
                counts.then_some(cost.best_us < aim_us),
            );
        }
    }
    border(size, table)
}

fn border(size: Size, table: &mut Table) -> Result<()> {
    let costs = call(&["border"], size.rounds)?;
    for (shape, uses) in [("little used", "a sixteenth"), ("half used", "half")] {
        let costs: Vec<&Cost> = costs.iter().filter(|cost| cost.shape == shape).collect();
        let best = |pages: u32, scheme: &str, threads: u32| {
            let cost = costs.iter().find(|it| (it.pages, it.scheme.as_str(), it.threads) == (pages, scheme, threads));
            cost.map_or(f64::NAN, |cost| cost.best_us)
        };
        let mut pages: Vec<u32> = costs.iter().map(|cost| cost.pages).collect();
        pages.dedup();
        table.section(&format!(
            "(h) The border between the engines: a guest that uses {uses} of its first memory, best, small : large engine"
        ));
        for pages in pages {
            let pair =
                |threads| format!("{:.1} : {:.1} µs", best(pages, "small", threads), best(pages, "large", threads));
            table.figure(
                &format!("{pages} pages of 64 KiB"),
                format!("{}, {}; {}, {}", pair(1), threads(1), pair(2), threads(2)),
                "",
                None,
            );
        }
    }
    Ok(())
}

fn threads(count: u32) -> String {
    if count == 1 { "one thread".to_owned() } else { format!("{count} threads at once") }
}

fn call(arguments: &[&str], rounds: usize) -> Result<Vec<Cost>> {
    let rounds = rounds.to_string();
    let mut command = cargo();
    command.args(["run", "--quiet", "--release", "--package", "ripost-runtime", "--example", "call", "--"]);
    command.arg(rounds).args(arguments).stdin(Stdio::null());
    let output = command.output().context("starting cargo")?;
    ensure!(output.status.success(), "the example `call` failed: {}", String::from_utf8_lossy(&output.stderr));
    let lines = std::str::from_utf8(&output.stdout)?.lines();
    lines.map(|line| serde_json::from_str(line).with_context(|| format!("`call` said {line}"))).collect()
}
