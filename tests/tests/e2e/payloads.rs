//! What webhooks say and when: events, forms of the payload, results that are linked, and how deep webhooks may lead.

use crate::Test;
use crate::echo::{call, start};
use anyhow::{Context as _, Result};
use ripost_tests::guests::{self, Failure};
use ripost_tests::{Api, Consumer, Delivery, Host, Plugin, Reply, Sink, until, verify};
use serde_json::{Value, json};
use std::time::Duration;

async fn with(apis: impl IntoIterator<Item = Api>) -> Result<(Host, Consumer, Sink)> {
    let host = crate::host().plugin(&Plugin::new("forms", apis)).start().await?;
    let consumer = host.add_consumer("c1", "1").await?;
    Ok((host, consumer, Sink::start().await?))
}

/// The webhooks of a request by event, told apart by what the request was then.
fn by_status<'d>(deliveries: &'d [Delivery], status: &str) -> Result<&'d Delivery> {
    let found = deliveries.iter().find(|delivery| delivery.json().is_ok_and(|json| json["status"] == status));
    found.with_context(|| format!("no webhook says `{status}`"))
}

#[tokio::test]
async fn started_and_completed_are_two_deliveries_with_ids_of_their_own() -> Test {
    let (host, consumer, sink) = with([Api::new("demo", "slow", guests::sleeps(300))]).await?;
    let by_body = consumer
        .call("demo/slow")
        .json(&json!({ "webhook_url": sink.url("/"), "webhook_events": ["started", "completed"] }));
    let by_header = consumer.call("demo/slow").raw("text/plain", "hi").header("ripost-webhook-url", &sink.url("/"));
    let by_header = by_header.header("ripost-webhook-events", "started, completed");
    for call in [by_body, by_header] {
        let id = call.accepted().await?;
        let sent = sink.wait(&id, 2).await?;
        consumer.delivery(&id, "delivered").await?;
        let (started, completed) = (by_status(&sent, "running")?, by_status(&sent, "completed")?);
        assert_ne!(started.id(), completed.id());
        let secret = consumer.webhook_secret().await?;
        for (event, delivery) in [("started", started), ("completed", completed)] {
            verify(delivery, &secret)?;
            let stored = consumer.get(&format!("/requests/{id}/webhooks/{event}")).await?.expect(200)?;
            assert_eq!(stored.body, delivery.body, "{event}: the exact bytes");
            assert_eq!(consumer.delivery_of(&id, event).await?["id"], delivery.id(), "{event}");
        }
        assert_eq!(consumer.deliveries(&id).await?.len(), 2);
        assert!(started.json()?.get("result").is_none_or(Value::is_null));
    }
    drop(host);
    Ok(())
}

#[tokio::test]
async fn only_the_events_that_were_asked_for_are_sent() -> Test {
    let (host, consumer, sink) = with([Api::new("demo", "slow", guests::sleeps(100))]).await?;
    let body = json!({ "webhook_url": sink.url("/"), "webhook_events": ["started"] });
    let id = consumer.call("demo/slow").json(&body).accepted().await?;
    consumer.ended(&id).await?;
    sink.first(&id).await?;
    // Whatever comes after this request's end comes before the next one's.
    let next = consumer.call("demo/slow").json(&json!({ "webhook_url": sink.url("/") })).accepted().await?;
    sink.first(&next).await?;
    assert_eq!((sink.of(&id).len(), sink.of(&next).len()), (1, 1));
    consumer.get(&format!("/requests/{id}/webhooks/completed")).await?.expect(404)?;
    consumer.get(&format!("/requests/{next}/webhooks/started")).await?.expect(404)?;
    let stopped = host.sigterm().await?;
    drop(stopped);
    Ok(())
}

