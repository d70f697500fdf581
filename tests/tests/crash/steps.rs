//! Killed between any two durable steps of a run that does things outside, and while it does them: each effect is there once.

use crate::Test;
use crate::scenario::{PAUSED, QUICK};
use anyhow::{Context as _, Result};
use ripost_tests::{Host, Reply, Sink, audit, order, until};
use serde_json::{Value, json};
use std::time::Duration;

/// Steps of an order.
const STEPS: usize = 3;
const CREDIT: i64 = 10_000_000;
const PRICE: i64 = 100_000;

async fn shop() -> Result<Sink> {
    let shop = Sink::start().await?;
    shop.otherwise(Reply::status(201).body(r#"{"id":"made"}"#));
    Ok(shop)
}

async fn steps_of(host: &Host, id: &str) -> Result<Value> {
    host.admin(http::Method::GET, &format!("/admin/v1/requests/{id}/steps")).await?.expect(200)?.json()
}

/// Kills the host at each of the times that an order comes to the point.
pub(crate) async fn ordering(point: &str) -> Test {
    for nth in 1..=STEPS {
        ordering_at(point, nth).await.with_context(|| format!("{point}, time {nth}"))?;
    }
    Ok(())
}

async fn ordering_at(point: &str, nth: usize) -> Test {
    let shop = shop().await?;
    let host = Host::builder().dev().show_log().config(QUICK).plugin(&order::plugin(&shop)?);
    let host = host.failpoint(&format!("{point}:{nth}")).start().await?;
    let consumer = host.add_consumer("c1", "10").await?;
    let key = consumer.key().context("a key")?.to_owned();
    // Each call to the shop answers with another id: what a step gives later is what it was given first.
    shop.script((1..=STEPS).map(|made| Reply::status(201).body(format!(r#"{{"id":"first-{made}"}}"#))));
    let id = consumer.call("demo/order").header("prefer", "respond-async").json(&order::of(2)).accepted().await?;
    host.reached(point).await?;
    // Looked at while nothing runs.
    let host = host.sigkill()?.with(|host| host.only_config(PAUSED)).start().await?;
    let before = steps_of(&host, &id).await?;
    let committed = before.as_array().map_or(0, Vec::len);
    assert_eq!(committed, if point == "step.after_commit" { nth } else { nth - 1 }, "{before}");
    let sent = shop.count();
    let host = host.sigkill()?.with(|host| host.only_config(QUICK)).start().await?;
    let consumer = host.consumer(&key);
    let view = consumer.ended(&id).await?;
    assert_eq!((&view["status"], &view["settlement"]["state"]), (&json!("completed"), &json!("captured")), "{view}");
    let after = steps_of(&host, &id).await?;
    for step in 0..STEPS {
        assert_eq!(after[step]["attempt"], if step < committed { 1 } else { 2 }, "{after}");
        assert!(step >= committed || after[step] == before[step], "{before} {after}");
    }
    // Committed steps and answers that were written down give their first values.
    let known = if point == "journal.after_done_commit" || point == "step.before_commit" { nth } else { committed };
    let result = ["reservation", "charge", "shipment"].map(|field| view["result"][field].as_str().unwrap_or_default());
    for (step, value) in result.iter().enumerate().take(known) {
        assert_eq!(*value, format!("first-{}", step + 1));
    }
    let effects = order::effects(&shop)?;
    let mut paths: Vec<&str> = effects.values().map(|(path, _)| path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/charges", "/reservations", "/shipments"], "each effect is there once");
    assert_eq!(shop.count(), sent + STEPS - known, "and nothing was sent again that was known");
    is_paid_once(host, &key).await
}

async fn is_paid_once(host: Host, key: &str) -> Test {
    until("the money is where it belongs", Duration::from_secs(10), async || {
        Ok((host.consumer(key).balances().await? == (CREDIT - PRICE, 0)).then_some(()))
    })
    .await?;
    let stopped = host.sigterm().await?;
    audit::check(stopped.data())?;
    stopped.cli(&["ledger", "audit"]).await?.expect(0)?;
    Ok(())
}

/// The shop has the call and has not answered when the host dies: each of the calls in turn.
#[tokio::test]
async fn killed_while_the_outside_works_its_effect_is_there_once() -> Test {
    for nth in 1..=STEPS {
        let shop = shop().await?;
        let host = Host::builder().dev().show_log().config(QUICK).plugin(&order::plugin(&shop)?).start().await?;
        let consumer = host.add_consumer("c1", "10").await?;
        let key = consumer.key().context("a key")?.to_owned();
        shop.script((1..nth).map(|_| Reply::status(201).body(r#"{"id":"made"}"#)));
        shop.script([Reply::status(201).after(Duration::from_secs(3600))]);
        let id = consumer.call("demo/order").header("prefer", "respond-async").json(&order::of(2)).accepted().await?;
        until("the shop works", Duration::from_secs(10), async || Ok((shop.count() == nth).then_some(()))).await?;
        let host = host.sigkill()?.start().await?;
        let view = host.consumer(&key).ended(&id).await?;
        assert_eq!(view["status"], "completed", "{view}");
        assert_eq!(order::effects(&shop)?.len(), STEPS);
        assert_eq!(shop.count(), STEPS + 1, "the one that had no answer, with the same key");
        is_paid_once(host, &key).await?;
    }
    Ok(())
}

/// Many orders, and a host that is killed again and again at moments that nobody chose.
#[tokio::test]
async fn killed_at_any_moment_each_effect_of_each_order_is_there_once() -> Test {
    const ORDERS: usize = 24;
    const KILLS: usize = 5;
    let shop = shop().await?;
    let mut host = Host::builder().dev().show_log().config(QUICK).plugin(&order::plugin(&shop)?).start().await?;
    let key = host.add_consumer("c1", "10").await?.key().context("a key")?.to_owned();
    let (mut ids, mut kills) = (Vec::new(), 0);
    while ids.len() < ORDERS {
        let consumer = host.consumer(&key);
        let call = consumer.call("demo/order").header("prefer", "respond-async").json(&order::of(2));
        ids.push(call.accepted().await?);
        if ids.len() % (ORDERS / KILLS) == 0 && kills < KILLS {
            kills += 1;
            host = host.sigkill()?.start().await?;
        }
    }
    let consumer = host.consumer(&key);
    for id in &ids {
        let view = consumer.ended(id).await?;
        assert_eq!(view["status"], "completed", "{view}");
    }
    assert_eq!(order::effects(&shop)?.len(), ORDERS * STEPS, "one key for each step of each order");
    let stopped = host.sigterm().await?;
    audit::check(stopped.data())?;
    stopped.cli(&["ledger", "audit"]).await?.expect(0)?;
    Ok(())
}
