//! Sending again, one or many, to where it went before or elsewhere: always the same bytes under the same id.

use crate::Test;
use crate::echo::{call, start};
use crate::feed::public;
use anyhow::{Context as _, Result, ensure};
use http::Method;
use ripost_tests::{Api, Consumer, Host, Plugin, Reply, Sink, audit, guests, until, verify};
use serde_json::{Value, json};
use std::time::Duration;

/// Calls whose webhooks all failed.
async fn exhausted(consumer: &Consumer, sink: &Sink, count: usize) -> Result<Vec<String>> {
    sink.otherwise(Reply::status(500));
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(call(consumer, &sink.url("/")).await?);
    }
    for id in &ids {
        consumer.delivery(id, "exhausted").await?;
    }
    Ok(ids)
}

#[tokio::test]
async fn an_exhausted_delivery_is_sent_again_as_it_was_when_it_is_asked_for() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    let id = exhausted(&consumer, &sink, 1).await?.remove(0);
    sink.otherwise(Reply::status(200));
    let answer = consumer.redeliver(&id).send().await?.expect(202)?.json()?;
    assert!(matches!(answer["state"].as_str(), Some("pending" | "in_flight" | "delivered")), "{answer}");
    assert_eq!((&answer["event"], &answer["url"]), (&json!("completed"), &json!(sink.url("/"))));
    let view = consumer.delivery(&id, "delivered").await?;
    assert_eq!(view["delivery"]["attempts"], 4);
    assert!(view["delivery"].get("reason").is_none_or(Value::is_null), "{view}");
    let attempts = sink.of(&id);
    let numbers: Vec<_> = attempts.iter().map(|attempt| attempt.header("ripost-attempt")).collect();
    assert_eq!(numbers, ["1", "2", "3", "4"], "the numbers go on");
    let secret = consumer.webhook_secret().await?;
    for attempt in &attempts {
        assert_eq!((attempt.id(), &attempt.body), (attempts[0].id(), &attempts[0].body));
        verify(attempt, &secret)?;
    }
    assert_eq!(answer["id"], attempts[0].id());
    let log = consumer.delivery_of(&id, "completed").await?["log"].clone();
    let statuses: Vec<_> = log.as_array().context("a log")?.iter().map(|entry| entry["status"].clone()).collect();
    assert_eq!(statuses, [500, 500, 500, 200]);
    assert!(consumer.undelivered("").await?.is_empty());
    let stopped = host.sigterm().await?;
    audit::check(stopped.data())
}

#[tokio::test]
async fn the_schedule_begins_anew() -> Test {
    let (_host, consumer, sink) = start(crate::QUICK).await?;
    let id = exhausted(&consumer, &sink, 1).await?.remove(0);
    for round in 2..=3 {
        consumer.redeliver(&id).send().await?.expect(202)?;
        until("three more attempts", Duration::from_secs(10), async || {
            let view = consumer.view(&id).await?;
            let done = view["delivery"]["state"] == "exhausted" && view["delivery"]["attempts"] == 3 * round;
            Ok(done.then_some(()))
        })
        .await?;
    }
    assert_eq!(sink.of(&id).len(), 9);
    Ok(())
}

#[tokio::test]
async fn it_can_go_to_another_url_with_the_same_bytes() -> Test {
    let (_host, consumer, sink) = start(crate::QUICK).await?;
    let id = exhausted(&consumer, &sink, 1).await?.remove(0);
    let elsewhere = Sink::start().await?;
    let body = json!({ "event": "completed", "url": elsewhere.url("/new?x=1") });
    let answer = consumer.redeliver(&id).json(&body).send().await?.expect(202)?.json()?;
    assert_eq!(answer["url"], elsewhere.url("/new?x=1"));
    let arrived = elsewhere.first(&id).await?;
    let before = &sink.of(&id)[0];
    assert_eq!((arrived.id(), &arrived.body), (before.id(), &before.body));
    assert_eq!(arrived.path, "/new?x=1");
    verify(&arrived, &consumer.webhook_secret().await?)?;
    consumer.delivery(&id, "delivered").await?;
    assert_eq!(sink.of(&id).len(), 3, "nothing more went to the old one");
    Ok(())
}

#[tokio::test]
async fn what_was_delivered_can_be_sent_again_too() -> Test {
    let (_host, consumer, sink) = start(crate::QUICK).await?;
    let id = call(&consumer, &sink.url("/")).await?;
    consumer.delivery(&id, "delivered").await?;
    let original = consumer.deliveries(&id).await?.remove(0);
    let copy = consumer.redeliver(&id).send().await?.expect(202)?.json()?;
    assert_eq!((&copy["copy_of"], &copy["attempts"]), (&original["id"], &json!(0)), "a delivery of its own");
    let attempts = sink.wait(&id, 2).await?;
    assert_eq!((attempts[0].id(), &attempts[0].body), (attempts[1].id(), &attempts[1].body));
    verify(&attempts[1], &consumer.webhook_secret().await?)?;
    assert_eq!(attempts[1].header("ripost-attempt"), "1");
    delivered(&consumer, &id, &copy).await?;
    consumer.delivery(&id, "delivered").await?;
    Ok(())
}

