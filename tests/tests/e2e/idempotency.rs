//! One intent, one request: the idempotency key.

use crate::{PAUSED, Test, host};
use ripost_tests::{Api, Consumer, Host, Plugin, guests, until};
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinSet;

async fn priced() -> anyhow::Result<(Host, Consumer)> {
    let apis = ["one", "two"].map(|slug| Api::new("demo", slug, guests::echo()).price("0.050000"));
    let host = host().plugin(&Plugin::new("priced", apis)).start().await?;
    let consumer = host.add_consumer("c1", "10").await?;
    Ok((host, consumer))
}

#[tokio::test]
async fn the_same_key_and_call_is_the_same_request() -> Test {
    let (host, consumer) = priced().await?;
    let call = |consumer: &Consumer, key: &str| {
        let (consumer, key) = (consumer.clone(), key.to_owned());
        async move {
            let call = consumer.call("demo/one").json(&json!({ "n": 1 })).header("prefer", "respond-async");
            call.header("idempotency-key", &key).send().await?.expect(202)
        }
    };
    let first = call(&consumer, "\"8e03978e\"").await?;
    let id = first.request_id()?;
    assert_eq!(first.header("idempotent-replayed"), None, "nothing was there before");
    assert_eq!(call(&consumer, "8e03978e").await?.request_id()?, id, "quoted or bare is the same key");
    consumer.ended(&id).await?;
    let later = call(&consumer, "8e03978e").await?;
    assert_eq!(later.header("idempotent-replayed"), Some("true"));
    let later = later.json()?;
    assert_eq!(
        (&later["requestId"], &later["status"]),
        (&json!(id), &json!("completed")),
        "the same 202, the current state"
    );
    assert_eq!(consumer.balances().await?, (9_950_000, 0), "paid once");

    let host = host.restart().await?;
    let consumer = host.consumer(&consumer_key(&consumer));
    assert_eq!(call(&consumer, "8e03978e").await?.request_id()?, id, "a restart forgets nothing");

    let waiting = consumer.call("demo/one").json(&json!({ "n": 1 })).header("idempotency-key", "8e03978e");
    let answer = waiting.send().await?.expect(200)?;
    assert_eq!(answer.json()?, json!({ "n": 1 }), "a caller that waits gets the stored answer");
    assert_eq!(answer.header("ripost-request-id"), Some(id.as_str()));
    assert_eq!(answer.header("idempotent-replayed"), Some("true"), "and is told that it is");
    let new = consumer.call("demo/one").json(&json!({ "n": 1 })).header("idempotency-key", "other").send().await?;
    assert_eq!(new.expect(200)?.header("idempotent-replayed"), None);
    Ok(())
}

fn consumer_key(consumer: &Consumer) -> String {
    consumer.key().expect("this consumer has a key").to_owned()
}

#[tokio::test]
async fn the_same_key_with_another_call_is_a_mistake_that_writes_nothing() -> Test {
    let (_host, consumer) = priced().await?;
    let base = || consumer.call("demo/one").header("idempotency-key", "k").header("prefer", "respond-async");
    let id = base().json(&json!({ "n": 1 })).accepted().await?;
    consumer.ended(&id).await?;
    let others = [
        base().json(&json!({ "n": 2 })),
        base().raw("application/json", "{\"n\": 1}"),
        base().json(&json!({ "n": 1, "webhook_url": "http://127.0.0.1:9/" })),
        consumer.call("demo/one/rest").header("idempotency-key", "k").json(&json!({ "n": 1 })),
        consumer.call("demo/one?q=1").header("idempotency-key", "k").json(&json!({ "n": 1 })),
        consumer
            .request(http::Method::PUT, "/api/demo/api/one")
            .header("idempotency-key", "k")
            .json(&json!({ "n": 1 })),
        base().header("ripost-max-price", "1").json(&json!({ "n": 1 })),
    ];
    for (number, call) in others.into_iter().enumerate() {
        let answer = call.send().await?.expect(422)?;
        assert_eq!(answer.problem()?, "idempotency-mismatch", "call {number}");
    }
    assert_eq!(consumer.balances().await?, (9_950_000, 0));
    Ok(())
}

#[tokio::test]
async fn how_long_a_key_is_kept_can_be_read_and_after_that_it_names_a_new_request() -> Test {
    let config = "[retention]\nresults = \"1 s\"\nrequests = \"1 s\"\nevery = \"50 ms\"\n";
    let host =
        host().config(config).plugin(&Plugin::new("one", [Api::new("demo", "one", guests::echo())])).start().await?;
    let consumer = host.add_consumer("c1", "1").await?;
    assert_eq!(consumer.get("/consumer").await?.json()?["limits"]["idempotency_key_kept"], "1 s");
    let call =
        || consumer.call("demo/one").json(&json!({})).header("idempotency-key", "k").header("prefer", "respond-async");
    let first = call().accepted().await?;
    let next = until("the key is free again", Duration::from_secs(10), async || {
        let id = call().accepted().await?;
        Ok((id != first).then_some(id))
    });
    assert_ne!(next.await?, first);
    let kept = priced().await?.1.get("/consumer").await?.json()?;
    assert_eq!(kept["limits"]["idempotency_key_kept"], "30 d");
    Ok(())
}

#[tokio::test]
async fn a_key_belongs_to_one_consumer_and_one_api() -> Test {
    let (host, first) = priced().await?;
    let second = host.add_consumer("c2", "1").await?;
    let call = async |consumer: &Consumer, api: &str| {
        consumer
            .call(api)
            .json(&json!({}))
            .header("idempotency-key", "k")
            .header("prefer", "respond-async")
            .accepted()
            .await
    };
    let ids = [call(&first, "demo/one").await?, call(&first, "demo/two").await?, call(&second, "demo/one").await?];
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
    Ok(())
}

#[tokio::test]
async fn sixty_four_at_once_with_one_key_are_one_request_and_one_hold() -> Test {
    let api = Api::new("demo", "one", guests::echo()).price("0.050000");
    let host = Host::builder().dev().show_log().config(PAUSED).plugin(&Plugin::new("one", [api])).start().await?;
    let consumer = host.add_consumer("c1", "10").await?;
    let mut calls = JoinSet::new();
    for _ in 0..64 {
        let consumer = consumer.clone();
        calls.spawn(async move {
            for _ in 0..500 {
                let call = consumer.call("demo/one").json(&json!({ "n": 1 })).header("idempotency-key", "once");
                let answer = call.header("prefer", "respond-async").send().await?;
                if answer.status != 409 {
                    return answer.expect(202)?.request_id();
                }
                // While the first is being committed: send it again.
                assert_eq!(answer.problem()?, "request-in-progress");
                assert!(answer.header("retry-after").is_some());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            anyhow::bail!("it was being accepted for ever")
        });
    }
    let ids: std::collections::HashSet<String> = calls.join_all().await.into_iter().collect::<anyhow::Result<_>>()?;
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(consumer.balances().await?, (9_950_000, 50_000), "one hold");
    let metrics = host.metrics().await?;
    assert_eq!(metrics.sum("ripost_requests_accepted_total", "").to_bits(), 1_f64.to_bits());
    Ok(())
}
