//! The machine's clock is set while webhooks wait (by libfaketime, for the host's process alone): nothing is early, and
//! nothing waits for the clock to come back.

use crate::Test;
use crate::echo::call;
use crate::upstream;
use anyhow::{Context as _, Result};
use ripost_tests::{HostBuilder, Plugin, Reply, Sink, guests, until};
use serde_json::json;
use std::time::Duration;

const WAIT: Duration = Duration::from_millis(1500);
const CONFIG: &str =
    "[delivery]\nschedule = [\"0 ms\", \"1500 ms\", \"1500 ms\"]\nsweep = \"50 ms\"\n[runs]\nsweep = \"50 ms\"\n";

/// Where Debian has it; `cargo xtask test` installs it.
fn library() -> Result<String> {
    let places = glob("/usr/lib", "faketime/libfaketimeMT.so.1");
    places.context("libfaketime is missing: apt-get install libfaketime (cargo xtask test does it)")
}

fn glob(root: &str, name: &str) -> Option<String> {
    let folders = std::fs::read_dir(root).ok()?.filter_map(|entry| Some(entry.ok()?.path().join(name)));
    folders
        .chain([std::path::Path::new(root).join(name)])
        .find(|path| path.exists())
        .map(|path| path.display().to_string())
}

/// What a host takes for the machine's clock.
pub(crate) struct Clock {
    folder: tempfile::TempDir,
}

impl Clock {
    pub(crate) fn new() -> Result<Self> {
        let clock = Self { folder: tempfile::tempdir()? };
        clock.set("+0s")?;
        Ok(clock)
    }

    /// Sets it against the machine's: `+3600s`.
    pub(crate) fn set(&self, by: &str) -> Result<()> {
        std::fs::write(self.folder.path().join("time"), format!("{by}\n")).context("setting a clock")
    }
}

/// A host in development mode with that clock.
pub(crate) fn at_a_clock(clock: &Clock, config: &str) -> Result<HostBuilder> {
    let folder = clock.folder.path();
    let host = crate::host()
        .only_config(config)
        // The library reads the file from inside the host, whose wall would not let it.
        .config(&format!("[wall]\nread = [\"{}\"]\n", folder.display()))
        .env("LD_PRELOAD", &library()?)
        .env("FAKETIME_TIMESTAMP_FILE", folder.join("time").to_str().context("a path")?)
        .env("FAKETIME_NO_CACHE", "1")
        // Waits are measured by a clock that nobody sets; only the wall clock is moved.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
    Ok(host)
}

async fn stepped(by: &str) -> Test {
    let clock = Clock::new()?;
    let host = at_a_clock(&clock, CONFIG)?.plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let consumer = host.add_consumer("c1", "1").await?;
    let sink = Sink::start().await?;
    sink.script([Reply::status(500), Reply::status(500)]);
    let id = call(&consumer, &sink.url("/")).await?;
    sink.wait(&id, 1).await?;
    until("the first failure is recorded", Duration::from_secs(5), async || {
        Ok((consumer.view(&id).await?["delivery"]["state"] == "pending").then_some(()))
    })
    .await?;
    clock.set(by)?;
    let attempts = sink.wait(&id, 3).await?;
    for pair in attempts.windows(2) {
        let gap = pair[1].at.saturating_duration_since(pair[0].at);
        assert!(gap >= WAIT, "early: {gap:?}");
        assert!(gap < WAIT * 3, "late: {gap:?}");
    }
    let seconds = |index: usize| attempts[index].header("webhook-timestamp").parse::<i64>();
    let moved = seconds(2)? - seconds(0)?;
    assert!(moved.abs() > 3000, "the host's clock was not set at all: {moved} s");
    consumer.delivery(&id, "delivered").await?;
    Ok(())
}

#[tokio::test]
async fn a_clock_set_forward_by_an_hour_makes_nothing_early() -> Test {
    stepped("+3600s").await
}

#[tokio::test]
async fn a_clock_set_back_by_an_hour_keeps_nothing_waiting() -> Test {
    stepped("-3600s").await
}

/// The clock is right, then wrong for as long as `wrong` takes, then right again.
async fn what_awaits_a_callback_outlives(wrong: &str) -> Test {
    let (clock, service) = (Clock::new()?, Sink::start().await?);
    service.script([Reply::status(202)]);
    let host = at_a_clock(&clock, CONFIG)?.plugin(&upstream::plugin(&service.url("/process"), "")).start().await?;
    let consumer = host.demo();
    let id = consumer.call("demo/up").json(&json!({})).header("prefer", "respond-async").accepted().await?;
    upstream::awaits(&consumer, &id).await?;
    let path = upstream::callback(&host, &service.first(&id).await?)?;
    let shown = consumer.view(&id).await?["expiresAt"].clone();
    clock.set(wrong)?;
    // Many sweeps long, and a request that is accepted meanwhile lives as long as any.
    let of_that_time = consumer.call("demo/up").json(&json!({})).header("prefer", "respond-async").accepted().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    clock.set("+0s")?;
    let view = consumer.view(&id).await?;
    assert_eq!((&view["status"], &view["expiresAt"]), (&json!("awaiting_callback"), &shown), "{view}");
    upstream::result(&host, &path, r#"{"made":1}"#).await?.expect(200)?;
    let ended = consumer.ended(&id).await?;
    assert_eq!((&ended["status"], &ended["settlement"]["state"]), (&json!("completed"), &json!("captured")), "{ended}");
    let view = consumer.view(&of_that_time).await?;
    assert_ne!(view["status"], "expired", "{view}");
    Ok(())
}

#[tokio::test]
async fn what_awaits_a_callback_does_not_expire_by_a_clock_that_is_wrong_for_a_second() -> Test {
    what_awaits_a_callback_outlives("+7200s").await
}

#[tokio::test]
async fn nor_by_one_that_was_behind() -> Test {
    what_awaits_a_callback_outlives("-7200s").await
}
