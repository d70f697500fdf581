//! Guests share the memory that the operator gives them: runs wait in place of the process growing, and nothing stays.

use crate::Test;
use anyhow::{Context as _, Result};
use ripost_tests::guests::Touch;
use ripost_tests::{Api, Host, Plugin, guests, until};
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinSet;

/// Of it 64 MiB are for small runs, 96 for what components start with and 96 for what they grow to.
const SHARED: &str = "[sandbox]\nmemory = \"256 MiB\"\n";
/// What the gateway itself takes at most, beside guests.
const OWN_KIB: u64 = 100 << 10;
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(30);

fn peak_kib(host: &Host) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

async fn call_all(host: &Host, api: &'static str, calls: usize) -> Result<()> {
    let mut running = JoinSet::new();
    for n in 0..calls {
        let consumer = host.demo();
        running.spawn(async move { consumer.call(api).json(&json!({ "n": n })).send().await?.expect(200).map(drop) });
    }
    while let Some(call) = running.join_next().await {
        call??;
    }
    Ok(())
}

async fn is_given_back(host: &Host) -> Result<()> {
    until("the memory of ended guests is given back", GIVEN_BACK_WITHIN, async || {
        Ok((host.rss_kib()? < OWN_KIB).then_some(()))
    })
    .await
}

#[tokio::test]
async fn runs_wait_for_memory_in_place_of_the_process_growing() -> Test {
    let off = "delivery = \"off\"";
    let plugin = Plugin::new(
        "greedy",
        [
            Api::new("one", "fills", guests::fills_and_sleeps(60, 50)).line(off),
            Api::new("two", "fills", guests::fills_and_sleeps(60, 50)).line(off),
        ],
    );
    let host = Host::builder().dev().config(SHARED).plugin(&plugin).start().await?;
    tokio::try_join!(call_all(&host, "one/fills", 6), call_all(&host, "two/fills", 6))?;
    // One at a time; all at once would be 720 MiB.
    let peak = peak_kib(&host)?;
    assert!(peak < (64 << 10) + OWN_KIB, "{peak} KiB");
    let metrics = host.metrics().await?;
    assert!(metrics.sum("ripost_memory_waits_total", "outcome=\"waited\"") > 0.0);
    for (name, label) in [
        ("ripost_memory_waits_total", "outcome=\"put_back\""),
        ("ripost_runs_waiting_for_memory", ""),
        ("ripost_guest_memory_bytes", "state=\"reserved\""),
    ] {
        assert!(metrics.sum(name, label).abs() < 0.5, "{name}");
    }
    is_given_back(&host).await
}

#[tokio::test]
async fn guests_that_ran_one_after_the_other_leave_nothing_behind() -> Test {
    let plugin = Plugin::new(
        "large",
        [Api::new("demo", "fills", guests::fills(200, Touch::AtOnce))
            .line("delivery = \"off\"")
            .limit("memory = \"256 MiB\"")],
    );
    let host = Host::builder().dev().config("[sandbox]\nmemory = \"2 GiB\"\n").plugin(&plugin).start().await?;
    for _ in 0..7 {
        call_all(&host, "demo/fills", 1).await?;
    }
    is_given_back(&host).await
}

#[tokio::test]
async fn what_the_machine_cannot_give_one_run_is_refused_with_the_figures() -> Test {
    let plugin = Plugin::new("greedy", [Api::new("demo", "echo", guests::echo()).limit("memory = \"512 MiB\"")]);
    let host = Host::builder().dev().config(SHARED).start().await?;
    plugin.install(host.stage(), host.plugins())?;
    until("the plugin is refused", Duration::from_secs(10), async || {
        let status = host.cli(&["status"]).await?.expect(0)?.stdout;
        let why =
            "`memory` asks for 512 MiB and one run on this host can have 96 MiB of the 256 MiB that all guests share";
        Ok(status.contains(why).then_some(()))
    })
    .await
}
