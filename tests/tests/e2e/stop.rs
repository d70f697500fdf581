//! SIGTERM: finish what was accepted, say what was left, lose nothing.

use crate::{Test, host};
use ripost_tests::{Api, Consumer, Plugin, Sink, audit, guests};
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_host_that_is_told_to_stop_finishes_what_runs() -> Test {
    let host = host()
        .config("[shutdown]\ngrace = \"10 s\"")
        .plugin(&Plugin::one("slow", guests::sleeps(1000)))
        .start()
        .await?;
    let (consumer, sink) = (host.demo(), Sink::start().await?);
    let id = consumer.call("demo/slow").json(&json!({ "n": 1, "webhook_url": sink.url("/") })).accepted().await?;
    let waiting = {
        let consumer = consumer.clone();
        async move { consumer.call("demo/slow").json(&json!({ "n": 2 })).send().await }
    };
    let (waited, stopped) = tokio::join!(waiting, async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        host.sigterm().await
    });
    let (answer, stopped) = (waited?.expect(200)?, stopped?);
    assert_eq!(answer.json()?, json!({ "n": 2 }), "whoever waits is answered");
    assert_eq!(stopped.status.code(), Some(0));
    assert_eq!(sink.of(&id).len(), 1, "its webhook went out");
    audit::check(stopped.data())?;

    let host = stopped.start().await?;
    let view = Consumer::new(host.url(), consumer.key()).view(&id).await?;
    assert_eq!((&view["status"], &view["delivery"]["state"]), (&json!("completed"), &json!("delivered")));
    Ok(())
}

#[tokio::test]
async fn what_does_not_end_in_the_grace_period_is_found_again() -> Test {
    let host = host()
        .config("[shutdown]\ngrace = \"300 ms\"")
        .plugin(&Plugin::one("slow", guests::sleeps(2500)))
        .start()
        .await?;
    let (consumer, sink) = (host.demo(), Sink::start().await?);
    let id = consumer.call("demo/slow").json(&json!({ "n": 1, "webhook_url": sink.url("/") })).accepted().await?;
    crate::requests_running(&consumer, &id).await?;
    let started = Instant::now();
    let stopped = host.sigterm().await?;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!(stopped.status.code(), Some(0));
    assert!(stopped.log().contains("left"), "it says that something was left");
    assert_eq!(sink.count(), 0);

    let host = stopped.start().await?;
    let consumer = Consumer::new(host.url(), consumer.key());
    assert_eq!(consumer.ended(&id).await?["result"], json!({ "n": 1 }));
    sink.first(&id).await?;
    let stopped = host.sigterm().await?;
    audit::check(stopped.data())?;
    Ok(())
}

#[tokio::test]
async fn a_host_that_is_idle_stops_at_once_and_takes_no_new_connections() -> Test {
    let host = host().start().await?;
    let (url, started) = (host.url().to_owned(), Instant::now());
    let stopped = host.sigterm().await?;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!(stopped.status.code(), Some(0));
    assert!(Consumer::new(&url, None).get("/healthz").await.is_err());
    Ok(())
}

/// State and counted runs of each request, in the order of their accepts.
fn rows(stopped: &ripost_tests::Stopped) -> anyhow::Result<Vec<(String, u32)>> {
    let connection = rusqlite::Connection::open(audit::database(stopped.data()))?;
    let mut rows = connection.prepare("SELECT state, attempt FROM requests ORDER BY id")?;
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

const ONE_AT_A_TIME: &str =
    "[runs]\nconcurrency = 1\nsweep = \"50 ms\"\ncrashes_max = 0\n[delivery]\nsweep = \"50 ms\"\n";

#[tokio::test]
async fn a_stop_begins_nothing_that_waits_and_ends_with_what_runs() -> Test {
    const WAITING: usize = 12;
    let host = host()
        .only_config(&format!("{ONE_AT_A_TIME}[shutdown]\ngrace = \"14 s\"\n"))
        .plugin(&Plugin::one("slow", guests::sleeps(1000)))
        .start()
        .await?;
    let consumer = host.demo();
    let mut ids = Vec::new();
    for n in 0..=WAITING {
        let call = consumer.call("demo/slow").json(&json!({ "n": n })).header("prefer", "respond-async");
        ids.push(call.accepted().await?);
    }
    crate::requests_running(&consumer, &ids[0]).await?;
    // Nothing that asks for news keeps it either.
    let asks = {
        let (consumer, id) = (consumer.clone(), ids[WAITING].clone());
        async move {
            consumer.request(http::Method::GET, &format!("/requests/{id}")).header("prefer", "wait=60").send().await
        }
    };
    let (asked, stopped) = tokio::join!(asks, async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let begun = Instant::now();
        let stopped = host.sigterm().await;
        (stopped, begun.elapsed())
    });
    let (stopped, took) = (stopped.0?, stopped.1);
    asked?.expect(200)?;
    assert!(took < Duration::from_secs(3), "{took:?}");
    let rows = rows(&stopped)?;
    assert_eq!(rows[0], ("completed".to_owned(), 1), "what ran has ended");
    assert!(rows[1..].iter().all(|row| *row == ("accepted".to_owned(), 0)), "the rest is put back: {rows:?}");

    // With room for all: each has its first run then.
    let host = stopped.with(|host| host.only_config(crate::QUICK)).start().await?;
    let consumer = Consumer::new(host.url(), consumer.key());
    for id in &ids {
        assert_eq!(consumer.ended(id).await?["status"], "completed");
        let runs = host.cli(&["runs", id, "--json"]).await?.expect(0)?.json()?;
        let attempts: Vec<_> = runs.as_array().into_iter().flatten().map(|run| run["attempt"].clone()).collect();
        assert_eq!(attempts, [json!(1)], "{id}");
    }
    Ok(())
}

#[tokio::test]
async fn a_kill_counts_the_run_that_had_begun_and_not_those_that_waited() -> Test {
    let apis = [
        Api::new("demo", "slow", guests::sleeps(60_000)).line("max_attempts = 1"),
        Api::new("demo", "quick", guests::echo()).line("max_attempts = 1"),
    ];
    let host = host().only_config(ONE_AT_A_TIME).plugin(&Plugin::new("two", apis)).start().await?;
    let consumer = host.demo();
    let call = async |api: &str| consumer.call(api).json(&json!({})).header("prefer", "respond-async").accepted().await;
    let slow = call("demo/slow").await?;
    crate::requests_running(&consumer, &slow).await?;
    let mut waiting = Vec::new();
    for _ in 0..8 {
        waiting.push(call("demo/quick").await?);
    }
    let host = host.restart().await?;
    let consumer = Consumer::new(host.url(), consumer.key());
    let lost = consumer.ended(&slow).await?;
    assert_eq!(ripost_tests::consumer::slug(&lost["error"])?, "run-lost", "{lost}");
    for id in &waiting {
        assert_eq!(consumer.ended(id).await?["status"], "completed");
        let runs = host.cli(&["runs", id, "--json"]).await?.expect(0)?.json()?;
        assert_eq!((runs.as_array().map(Vec::len), &runs[0]["attempt"]), (Some(1), &json!(1)), "{runs}");
    }
    let stopped = host.sigterm().await?;
    assert_eq!(rows(&stopped)?[0], ("failed".to_owned(), 1));
    audit::check(stopped.data())?;
    Ok(())
}
