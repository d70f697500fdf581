//! What a webhook says has happened: in its body, in its type, in a header; and how it ended, however it did.

use crate::Test;
use anyhow::{Context as _, Result};
use http::Method;
use ripost_tests::guests::{self, Failure};
use ripost_tests::{Api, Consumer, Delivery, Host, Plugin, Reply, Sink};
use serde_json::{Value, json};

const EVENTS: [&str; 3] = ["started", "progress", "completed"];

/// APIs that end each in its own way.
fn apis(payload: &str) -> Vec<Api> {
    let with = |slug: &str, guest: Vec<u8>| Api::new("demo", slug, guest).line(&format!("payload = \"{payload}\""));
    vec![
        with("completed", guests::reports_progress(1300)),
        with("failed", guests::fails(Failure::Failed(500))),
        with("cancelled", guests::sleeps(20_000)),
        with("expired", guests::sleeps(20_000)).line("expires_in = \"1 s\""),
    ]
}

/// Each call's end with the event that it is, and a request that had all three webhooks.
async fn ends(payload: &str) -> Result<(Host, Consumer, Sink, Vec<(&'static str, Delivery)>)> {
    let host = crate::host().plugin(&Plugin::new("ends", apis(payload))).start().await?;
    let (consumer, sink) = (host.add_consumer("c1", "1").await?, Sink::start().await?);
    let mut ends = Vec::new();
    for end in ["completed", "failed", "cancelled", "expired"] {
        let body = json!({ "webhook_url": sink.url("/"), "webhook_events": EVENTS });
        let id = consumer.call(&format!("demo/{end}")).json(&body).accepted().await?;
        if end == "cancelled" {
            crate::requests_running(&consumer, &id).await?;
            consumer.request(Method::POST, &format!("/requests/{id}/cancel")).send().await?.expect(200)?;
        }
        consumer.delivery(&id, "delivered").await?;
        let all = sink.of(&id);
        let of_end =
            all.iter().find(|sent| sent.header("ripost-event") == end).with_context(|| format!("{end}: {all:?}"))?;
        ends.push((end, of_end.clone()));
        // Whatever names a webhook has the word that was asked for.
        let delivery = consumer.delivery_of(&id, "completed").await?;
        assert_eq!(delivery["id"], of_end.id(), "{end}");
        let stored = consumer.get(&format!("/requests/{id}/webhooks/completed")).await?.expect(200)?;
        assert_eq!(stored.body, of_end.body, "{end}");
    }
    Ok((host, consumer, sink, ends))
}

#[tokio::test]
async fn a_webhook_says_what_has_happened_and_how_a_request_ended() -> Test {
    let (_host, consumer, sink, ends) = ends("request").await?;
    for (event, sent) in &ends {
        let json = sent.json()?;
        assert_eq!((&json["event"], &json["status"]), (&json!(event), &json!(event)));
        assert_eq!(json["type"], format!("ripost.request.{event}"));
        assert!(json.get("progress").is_none(), "it is over: {json}");
    }
    let completed = ends[0].1.request_id().to_owned();
    let all = sink.of(&completed);
    let told: Vec<_> = all.iter().map(|sent| sent.header("ripost-event")).collect();
    assert!(EVENTS.iter().all(|event| told.contains(event)), "{told:?}");
    for sent in &all {
        let json = sent.json()?;
        assert_eq!(json["event"], sent.header("ripost-event"));
        assert_eq!(json["type"], format!("ripost.request.{}", sent.header("ripost-event")));
    }
    let view = consumer.view(&completed).await?;
    assert!(["event", "type", "progress"].iter().all(|member| view.get(*member).is_none()), "{view}");
    // An end that has a word of its own is asked for by the word of all ends.
    let failed = ends[1].1.request_id();
    let refused = consumer.get(&format!("/requests/{failed}/webhooks/failed")).await?.expect(404)?.json()?;
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("`completed`")), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_cloudevent_has_the_type_of_its_requests_end() -> Test {
    let (_host, _consumer, _sink, ends) = ends("cloudevents").await?;
    for (event, sent) in ends {
        let json = sent.json()?;
        assert_eq!(json["type"], format!("ripost.request.{event}"));
        assert_eq!((&json["data"]["event"], &json["data"]["type"]), (&json!(event), &json["type"]));
    }
    Ok(())
}

#[tokio::test]
async fn a_bare_result_is_told_apart_by_its_header_also_when_it_comes_from_the_store() -> Test {
    let (host, consumer, sink, ends) = ends("result").await?;
    assert!(ends[0].1.json()?.get("event").is_none(), "a result is the owner's alone");
    // What is tried again is read from the store, which knows how the request ended.
    sink.script([Reply::status(500)]);
    let again = consumer.call("demo/failed").json(&json!({ "webhook_url": sink.url("/") })).accepted().await?;
    consumer.delivery(&again, "delivered").await?;
    let sent = sink.of(&again);
    let events: Vec<_> = sent.iter().map(|sent| (sent.header("ripost-attempt"), sent.header("ripost-event"))).collect();
    assert_eq!(events, [("1", "failed"), ("2", "failed")]);
    drop(host);
    Ok(())
}

#[tokio::test]
async fn the_document_of_an_api_has_every_webhook_with_its_events() -> Test {
    let host = crate::host().plugin(&Plugin::new("ends", apis("request"))).start().await?;
    let document = host.demo().get("/openapi/demo/completed").await?.expect(200)?.json()?;
    let webhooks = document["webhooks"].as_object().context("webhooks")?;
    let mut named = Vec::new();
    for (subscription, webhook) in webhooks {
        let parameters = webhook["post"]["parameters"].as_array().context("parameters")?;
        let header = parameters.iter().find(|header| header["name"] == "Ripost-Event").context("Ripost-Event")?;
        let events = header["schema"]["enum"].as_array().context("its values")?;
        named.extend(events.iter().filter_map(Value::as_str).map(|event| (subscription.clone(), event.to_owned())));
    }
    named.sort();
    let expected = [
        ("completed", "cancelled"),
        ("completed", "completed"),
        ("completed", "expired"),
        ("completed", "failed"),
        ("progress", "progress"),
        ("started", "started"),
    ];
    assert_eq!(named, expected.map(|(subscription, event)| (subscription.to_owned(), event.to_owned())));
    Ok(())
}
