//! Nothing is only ever pushed: what was not delivered is read from the feed.

use crate::Test;
use crate::echo::{call, start};
use anyhow::{Context as _, Result};
use http::Method;
use ripost_tests::{Api, Consumer, Host, Hostile, Mode, Plugin, Reply, Sink, guests, until};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

/// Calls whose webhooks all failed, in the order of the calls.
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

fn requests(events: &[Value]) -> BTreeSet<String> {
    events.iter().filter_map(|event| event["requestId"].as_str().map(str::to_owned)).collect()
}

fn set(ids: &[String]) -> BTreeSet<String> {
    ids.iter().cloned().collect()
}

async fn page(consumer: &Consumer, query: &str) -> Result<Value> {
    consumer.get(&format!("/events{query}")).await?.expect(200)?.json()
}

#[tokio::test]
async fn what_was_not_delivered_is_in_the_feed_with_what_was_sent() -> Test {
    let (_host, consumer, sink) = start(crate::QUICK).await?;
    let delivered = call(&consumer, &sink.url("/")).await?;
    consumer.delivery(&delivered, "delivered").await?;
    let empty = page(&consumer, "").await?;
    assert_eq!((&empty["events"], &empty["more"]), (&json!([]), &json!(false)));
    assert!(empty["next"].is_string(), "{empty}");

    let ids = exhausted(&consumer, &sink, 1).await?;
    let events = consumer.undelivered("").await?;
    assert_eq!(requests(&events), set(&ids));
    let event = &events[0];
    assert!(event["cursor"].is_string(), "{event}");
    let delivery = &event["delivery"];
    assert_eq!((&delivery["state"], &delivery["reason"]), (&json!("exhausted"), &json!("schedule")));
    assert_eq!((&delivery["attempts"], &delivery["lastStatus"]), (&json!(3), &json!(500)));
    assert_eq!((&delivery["event"], &delivery["url"]), (&json!("completed"), &json!(sink.url("/"))));
    assert!(delivery.get("log").is_none(), "the log has a place of its own: {event}");
    let sent = &sink.of(&ids[0])[0];
    assert_eq!(delivery["id"], sent.id());
    assert_eq!(event["payload"], sent.json()?);
    Ok(())
}

#[tokio::test]
async fn a_delivery_is_in_the_feed_from_its_first_failure_until_it_is_delivered() -> Test {
    let config = "[delivery]\nschedule = [\"0 ms\", \"1500 ms\"]\nsweep = \"50 ms\"\n[runs]\nsweep = \"50 ms\"\n";
    let (_host, consumer, sink) = start(config).await?;
    sink.script([Reply::status(500)]);
    let id = call(&consumer, &sink.url("/")).await?;
    let event = until("the first failure is in the feed", Duration::from_secs(5), async || {
        Ok(consumer.undelivered("").await?.pop())
    })
    .await?;
    assert_eq!((&event["requestId"], &event["delivery"]["state"]), (&json!(id), &json!("pending")));
    assert!(event["delivery"]["nextAttemptAt"].is_string(), "{event}");
    consumer.delivery(&id, "delivered").await?;
    until("it is gone", Duration::from_secs(5), async || Ok(consumer.undelivered("").await?.is_empty().then_some(())))
        .await
}

#[tokio::test]
async fn what_waits_because_its_endpoint_has_enough_is_in_the_feed() -> Test {
    let config =
        "[delivery]\nschedule = [\"0 ms\"]\ndeadline = \"20 s\"\nsweep = \"50 ms\"\n[runs]\nsweep = \"50 ms\"\n";
    let (_host, consumer, _sink) = start(config).await?;
    let hole = Hostile::start(Mode::Hangs).await?;
    for _ in 0..200 {
        call(&consumer, &hole.url("/")).await?;
    }
    let events = until("some wait in the store", Duration::from_secs(10), async || {
        let events = consumer.undelivered("").await?;
        Ok((!events.is_empty()).then_some(events))
    })
    .await?;
    assert!(events.iter().all(|event| event["delivery"]["state"] == "pending"), "{events:?}");
    assert!(events.iter().all(|event| event["payload"]["result"] == json!({ "n": 1 })), "{events:?}");
    Ok(())
}