/// Waits for one of a request's deliveries.
async fn delivered(consumer: &Consumer, id: &str, delivery: &Value) -> Test {
    ended(consumer, id, delivery, "delivered").await.map(drop)
}

async fn ended(consumer: &Consumer, id: &str, delivery: &Value, state: &str) -> Result<Value> {
    until(&format!("the delivery is {state}"), Duration::from_secs(10), async || {
        let all = consumer.deliveries(id).await?;
        Ok(all.into_iter().find(|one| one["id"] == delivery["id"] && one["state"] == state))
    })
    .await
}

#[tokio::test]
async fn what_was_delivered_stays_delivered_whatever_becomes_of_a_copy() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    let id = call(&consumer, &sink.url("/")).await?;
    let before = consumer.delivery(&id, "delivered").await?["delivery"].clone();
    let elsewhere = Sink::start().await?;
    elsewhere.otherwise(Reply::status(500));
    let again = async |body: Value| consumer.redeliver(&id).json(&body).send().await?.expect(202)?.json();
    let copy = again(json!({ "url": elsewhere.url("/new") })).await?;
    // Once, unless more is asked for.
    let failed = ended(&consumer, &id, &copy, "exhausted").await?;
    assert_eq!((&failed["attempts"], &failed["reason"]), (&json!(1), &json!("schedule")));
    assert_eq!(elsewhere.of(&id).len(), 1);
    assert_eq!(consumer.view(&id).await?["delivery"], before, "nothing changes of the request");
    // It is undelivered, and has the payload with it.
    let undelivered = consumer.undelivered("").await?;
    assert_eq!((undelivered.len(), &undelivered[0]["delivery"]["id"]), (1, &copy["id"]));
    assert_eq!(undelivered[0]["payload"]["requestId"], json!(id));
    let log = consumer.deliveries(&id).await?;
    assert_eq!(log.len(), 2);
    // The same copy again, by the whole schedule this time.
    let same = again(json!({ "url": elsewhere.url("/new"), "retry": true })).await?;
    assert_eq!(same["id"], copy["id"]);
    until("the whole schedule", Duration::from_secs(10), async || {
        let all = consumer.deliveries(&id).await?;
        let done = all.iter().any(|one| one["id"] == copy["id"] && one["state"] == "exhausted" && one["attempts"] == 4);
        Ok(done.then_some(()))
    })
    .await?;
    // Many at once take the copy, and not the one that is delivered.
    elsewhere.otherwise(Reply::status(200));
    assert_eq!(many(&consumer, &json!({ "state": "exhausted" })).await?["redelivered"], 1);
    delivered(&consumer, &id, &copy).await?;
    assert_eq!(sink.of(&id).len(), 1, "nothing more went to the first");
    assert_eq!(consumer.view(&id).await?["delivery"], before);
    let receipt = consumer.get(&format!("/requests/{id}/receipt")).await?.expect(200)?.json()?;
    let ids: Vec<_> =
        receipt["deliveries"].as_array().context("deliveries")?.iter().map(|one| &one["webhookId"]).collect();
    assert_eq!(ids, [sink.of(&id)[0].id(); 2], "one webhook, sent twice");
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), receipt.to_string())?;
    let keys = consumer.get("/.well-known/webhook-keys").await?.json()?;
    let key = keys["whpk"][0].as_str().context("a key")?;
    host.cli(&["verify", file.path().to_str().context("a path")?, "--key", key]).await?.expect(0)?;
    let stopped = host.sigterm().await?;
    audit::check(stopped.data())
}

#[tokio::test]
async fn what_waits_for_its_next_attempt_can_be_sent_at_once() -> Test {
    let config = "[delivery]\nschedule = [\"0 ms\", \"1 h\"]\nsweep = \"50 ms\"\n[runs]\nsweep = \"50 ms\"\n";
    let (_host, consumer, sink) = start(config).await?;
    sink.script([Reply::status(500)]);
    let id = call(&consumer, &sink.url("/")).await?;
    until("the failure is recorded", Duration::from_secs(5), async || {
        Ok((consumer.view(&id).await?["delivery"]["lastStatus"] == 500).then_some(()))
    })
    .await?;
    consumer.redeliver(&id).send().await?.expect(202)?;
    assert_eq!(sink.wait(&id, 2).await?.len(), 2);
    consumer.delivery(&id, "delivered").await?;
    Ok(())
}

