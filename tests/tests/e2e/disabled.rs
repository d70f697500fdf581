//! An endpoint can say that it wants no more: of anything, or of one delivery.

use crate::Test;
use crate::echo::{call, start};
use crate::feed::public;
use anyhow::{Context as _, Result};
use http::Method;
use ripost_tests::{Answer, Consumer, Reply, Sink, until};
use serde_json::{Value, json};
use std::time::Duration;

async fn disabled(consumer: &Consumer) -> Result<Vec<Value>> {
    let answer = consumer.get("/consumer/disabled-urls").await?.expect(200)?.json()?;
    Ok(answer["disabled"].as_array().with_context(|| format!("no list in {answer}"))?.clone())
}

/// For a query: all that is not a letter or a digit as `%XX`.
fn encoded(text: &str) -> String {
    let byte =
        |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(byte).collect()
}

async fn enable(consumer: &Consumer, url: &str) -> Result<Answer> {
    consumer.request(Method::DELETE, &format!("/consumer/disabled-urls?url={}", encoded(url))).send().await
}

async fn refused(consumer: &Consumer, url: &str) -> Test {
    let answer = consumer.call("demo/echo").json(&json!({ "webhook_url": url })).send().await?.expect(422)?;
    assert_eq!(answer.problem()?, "webhook-url-disabled");
    Ok(())
}

/// Lets the endpoint refuse one delivery with this reply; how the delivery is then.
async fn refuse(consumer: &Consumer, sink: &Sink, url: &str, reply: Reply) -> Result<Value> {
    sink.script([reply]);
    let id = call(consumer, url).await?;
    Ok(consumer.delivery(&id, "abandoned").await?["delivery"].clone())
}

#[tokio::test]
async fn a_url_that_is_gone_gets_nothing_more_until_it_is_enabled_again() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    let other = host.add_consumer("other", "1").await?;
    assert!(disabled(&consumer).await?.is_empty());
    let (url, beside) = (sink.url("/hook?a=1&b=c%20d"), sink.url("/hook?a=2"));
    let delivery = refuse(&consumer, &sink, &url, Reply::status(410)).await?;
    assert_eq!((&delivery["reason"], &delivery["attempts"]), (&json!("gone"), &json!(1)));
    let list = disabled(&consumer).await?;
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!((&list[0]["url"], &list[0]["reason"]), (&json!(url), &json!("gone")));
    assert!(list[0]["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{list:?}");
    refused(&consumer, &url).await?;
    // That URL and no other, for that consumer and nobody else.
    for (whose, url) in [(&consumer, &beside), (&other, &url)] {
        let id = call(whose, url).await?;
        whose.delivery(&id, "delivered").await?;
    }
    assert!(disabled(&other).await?.is_empty());
    // After a restart too.
    let host = host.restart().await?;
    let consumer = host.consumer(consumer.key().context("a key")?);
    refused(&consumer, &url).await?;

    assert_eq!(enable(&consumer, &url).await?.status, 204);
    assert_eq!(enable(&consumer, &url).await?.expect(404)?.problem()?, "not-found");
    assert_eq!(enable(&consumer, &beside).await?.status, 404);
    assert!(disabled(&consumer).await?.is_empty());
    let id = call(&consumer, &url).await?;
    consumer.delivery(&id, "delivered").await?;
    Ok(())
}

#[tokio::test]
async fn an_endpoint_can_ask_to_be_left_alone_by_a_header() -> Test {
    let (_host, consumer, sink) = start(crate::QUICK).await?;
    let url = sink.url("/");
    let delivery = refuse(&consumer, &sink, &url, Reply::status(500).header("webhook-delivery", "disable")).await?;
    assert_eq!((&delivery["reason"], &delivery["attempts"]), (&json!("disabled"), &json!(1)));
    let list = disabled(&consumer).await?;
    assert_eq!((&list[0]["url"], &list[0]["reason"]), (&json!(url), &json!("disabled")));
    refused(&consumer, &url).await
}