#[tokio::test]
async fn a_started_webhook_that_fails_is_tried_again_and_does_not_hold_the_end_up() -> Test {
    let (_host, consumer, sink) = with([Api::new("demo", "slow", guests::sleeps(100))]).await?;
    let hole = Sink::start().await?;
    hole.otherwise(Reply::status(500));
    sink.script([Reply::status(500)]);
    let body = json!({ "webhook_url": sink.url("/"), "webhook_events": ["started", "completed"] });
    let id = consumer.call("demo/slow").json(&body).accepted().await?;
    let sent = sink.wait(&id, 3).await?;
    assert_eq!(sent.iter().filter(|sent| sent.id() == sent_id(&sent_by(&sink, &id, "running"))).count(), 2);
    until("both are delivered", Duration::from_secs(5), async || {
        let all = consumer.deliveries(&id).await?;
        Ok(all.iter().all(|delivery| delivery["state"] == "delivered").then_some(()))
    })
    .await?;
    let gone = consumer
        .call("demo/slow")
        .json(&json!({ "webhook_url": hole.url("/"), "webhook_events": ["started", "completed"] }))
        .accepted()
        .await?;
    assert_eq!(consumer.ended(&gone).await?["status"], "completed", "a request is not in doubt for its webhooks");
    Ok(())
}

fn sent_by(sink: &Sink, id: &str, status: &str) -> Vec<Delivery> {
    sink.of(id).into_iter().filter(|sent| sent.json().is_ok_and(|json| json["status"] == status)).collect()
}

fn sent_id(sent: &[Delivery]) -> &str {
    sent.first().map_or("", Delivery::id)
}

