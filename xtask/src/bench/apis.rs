//! (m) Ten APIs in each of a thousand plugins: how soon they serve, and what it costs to find one.

use super::Size;
use super::figures::Table;
use super::load::Template;
use super::memory::resident_mb;
use super::reload::marked;
use super::synchronous::Rounds;
use crate::products;
use anyhow::{Context as _, Result};
use ripost_tests::{Api, Host, Plugin};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

const APIS_EACH: usize = 10;
/// One after the other is compiled, in a process of its own, on a machine that may be busy.
const START_MAX: Duration = Duration::from_secs(900);

pub(super) async fn measure(size: Size, table: &mut Table) -> Result<()> {
    let count = size.components;
    let component = std::fs::read(products::plugins_dir().join("echo/echo.wasm")).context("the built echo")?;
    let few = start(&component, 1).await?;
    let many = start(&component, count).await?;
    let begun = Instant::now();
    let many = many.sigterm().await?;
    let stopped = begun.elapsed();
    let begun = Instant::now();
    let many = many.start().await?;
    let took = begun.elapsed();

    let (mut of_few, mut of_many) = (Rounds::default(), Rounds::default());
    let last = count - 1;
    for _ in 0..size.rounds {
        for (host, plugin, rounds) in [(&few, 0, &mut of_few), (&many, last, &mut of_many)] {
            let address = host.url().trim_start_matches("http://").parse().context("the gateway's address")?;
            let template = Template::call(&format!("test/p{plugin:04}-7"), r#"{"n":"@@@@@@@@@@"}"#);
            rounds.add((address, host.pid()), &template, size).await?;
        }
    }
    let apis = count * APIS_EACH;
    table.section(&format!("(m) {apis} APIs in {count} plugins, each with a component of its own"));
    table.figure(
        "start with all of it compiled before, to readiness",
        format!("{:.2} s (stopping took {:.2} s)", took.as_secs_f64(), stopped.as_secs_f64()),
        "under 5 s",
        Some(took < Duration::from_secs(5)),
    );
    table.figure("memory then", format!("{:.0} MB", resident_mb(many.pid())?), "", None);
    table.figure("a synchronous call among 10 APIs", of_few.text(), "", None);
    table.figure(&format!("a synchronous call among {apis}"), of_many.text(), "", None);
    let ratio = of_many.cpu_us() / of_few.cpu_us();
    table.figure("CPU of a call, many : few", format!("{ratio:.2}"), "flat: at most 1.1", Some(ratio <= 1.1));
    Ok(())
}

fn plugin(component: &[u8], number: usize) -> Plugin {
    let name = format!("p{number:04}");
    let first = Api::new("test", &name, marked(component, number)).line("delivery = \"off\"");
    Plugin::new(&name, [first]).with_manifest(|mut manifest| {
        for api in 1..APIS_EACH {
            write!(
                manifest,
                "\n[[api]]\nowner = \"test\"\nslug = \"{name}-{api}\"\nhandler = \"{name}.wasm\"\ndelivery = \"off\"\n"
            )
            .expect("writing to a String cannot fail");
        }
        manifest
    })
}

async fn start(component: &[u8], count: usize) -> Result<Host> {
    // Ready means that all of them serve.
    let builder = Host::builder().dev().config("[plugins]\nstart_wait = \"15 m\"\n").start_within(START_MAX);
    (0..count).fold(builder, |builder, number| builder.plugin(&plugin(component, number))).start().await
}