#[tokio::test]
async fn what_waits_for_a_url_that_was_disabled_is_abandoned_unsent() -> Test {
    let config = "[delivery]\nschedule = [\"0 ms\", \"3 s\", \"3 s\"]\nsweep = \"50 ms\"\n[runs]\nsweep = \"50 ms\"\n";
    let (_host, consumer, sink) = start(config).await?;
    let (url, beside) = (sink.url("/hook"), Sink::start().await?);
    beside.script([Reply::status(500)]);
    sink.otherwise(Reply::status(500));
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(call(&consumer, &url).await?);
    }
    let elsewhere = call(&consumer, &beside.url("/hook")).await?;
    for id in waiting.iter().chain([&elsewhere]) {
        until("a failure", Duration::from_secs(5), async || {
            Ok((consumer.view(id).await?["delivery"]["lastStatus"] == 500).then_some(()))
        })
        .await?;
    }
    refuse(&consumer, &sink, &url, Reply::status(410)).await?;
    for id in &waiting {
        let view = consumer.delivery(id, "abandoned").await?;
        assert_eq!((&view["delivery"]["reason"], &view["delivery"]["attempts"]), (&json!("disabled"), &json!(1)));
        assert_eq!(view["status"], "completed");
        consumer.get(&format!("/requests/{id}/webhooks/completed")).await?.expect(200)?;
    }
    consumer.delivery(&elsewhere, "delivered").await?;
    assert_eq!(sink.count(), 4, "the three that waited were sent once");
    // None of it is lost: it is in the feed.
    assert_eq!(consumer.undelivered("&state=abandoned").await?.len(), 4);
    Ok(())
}

#[tokio::test]
async fn an_endpoint_can_refuse_one_delivery_and_keep_the_rest() -> Test {
    let (_host, consumer, sink) = start(crate::QUICK).await?;
    let url = sink.url("/");
    let reply = Reply::status(500).header("webhook-delivery", "abort-message");
    let delivery = refuse(&consumer, &sink, &url, reply).await?;
    assert_eq!((&delivery["reason"], &delivery["attempts"]), (&json!("aborted"), &json!(1)));
    assert!(disabled(&consumer).await?.is_empty());
    let id = call(&consumer, &url).await?;
    consumer.delivery(&id, "delivered").await?;
    // Other words are none.
    for word in ["disabled", "", "abort", "later"] {
        sink.script([Reply::status(500).header("webhook-delivery", word)]);
        let id = call(&consumer, &url).await?;
        consumer.delivery(&id, "delivered").await.with_context(|| format!("`{word}`"))?;
    }
    Ok(())
}

#[tokio::test]
async fn the_operator_can_enable_it_and_a_public_key_cannot_look() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    let url = sink.url("/x?y=z");
    refuse(&consumer, &sink, &url, Reply::status(410)).await?;
    let public = public(&host).await?;
    assert_eq!(public.get("/consumer/disabled-urls").await?.expect(403)?.problem()?, "key-is-public");
    assert_eq!(enable(&public, &url).await?.expect(403)?.problem()?, "key-is-public");
    assert_eq!(consumer.with_key(None).get("/consumer/disabled-urls").await?.status, 401);
    // Another consumer's has no effect on this one's.
    let other = host.add_consumer("other", "1").await?;
    assert_eq!(enable(&other, &url).await?.status, 404);
    refused(&consumer, &url).await?;

    let path = |name: &str| format!("/admin/v1/disabled-urls?consumer={name}&url={}", encoded(&url));
    assert_eq!(host.admin(Method::DELETE, &path("other")).await?.status, 404);
    assert_eq!(host.admin(Method::DELETE, &path("nobody")).await?.status, 404);
    assert_eq!(host.admin(Method::DELETE, &path("c1")).await?.status, 204);
    assert_eq!(host.admin(Method::DELETE, &path("c1")).await?.status, 404);
    let id = call(&consumer, &url).await?;
    consumer.delivery(&id, "delivered").await?;
    Ok(())
}
