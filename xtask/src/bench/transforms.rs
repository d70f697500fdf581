//! (l) What a transform adds to a call: another fresh instance, and what it works on goes in and comes out.

use super::Size;
use super::figures::Table;
use super::load::Template;
use super::synchronous::Rounds;
use crate::products;
use anyhow::{Context as _, Result};
use ripost_tests::guests::transforms::{self, Kind};
use ripost_tests::{Api, Host, Plugin};

const ADDS_MAX_US: f64 = 20.0;

pub(super) async fn measure(size: Size, table: &mut Table) -> Result<()> {
    let read =
        |path: &str| std::fs::read(products::plugins_dir().join(path)).with_context(|| format!("the built {path}"));
    let echo = read("echo/echo.wasm")?;
    let api = |slug: &str, transforms: &str| {
        let api = Api::new("test", slug, echo.clone()).line("delivery = \"off\"");
        if transforms.is_empty() { api } else { api.line(&format!("transforms = {{ {transforms} }}")) }
    };
    let cases = [
        ("none", "", "no transform"),
        ("least", "response = [\"least.wasm\"]", "a response transform that gives back what it is given"),
        ("redact", "response = [\"redact.wasm\"]", "`redact` (Rust) on the result"),
        ("normalise", "request = [\"least-request.wasm\"]", "a request transform that gives back what it is given"),
    ];
    let plugin = Plugin::new("transforms", cases.map(|(slug, transforms, _)| api(&format!("t-{slug}"), transforms)))
        .file("least.wasm", transforms::appends(Kind::Response, ""))
        .file("least-request.wasm", transforms::appends(Kind::Request, ""))
        .file("redact.wasm", read("redact/redact.wasm")?);
    let host = Host::builder().dev().plugin(&plugin).start().await?;
    let address = host.url().trim_start_matches("http://").parse().context("the gateway's address")?;
    let mut rounds = cases.map(|_| Rounds::default());
    for _ in 0..size.rounds {
        for ((slug, ..), rounds) in cases.iter().zip(&mut rounds) {
            let template = Template::call(&format!("test/t-{slug}"), r#"{"n":"@@@@@@@@@@"}"#);
            rounds.add((address, host.pid()), &template, size).await?;
        }
    }
    table.section(
        "(l) What a transform adds: `echo`, `delivery = \"off\"`, 64 connections, CPU of the gateway's process",
    );
    let without = rounds[0].cpu_us();
    for ((slug, _, what), rounds) in cases.iter().zip(&mut rounds) {
        if *slug == "none" {
            table.figure(what, rounds.text(), "", None);
            continue;
        }
        let adds = rounds.cpu_us() - without;
        table.figure(
            what,
            format!("adds {adds:.1} µs to a call ({})", rounds.text()),
            "under 20 µs",
            Some(adds < ADDS_MAX_US),
        );
    }
    Ok(())
}
