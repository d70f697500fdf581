//! Killed while what is old is removed: rows and files agree afterwards, and the books are as they were.

use crate::Test;
use crate::scenario::{self, QUICK};
use anyhow::Context as _;
use ripost_tests::{Sink, audit, until};
use serde_json::json;
use std::time::Duration;

/// The contents of a request with a large result are about to go, or have just gone.
pub(crate) async fn forgetting(point: &str) -> Test {
    let kept =
        |results: &str| format!("{QUICK}[retention]\nresults = \"{results}\"\nrequests = \"1 h\"\nevery = \"50 ms\"\n");
    let host = scenario::host().only_config(&kept("1 h")).start().await?;
    let consumer = host.add_consumer("c1", "10").await?;
    let key = consumer.key().context("a key")?.to_owned();
    let sink = Sink::start().await?;
    let id = consumer.call("demo/large").json(&json!({ "webhook_url": sink.url("/") })).accepted().await?;
    consumer.delivery(&id, "delivered").await?;
    let host = host.sigterm().await?.with(|host| host.only_config(&kept("1 s")).failpoint(point)).start().await?;
    host.reached(point).await?;
    // Longer than that is kept, so that what was not committed is still there.
    let host = host.sigkill()?.with(|host| host.only_config(&kept("1 h"))).start().await?;
    let consumer = host.consumer(&key);
    let result = consumer.get(&format!("/requests/{id}/result")).await?;
    let expected = if point.contains("before") { 200 } else { 410 };
    assert_eq!(result.status.as_u16(), expected, "{}", result.status);
    let view = consumer.view(&id).await?;
    assert_eq!((&view["status"], &view["settlement"]["state"]), (&json!("completed"), &json!("captured")));
    let host = host.sigterm().await?.with(|host| host.only_config(&kept("1 s"))).start().await?;
    let consumer = host.consumer(&key);
    until("the contents are gone", Duration::from_secs(10), async || {
        Ok((consumer.get(&format!("/requests/{id}/result")).await?.status == 410).then_some(()))
    })
    .await?;
    let stopped = host.sigterm().await?;
    audit::check(stopped.data())?;
    stopped.cli(&["ledger", "audit"]).await?.expect(0)?;
    Ok(())
}
