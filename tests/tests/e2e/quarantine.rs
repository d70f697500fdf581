//! Revisions that are taken back: by their own failures, by the operator, and plugins that are stopped.

use crate::{PAUSED, QUICK, Test, host};
use anyhow::{Context as _, Result};
use ripost_tests::{Api, Consumer, Host, Plugin, Sink, audit, guests, until};
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

fn word(component: Vec<u8>) -> Plugin {
    let api = Api::new("demo", "word", component).price("0.010000").limit("concurrency = 1");
    Plugin::new("word", [api.line("max_attempts = 1")])
}

async fn status(host: &Host) -> Result<Value> {
    let status = host.cli(&["status", "--json"]).await?.expect(0)?.json()?;
    let plugins = status["plugins"].as_array().cloned().unwrap_or_default();
    Ok(plugins.into_iter().find(|status| status["key"] == "word").unwrap_or_default())
}

/// Puts another revision in place, and waits until it serves.
async fn deploy(host: &Host, component: Vec<u8>) -> Test {
    let before = status(host).await?["active"].clone();
    word(component).install(host.stage(), host.plugins())?;
    until("another revision serves", SOON, async || Ok((status(host).await?["active"] != before).then_some(()))).await
}

async fn said(consumer: &Consumer) -> Result<String> {
    let answer = consumer.call("demo/word").json(&json!({})).send().await?.expect(200)?;
    Ok(String::from_utf8(answer.body.to_vec())?)
}

async fn accepted(consumer: &Consumer, sink: &Sink) -> Result<String> {
    consumer.call("demo/word").json(&json!({ "webhook_url": sink.url("/") })).accepted().await
}

#[tokio::test]
async fn a_new_revision_that_keeps_trapping_gives_way_to_the_one_before_and_what_waits_goes_with_it() -> Test {
    let config = format!("{QUICK}\n[plugins]\nquarantine_after = 3\n");
    let host = host().only_config(&config).plugin(&word(guests::says("good"))).start().await?;
    let (consumer, sink) = (host.add_consumer("c1", "10").await?, Sink::start().await?);
    assert_eq!(said(&consumer).await?, "good");
    deploy(&host, guests::traps()).await?;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(accepted(&consumer, &sink).await?);
    }
    let (mut failed, mut completed) = (0, 0);
    for id in &ids {
        match consumer.ended(id).await?["status"].as_str() {
            Some("failed") => failed += 1,
            Some("completed") => completed += 1,
            other => anyhow::bail!("{other:?}"),
        }
    }
    assert!(failed >= 3 && failed + completed == 20, "{failed} failed, {completed} completed");
    until("the one before serves", SOON, async || Ok((said(&consumer).await? == "good").then_some(()))).await?;
    let told = status(&host).await?;
    assert_eq!((&told["state"], &told["apis"][0]["state"]), (&json!("quarantined"), &json!("quarantined")));
    let reason = told["reason"].as_str().context("a reason")?;
    assert!(reason.contains("runs of `demo/word` trapped or came to a limit"), "{reason}");
    assert!(host.log().contains("put aside"));
    assert_eq!(host.metrics().await?.sum("ripost_quarantines_total", ""), 1.0);

    let host = host.sigkill()?.start().await?;
    let consumer = host.consumer(consumer.key().context("a key")?);
    assert_eq!(said(&consumer).await?, "good", "it holds over a restart");
    deploy(&host, guests::says("better")).await?;
    assert_eq!(said(&consumer).await?, "better");
    audit::check(host.data())
}

