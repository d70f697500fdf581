//! (d) From the rename of a component into place to the first answer from it.

use super::figures::Table;
use super::load::Latencies;
use super::{Size, host};
use crate::products;
use anyhow::{Context as _, Result, bail};
use ripost_tests::plugin::rename_into_place;
use serde_json::json;
use std::time::{Duration, Instant};

/// An answer of the new revision must come within this.
const LIMIT: Duration = Duration::from_secs(10);

/// A component with another digest and the same code: a custom section at its end.
pub(super) fn marked(component: &[u8], mark: usize) -> Vec<u8> {
    let payload = format!("\u{5}bench{mark:08}");
    let mut bytes = component.to_vec();
    bytes.push(0);
    bytes.push(u8::try_from(payload.len()).unwrap_or(0));
    bytes.extend_from_slice(payload.as_bytes());
    bytes
}

pub(super) async fn measure(size: Size, table: &mut Table) -> Result<()> {
    let host = host("").await?;
    let consumer = host.demo();
    let component = std::fs::read(products::plugins_dir().join("reports/reports.wasm")).context("the built example")?;
    table.section(&format!(
        "(d) Hot reload: from the rename of `reports` ({} KB) into place to its first answer, {} times",
        component.len() / 1000,
        size.renames
    ));
    // The second time the compiler has been asked before.
    for (what, aim_ms) in [("compiled for it", 250.0), ("compiled before", 60.0)] {
        let mut latencies = Latencies::default();
        for mark in 0..size.renames {
            let before = digest(&host).await?;
            let bytes = marked(&component, mark);
            let begun = Instant::now();
            rename_into_place(host.stage(), &host.plugins().join("reports/reports.wasm"), &bytes)?;
            while digest(&host).await? == before {
                if begun.elapsed() > LIMIT {
                    bail!("the new revision did not serve within {} s", LIMIT.as_secs());
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let call = json!({ "action": "generate-report", "format": "json", "rows": 10 });
            consumer.call("demo/bb-webhook-receiver").json(&call).send().await?.expect(200)?;
            latencies.add(begun.elapsed());
        }
        let (median, worst) = (latencies.percentile(0.5), latencies.percentile(1.0));
        let met = Some(median < aim_ms);
        let aim = format!("median under {aim_ms:.0} ms");
        table.figure(what, format!("median {median:.0} ms, worst {worst:.0} ms"), &aim, met);
    }
    Ok(())
}

async fn digest(host: &ripost_tests::Host) -> Result<String> {
    let status = host.admin(hyper::Method::GET, "/admin/v1/status").await?.expect(200)?.json()?;
    let plugins = status["plugins"].as_array().context("plugins")?;
    let reports = plugins.iter().find(|plugin| plugin["key"] == "reports").context("reports")?;
    Ok(reports["active"].as_str().unwrap_or_default().to_owned())
}