#[tokio::test]
async fn what_is_under_way_is_not_sent_twice() -> Test {
    let (_host, consumer, sink) = start(crate::QUICK).await?;
    sink.script([Reply::status(200).after(Duration::from_millis(1500))]);
    let id = call(&consumer, &sink.url("/")).await?;
    sink.first(&id).await?;
    let refused = consumer.redeliver(&id).send().await?.expect(409)?;
    assert_eq!(refused.problem()?, "delivery-in-flight");
    consumer.delivery(&id, "delivered").await?;
    assert_eq!(sink.of(&id).len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_wrong_wish_to_redeliver_is_refused_and_changes_nothing() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    let id = exhausted(&consumer, &sink, 1).await?.remove(0);
    let other = host.add_consumer("other", "1").await?;
    let without = consumer.call("demo/echo").json(&json!({})).header("prefer", "respond-async").accepted().await?;
    consumer.ended(&without).await?;

    let foreign = other.redeliver(&id).send().await?.expect(404)?;
    assert_eq!(foreign.problem()?, "unknown-request");
    assert_eq!(consumer.redeliver("req_1").send().await?.status, 404);
    assert_eq!(consumer.redeliver(&without).send().await?.expect(404)?.problem()?, "not-found");
    let started = consumer.redeliver(&id).json(&json!({ "event": "started" })).send().await?.expect(404)?;
    assert_eq!(started.problem()?, "not-found");
    let failed = consumer.redeliver(&id).json(&json!({ "event": "failed" })).send().await?.expect(404)?;
    assert!(
        failed.json()?["detail"].as_str().is_some_and(|detail| detail.contains("is `completed` here")),
        "{failed:?}"
    );
    assert_eq!(consumer.with_key(None).redeliver(&id).send().await?.expect(401)?.problem()?, "missing-key");
    consumer.redeliver(&id).raw("application/json", "{").send().await?.expect(400)?;
    for url in ["nowhere", "ftp://127.0.0.1/", "https://10.0.0.1/", "https://169.254.169.254/", "http://u:p@127.0.0.1/"]
    {
        let answer = consumer.redeliver(&id).json(&json!({ "url": url })).send().await?.expect(422).context(url)?;
        assert!(answer.problem()?.starts_with("webhook-url-"), "{url}");
    }
    for body in [json!({ "url": 5 }), json!({ "event": 5 }), json!([]), json!({ "urls": "https://a.example/" })] {
        let status = consumer.redeliver(&id).json(&body).send().await?.status.as_u16();
        assert!([400, 422].contains(&status), "{body}: {status}");
    }
    let view = consumer.view(&id).await?;
    assert_eq!((&view["delivery"]["state"], &view["delivery"]["attempts"]), (&json!("exhausted"), &json!(3)));
    assert_eq!(sink.of(&id).len(), 3);
    Ok(())
}

#[tokio::test]
async fn public_keys_send_nothing_again() -> Test {
    let (host, _consumer, sink) = start(crate::QUICK).await?;
    let public = public(&host).await?;
    let id = call(&public, &sink.url("/")).await?;
    sink.first(&id).await?;
    assert_eq!(public.redeliver(&id).send().await?.expect(403)?.problem()?, "key-is-public");
    let many = public.request(Method::POST, "/deliveries/redeliver").json(&json!({ "state": "exhausted" }));
    assert_eq!(many.send().await?.expect(403)?.problem()?, "key-is-public");
    assert_eq!(sink.of(&id).len(), 1);
    Ok(())
}

async fn many(consumer: &Consumer, body: &Value) -> Result<Value> {
    let answer = consumer.request(Method::POST, "/deliveries/redeliver").json(body).send().await?;
    ensure!(answer.status.is_success(), "{body}: {} {:?}", answer.status, answer.body);
    answer.json()
}

#[tokio::test]
async fn all_that_fits_a_filter_is_sent_again() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    let other = host.add_consumer("other", "1").await?;
    let (mine, others) = (exhausted(&consumer, &sink, 5).await?, exhausted(&other, &sink, 2).await?);
    for filter in [
        json!({ "state": "exhausted", "api": "demo/nothing" }),
        json!({ "state": "exhausted", "event": "started" }),
        json!({ "state": "exhausted", "since": "2100-01-01T00:00:00Z" }),
        json!({ "state": "exhausted", "until": "2000-01-01T00:00:00Z" }),
    ] {
        assert_eq!(many(&consumer, &filter).await?["redelivered"], 0, "{filter}");
    }
    sink.otherwise(Reply::status(200));
    let some = many(&consumer, &json!({ "state": "exhausted", "limit": 2 })).await?;
    assert_eq!((&some["redelivered"], &some["more"]), (&json!(2), &json!(true)));
    let filter = json!({
        "state": "exhausted", "event": "completed", "api": "demo/echo",
        "since": "2000-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z",
    });
    let rest = many(&consumer, &filter).await?;
    assert_eq!((&rest["redelivered"], &rest["more"]), (&json!(3), &json!(false)));
    for id in &mine {
        consumer.delivery(id, "delivered").await?;
        assert_eq!(sink.of(id).len(), 4, "once each");
    }
    assert_eq!(many(&consumer, &json!({ "state": "exhausted" })).await?["redelivered"], 0);
    for id in &others {
        assert_eq!(other.view(id).await?["delivery"]["state"], "exhausted", "not one's own");
    }
    Ok(())
}

