//! Transforms: what an owner may rewrite of a call, of its result and of its webhook, and what becomes of all three when a
//! transform refuses or breaks.

use crate::{Test, host};
use anyhow::{Context as _, Result};
use ripost_tests::guests;
use ripost_tests::guests::transforms::{self, Kind};
use ripost_tests::{Api, Consumer, Host, Plugin, Sink, audit, places, until, verify};
use serde_json::json;
use std::time::Duration;

/// An API whose handler answers with what it was given.
fn echo(slug: &str, transforms: &str) -> Api {
    Api::new("demo", slug, guests::echo()).line(&format!("transforms = {{ {transforms} }}"))
}

async fn start(plugin: Plugin) -> Result<(Host, Consumer, Sink)> {
    let host = host().plugin(&plugin).start().await?;
    let consumer = host.add_consumer("c1", "1").await?;
    Ok((host, consumer, Sink::start().await?))
}

#[tokio::test]
async fn a_handler_sees_what_the_request_transforms_make_in_their_order() -> Test {
    let plugin = Plugin::new("t", [echo("chain", "request = [\"x-one.wasm\", \"x-two.wasm\"]").price("0.010000")])
        .file("x-one.wasm", transforms::appends(Kind::Request, " one"))
        .file("x-two.wasm", transforms::appends(Kind::Request, " two"));
    let (host, consumer, _) = start(plugin).await?;
    let answer = consumer.call("demo/chain").raw("text/plain", "sent").send().await?.expect(200)?;
    assert_eq!(answer.body, "sent one two");
    // What was sent is kept beside it.
    let id = answer.header("ripost-request-id").context("an id")?;
    let input = host.admin(http::Method::GET, &format!("/admin/v1/requests/{id}/input")).await?.expect(200)?.json()?;
    assert_eq!((&input["original"]["body"], &input["input"]["body"]), (&"sent".into(), &"sent one two".into()));
    audit::check(host.data())
}

#[tokio::test]
async fn a_request_transform_may_refuse_and_then_nothing_is_accepted_or_held() -> Test {
    let plugin = Plugin::new(
        "t",
        [
            echo("refuses", "request = [\"x-refuses.wasm\"]").price("0.010000"),
            echo("odd", "request = [\"x-odd.wasm\"]").price("0.010000"),
            echo("traps", "request = [\"x-traps.wasm\"]").price("0.010000"),
            echo("spins", "request = [\"x-spins.wasm\"]").price("0.010000"),
            echo("sync", "request = [\"x-refuses.wasm\"]").line("delivery = \"off\""),
        ],
    )
    .file("x-refuses.wasm", transforms::refuses(Kind::Request, "old-shape", 409))
    .file("x-odd.wasm", transforms::refuses(Kind::Request, "old-shape", 200))
    .file("x-traps.wasm", transforms::traps(Kind::Request))
    .file("x-spins.wasm", transforms::spins(Kind::Request));
    let (host, consumer, _) = start(plugin).await?;
    for (api, status, kind) in [
        ("refuses", 409, "urn:ripost:owner:demo:problem:old-shape"),
        ("odd", 422, "urn:ripost:owner:demo:problem:old-shape"),
        ("traps", 502, "urn:ripost:problem:transform-failed"),
        ("spins", 502, "urn:ripost:problem:transform-failed"),
        ("sync", 409, "urn:ripost:owner:demo:problem:old-shape"),
    ] {
        let problem = consumer.call(&format!("demo/{api}")).json(&json!({})).send().await?.expect(status)?.json()?;
        assert_eq!(problem["type"], kind, "{api}");
        let file = if api == "sync" { "refuses" } else { api };
        assert_eq!(problem["transform"], format!("x-{file}.wasm"), "{api}: {problem}");
    }
    assert_eq!(consumer.balances().await?, (1_000_000, 0));
    assert_eq!(audit::count(host.data(), "requests")?, 0);
    audit::check(host.data())
}

#[tokio::test]
async fn the_same_key_again_has_its_request_whatever_the_transform_has_become() -> Test {
    let plugin = |component| Plugin::new("t", [echo("a", "request = [\"x-t.wasm\"]")]).file("x-t.wasm", component);
    let (host, consumer, _) = start(plugin(transforms::appends(Kind::Request, "!"))).await?;
    let call = || consumer.call("demo/a").header("idempotency-key", "k").raw("text/plain", "x");
    let first = call().send().await?.expect(200)?;
    plugin(transforms::refuses(Kind::Request, "no", 400)).install(host.stage(), host.plugins())?;
    until("the new revision", Duration::from_secs(10), async || {
        Ok((consumer.call("demo/a").send().await?.status == 400).then_some(()))
    })
    .await?;
    let again = call().send().await?.expect(200)?;
    assert_eq!(again.header("ripost-request-id"), first.header("ripost-request-id"));
    assert_eq!(again.body, "x!");
    Ok(())
}