#[tokio::test]
async fn the_feed_is_read_page_by_page_from_any_place_on() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    let ids = exhausted(&consumer, &sink, 5).await?;
    let (mut seen, mut cursors, mut next) = (Vec::new(), HashSet::new(), String::new());
    for expected in [2, 2, 1] {
        let after = if next.is_empty() { String::new() } else { format!("&after={next}") };
        let page = page(&consumer, &format!("?limit=2{after}")).await?;
        let events = page["events"].as_array().context("events")?;
        assert_eq!(events.len(), expected, "{page}");
        assert!(expected == 1 || page["more"] == true, "{page}");
        for event in events {
            assert!(cursors.insert(event["cursor"].as_str().context("a cursor")?.to_owned()), "a place of its own");
            seen.push(event.clone());
        }
        next = page["next"].as_str().context("next")?.to_owned();
    }
    assert_eq!(requests(&seen), set(&ids));
    // Nothing more from there on, and the same after a restart.
    assert_eq!(page(&consumer, &format!("?after={next}")).await?["events"], json!([]));
    let host = host.restart().await?;
    let consumer = host.consumer(consumer.key().context("a key")?);
    let resumed = page(&consumer, &format!("?after={next}")).await?;
    assert_eq!((&resumed["events"], &resumed["more"]), (&json!([]), &json!(false)));
    // From one event's own place on: those after it.
    let third = seen[2]["cursor"].as_str().context("a cursor")?;
    let rest = page(&consumer, &format!("?after={third}")).await?;
    assert_eq!(rest["events"].as_array().map(Vec::len), Some(2), "{rest}");
    // And what fails next comes behind all of it.
    let newer = exhausted(&consumer, &sink, 1).await?;
    let rest = page(&consumer, &format!("?after={next}")).await?;
    assert_eq!(requests(rest["events"].as_array().context("events")?), set(&newer));
    Ok(())
}

#[tokio::test]
async fn filters_choose_and_wrong_ones_are_refused() -> Test {
    let config = "[delivery]\nschedule = [\"0 ms\", \"1 h\"]\nsweep = \"50 ms\"\n[runs]\nsweep = \"50 ms\"\n";
    let apis = [
        Api::new("demo", "echo", guests::echo()),
        Api::new("demo", "once", guests::echo()).line("retry = { schedule = [\"0 ms\"] }"),
    ];
    let host = crate::host().only_config(config).plugin(&Plugin::new("two", apis)).start().await?;
    let (consumer, sink) = (host.add_consumer("c1", "1").await?, Sink::start().await?);
    sink.otherwise(Reply::status(500));
    let pending = call(&consumer, &sink.url("/")).await?;
    let body = json!({ "webhook_url": sink.url("/"), "webhook_events": ["started", "completed"] });
    let both = consumer.call("demo/once").json(&body).accepted().await?;
    consumer.delivery(&both, "exhausted").await?;
    let all = until("three failures", Duration::from_secs(5), async || {
        let all = consumer.undelivered("").await?;
        Ok((all.len() == 3).then_some(all))
    })
    .await?;
    assert_eq!(requests(&all), set(&[pending.clone(), both.clone()]));
    for (filter, ids) in [
        ("&state=exhausted", vec![both.clone(), both.clone()]),
        ("&state=pending", vec![pending.clone()]),
        ("&event=completed", vec![pending.clone(), both.clone()]),
        ("&event=started", vec![both.clone()]),
        ("&api=demo/once", vec![both.clone(), both.clone()]),
        ("&api=demo/echo&state=pending", vec![pending.clone()]),
        ("&api=demo/echo&state=exhausted", vec![]),
        ("&api=nobody/nothing", vec![]),
    ] {
        let found = until(filter, Duration::from_secs(5), async || {
            let found = consumer.undelivered(filter).await?;
            Ok((found.len() == ids.len()).then_some(found))
        })
        .await?;
        assert_eq!(requests(&found), set(&ids), "{filter}");
    }
    for (query, slug) in [
        ("?state=nope", "invalid-filter"),
        ("?event=nope", "invalid-filter"),
        ("?api=demo", "invalid-filter"),
        ("?limit=none", "invalid-filter"),
        ("?limit=-1", "invalid-filter"),
        ("?after=nowhere!", "invalid-cursor"),
        ("?after=99999999999999999999999", "invalid-cursor"),
    ] {
        let answer = consumer.get(&format!("/events{query}")).await?.expect(400).context(query)?;
        assert_eq!(answer.problem()?, slug, "{query}");
    }
    Ok(())
}

