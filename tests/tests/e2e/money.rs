//! Holds, captures and releases, as the consumer and the operator see them.

use crate::{Test, host};
use ripost_tests::{Api, Host, Plugin, audit, guests, until};
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinSet;

async fn priced(price: &str) -> anyhow::Result<Host> {
    let apis = [
        Api::new("demo", "echo", guests::echo()).price(price),
        Api::new("demo", "traps", guests::traps()).price(price),
        Api::new("demo", "free", guests::echo()),
    ];
    host().plugin(&Plugin::new("priced", apis)).start().await
}

#[tokio::test]
async fn who_cannot_pay_is_told_so_and_nothing_is_written() -> Test {
    let host = priced("0.050000").await?;
    let consumer = host.add_consumer("poor", "0.049999").await?;
    let call = consumer
        .call("demo/echo")
        .json(&json!({ "webhook_url": "http://127.0.0.1:9/" }))
        .header("idempotency-key", "k");
    let answer = call.send().await?.expect(402)?;
    assert_eq!(answer.problem()?, "insufficient-balance");
    assert_eq!(consumer.balances().await?, (49_999, 0));
    assert_eq!(audit::count(host.data(), "requests")?, 0);
    // The key is free: the same intent may be tried again with money, and a free API needs none.
    let again = consumer.call("demo/echo").json(&json!({ "other": 1 })).header("idempotency-key", "k");
    assert_eq!(again.send().await?.expect(402)?.problem()?, "insufficient-balance");
    consumer.call("demo/free").json(&json!({})).send().await?.expect(200)?;
    audit::check(host.data())?;
    Ok(())
}

#[tokio::test]
async fn sixty_four_at_once_cannot_spend_more_than_there_is() -> Test {
    let host = priced("0.050000").await?;
    let consumer = host.add_consumer("c1", "0.5").await?;
    let mut calls = JoinSet::new();
    for number in 0..64 {
        let consumer = consumer.clone();
        calls.spawn(async move {
            consumer.call("demo/echo").json(&json!({ "n": number })).header("prefer", "respond-async").send().await
        });
    }
    let answers = calls.join_all().await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    // One that fails sinks nobody who is in the same commit.
    assert_eq!((count(202), count(402)), (10, 54));
    until("all are paid", Duration::from_secs(10), async || Ok((consumer.balances().await? == (0, 0)).then_some(())))
        .await?;
    let stopped = host.sigterm().await?;
    audit::check(stopped.data())?;
    let output = stopped.cli(&["ledger", "audit"]).await?.expect(0)?;
    assert!(output.stdout.contains("ok"), "{output:?}");
    Ok(())
}

#[tokio::test]
async fn the_platform_never_takes_more_than_its_share() -> Test {
    for (price, commission, revenue) in [
        ("0.050000", "0.002500", "0.047500"),
        ("0.000019", "0.000000", "0.000019"),
        ("0.000020", "0.000001", "0.000019"),
        ("0.000001", "0.000000", "0.000001"),
    ] {
        let host = priced(price).await?;
        let consumer = host.demo();
        let answer =
            consumer.call("demo/echo").json(&json!({})).header("prefer", "respond-async").send().await?.expect(202)?;
        let settlement = answer.json()?["settlement"].clone();
        assert_eq!(settlement["price_usdc"], price);
        assert_eq!(
            (&settlement["commission_usdc"], &settlement["owner_revenue_usdc"]),
            (&json!(commission), &json!(revenue))
        );
        consumer.ended(&answer.request_id()?).await?;
        audit::check(host.data())?;
    }
    Ok(())
}

#[tokio::test]
async fn a_free_call_settles_nothing_and_a_failed_one_gives_its_hold_back() -> Test {
    let host = priced("0.050000").await?;
    let consumer = host.add_consumer("c1", "1").await?;
    let call = async |api: &str| {
        let id = consumer.call(api).json(&json!({})).header("prefer", "respond-async").accepted().await?;
        anyhow::Ok(consumer.ended(&id).await?["settlement"]["state"].clone())
    };
    assert_eq!(call("demo/free").await?, "none");
    assert_eq!(consumer.balances().await?, (1_000_000, 0));
    assert_eq!(call("demo/traps").await?, "released");
    assert_eq!(consumer.balances().await?, (1_000_000, 0));
    assert_eq!(call("demo/echo").await?, "captured");
    assert_eq!(consumer.balances().await?, (950_000, 0));
    audit::check(host.data())?;
    Ok(())
}