#[tokio::test]
async fn what_a_response_transform_makes_is_all_there_is() -> Test {
    let teapot = Api::new("demo", "teapot", guests::answers(418, &[], b"tip"))
        .line("transforms = { response = [\"x-one.wasm\"] }");
    let plugin = Plugin::new(
        "t",
        [
            echo("chain", "response = [\"x-one.wasm\", \"x-two.wasm\"]"),
            teapot,
            echo("sync", "response = [\"x-two.wasm\", \"x-one.wasm\"]").line("delivery = \"off\""),
        ],
    )
    .file("x-one.wasm", transforms::appends(Kind::Response, "-one"))
    .file("x-two.wasm", transforms::appends(Kind::Response, "-two"));
    let (host, consumer, sink) = start(plugin).await?;
    let body = json!({ "webhook_url": sink.url("/") });
    let id = consumer.call("demo/chain").json(&body).accepted().await?;
    let webhook = sink.first(&id).await?;
    // `{}` and the text are no JSON any more, and so they travel as text.
    assert_eq!(webhook.json()?["result"], "{}-one-two");
    assert_eq!(consumer.get(&format!("/requests/{id}/result")).await?.expect(200)?.body, "{}-one-two");
    // An answer that is no success stays readable, and is transformed like any other.
    let teapot = consumer.call("demo/teapot").send().await?.expect(418)?;
    assert_eq!(teapot.body, "tip-one");
    let sync = consumer.call("demo/sync").raw("text/plain", "s").send().await?.expect(200)?;
    assert_eq!(sync.body, "s-two-one");
    audit::check(host.data())
}

#[tokio::test]
async fn a_response_transform_that_fails_fails_the_request_and_names_itself() -> Test {
    let plugin = Plugin::new(
        "t",
        [
            echo("traps", "response = [\"x-traps.wasm\"]").price("0.010000"),
            echo("refuses", "response = [\"x-refuses.wasm\"]").price("0.010000"),
            echo("sync", "response = [\"x-traps.wasm\"]").line("delivery = \"off\""),
        ],
    )
    .file("x-traps.wasm", transforms::traps(Kind::Response))
    .file("x-refuses.wasm", transforms::refuses(Kind::Response, "not-redactable", 404));
    let (host, consumer, sink) = start(plugin).await?;
    let body = json!({ "secret": "marmalade", "webhook_url": sink.url("/") });
    for (api, kind) in
        [("traps", "urn:ripost:problem:transform-failed"), ("refuses", "urn:ripost:owner:demo:problem:not-redactable")]
    {
        let id = consumer.call(&format!("demo/{api}")).json(&body).accepted().await?;
        let view = consumer.ended(&id).await?;
        assert_eq!((&view["status"], &view["settlement"]["state"]), (&"failed".into(), &"released".into()));
        assert_eq!(view["error"]["type"], kind);
        assert_eq!(
            (&view["error"]["status"], &view["error"]["transform"]),
            (&502.into(), &format!("x-{api}.wasm").into())
        );
        consumer.get(&format!("/requests/{id}/result")).await?.expect(404)?;
        let told = sink.first(&id).await?;
        assert!(
            !String::from_utf8_lossy(&told.body).contains("marmalade"),
            "what could not be transformed is not told"
        );
        let runs = host.cli(&["runs", &id]).await?.expect(0)?;
        assert!(runs.stdout.contains(&format!("x-{api}.wasm")), "the owner finds out which: {}", runs.stdout);
    }
    let sync = consumer.call("demo/sync").json(&json!({})).send().await?.expect(502)?;
    assert_eq!(sync.json()?["transform"], "x-traps.wasm");
    assert_eq!(consumer.balances().await?, (1_000_000, 0));
    audit::check(host.data())
}

