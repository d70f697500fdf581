//! The examples, as their READMEs show them in use.

use crate::{Test, host};
use anyhow::Context as _;
use ripost_tests::{Reply, Sink, order, places, verify};
use serde_json::json;

#[tokio::test]
async fn normalise_lets_callers_of_the_older_api_call_the_newer_one() -> Test {
    let host = host().plugin_dir(places::built_plugin("normalise")?).start().await?;
    let consumer = host.add_consumer("c1", "1").await?;
    let old = json!({ "report": "sales", "size": "small", "output": "CSV", "random_seed": "42" });
    let answer = consumer.call("demo/reports-legacy").json(&old).send().await?.expect(200)?;
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/csv")), "{:?}", answer.headers);
    let held = consumer.balances().await?;
    let wrong = json!({ "report": "weather" });
    let problem = consumer.call("demo/reports-legacy").json(&wrong).send().await?;
    assert!(problem.status.is_client_error(), "{problem:?}");
    let problem = problem.json()?;
    assert!(
        problem["type"].as_str().is_some_and(|kind| kind.starts_with("urn:ripost:owner:demo:problem:")),
        "{problem}"
    );
    assert_eq!(problem["transform"], "normalise.wasm");
    assert_eq!(consumer.balances().await?, held, "a call that is refused costs nothing");
    Ok(())
}

#[tokio::test]
async fn redact_takes_its_fields_out_of_every_form_of_a_result() -> Test {
    let host = host().plugin_dir(places::built_plugin("redact")?).start().await?;
    let consumer = host.add_consumer("c1", "1").await?;
    let sink = Sink::start().await?;
    let call = json!({ "action": "generate-report", "format": "json", "rows": 3, "webhook_url": sink.url("/") });
    let id = consumer.call("demo/reports-redacted").json(&call).accepted().await?;
    let sent = sink.first(&id).await?;
    assert_eq!(sent.json()?["result"]["records"], 3);
    let view = consumer.delivery(&id, "delivered").await?.to_string();
    let result = consumer.get(&format!("/requests/{id}/result")).await?.expect(200)?;
    for (place, text) in [
        ("the webhook", String::from_utf8_lossy(&sent.body).into_owned()),
        ("the request", view),
        ("the result", String::from_utf8_lossy(&result.body).into_owned()),
    ] {
        assert!(!text.contains("revenue_cents"), "{place}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn slack_is_sent_a_message_that_slack_takes() -> Test {
    let host = host().plugin_dir(places::built_plugin("slack")?).start().await?;
    let consumer = host.add_consumer("c1", "1").await?;
    let sink = Sink::start().await?;
    let call = json!({ "action": "generate-report", "format": "json", "rows": 3, "webhook_url": sink.url("/") });
    let id = consumer.call("demo/reports-slack").json(&call).accepted().await?;
    let sent = sink.first(&id).await?;
    verify(&sent, &consumer.webhook_secret().await?)?;
    let message = sent.json()?;
    let members = message.as_object().context("a message")?.keys().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(members, ["blocks", "text"], "and nothing that Slack would refuse");
    assert!(message["text"].as_str().is_some_and(|text| text.contains("demo/reports-slack")), "{message}");
    assert_eq!(message["blocks"][0]["text"]["type"], "mrkdwn");
    Ok(())
}

#[tokio::test]
async fn order_reserves_charges_and_ships_once_whatever_is_not_there_at_first() -> Test {
    let shop = Sink::start().await?;
    shop.otherwise(Reply::status(201).body(r#"{"id":"x-1"}"#));
    // Its cases are tried as they are, before it serves.
    let built = host().plugin_dir(places::built_plugin("order")?).start().await?;
    let answer = built.demo().call("demo/order").json(&order::of(0)).send().await?.expect(422)?;
    assert_eq!(answer.json()?["type"], "urn:ripost:owner:demo:problem:nothing-ordered");
    let host = host().plugin(&order::plugin(&shop)?).start().await?;
    let consumer = host.add_consumer("c1", "1").await?;
    // Charging fails at first.
    let made = || Reply::status(201).body(r#"{"id":"x-0"}"#);
    shop.script([made(), Reply::status(503), Reply::reset(), made()]);
    let id = consumer.call("demo/order").header("prefer", "respond-async").json(&order::of(2)).accepted().await?;
    let view = consumer.ended(&id).await?;
    assert_eq!(view["result"], json!({ "reservation": "x-0", "charge": "x-0", "shipment": "x-1" }), "{view}");
    let called: Vec<_> = shop.deliveries().iter().map(|call| call.path.clone()).collect();
    assert_eq!(called, ["/reservations", "/charges", "/charges", "/charges", "/shipments"]);
    assert_eq!(order::effects(&shop)?.len(), 3, "each has one key over all its calls");
    assert_eq!(consumer.balances().await?, (900_000, 0));

    shop.script([made(), Reply::status(402), made()]);
    let id = consumer.call("demo/order").header("prefer", "respond-async").json(&order::of(1)).accepted().await?;
    let view = consumer.ended(&id).await?;
    assert_eq!((&view["status"], &view["settlement"]["state"]), (&json!("failed"), &json!("released")), "{view}");
    assert_eq!(shop.deliveries()[7].path, "/releases");
    assert_eq!(consumer.balances().await?, (900_000, 0));
    Ok(())
}
