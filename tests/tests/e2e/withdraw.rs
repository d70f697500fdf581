//! An upstream is told of a request that ended without it.

use crate::upstream::{awaits, callback, host, result};
use crate::{PAUSED, Test, requests_running};
use anyhow::{Context as _, Result};
use http::Method;
use ripost_domain::signature::{self, Secret};
use ripost_tests::{Consumer, Delivery, Host, Reply, Sink, until};
use serde_json::json;
use std::time::Duration;

async fn cancel(consumer: &Consumer, id: &str) -> Test {
    let cancelled = consumer.request(Method::POST, &format!("/requests/{id}/cancel")).send().await?.expect(200)?;
    assert_eq!(cancelled.json()?["status"], "cancelled");
    Ok(())
}

/// The message that follows the forwarded request.
async fn told(service: &Sink, id: &str, event: &str) -> Result<Delivery> {
    let message = service.wait(id, 2).await?.pop().context("two messages")?;
    assert_eq!((message.method.as_str(), message.header("ripost-cancel")), ("POST", "1"));
    assert_eq!(message.json()?, json!({ "requestId": id, "event": event }));
    Ok(message)
}

/// What came of telling them.
async fn outcome(host: &Host, outcome: &str) -> Test {
    until("the outcome is counted", Duration::from_secs(5), async || {
        let count = host.metrics().await?.sum("ripost_upstream_cancels_total", &format!("outcome=\"{outcome}\""));
        Ok((count > 0.5).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_cancelled_request_that_awaits_its_callback_is_told_of_once_and_signed() -> Test {
    let service = Sink::start().await?;
    service.otherwise(Reply::status(202));
    let host = host(&service.url("/process?k=1"), "").start().await?;
    let consumer = host.demo();
    let call = consumer.request(Method::POST, "/api/demo/api/up/deep?q=2").header("prefer", "respond-async");
    let id = call.header("ripost-cancel", "1").json(&json!({ "a": 1 })).accepted().await?;
    let forwarded = service.first(&id).await?;
    assert_eq!(forwarded.header("ripost-cancel"), "", "a consumer cannot say so");
    awaits(&consumer, &id).await?;
    cancel(&consumer, &id).await?;
    let message = told(&service, &id, "cancel").await?;
    assert_eq!(message.path, "/process?k=1", "the upstream's own");
    assert_eq!(message.header("ripost-callback-url"), forwarded.header("ripost-callback-url"));
    assert_eq!(message.header("ripost-consumer"), forwarded.header("ripost-consumer"));
    assert_eq!(message.header("content-type"), "application/json");
    let secret = host.cli(&["upstream", "secret", "demo"]).await?.expect(0)?.stdout;
    let secret = Secret::parse(secret.trim())?;
    let seconds: i64 = message.header("webhook-timestamp").parse()?;
    assert_ne!(message.id(), id, "a message of its own");
    assert_eq!(
        message.header("webhook-signature"),
        signature::sign_v1(&[&secret], message.id(), seconds, &message.body)
    );
    outcome(&host, "taken").await?;

    let late = result(&host, &callback(&host, &forwarded)?, "{}").await?.expect(409)?;
    assert_eq!((late.problem()?.as_str(), &late.json()?["state"]), ("callback-conflict", &json!("cancelled")));
    cancel(&consumer, &id).await?;
    let next = consumer.call("demo/up").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    service.first(&next).await?;
    assert_eq!(service.of(&id).len(), 2, "once");
    Ok(())
}

#[tokio::test]
async fn an_upstream_that_has_not_answered_yet_is_told_too_and_the_run_leaves_a_receipt() -> Test {
    let service = Sink::start().await?;
    service.script([Reply::status(202).after(Duration::from_secs(60))]);
    let host = host(&service.url("/"), "").start().await?;
    let consumer = host.demo();
    let id = consumer.call("demo/up").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    service.first(&id).await?;
    requests_running(&consumer, &id).await?;
    cancel(&consumer, &id).await?;
    told(&service, &id, "cancel").await?;
    let runs = host.cli(&["runs", &id, "--json"]).await?.expect(0)?.json()?;
    assert_eq!((&runs[0]["outcome"], &runs[0]["attempt"], &runs[1]), (&json!("cancelled"), &json!(1), &json!(null)));
    assert!(runs[0]["wall_ms"].as_f64().is_some_and(|wall| wall < 60_000.0), "{runs}");
    Ok(())
}

#[tokio::test]
async fn an_upstream_that_cannot_be_told_changes_nothing() -> Test {
    // The first connection was kept, and its end alone is no failure.
    for (replies, said, sent) in
        [(vec![Reply::reset(), Reply::reset()], "failed", 3), (vec![Reply::status(500)], "refused", 2)]
    {
        let service = Sink::start().await?;
        service.script([vec![Reply::status(202)], replies].concat());
        let host = host(&service.url("/"), "").start().await?;
        let consumer = host.demo();
        let id = consumer.call("demo/up").header("prefer", "respond-async").json(&json!({})).accepted().await?;
        service.first(&id).await?;
        awaits(&consumer, &id).await?;
        cancel(&consumer, &id).await?;
        outcome(&host, said).await?;
        let view = consumer.view(&id).await?;
        assert_eq!((&view["status"], &view["settlement"]["state"]), (&json!("cancelled"), &json!("released")));
        assert_eq!(service.of(&id).len(), sent, "one attempt");
    }
    Ok(())
}

#[tokio::test]
async fn a_request_whose_callback_never_came_is_told_of_when_it_expires() -> Test {
    let service = Sink::start().await?;
    service.otherwise(Reply::status(202));
    let host = host(&service.url("/"), "expires_in = \"1 s\"").start().await?;
    let consumer = host.demo();
    let id = consumer.call("demo/up").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    told(&service, &id, "expire").await?;
    assert_eq!(consumer.view(&id).await?["status"], "expired");
    Ok(())
}

#[tokio::test]
async fn nobody_is_told_of_what_was_not_forwarded_or_is_answered_on_its_connection() -> Test {
    let service = Sink::start().await?;
    service.otherwise(Reply::status(200).after(Duration::from_secs(60)));
    let inline = host(&service.url("/"), "reply = \"inline\"").start().await?;
    let consumer = inline.demo();
    let id = consumer.call("demo/up").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    service.first(&id).await?;
    requests_running(&consumer, &id).await?;
    cancel(&consumer, &id).await?;
    inline.logged("Stopped a run").await?;
    assert!(inline.metrics().await?.sum("ripost_upstream_cancels_total", "") < 0.5);
    assert_eq!(service.count(), 1);

    let paused = host(&service.url("/"), "").only_config(PAUSED).start().await?;
    let consumer = paused.demo();
    let id = consumer.call("demo/up").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    cancel(&consumer, &id).await?;
    assert!(paused.metrics().await?.sum("ripost_upstream_cancels_total", "") < 0.5);
    assert_eq!(service.count(), 1);
    Ok(())
}