#[tokio::test]
async fn whoever_waits_for_the_feed_is_answered_when_something_fails() -> Test {
    let (_host, consumer, sink) = start(crate::QUICK).await?;
    let waiting = consumer.request(Method::GET, "/events").header("prefer", "wait=1").send().await?.expect(200)?;
    assert_eq!(waiting.json()?["events"], json!([]));
    assert!(waiting.took >= Duration::from_millis(950), "{:?}", waiting.took);

    sink.otherwise(Reply::status(500));
    let started = Instant::now();
    let (answer, id) =
        tokio::join!(consumer.request(Method::GET, "/events").header("prefer", "wait=15").send(), async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            call(&consumer, &sink.url("/")).await
        });
    let answer = answer?.expect(200)?.json()?;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(requests(answer["events"].as_array().context("events")?), set(&[id?]));
    // There is something already: nobody waits.
    let at_once = consumer.request(Method::GET, "/events").header("prefer", "wait=15").send().await?.expect(200)?;
    assert!(at_once.took < Duration::from_secs(5), "{:?}", at_once.took);
    Ok(())
}

#[tokio::test]
async fn the_feed_has_ones_own_deliveries_and_public_keys_have_none() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    let other = host.add_consumer("other", "1").await?;
    let ids = exhausted(&consumer, &sink, 2).await?;
    assert_eq!(requests(&consumer.undelivered("").await?), set(&ids));
    assert!(other.undelivered("").await?.is_empty());
    // Another's place in the feed is a place, and shows nothing of his.
    let cursor = page(&consumer, "?limit=1").await?["next"].as_str().context("next")?.to_owned();
    assert_eq!(page(&other, &format!("?after={cursor}")).await?["events"], json!([]));
    assert_eq!(consumer.with_key(None).get("/events").await?.expect(401)?.problem()?, "missing-key");
    let public = public(&host).await?;
    assert_eq!(public.get("/events").await?.expect(403)?.problem()?, "key-is-public");
    Ok(())
}

/// A consumer whose key is public.
pub(crate) async fn public(host: &Host) -> Result<Consumer> {
    let added = ["consumer", "add", "open", "--credit", "1", "--public", "--json"];
    let added = host.cli(&added).await?.expect(0)?.json()?;
    Ok(host.consumer(added["key"].as_str().context("a key")?))
}

#[tokio::test]
async fn the_operator_reads_everybodys_without_what_was_sent() -> Test {
    let (host, first, sink) = start(crate::QUICK).await?;
    let second = host.add_consumer("c2", "1").await?;
    let (of_first, of_second) = (exhausted(&first, &sink, 2).await?, exhausted(&second, &sink, 1).await?);
    let list = async |query: &str| -> Result<Vec<Value>> {
        let answer = host.admin(Method::GET, &format!("/admin/v1/deliveries{query}")).await?.expect(200)?.json()?;
        Ok(answer["events"].as_array().with_context(|| format!("no events in {answer}"))?.clone())
    };
    let all = list("").await?;
    assert_eq!(requests(&all), &set(&of_first) | &set(&of_second));
    for event in &all {
        assert!(event.get("payload").is_none(), "a payload is the consumer's business: {event}");
        let name = if of_second.iter().any(|id| event["requestId"] == **id) { "c2" } else { "c1" };
        assert!(event["consumer"] == name || event["consumer"]["name"] == name, "{event}");
    }
    assert_eq!(requests(&list("?consumer=c2").await?), set(&of_second));
    assert_eq!(requests(&list("?consumer=c1&state=exhausted&api=demo/echo").await?), set(&of_first));
    assert!(list("?state=pending").await?.is_empty());
    assert_eq!(list("?limit=2").await?.len(), 2);
    host.admin(Method::GET, "/admin/v1/deliveries?state=nope").await?.expect(400)?;
    // A consumer's key is no token.
    let call = first.request(Method::GET, &format!("{}/admin/v1/deliveries", host.admin_url()));
    call.send().await?.expect(401)?;
    Ok(())
}
