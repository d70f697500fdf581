//! Webhooks that do not arrive at once: attempts, and where they never go.

use crate::{Test, host};
use anyhow::Result;
use ripost_tests::{Consumer, Host, Plugin, Reply, Sink, guests, until, verify};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn echo(config: &str) -> Result<(Host, Consumer, Sink)> {
    let host = host().only_config(config).plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let consumer = host.demo();
    Ok((host, consumer, Sink::start().await?))
}

async fn call(consumer: &Consumer, url: &str) -> Result<String> {
    consumer.call("demo/echo").json(&json!({ "n": 1, "webhook_url": url })).accepted().await
}

#[tokio::test]
async fn a_failed_attempt_is_followed_by_another_with_the_same_bytes_and_a_new_signature() -> Test {
    let config = "[delivery]\nschedule = [\"0 ms\", \"1100 ms\", \"1100 ms\"]\nsweep = \"50 ms\"\n";
    let (_host, consumer, sink) = echo(config).await?;
    sink.script([Reply::status(500), Reply::status(200)]);
    let id = call(&consumer, &sink.url("/")).await?;
    let pending = until("the first failure", Duration::from_secs(5), async || {
        let view = consumer.view(&id).await?;
        Ok((view["delivery"]["lastStatus"] == 500).then_some(view))
    })
    .await?;
    assert_eq!((&pending["delivery"]["state"], &pending["delivery"]["attempts"]), (&json!("pending"), &json!(1)));
    assert!(pending["delivery"]["nextAttemptAt"].is_string(), "{pending}");
    assert_eq!(pending["status"], "completed", "the request itself is not in doubt");

    let attempts = sink.wait(&id, 2).await?;
    let view = consumer.delivery(&id, "delivered").await?;
    assert_eq!((&view["delivery"]["attempts"], &view["delivery"]["lastStatus"]), (&json!(2), &json!(200)));
    let (first, second) = (&attempts[0], &attempts[1]);
    assert_eq!(first.id(), second.id());
    assert_eq!(first.body, second.body);
    assert_eq!((first.header("ripost-attempt"), second.header("ripost-attempt")), ("1", "2"));
    assert!(first.header("webhook-timestamp") < second.header("webhook-timestamp"));
    assert_ne!(first.header("webhook-signature"), second.header("webhook-signature"));
    let secret = consumer.webhook_secret().await?;
    verify(first, &secret)?;
    verify(second, &secret)?;
    assert!(second.at - first.at >= Duration::from_millis(1050), "the schedule is kept: {:?}", second.at - first.at);
    Ok(())
}

