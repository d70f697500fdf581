//! The seed's samples as printed, and the libraries and receivers that consumers have.

use crate::{Test, host};
use anyhow::{Context as _, Result};
use hyper::Method;
use ripost_tests::peers::{Program, Receiver, run_printed_sample, run_sample, verify_with};
use ripost_tests::{Api, Consumer, Host, Plugin, Sink, guests, places, until};
use serde_json::json;
use std::time::Duration;

async fn reports() -> Result<Host> {
    host().plugin_dir(places::built_plugin("reports")?).start().await
}

async fn arrives(sink: &Sink, printed: &str) -> Test {
    let delivery = until("the webhook", Duration::from_secs(10), async || Ok(sink.deliveries().pop())).await?;
    assert!(printed.contains(delivery.request_id()), "{printed}");
    assert_eq!(delivery.json()?["status"], "completed");
    Ok(())
}

#[tokio::test]
async fn the_seeds_curl_works_as_printed() -> Test {
    let (host, sink) = (reports().await?, Sink::start().await?);
    let output = run_sample(Program::Shell, "call.sh", host.url(), &sink.url("/hook")).await?.expect(0)?;
    assert_eq!(output.json()?["status"], "accepted");
    arrives(&sink, &output.stdout).await
}

#[tokio::test]
async fn the_seeds_fetch_works_as_printed() -> Test {
    let (host, sink) = (reports().await?, Sink::start().await?);
    let output = run_sample(Program::Node, "call.mjs", host.url(), &sink.url("/hook")).await?.expect(0)?;
    assert!(output.stdout.starts_with("Request accepted: req_"), "{output:?}");
    arrives(&sink, &output.stdout).await
}

#[tokio::test]
async fn the_seeds_requests_work_as_printed() -> Test {
    let (host, sink) = (reports().await?, Sink::start().await?);
    let output = run_sample(Program::Python, "call.py", host.url(), &sink.url("/hook")).await?.expect(0)?;
    assert!(output.stdout.starts_with("Request accepted: req_"), "{output:?}");
    arrives(&sink, &output.stdout).await
}

async fn receives(kind: Program, sample: &str) -> Test {
    let (host, mut receiver) = (reports().await?, Receiver::start(kind, sample).await?);
    let consumer = host.demo();
    let body = json!({ "action": "generate-report", "format": "json", "webhook_url": receiver.url });
    let id = consumer.call("demo/bb-webhook-receiver").json(&body).accepted().await?;
    let view = consumer.delivery(&id, "delivered").await?;
    assert_eq!(view["delivery"]["lastStatus"], 200);
    // node prints the object over several lines.
    let mut printed = receiver.line().await?;
    assert!(printed.starts_with("Webhook received:"), "{printed}");
    while !printed.contains(&id) {
        printed.push_str(&receiver.line().await?);
    }
    Ok(())
}

#[tokio::test]
async fn the_seeds_express_receiver_gets_the_result() -> Test {
    receives(Program::Node, "receiver.mjs").await
}

#[tokio::test]
async fn the_seeds_flask_receiver_gets_the_result() -> Test {
    receives(Program::Python, "receiver.py").await
}

#[tokio::test]
async fn the_callers_of_the_documentation_get_the_result_without_a_webhook() -> Test {
    let host = reports().await?;
    let consumer = host.demo();
    let key = consumer.key().context("it has one")?;
    for (kind, name) in [(Program::Node, "call.mjs"), (Program::Python, "call.py")] {
        let output = run_printed_sample(kind, name, host.url(), key).await?.expect(0)?;
        assert!(output.stdout.starts_with("Request accepted: req_"), "{output:?}");
        assert!(output.stdout.contains("\ncompleted {"), "{output:?}");
        let refused = run_printed_sample(kind, name, host.url(), "unknown").await?;
        assert!(refused.code != Some(0) && refused.stderr.contains("401: "), "{refused:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_receivers_of_the_documentation_take_every_payload_and_refuse_forged_ones() -> Test {
    let apis = ["request", "result", "cloudevents"]
        .map(|payload| Api::new("demo", payload, guests::echo()).line(&format!("payload = \"{payload}\"")));
    let host = host().plugin(&Plugin::new("payloads", apis)).start().await?;
    let consumer = host.demo();
    let secret = consumer.webhook_secret().await?;
    // Results that are no objects, and one that is larger than Express takes unless it is told to.
    let large = json!("x".repeat(200_000)).to_string();
    let calls = [
        ("request", r#"{"a":1}"#),
        ("request", large.as_str()),
        ("result", "\"text\""),
        ("result", "null"),
        ("cloudevents", "{}"),
    ];
    let receivers = [
        (Program::Node, "hook-express.mjs"),
        (Program::Node, "hook-hono.mjs"),
        (Program::Python, "hook_flask.py"),
        (Program::Python, "hook_fastapi.py"),
    ];
    for (kind, name) in receivers {
        let mut receiver = Receiver::printed(kind, name, &secret).await?;
        for (api, body) in calls {
            let call = consumer.call(&format!("demo/{api}")).raw("application/json", body.to_owned());
            let id = call.header("ripost-webhook-url", &receiver.url).accepted().await?;
            let printed = format!("Webhook received: {id}");
            let what = format!("{name} prints {id}");
            let prints = until(&what, Duration::from_secs(10), async || {
                Ok(receiver.line().await?.starts_with(&printed).then_some(()))
            });
            // Both at once: a program whose output is not read stops answering.
            let (view, ()) = tokio::try_join!(consumer.delivery(&id, "delivered"), prints)?;
            assert_eq!(view["delivery"]["attempts"], 1, "{name}, {api}");
            assert_eq!(view["delivery"]["lastStatus"], 204, "{name}, {api}");
        }
        let stranger = Consumer::new(receiver.url.trim_end_matches("/hook"), None);
        let forged = stranger.request(Method::POST, "/hook").json(&json!({ "requestId": "req_1" })).send().await?;
        let said = String::from_utf8(forged.expect(400)?.body.to_vec())?;
        assert!(said.contains("Not a valid webhook") && !said.contains("node_modules"), "{name}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn the_public_libraries_verify_our_signatures_and_refuse_changed_ones() -> Test {
    let host = host().plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let (consumer, sink) = (host.demo(), Sink::start().await?);
    let secret = consumer.webhook_secret().await?;
    let body = json!({ "text": "Grüße, 世界 \u{1f980}", "webhook_url": sink.url("/") });
    let id = consumer.call("demo/echo").json(&body).accepted().await?;
    let delivery = sink.first(&id).await?;
    let mut changed = delivery.clone();
    changed.body =
        String::from_utf8(delivery.body.to_vec())?.replace("captured", "released").replace("none", "held").into();
    assert_ne!(changed.body, delivery.body);
    for kind in [Program::Node, Program::Python] {
        assert_eq!(verify_with(kind, &delivery, &secret).await?, format!("verified {id}"), "{kind:?}");
        assert!(verify_with(kind, &changed, &secret).await.is_err(), "{kind:?} takes a changed body");
        let other = host.add_consumer(&format!("{kind:?}"), "1").await?.webhook_secret().await?;
        assert!(verify_with(kind, &delivery, &other).await.is_err(), "{kind:?} takes another's secret");
    }
    Ok(())
}