#[tokio::test]
async fn progress_is_told_once_and_kept_nowhere() -> Test {
    let (_host, consumer, sink) = with([Api::new("demo", "slow", guests::reports_progress(1500))]).await?;
    sink.script([Reply::status(500)]);
    let body = json!({ "n": 1, "webhook_url": sink.url("/"), "webhook_events": ["progress", "completed"] });
    let id = consumer.call("demo/slow").json(&body).accepted().await?;
    consumer.delivery(&id, "delivered").await?;
    let sent = sink.of(&id);
    assert_eq!(sent.len(), 2, "one progress, although it failed, and the end");
    let progress = sent[0].json()?;
    assert_eq!((&progress["event"], sent[0].header("ripost-event")), (&json!("progress"), "progress"));
    assert_eq!(
        (&progress["progress"]["percent"], &progress["progress"]["message"]),
        (&json!(40), &json!("halfway there"))
    );
    verify(&sent[0], &consumer.webhook_secret().await?)?;
    assert_eq!(sent[1].json()?["result"]["n"], 1);
    assert_eq!(consumer.deliveries(&id).await?.len(), 1);
    consumer.get(&format!("/requests/{id}/webhooks/progress")).await?.expect(404)?;
    assert!(consumer.undelivered("").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn events_that_are_none_are_refused() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    for events in
        [json!(["finished"]), json!(["completed", "nope"]), json!([]), json!("completed"), json!([1]), json!(null)]
    {
        let body = json!({ "webhook_url": sink.url("/"), "webhook_events": events });
        let answer = consumer.call("demo/echo").json(&body).send().await?.expect(422).context(events.to_string())?;
        answer.problem()?;
    }
    for header in ["finished", "completed,nope", ""] {
        let call = consumer.call("demo/echo").raw("text/plain", "x").header("ripost-webhook-url", &sink.url("/"));
        let answer = call.header("ripost-webhook-events", header).send().await?;
        assert!([400, 422].contains(&answer.status.as_u16()), "`{header}`: {}", answer.status);
        answer.problem()?;
    }
    assert_eq!(ripost_tests::audit::count(host.data(), "requests")?, 0);
    Ok(())
}

#[tokio::test]
async fn an_api_can_send_its_bare_result() -> Test {
    let form = |slug, guest| Api::new("demo", slug, guest).line("payload = \"result\"");
    let problem = Failure::Failed(500);
    let (_host, consumer, sink) = with([form("bare", guests::echo()), form("fails", guests::fails(problem))]).await?;
    let id = consumer.call("demo/bare").json(&json!({ "n": 1, "webhook_url": sink.url("/") })).accepted().await?;
    let sent = sink.first(&id).await?;
    assert_eq!((&sent.body[..], sent.header("content-type")), (&br#"{"n":1}"#[..], "application/json"));
    verify(&sent, &consumer.webhook_secret().await?)?;
    let stored = consumer.get(&format!("/requests/{id}/webhooks/completed")).await?.expect(200)?;
    assert_eq!(stored.body, sent.body);
    // Without a result there is nothing bare to send.
    let id = consumer.call("demo/fails").json(&json!({ "webhook_url": sink.url("/") })).accepted().await?;
    let sent = sink.first(&id).await?.json()?;
    assert_eq!((&sent["requestId"], &sent["status"]), (&json!(id), &json!("failed")));
    assert!(sent["error"]["type"].is_string(), "{sent}");
    Ok(())
}

#[tokio::test]
async fn an_api_can_send_cloudevents() -> Test {
    let (_host, consumer, sink) =
        with([Api::new("demo", "events", guests::echo()).line("payload = \"cloudevents\"")]).await?;
    let body = json!({ "n": 1, "webhook_url": sink.url("/"), "webhook_events": ["started", "completed"] });
    let id = consumer.call("demo/events").json(&body).accepted().await?;
    let sent = sink.wait(&id, 2).await?;
    for sent in &sent {
        assert_eq!(sent.header("content-type"), "application/cloudevents+json");
        verify(sent, &consumer.webhook_secret().await?)?;
        let event = sent.json()?;
        assert_eq!((&event["specversion"], &event["id"]), (&json!("1.0"), &json!(sent.id())), "{event}");
        assert_eq!((&event["subject"], &event["datacontenttype"]), (&json!(id), &json!("application/json")), "{event}");
        assert!(event["source"].as_str().is_some_and(|source| !source.is_empty()), "{event}");
        assert!(event["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{event}");
        assert_eq!(event["data"]["requestId"], id, "{event}");
        // Names of attributes are lower-case letters and digits.
        let names = event.as_object().context("an object")?.keys();
        assert!(
            names.into_iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
        );
    }
    let kinds: Vec<Value> = sent.iter().map(|sent| Ok(sent.json()?["type"].clone())).collect::<Result<_>>()?;
    assert!(kinds.contains(&json!("ripost.request.started")) && kinds.contains(&json!("ripost.request.completed")));
    let completed = sent.iter().find(|sent| sent.json().is_ok_and(|event| event["type"] == "ripost.request.completed"));
    assert_eq!(completed.context("the end")?.json()?["data"]["result"], json!({ "n": 1 }));
    Ok(())
}

#[tokio::test]
async fn a_form_that_is_none_refuses_the_plugin() -> Test {
    let host = crate::host().start().await?;
    let api = Api::new("demo", "odd", guests::echo()).line("payload = \"xml\"");
    Plugin::new("odd", [api]).install(host.stage(), host.plugins())?;
    until("a reason", Duration::from_secs(10), async || {
        let status = host.cli(&["status", "--json"]).await?.expect(0)?.json()?;
        let plugins = status["plugins"].as_array().cloned().unwrap_or_default();
        let odd = plugins.into_iter().find(|plugin| plugin["key"] == "odd");
        Ok(odd.and_then(|odd| odd["reason"].as_str().filter(|reason| reason.contains("xml")).map(str::to_owned)))
    })
    .await?;
    Ok(())
}

/// A call whose result is linked; the payload and the link.
async fn linked(consumer: &Consumer, sink: &Sink, api: &str) -> Result<(Value, String)> {
    let id = consumer.call(api).json(&json!({ "webhook_url": sink.url("/") })).accepted().await?;
    let sent = sink.first(&id).await?;
    verify(&sent, &consumer.webhook_secret().await?)?;
    let payload = sent.json()?;
    let link = payload["result_url"].as_str().with_context(|| format!("no result_url in {payload}"))?.to_owned();
    Ok((payload, link))
}

fn linked_apis() -> [Api; 2] {
    [
        Api::new("demo", "png", guests::answers(200, &[("content-type", "image/png")], b"\x89PNG\r\n\xff")),
        Api::new("demo", "large", guests::answers_bytes(300_000)),
    ]
}

#[tokio::test]
async fn results_that_are_large_or_no_text_are_linked_and_the_link_is_the_key() -> Test {
    let (host, consumer, sink) = with(linked_apis()).await?;
    let anybody = consumer.with_key(None);
    let (payload, link) = linked(&consumer, &sink, "demo/png").await?;
    assert_eq!(payload.get("result"), Some(&Value::Null));
    assert!(link.starts_with(host.url()) && link.contains("/results/"), "{link}");
    let read = anybody.get(&link).await?.expect(200)?;
    assert_eq!((&read.body[..], read.header("content-type")), (&b"\x89PNG\r\n\xff"[..], Some("image/png")));
    assert_eq!(read.header("x-content-type-options"), Some("nosniff"), "an owner's bytes never act on our origin");
    let (payload, large) = linked(&consumer, &sink, "demo/large").await?;
    assert_eq!(payload.get("result"), Some(&Value::Null));
    assert_eq!(anybody.get(&large).await?.expect(200)?.body.len(), 300_000);

    // Another token is none; each character counts.
    let (base, token) = link.rsplit_once('/').context("a token")?;
    for at in 0..token.len() {
        let mut other = token.to_owned();
        let digit = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
        other.replace_range(at..=at, digit);
        let answer = anybody.get(&format!("{base}/{other}")).await?;
        assert_ne!(answer.status, 200, "{other} opens what {token} opens");
        assert_ne!(&answer.body[..], b"\x89PNG\r\n\xff");
    }
    for token in ["", "x", "..", "%00", &token[..token.len() - 1], &format!("{token}A")] {
        assert_eq!(anybody.get(&format!("{base}/{token}")).await?.status, 404, "`{token}`");
    }
    // It survives a restart: the secret behind it is in the data folder.
    let port = host.url().rsplit_once(':').context("a port")?.1.to_owned();
    let stopped = host.sigterm().await?.with(|host| host.listen(&format!("127.0.0.1:{port}")));
    let _host = stopped.start().await?;
    anybody.get(&link).await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn a_link_has_its_time() -> Test {
    let config = crate::QUICK.replace("[delivery]", "[delivery]\nresult_url_ttl = \"2 s\"");
    let host = crate::host().only_config(&config).plugin(&Plugin::new("linked", linked_apis())).start().await?;
    let (consumer, sink) = (host.add_consumer("c1", "1").await?, Sink::start().await?);
    let (payload, link) = linked(&consumer, &sink, "demo/png").await?;
    let anybody = consumer.with_key(None);
    let over = until("the link's end", Duration::from_secs(10), async || {
        let answer = anybody.get(&link).await?;
        Ok((answer.status != 200).then_some(answer))
    })
    .await?;
    over.expect(410)?.problem()?;
    // The key still opens it.
    let id = payload["requestId"].as_str().context("an id")?;
    consumer.get(&format!("/requests/{id}/result")).await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn webhooks_that_lead_to_webhooks_come_to_an_end() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    let id = call(&consumer, &sink.url("/")).await?;
    assert_eq!(sink.first(&id).await?.header("webhook-depth"), "1");
    let deep = |depth: &str| {
        let call = consumer.call("demo/echo").json(&json!({ "webhook_url": sink.url("/") }));
        call.header("webhook-depth", depth)
    };
    for (depth, next) in [("0", "1"), ("1", "2"), ("2", "3")] {
        let id = deep(depth).accepted().await?;
        assert_eq!(sink.first(&id).await?.header("webhook-depth"), next);
    }
    let before = ripost_tests::audit::count(host.data(), "requests")?;
    for depth in ["3", "4", "200"] {
        assert_eq!(deep(depth).send().await?.expect(508)?.problem()?, "loop-detected", "{depth}");
    }
    for depth in ["-1", "one", "", "1.0", "99999999999999999999"] {
        let answer = deep(depth).send().await?;
        assert!([400, 508].contains(&answer.status.as_u16()), "`{depth}`: {}", answer.status);
    }
    assert_eq!(ripost_tests::audit::count(host.data(), "requests")?, before);
    // All attempts of a delivery are as deep as the first.
    sink.script([Reply::status(500)]);
    let id = deep("1").accepted().await?;
    assert!(sink.wait(&id, 2).await?.iter().all(|sent| sent.header("webhook-depth") == "2"));
    Ok(())
}
