//! The examples, as their READMEs show them in use.

use crate::{Test, host};
use anyhow::Context as _;
use ripost_tests::{Sink, places, verify};
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