#[tokio::test]
async fn a_redirect_is_a_failure_that_nobody_follows() -> Test {
    let (_host, consumer, sink) = echo(crate::QUICK).await?;
    let elsewhere = Sink::start().await?;
    sink.otherwise(Reply::status(307).header("location", &elsewhere.url("/elsewhere")));
    let id = call(&consumer, &sink.url("/")).await?;
    let view = consumer.delivery(&id, "exhausted").await?;
    assert_eq!((&view["delivery"]["attempts"], &view["delivery"]["lastStatus"]), (&json!(3), &json!(307)));
    assert_eq!((sink.count(), elsewhere.count()), (3, 0));
    assert_eq!((&view["status"], &view["result"]), (&json!("completed"), &json!({ "n": 1 })));
    let payload = consumer.get(&format!("/requests/{id}/webhooks/completed")).await?.expect(200)?;
    assert_eq!(payload.body, sink.of(&id)[0].body, "an exhausted delivery stays readable");
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_says_it_is_gone_is_not_asked_again() -> Test {
    let (_host, consumer, sink) = echo(crate::QUICK).await?;
    sink.otherwise(Reply::status(410));
    let id = call(&consumer, &sink.url("/")).await?;
    let view = consumer.delivery(&id, "abandoned").await?;
    assert_eq!((&view["delivery"]["attempts"], &view["delivery"]["nextAttemptAt"]), (&json!(1), &Value::Null));
    // Longer than the whole schedule.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(sink.count(), 1);
    Ok(())
}

#[tokio::test]
async fn retry_after_is_the_least_that_is_waited() -> Test {
    let (_host, consumer, sink) = echo(crate::QUICK).await?;
    sink.script([Reply::status(429).header("retry-after", "2")]);
    let id = call(&consumer, &sink.url("/")).await?;
    let attempts = sink.wait(&id, 2).await?;
    let waited = attempts[1].at - attempts[0].at;
    assert!(waited >= Duration::from_millis(1950), "{waited:?}");
    Ok(())
}

#[tokio::test]
async fn endpoints_that_break_off_drip_or_never_answer_are_tried_again() -> Test {
    let config = "[delivery]\nschedule = [\"0 ms\", \"20 ms\"]\ndeadline = \"400 ms\"\nsweep = \"50 ms\"\n";
    let (_host, consumer, sink) = echo(config).await?;
    for (what, reply) in [
        ("reset", Reply::reset()),
        ("no answer", Reply::status(200).after(Duration::from_secs(5))),
        ("a body without end", Reply::status(200).drip(Duration::from_millis(50))),
    ] {
        sink.script([reply]);
        let started = Instant::now();
        let id = call(&consumer, &sink.url("/")).await?;
        let attempts = sink.wait(&id, 2).await?;
        assert_eq!(attempts[1].header("ripost-attempt"), "2", "{what}");
        assert!(started.elapsed() < Duration::from_secs(4), "{what} took {:?}", started.elapsed());
        consumer.delivery(&id, "delivered").await?;
    }
    // A body that is longer than anybody reads is no failure.
    sink.script([Reply::status(200).body(vec![b'x'; 1 << 20])]);
    let id = call(&consumer, &sink.url("/")).await?;
    let view = consumer.delivery(&id, "delivered").await?;
    assert_eq!(view["delivery"]["attempts"], 1);
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_exhausts_the_schedule() -> Test {
    let (_host, consumer, sink) = echo(crate::QUICK).await?;
    let url = sink.url("/");
    drop(sink);
    let id = call(&consumer, &url).await?;
    let view = consumer.delivery(&id, "exhausted").await?;
    assert_eq!((&view["delivery"]["attempts"], &view["delivery"]["lastStatus"]), (&json!(3), &Value::Null));
    assert_eq!(view["status"], "completed");
    Ok(())
}

#[tokio::test]
async fn connections_to_an_endpoint_are_used_again() -> Test {
    let (_host, consumer, sink) = echo(crate::QUICK).await?;
    for _ in 0..20 {
        let id = call(&consumer, &sink.url("/")).await?;
        consumer.delivery(&id, "delivered").await?;
    }
    assert!(sink.connections() <= 2, "20 deliveries on {} connections", sink.connections());
    Ok(())
}

#[tokio::test]
async fn a_kept_connection_that_is_dead_costs_no_attempt() -> Test {
    // One attempt only, and one failure would open the breaker.
    let config = "[delivery]\nschedule = [\"0 ms\"]\nbreaker_failures = 1\n";
    let (_host, consumer, sink) = echo(config).await?;
    let delivered = async |resent: bool| {
        let id = call(&consumer, &sink.url("/")).await?;
        let view = consumer.delivery(&id, "delivered").await?;
        assert_eq!(view["delivery"]["attempts"], 1, "{view}");
        let delivery = consumer.delivery_of(&id, "completed").await?;
        let log = delivery["log"].as_array().cloned().unwrap_or_default();
        assert_eq!(log.len(), 1, "{log:?}");
        assert_eq!((&log[0]["status"], &log[0]["resent"]), (&json!(200), &json!(resent)), "{log:?}");
        anyhow::Ok(sink.of(&id))
    };
    delivered(false).await?;
    for _ in 0..3 {
        // What NAT, load balancers and restarts do to a connection that is kept.
        sink.script([Reply::reset()]);
        let sent = delivered(true).await?;
        assert_eq!(sent.len(), 2);
        assert_eq!((sent[0].id(), &sent[0].body), (sent[1].id(), &sent[1].body));
        assert_eq!((sent[0].header("ripost-attempt"), sent[1].header("ripost-attempt")), ("1", "1"));
        assert_ne!(sent[0].connection, sent[1].connection);
    }
    delivered(false).await?;
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_never_answers_keeps_nobody_else_waiting() -> Test {
    let (_host, consumer, sink) = echo(crate::QUICK).await?;
    let hole = Sink::start().await?;
    hole.otherwise(Reply::status(200).after(Duration::from_secs(30)));
    for _ in 0..60 {
        call(&consumer, &hole.url("/")).await?;
    }
    until("the hole is full", Duration::from_secs(5), async || Ok((hole.count() >= 4).then_some(()))).await?;
    for _ in 0..5 {
        let started = Instant::now();
        let id = call(&consumer, &sink.url("/")).await?;
        sink.first(&id).await?;
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
    Ok(())
}

#[tokio::test]
async fn the_address_is_checked_again_when_a_webhook_is_sent() -> Test {
    let host = host().only_config(crate::PAUSED).plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let (consumer, sink) = (host.add_consumer("c1", "1").await?, Sink::start().await?);
    let id = call(&consumer, &sink.url("/")).await?;
    // Loopback was allowed when this was accepted; it is not when it is sent.
    let stopped = host.sigterm().await?;
    let host = stopped.with(|host| host.not_dev().only_config(crate::QUICK)).start().await?;
    let consumer = Consumer::new(host.url(), consumer.key());
    consumer.ended(&id).await?;
    let view = until("a refused attempt", Duration::from_secs(5), async || {
        let view = consumer.view(&id).await?;
        Ok(view["delivery"]["last_error"]
            .is_string()
            .then_some(view.clone())
            .or(view["delivery"]["lastError"].is_string().then_some(view)))
    })
    .await?;
    assert_eq!(sink.connections(), 0, "nothing was ever sent: {view}");
    assert_ne!(view["delivery"]["state"], "delivered");
    Ok(())
}
