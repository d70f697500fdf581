//! What is decided about plugins, cut off between two durable steps: at the next start it is done whole or was never begun.

use crate::Test;
use crate::scenario::{PAUSED, Promises, QUICK};
use anyhow::Result;
use ripost_tests::guests::transforms::{self, Kind};
use ripost_tests::{Api, Host, Plugin, audit, guests, until};
use serde_json::json;
use std::time::Duration;

/// Says a command that does not come to its end: the host is stopped at the point that it was started with.
async fn interrupted(host: &Host, point: &str, command: &[&str]) -> Result<()> {
    tokio::select! {
        output = host.cli(command) => anyhow::bail!("{point} was not reached before this answer: {output:?}"),
        reached = host.reached(point) => reached,
    }
}

/// The same folder, and now its requests are run.
async fn restarted(host: Host) -> Result<Host> {
    host.sigkill()?.with(|host| host.only_config(QUICK)).start().await
}

/// A newer revision has accepted a request and is rolled back: whatever is cut off, the revision before answers.
pub(crate) async fn rolling_back(point: &str) -> Test {
    let (host, mut promises) = Promises::prepare().await?;
    let stopped = host.sigterm().await?;
    let new = Plugin::new("crash", [Api::new("demo", "echo", guests::says("new")).price("0.050000")]);
    new.install(stopped.stage(), stopped.plugins())?;
    let host = stopped.with(|host| host.only_config(PAUSED).failpoint(point)).start().await?;
    let consumer = promises.consumer(&host);
    let id = promises.call(&consumer, "demo/echo").accepted().await?;
    promises.accepted.push(id.clone());
    interrupted(&host, point, &["rollback", "demo/echo"]).await?;
    let host = restarted(host).await?;
    let consumer = promises.consumer(&host);
    assert_eq!(consumer.ended(&id).await?["result"], json!({ "n": 1 }), "the revision before has answered it");
    let later = promises.call(&consumer, "demo/echo").accepted().await?;
    assert_eq!(consumer.ended(&later).await?["result"], json!({ "n": 1 }), "and it serves");
    promises.accepted.push(later);
    promises.are_kept(host).await
}

/// Whoever pushed hears nothing, and pushes again.
pub(crate) async fn pushing(point: &str) -> Test {
    let (host, mut promises) = Promises::prepare().await?;
    let host = host.sigterm().await?.with(|host| host.failpoint(point)).start().await?;
    let pushed = Plugin::new("pushed", [Api::new("demo", "pushed", guests::says("pushed")).price("0.050000")]);
    let folder = host.stage().join("pushed");
    pushed.write(&folder)?;
    interrupted(&host, point, &["push", folder.as_str()]).await?;
    let host = host.restart().await?;
    let status = host.cli(&["plugins", "list", "--json"]).await?.expect(0)?.json()?;
    let is_there = status.as_array().is_some_and(|all| all.iter().any(|plugin| plugin["key"] == "demo/pushed"));
    assert_eq!(is_there, point.contains("after"), "{status}");
    if !is_there {
        host.cli(&["push", folder.as_str()]).await?.expect(0)?;
    }
    let consumer = promises.consumer(&host);
    let id = promises.call(&consumer, "demo/pushed").accepted().await?;
    assert_eq!(consumer.ended(&id).await?["result"], "pushed");
    promises.accepted.push(id);
    promises.are_kept(host).await
}

/// It is stopped, and what it had accepted is ended by the next process: holds are released and webhooks sent, through the
/// transforms of the plugin that is stopped.
pub(crate) async fn stopping(point: &str) -> Test {
    let (host, mut promises) = Promises::prepare().await?;
    let stopped = host.sigterm().await?;
    let api = |slug| Api::new("demo", slug, guests::echo()).price("0.050000");
    let told = api("told").line("transforms = { webhook = [\"x-t.wasm\"] }");
    let plugin = Plugin::new("stoppable", [api("raw"), told]);
    let plugin = plugin.file("x-t.wasm", transforms::makes(&[], "{\"stopped\":true}"));
    plugin.install(stopped.stage(), stopped.plugins())?;
    let host = stopped.with(|host| host.only_config(PAUSED).failpoint(point)).start().await?;
    let consumer = promises.consumer(&host);
    let plain = promises.call(&consumer, "demo/raw").accepted().await?;
    let told = promises.call(&consumer, "demo/told").accepted().await?;
    promises.accepted.extend([plain.clone(), told.clone()]);
    interrupted(&host, point, &["plugins", "stop", "stoppable"]).await?;
    let host = restarted(host).await?;
    let consumer = promises.consumer(&host);
    for id in [&plain, &told] {
        let view = consumer.ended(id).await?;
        assert_eq!((&view["status"], &view["settlement"]["state"]), (&json!("failed"), &json!("released")), "{view}");
        assert!(view["error"]["type"].as_str().is_some_and(|kind| kind.ends_with("plugin-stopped")), "{view}");
    }
    assert_eq!(promises.sink.first(&plain).await?.json()?["status"], "failed");
    assert_eq!(promises.sink.first(&told).await?.body, "{\"stopped\":true}");
    promises.call(&consumer, "demo/raw").send().await?.expect(503)?;
    promises.are_kept(host).await
}

/// A webhook that its transform could not make is made and sent again: once, whichever side it was killed on.
pub(crate) async fn making(point: &str) -> Test {
    let plugin = |component| {
        let api = Api::new("demo", "unmade", guests::echo()).price("0.050000");
        Plugin::new("unmade", [api.line("transforms = { webhook = [\"x-t.wasm\"] }")]).file("x-t.wasm", component)
    };
    let (host, mut promises) = Promises::prepare().await?;
    plugin(transforms::traps(Kind::Webhook)).install(host.stage(), host.plugins())?;
    let consumer = promises.consumer(&host);
    host.serves(&consumer, "demo/unmade").await?;
    let id = promises.call(&consumer, "demo/unmade").accepted().await?;
    consumer.delivery(&id, "exhausted").await?;
    let stopped = host.sigterm().await?;
    plugin(transforms::makes(&[], "{\"mended\":true}")).install(stopped.stage(), stopped.plugins())?;
    let host = stopped.with(|host| host.failpoint(point)).start().await?;
    let consumer = promises.consumer(&host);
    tokio::select! {
        answer = consumer.redeliver(&id).json(&json!({})).send() => {
            anyhow::bail!("{point} was not reached before this answer: {answer:?}")
        }
        reached = host.reached(point) => reached,
    }?;
    let host = host.restart().await?;
    let consumer = promises.consumer(&host);
    let made = consumer.get(&format!("/requests/{id}/webhooks/completed")).await?;
    assert_eq!(made.status, if point.contains("after") { 200 } else { 409 });
    consumer.redeliver(&id).json(&json!({})).send().await?.expect(202)?;
    until("it is delivered", Duration::from_secs(10), async || Ok((promises.sink.of(&id).len() == 1).then_some(())))
        .await?;
    promises.accepted.push(id);
    audit::check(host.data())?;
    promises.are_kept(host).await
}