#[tokio::test]
async fn all_that_fits_can_go_to_another_url() -> Test {
    let (_host, consumer, sink) = start(crate::QUICK).await?;
    let ids = exhausted(&consumer, &sink, 3).await?;
    let elsewhere = Sink::start().await?;
    let answer = many(&consumer, &json!({ "state": "exhausted", "url": elsewhere.url("/new") })).await?;
    assert_eq!(answer["redelivered"], 3);
    for id in &ids {
        assert_eq!(elsewhere.first(id).await?.body, sink.of(id)[0].body);
        consumer.delivery(id, "delivered").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_filter_that_is_none_sends_nothing_again() -> Test {
    let (_host, consumer, sink) = start(crate::QUICK).await?;
    let id = exhausted(&consumer, &sink, 1).await?.remove(0);
    for body in [
        json!({ "state": "nope" }),
        json!({ "state": "exhausted", "since": "yesterday" }),
        json!({ "state": "exhausted", "limit": -1 }),
        json!({ "state": "exhausted", "limit": "all" }),
        json!({ "state": "exhausted", "api": "echo" }),
        json!({ "state": "exhausted", "url": "https://10.0.0.1/" }),
        json!({ "state": "exhausted", "colour": "red" }),
        json!([]),
    ] {
        let answer = consumer.request(Method::POST, "/deliveries/redeliver").json(&body).send().await?;
        assert!([400, 422].contains(&answer.status.as_u16()), "{body}: {}", answer.status);
        answer.problem()?;
    }
    consumer.request(Method::POST, "/deliveries/redeliver").raw("application/json", "{").send().await?.expect(400)?;
    assert_eq!(consumer.view(&id).await?["delivery"]["state"], "exhausted");
    assert_eq!(sink.of(&id).len(), 3);
    Ok(())
}

async fn operator(host: &Host, body: &Value) -> Result<Value> {
    let answer = host.admin_json(Method::POST, "/admin/v1/deliveries/redeliver", body).await?;
    ensure!(answer.status.is_success(), "{body}: {} {:?}", answer.status, answer.body);
    answer.json()
}

#[tokio::test]
async fn the_operator_sends_anybodys_again() -> Test {
    let apis = [Api::new("demo", "echo", guests::echo())];
    let host = crate::host().plugin(&Plugin::new("echo", apis)).start().await?;
    let (first, second) = (host.add_consumer("c1", "1").await?, host.add_consumer("c2", "1").await?);
    let sink = Sink::start().await?;
    let (of_first, of_second) = (exhausted(&first, &sink, 2).await?, exhausted(&second, &sink, 2).await?);
    sink.otherwise(Reply::status(200));
    assert_eq!(operator(&host, &json!({ "consumer": "c1", "state": "exhausted" })).await?["redelivered"], 2);
    for id in &of_first {
        first.delivery(id, "delivered").await?;
    }
    assert_eq!(second.view(&of_second[0]).await?["delivery"]["state"], "exhausted");
    // One by its id.
    let delivery = second.delivery_of(&of_second[0], "completed").await?;
    assert_eq!(operator(&host, &json!({ "id": delivery["id"] })).await?["redelivered"], 1);
    second.delivery(&of_second[0], "delivered").await?;
    let delivered = json!({ "id": delivery["id"] });
    let refused = host.admin_json(Method::POST, "/admin/v1/deliveries/redeliver", &delivered).await?.expect(404)?;
    assert!(
        refused.json()?["detail"].as_str().is_some_and(|detail| detail.contains("it was delivered")),
        "{refused:?}"
    );
    assert_eq!(second.view(&of_second[1]).await?["delivery"]["state"], "exhausted");
    // Everybody's.
    assert_eq!(operator(&host, &json!({ "state": "exhausted" })).await?["redelivered"], 1);
    second.delivery(&of_second[1], "delivered").await?;
    let nobody = json!({ "consumer": "nobody", "state": "exhausted" });
    let answer = host.admin_json(Method::POST, "/admin/v1/deliveries/redeliver", &nobody).await?;
    let nothing = answer.status.is_success() && answer.json()?["redelivered"] == 0;
    assert!(nothing || answer.status.is_client_error(), "{}", answer.status);
    Ok(())
}