#[tokio::test]
async fn what_a_response_transform_takes_away_is_nowhere_in_the_data_folder() -> Test {
    let handler =
        guests::answers(200, &[("content-type", "application/json")], br#"{"n":1,"revenue_cents":"4242-marmalade"}"#);
    let redacting = Api::new("demo", "redacts", handler).line("transforms = { response = [\"redact.wasm\"] }");
    let redact = std::fs::read(places::built_plugin("redact")?.join("redact.wasm"))?;
    let plugin = Plugin::new("t", [redacting]).file("redact.wasm", redact);
    let (host, consumer, sink) = start(plugin).await?;
    let id = consumer.call("demo/redacts").json(&json!({ "webhook_url": sink.url("/") })).accepted().await?;
    let webhook = sink.first(&id).await?;
    assert_eq!((&webhook.json()?["status"], &webhook.json()?["result"]), (&"completed".into(), &json!({ "n": 1 })));
    consumer.delivery(&id, "delivered").await?;
    let stopped = host.sigterm().await?;
    for entry in walk(&stopped.data().join("ripost.sqlite3"))? {
        let bytes = std::fs::read(&entry)?;
        assert!(!bytes.windows(9).any(|window| window == b"marmalade"), "{} has it", entry.display());
    }
    Ok(())
}

/// The database and what lies beside it.
fn walk(database: &camino::Utf8Path) -> Result<Vec<std::path::PathBuf>> {
    let name = database.file_name().context("a name")?;
    let folder = database.parent().context("a folder")?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(name) {
            found.push(entry.path());
        }
    }
    assert!(!found.is_empty());
    Ok(found)
}

#[tokio::test]
async fn a_webhook_transform_makes_the_payload_once_and_it_is_signed_as_it_is() -> Test {
    let made = transforms::makes(&[("content-type", "text/plain"), ("x-team", "a")], "done!");
    let plugin = Plugin::new(
        "t",
        [
            echo("slack", "webhook = [\"x-made.wasm\"]"),
            echo("kept", "webhook = [\"x-kept.wasm\"]"),
            echo("seen", "webhook = [\"x-seen.wasm\"]"),
        ],
    )
    .file("x-made.wasm", made)
    .file("x-kept.wasm", transforms::appends(Kind::Webhook, " "))
    .file("x-seen.wasm", transforms::appends(Kind::Webhook, "]"));
    let (host, consumer, sink) = start(plugin).await?;
    let secret = consumer.webhook_secret().await?;
    let call = json!({ "n": 1, "webhook_url": sink.url("/hook"), "webhook_events": ["started", "completed"] });

    let id = consumer.call("demo/slack").json(&call).accepted().await?;
    for delivery in sink.wait(&id, 2).await? {
        assert_eq!((&delivery.body[..], delivery.header("x-team")), (&b"done!"[..], "a"));
        assert_eq!(delivery.header("content-type"), "text/plain");
        verify(&delivery, &secret)?;
    }
    let stored = consumer.get(&format!("/requests/{id}/webhooks/completed")).await?.expect(200)?;
    assert_eq!((&stored.body[..], stored.header("content-type")), (&b"done!"[..], Some("text/plain")));

    // A request object is told where it goes, after the transform.
    let id = consumer.call("demo/kept").json(&call).accepted().await?;
    for delivery in sink.wait(&id, 2).await? {
        assert_eq!(delivery.json()?["delivered_to"], sink.url("/hook"));
    }
    // Before it, the owner's transform has not seen the consumer's address.
    let id = consumer.call("demo/seen").json(&call).accepted().await?;
    for delivery in sink.wait(&id, 2).await? {
        let seen = String::from_utf8_lossy(&delivery.body).into_owned();
        assert!(seen.contains(&id) && !seen.contains("/hook"), "{seen}");
    }
    audit::check(host.data())
}

