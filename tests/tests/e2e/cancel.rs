//! Withdrawing a request: the first of cancellation and any other end wins.

use crate::{PAUSED, QUICK, Test, host, requests_running};
use anyhow::Result;
use http::Method;
use ripost_tests::consumer::Call;
use ripost_tests::{Api, Consumer, Host, Plugin, Sink, audit, guests, until};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinSet;

const PRICE: i64 = 50_000;

fn priced(slug: &str, component: Vec<u8>) -> Api {
    Api::new("demo", slug, component).price("0.050000")
}

fn cancel<'c>(consumer: &'c Consumer, id: &str) -> Call<'c> {
    consumer.request(Method::POST, &format!("/requests/{id}/cancel"))
}

async fn accept(consumer: &Consumer, api: &str, sink: &Sink) -> Result<String> {
    consumer.call(api).json(&json!({ "webhook_url": sink.url("/") })).accepted().await
}

fn settled(view: &Value) -> (&str, &str) {
    (view["status"].as_str().unwrap_or_default(), view["settlement"]["state"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_request_that_waits_is_cancelled_at_once_and_stays_so_after_a_crash() -> Test {
    let plugin = Plugin::new("one", [priced("echo", guests::echo())]);
    let host = Host::builder().dev().show_log().config(PAUSED).plugin(&plugin).start().await?;
    let (consumer, sink) = (host.add_consumer("c1", "1").await?, Sink::start().await?);
    let id = accept(&consumer, "demo/echo", &sink).await?;
    assert_eq!(consumer.balances().await?, (1_000_000 - PRICE, PRICE));
    let view = cancel(&consumer, &id).send().await?.expect(200)?.json()?;
    assert_eq!(settled(&view), ("cancelled", "released"));
    assert_eq!(ripost_tests::consumer::slug(&view["error"])?, "cancelled");
    assert_eq!(consumer.balances().await?, (1_000_000, 0));
    let webhook = sink.first(&id).await?.json()?;
    assert_eq!((&webhook["status"], &webhook["settlement"]["state"]), (&json!("cancelled"), &json!("released")));
    let again = cancel(&consumer, &id).send().await?.expect(200)?.json()?;
    assert_eq!((&again["status"], &again["finishedAt"]), (&view["status"], &view["finishedAt"]));
    audit::check(host.data())?;

    let host = host.sigkill()?.with(|host| host.only_config(QUICK)).start().await?;
    let consumer = host.consumer(consumer.key().unwrap());
    // What is accepted afterwards is run, and so would it have been.
    let next = accept(&consumer, "demo/echo", &sink).await?;
    consumer.ended(&next).await?;
    assert_eq!(settled(&consumer.view(&id).await?), ("cancelled", "released"));
    assert_eq!(sink.of(&id).len(), 1, "and its webhook is not sent again");
    audit::check(host.data())
}

#[tokio::test]
async fn a_run_that_is_under_way_is_stopped_and_writes_nothing() -> Test {
    let plugin = Plugin::new("one", [priced("slow", guests::sleeps(60_000)).limit("wall = \"90 s\"")]);
    let host = host().plugin(&plugin).start().await?;
    let (consumer, sink) = (host.add_consumer("c1", "1").await?, Sink::start().await?);
    let id = accept(&consumer, "demo/slow", &sink).await?;
    requests_running(&consumer, &id).await?;
    let waits = consumer.request(Method::GET, &format!("/requests/{id}")).header("prefer", "wait=30").send();
    let (cancelled, waited) = tokio::join!(cancel(&consumer, &id).send(), waits);
    let cancelled = cancelled?.expect(200)?;
    assert_eq!(settled(&cancelled.json()?), ("cancelled", "released"));
    let waited = waited?.expect(200)?;
    assert_eq!(waited.json()?["status"], "cancelled", "who waits is told");
    assert!(waited.took < Duration::from_secs(5), "{:?}", waited.took);
    sink.first(&id).await?;
    host.logged("Stopped a run").await?;
    until("no run is under way", Duration::from_secs(5), async || {
        let status = host.cli(&["status", "--json"]).await?.expect(0)?.json()?;
        Ok((status["queues"]["requests_running"] == 0).then_some(()))
    })
    .await?;
    assert_eq!(consumer.get(&format!("/requests/{id}/result")).await?.expect(404)?.problem()?, "not-found");
    let runs = host.cli(&["runs", &id, "--json"]).await?.expect(0)?.json()?;
    assert_eq!((&runs[0]["outcome"], &runs[0]["attempt"], &runs[1]), (&json!("cancelled"), &json!(1), &json!(null)));
    assert!(runs[0]["wall_ms"].as_f64().is_some_and(|wall| wall < 60_000.0), "{runs}");
    assert_eq!(consumer.balances().await?, (1_000_000, 0));
    audit::check(host.data())
}

#[tokio::test]
async fn an_api_may_charge_for_what_it_has_begun_or_allow_nothing_then() -> Test {
    let apis = [
        priced("charged", guests::sleeps(3_000)).line("cancel = \"charged\""),
        priced("strict", guests::sleeps(3_000)).line("cancel = \"before_run\""),
    ];
    let host = host().plugin(&Plugin::new("two", apis)).start().await?;
    let (consumer, sink) = (host.add_consumer("c1", "1").await?, Sink::start().await?);
    let charged = accept(&consumer, "demo/charged", &sink).await?;
    let strict = accept(&consumer, "demo/strict", &sink).await?;
    requests_running(&consumer, &charged).await?;
    requests_running(&consumer, &strict).await?;
    let view = cancel(&consumer, &charged).send().await?.expect(200)?.json()?;
    assert_eq!(settled(&view), ("cancelled", "captured"));
    assert_eq!(sink.first(&charged).await?.json()?["settlement"]["state"], "captured");
    let refused = cancel(&consumer, &strict).send().await?.expect(409)?;
    assert_eq!((refused.problem()?.as_str(), &refused.json()?["state"]), ("too-late-to-cancel", &json!("running")));
    assert_eq!(settled(&consumer.ended(&strict).await?), ("completed", "captured"));
    assert_eq!(consumer.balances().await?, (1_000_000 - 2 * PRICE, 0));
    audit::check(host.data())
}

#[tokio::test]
async fn a_run_that_waits_for_its_turn_has_not_begun() -> Test {
    let api = priced("strict", guests::sleeps(1_500)).line("cancel = \"before_run\"").limit("concurrency = 1");
    let host = host().plugin(&Plugin::new("one", [api])).start().await?;
    let (consumer, sink) = (host.add_consumer("c1", "1").await?, Sink::start().await?);
    let first = accept(&consumer, "demo/strict", &sink).await?;
    requests_running(&consumer, &first).await?;
    let second = accept(&consumer, "demo/strict", &sink).await?;
    let view = cancel(&consumer, &second).send().await?.expect(200)?.json()?;
    assert_eq!(settled(&view), ("cancelled", "released"));
    assert_eq!(settled(&consumer.ended(&first).await?), ("completed", "captured"));
    assert_eq!(settled(&consumer.view(&second).await?), ("cancelled", "released"));
    audit::check(host.data())
}

#[tokio::test]
async fn the_first_of_cancellation_and_result_wins_and_the_money_moves_once() -> Test {
    let host = host().plugin(&Plugin::new("one", [priced("quick", guests::sleeps(4))])).start().await?;
    let (consumer, sink) = (host.add_consumer("c1", "10").await?, Sink::start().await?);
    let mut calls = JoinSet::new();
    for number in 0..60 {
        let (consumer, url) = (consumer.clone(), sink.url("/"));
        calls.spawn(async move {
            let id = consumer.call("demo/quick").json(&json!({ "webhook_url": url })).accepted().await?;
            tokio::time::sleep(Duration::from_millis(number % 12)).await;
            let answer = cancel(&consumer, &id).send().await?;
            let waits = consumer.request(Method::GET, &format!("/requests/{id}")).header("prefer", "wait=10");
            let view = waits.send().await?.expect(200)?.json()?;
            match answer.status.as_u16() {
                200 => anyhow::ensure!(settled(&view) == ("cancelled", "released"), "{view}"),
                409 => {
                    anyhow::ensure!(
                        answer.problem()? == "too-late-to-cancel" && answer.json()?["state"] == "completed"
                    );
                    anyhow::ensure!(settled(&view) == ("completed", "captured"), "{view}");
                }
                other => anyhow::bail!("status {other}"),
            }
            anyhow::Ok((id, answer.status == 200))
        });
    }
    let mut cancelled = 0;
    for call in calls.join_all().await {
        let (id, was_cancelled) = call?;
        cancelled += i64::from(was_cancelled);
        let webhook = sink.first(&id).await?.json()?;
        assert_eq!(webhook["status"] == "cancelled", was_cancelled, "{webhook}");
    }
    eprintln!("{cancelled} of 60 were cancelled");
    assert_eq!(consumer.balances().await?, (10_000_000 - (60 - cancelled) * PRICE, 0));
    audit::check(host.data())
}

#[tokio::test]
async fn only_its_consumer_with_a_key_of_its_own_cancels_a_request() -> Test {
    let host =
        Host::builder().dev().show_log().config(PAUSED).plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let (consumer, other) = (host.add_consumer("c1", "1").await?, host.add_consumer("other", "1").await?);
    let id = consumer.call("demo/echo").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    let digit = if id.ends_with('0') { '1' } else { '0' };
    let unknown = format!("{}{digit}", &id[..id.len() - 1]);
    let foreign = cancel(&other, &id).send().await?.expect(404)?;
    let never = cancel(&consumer, &unknown).send().await?.expect(404)?;
    assert_eq!((foreign.problem()?.as_str(), &foreign.body), ("unknown-request", &never.body));
    let added =
        host.cli(&["consumer", "add", "open", "--credit", "1", "--public", "--json"]).await?.expect(0)?.json()?;
    let public = host.consumer(added["key"].as_str().unwrap());
    assert_eq!(cancel(&public, &id).send().await?.expect(403)?.problem()?, "key-is-public");
    cancel(&consumer.with_key(None), &id).send().await?.expect(401)?;
    consumer.get(&format!("/requests/{id}/cancel")).await?.expect(405)?;
    assert_eq!(consumer.view(&id).await?["status"], "accepted");
    Ok(())
}
