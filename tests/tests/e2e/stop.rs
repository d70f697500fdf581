//! SIGTERM: finish what was accepted, say what was left, lose nothing.

use crate::{Test, host};
use ripost_tests::{Consumer, Plugin, Sink, audit, guests};
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
