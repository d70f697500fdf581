//! `ripost replay`: a stored request once more, offline, on its own revision or on another.

use crate::{Test, host};
use anyhow::{Context as _, Result};
use http::Method;
use ripost_tests::{Api, Host, Plugin, Reply, Sink, guests, places};
use serde_json::{Value, json};

fn steps(sink: &Sink) -> Result<Plugin> {
    let component = std::fs::read(places::built_plugin("steps")?.join("steps.wasm")).context("the guest `steps`")?;
    let rule = format!("outbound = [{:?}]", sink.url(""));
    Ok(Plugin::new("steps", [Api::new("demo", "steps", component).grant(&rule)]))
}

async fn ended(host: &Host, orders: &Value) -> Result<String> {
    let consumer = host.demo();
    let id = consumer.call("demo/steps").header("prefer", "respond-async").json(orders).accepted().await?;
    consumer.ended(&id).await?;
    Ok(id)
}

#[tokio::test]
async fn it_comes_to_the_same_without_calling_anything() -> Test {
    let sink = Sink::start().await?;
    sink.otherwise(Reply::status(201).body("made"));
    let host = host().plugin(&steps(&sink)?).start().await?;
    let orders = json!({ "retries": 1, "steps": [
        { "name": "charge", "input": "42", "call": { "url": sink.url("/charge"), "keyed": true } },
        { "name": "ship" },
        { "call": { "url": sink.url("/"), "body": "outside of a step" } },
    ] });
    let id = ended(&host, &orders).await?;
    let sent = sink.count();
    let told = host.cli(&["replay", &id]).await?.expect(0)?.stdout;
    assert!(told.contains("\nthe same\n") && told.contains("demo/steps, run 2"), "{told}");
    assert_eq!(sink.count(), sent, "nothing was sent");
    // The work of the steps is done again, and its calls are answered from the journal.
    let told = host.cli(&["replay", &id, "--redo-steps"]).await?;
    assert!(!told.stdout.contains("refused"), "{} {}", told.stdout, told.stderr);
    assert_eq!(sink.count(), sent, "nothing was sent");
    Ok(())
}

#[tokio::test]
async fn another_version_is_compared_and_what_it_asks_anew_is_refused() -> Test {
    let sink = Sink::start().await?;
    let host = host().plugin(&steps(&sink)?).start().await?;
    let id = ended(&host, &json!({ "steps": [{ "name": "ship" }] })).await?;
    let folder = tempfile::tempdir()?;
    let path = camino::Utf8Path::from_path(folder.path()).context("a path")?.join("candidate");
    Plugin::new("steps", [Api::new("demo", "steps", guests::says("something else"))]).write(&path)?;
    let told = host.cli(&["replay", &id, "--plugin", path.as_str()]).await?.expect(1)?;
    assert!(told.stdout.contains("different: "), "{}", told.stdout);
    Plugin::new("steps", [Api::new("demo", "other", guests::echo())]).write(&path)?;
    let told = host.cli(&["replay", &id, "--plugin", path.as_str()]).await?.expect(1)?;
    assert!(told.stderr.contains("does not offer demo/steps"), "{}", told.stderr);
    let gone = host.cli(&["replay", &id, "--plugin", "no/such"]).await?;
    assert_ne!(gone.code, Some(0));
    let unknown = id.replace(&id[4..8], "0000");
    host.cli(&["replay", &unknown]).await?.expect(1)?;
    Ok(())
}

#[tokio::test]
async fn clock_and_randomness_are_the_same_and_the_store_is_not_there() -> Test {
    let kv = Plugin::new("kept", [Api::new("demo", "kept", guests::asks_kv()).grant("kv = true")]);
    let reports = places::built_plugin("reports")?;
    let host = host().plugin(&kv).plugin_dir(reports).start().await?;
    let consumer = host.demo();
    let call = consumer.call("demo/bb-webhook-receiver").header("prefer", "respond-async");
    let id = call.json(&json!({ "action": "generate-report", "rows": 100 })).accepted().await?;
    consumer.ended(&id).await?;
    let told = host.cli(&["replay", &id]).await?.expect(0)?.stdout;
    assert!(told.contains("\nthe same\n"), "{told}");
    let id = consumer.call("demo/kept").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    consumer.ended(&id).await?;
    let told = host.cli(&["replay", &id]).await?.expect(2)?;
    assert!(told.stdout.contains("not recorded, so it cannot be replayed: kv "), "{}", told.stdout);
    Ok(())
}

#[tokio::test]
async fn an_owner_replays_its_own_and_sees_no_other() -> Test {
    let mine = Plugin::new("mine", [Api::new("acme", "mine", guests::echo())]);
    let shared =
        Plugin::new("both", [Api::new("acme", "both", guests::echo()), Api::new("demo", "both", guests::echo())]);
    let host = host().plugin(&mine).plugin(&shared).start().await?;
    let token =
        host.cli(&["tokens", "add", "t", "--role", "owner", "--owner", "acme", "--json"]).await?.expect(0)?.json()?;
    let token = token["token"].as_str().context("a token")?.to_owned();
    let consumer = host.demo();
    let mut ids = Vec::new();
    for api in ["acme/mine", "acme/both", "demo/both"] {
        let id = consumer.call(api).header("prefer", "respond-async").json(&json!({ "n": 1 })).accepted().await?;
        consumer.ended(&id).await?;
        ids.push(id);
    }
    let replay = async |id: &str, more: &[&str]| {
        let to = host.admin_url().to_owned();
        let mut arguments = vec!["replay", id, "--to", &to, "--token", &token];
        arguments.extend(more);
        host.cli(&arguments).await
    };
    replay(&ids[0], &[]).await?.expect(0)?;
    let refused = replay(&ids[1], &[]).await?.expect(1)?;
    assert!(refused.stderr.contains("--plugin"), "{}", refused.stderr);
    replay(&ids[2], &[]).await?.expect(1)?;
    let record =
        host.admin(Method::GET, &format!("/admin/v1/requests/{}/replay", ids[2])).await?.expect(200)?.json()?;
    assert_eq!(record["plugin"], Value::Null, "only who asks for it is sent it");
    Ok(())
}