#[tokio::test]
async fn a_webhook_that_cannot_be_made_is_not_sent_and_the_money_stays_captured() -> Test {
    let api = |slug: &str, file: &str, more: &str| {
        echo(slug, &format!("webhook = [\"x-{file}.wasm\"]{more}")).price("0.010000")
    };
    let plugin = Plugin::new(
        "t",
        [
            api("traps", "traps", ""),
            api("refuses", "refuses", ""),
            api("forbidden", "forbidden", ""),
            api("original", "traps", ", webhook_on_error = \"send_original\""),
        ],
    )
    .file("x-traps.wasm", transforms::traps(Kind::Webhook))
    .file("x-refuses.wasm", transforms::refuses(Kind::Webhook, "no", 500))
    .file("x-forbidden.wasm", transforms::makes(&[("webhook-signature", "v1,forged")], "{}"));
    let (host, consumer, sink) = start(plugin).await?;
    let call = json!({ "n": 7, "webhook_url": sink.url("/") });
    for api in ["traps", "refuses", "forbidden"] {
        let id = consumer.call(&format!("demo/{api}")).json(&call).accepted().await?;
        let view = consumer.delivery(&id, "exhausted").await?;
        assert_eq!((&view["status"], &view["settlement"]["state"]), (&"completed".into(), &"captured".into()), "{api}");
        assert_eq!(
            (&view["delivery"]["reason"], &view["delivery"]["attempts"]),
            (&"transform-failed".into(), &0.into())
        );
        assert_eq!(consumer.get(&format!("/requests/{id}/result")).await?.expect(200)?.body, "{\"n\":7}");
        let payload = consumer.get(&format!("/requests/{id}/webhooks/completed")).await?.expect(409)?;
        assert_eq!(payload.problem()?, "payload-unmade");
        // Still broken, and still nothing goes out.
        let again = consumer.redeliver(&id).json(&json!({})).send().await?.expect(409)?;
        assert_eq!(again.problem()?, "payload-unmade");
    }
    assert_eq!(sink.count(), 0);
    let feed = consumer.undelivered("").await?;
    assert_eq!(feed.len(), 3);
    assert!(feed.iter().all(|event| event["payload"].is_null()), "{feed:?}");

    let id = consumer.call("demo/original").json(&call).accepted().await?;
    let sent = sink.first(&id).await?;
    assert_eq!((&sent.json()?["result"]["n"], &sent.json()?["delivered_to"]), (&7.into(), &sink.url("/").into()));
    audit::check(host.data())
}

#[tokio::test]
async fn a_webhook_that_could_not_be_made_is_made_by_the_mended_transform_when_it_is_sent_again() -> Test {
    let plugin = |component| Plugin::new("t", [echo("a", "webhook = [\"x-t.wasm\"]")]).file("x-t.wasm", component);
    let (host, consumer, sink) = start(plugin(transforms::traps(Kind::Webhook))).await?;
    let call = json!({ "webhook_url": sink.url("/") });
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = consumer.call("demo/a").json(&call).accepted().await?;
        consumer.delivery(&id, "exhausted").await?;
        ids.push(id);
    }
    let before = consumer.delivery_of(&ids[0], "completed").await?;
    plugin(transforms::makes(&[], "{\"mended\":true}")).install(host.stage(), host.plugins())?;
    until("the mended revision", Duration::from_secs(10), async || {
        Ok((consumer.redeliver(&ids[0]).json(&json!({})).send().await?.status == 202).then_some(()))
    })
    .await?;
    let sent = sink.first(&ids[0]).await?;
    assert_eq!((&sent.body[..], sent.id()), (&b"{\"mended\":true}"[..], before["id"].as_str().unwrap_or_default()));
    verify(&sent, &consumer.webhook_secret().await?)?;
    consumer.delivery(&ids[0], "delivered").await?;
    // And all the others at once, over a restart.
    let host = host.sigterm().await?.start().await?;
    let consumer = host.consumer(consumer.key().context("a key")?);
    let many = consumer.request(http::Method::POST, "/deliveries/redeliver").json(&json!({})).send().await?;
    assert_eq!(many.expect(202)?.json()?["redelivered"], 2);
    for id in &ids[1..] {
        assert_eq!(sink.first(id).await?.body, "{\"mended\":true}");
        consumer.delivery(id, "delivered").await?;
    }
    audit::check(host.data())
}

#[tokio::test]
async fn a_consumer_who_asks_for_a_webhook_again_and_again_takes_no_revision_out_of_service() -> Test {
    let plugin = |component| Plugin::new("t", [echo("a", "webhook = [\"x-t.wasm\"]")]).file("x-t.wasm", component);
    let (host, consumer, sink) = start(plugin(transforms::makes(&[], "{}"))).await?;
    plugin(transforms::traps(Kind::Webhook)).install(host.stage(), host.plugins())?;
    let call = json!({ "webhook_url": sink.url("/") });
    let id = until("a webhook that cannot be made", Duration::from_secs(10), async || {
        let id = consumer.call("demo/a").json(&call).accepted().await?;
        consumer.ended(&id).await?;
        let delivery = consumer.delivery_of(&id, "completed").await?;
        Ok((delivery["state"] == "exhausted").then_some(id))
    })
    .await?;
    for _ in 0..20 {
        consumer.redeliver(&id).json(&json!({})).send().await?.expect(409)?;
    }
    let plugins = host.cli(&["plugins", "list", "--json"]).await?.expect(0)?.json()?;
    assert_eq!(plugins[0]["state"], "active", "{plugins}");
    Ok(())
}