#[tokio::test]
async fn a_rollback_takes_what_was_accepted_along_and_holds_over_a_restart() -> Test {
    let host = host().only_config(PAUSED).plugin(&word(guests::says("good"))).start().await?;
    let (consumer, sink) = (host.add_consumer("c1", "10").await?, Sink::start().await?);
    deploy(&host, guests::traps()).await?;
    let id = accepted(&consumer, &sink).await?;
    let bad = status(&host).await?["active"].clone();
    let listed = host.cli(&["revisions", "demo/word", "--json"]).await?.expect(0)?.json()?;
    assert_eq!((&listed[0]["digest"], &listed[0]["requests"]), (&bad, &json!(1)));
    let text = host.cli(&["rollback", "demo/word"]).await?.expect(0)?.stdout;
    assert!(text.starts_with("word: ") && text.contains("serves in place of"), "{text}");
    let listed = host.cli(&["revisions", "demo/word", "--json"]).await?.expect(0)?.json()?;
    assert_eq!((&listed[0]["state"], &listed[0]["requests"]), (&json!("active"), &json!(1)));
    assert_eq!((&listed[1]["digest"], &listed[1]["state"]), (&bad, &json!("held")));
    host.cli(&["rollback", "demo/word"]).await?.expect(1)?;
    host.cli(&["rollback", "demo/nothing"]).await?.expect(1)?;

    let host = host.sigkill()?.with(|host| host.only_config(QUICK)).start().await?;
    assert_eq!(sink.first(&id).await?.json()?["result"], "good");
    let consumer = host.consumer(consumer.key().context("a key")?);
    assert_eq!(said(&consumer).await?, "good");
    host.cli(&["reload"]).await?.expect(0)?;
    assert_eq!(said(&consumer).await?, "good", "the files are still those of the one that was put aside");
    deploy(&host, guests::says("better")).await?;
    assert_eq!(said(&consumer).await?, "better");
    audit::check(host.data())
}

#[tokio::test]
async fn a_stopped_plugin_fails_what_it_has_not_ended_and_releases_its_holds() -> Test {
    let host = host().only_config(PAUSED).plugin(&word(guests::says("good"))).start().await?;
    let (consumer, sink) = (host.add_consumer("c1", "1").await?, Sink::start().await?);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(accepted(&consumer, &sink).await?);
    }
    assert_eq!(consumer.balances().await?, (970_000, 30_000));
    let text = host.cli(&["plugins", "stop", "word"]).await?.expect(0)?.stdout;
    assert_eq!(text.trim(), "stopped: word; 3 requests failed with it");
    for id in &ids {
        let view = consumer.ended(id).await?;
        assert_eq!((&view["status"], &view["settlement"]["state"]), (&json!("failed"), &json!("released")));
        assert_eq!(view["error"]["type"], "urn:ripost:problem:plugin-stopped");
        assert_eq!(sink.first(id).await?.json()?["status"], "failed");
    }
    assert_eq!(consumer.balances().await?, (1_000_000, 0));
    let answer = consumer.call("demo/word").json(&json!({})).send().await?.expect(503)?;
    assert_eq!(answer.problem()?, "plugin-stopped");

    let host = host.sigkill()?.with(|host| host.only_config(QUICK)).start().await?;
    let consumer = host.consumer(consumer.key().context("a key")?);
    consumer.call("demo/word").json(&json!({})).send().await?.expect(503)?;
    assert_eq!(status(&host).await?["state"], "stopped");
    host.cli(&["plugins", "start", "word"]).await?.expect(0)?;
    assert_eq!(said(&consumer).await?, "good");
    host.cli(&["plugins", "stop", "nothing"]).await?.expect(1)?;
    audit::check(host.data())
}

#[tokio::test]
async fn a_revision_whose_cases_fail_never_serves() -> Test {
    let case = json!({ "request": {}, "expect": { "status": 200, "text": "good" } }).to_string();
    let with_case = |component: Vec<u8>| {
        Plugin::new("word", [Api::new("demo", "word", component).line("cases = \"cases\"")])
            .file("cases/one.json", case.clone())
    };
    let host = host().plugin(&with_case(guests::says("good"))).start().await?;
    let consumer = host.demo();
    assert_eq!(said(&consumer).await?, "good");
    let tried = host.cli(&["test", host.plugins().join("word").as_str()]).await?.expect(0)?.stdout;
    assert!(
        tried.starts_with("ok     demo/word one (cases/one.json): cpu ") && tried.ends_with("1 passed\n"),
        "{tried}"
    );
    let place = with_case(guests::says("bad")).install(host.stage(), host.plugins())?;
    let reason =
        until("a reason", SOON, async || Ok(status(&host).await?["reason"].as_str().map(str::to_owned))).await?;
    assert_eq!(reason, "case `one` (cases/one.json) of demo/word: body: expected good, got bad");
    assert_eq!(status(&host).await?["stage"], "smoke");
    assert_eq!(said(&consumer).await?, "good");
    let tried = host.cli(&["test", place.as_str()]).await?.expect(1)?.stdout;
    assert!(tried.contains("failed demo/word one") && tried.contains("body: expected good, got bad"), "{tried}");
    host.cli(&["check", place.as_str()]).await?.expect(0)?;
    host.cli(&["reload"]).await?.expect(1)?;
    Ok(())
}
