//! What is old goes, what is asked to go goes, and a gateway without room says so.

use crate::echo::{call, start};
use crate::{QUICK, Test};
use http::Method;
use ripost_tests::{Api, Plugin, Reply, Sink, audit, guests, until};
use serde_json::json;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(15);

fn kept(results: &str, requests: &str) -> String {
    format!("{QUICK}\n[retention]\nresults = \"{results}\"\nrequests = \"{requests}\"\nevery = \"50 ms\"\n")
}

#[tokio::test]
async fn contents_go_and_the_request_is_told_of_until_it_goes_too() -> Test {
    let priced = Plugin::new("shop", [Api::new("demo", "shop", guests::echo()).price("0.050000")]);
    let host = crate::host().only_config(&kept("1 s", "1 h")).plugin(&priced).start().await?;
    let (consumer, sink) = (host.add_consumer("c1", "1").await?, Sink::start().await?);
    let fields = json!({ "n": 1, "webhook_url": sink.url("/") });
    let call = || consumer.call("demo/shop").header("idempotency-key", "k1").json(&fields);
    let id = call().accepted().await?;
    sink.first(&id).await?;
    consumer.delivery(&id, "delivered").await?;
    let before = host.cli(&["verify", "--help"]).await?;
    before.expect(0)?;
    let gone = until("its contents are gone", WAIT, async || {
        let answer = consumer.get(&format!("/requests/{id}/result")).await?;
        Ok((answer.status == 410).then_some(answer))
    })
    .await?;
    assert_eq!(gone.json()?["type"], "urn:ripost:problem:contents-gone");
    for part in ["webhooks/completed", "redeliver"] {
        let method = if part == "redeliver" { Method::POST } else { Method::GET };
        let answer = consumer.request(method, &format!("/requests/{id}/{part}")).send().await?.expect(410)?;
        assert_eq!(answer.json()?["type"], "urn:ripost:problem:contents-gone", "{part}");
    }
    let view = consumer.view(&id).await?;
    assert_eq!((&view["status"], &view["result"]), (&json!("completed"), &json!(null)));
    assert_eq!(view["settlement"]["state"], "captured");
    assert_eq!(view["delivery"]["state"], "delivered");
    assert_eq!(consumer.deliveries(&id).await?.len(), 1);
    let again = call().send().await?.expect(202)?;
    assert_eq!(again.json()?["requestId"], json!(id), "its key still names it");
    let waited = call().header("prefer", "wait=5").send().await?;
    assert_eq!(
        (waited.status.as_u16(), waited.json()?["type"].clone()),
        (410, json!("urn:ripost:problem:contents-gone"))
    );

    let host = host.sigterm().await?.with(|host| host.only_config(&kept("1 s", "1 s"))).start().await?;
    let consumer = ripost_tests::Consumer::new(host.url(), consumer.key());
    until("all of it is gone", WAIT, async || {
        Ok((consumer.get(&format!("/requests/{id}")).await?.status == 404).then_some(()))
    })
    .await?;
    let anew = consumer.call("demo/shop").header("idempotency-key", "k1").json(&fields).accepted().await?;
    assert_ne!(anew, id, "its key is free again");
    let stopped = host.sigterm().await?;
    audit::check(stopped.data())
}

#[tokio::test]
async fn what_is_still_to_be_delivered_is_kept() -> Test {
    let config = kept("1 s", "1 s");
    let config = format!("{config}[delivery]\nschedule = [\"0 s\", \"1 h\"]\n");
    let config = config.replacen(QUICK, "[runs]\nsweep = \"50 ms\"\n", 1);
    let (host, consumer, sink) = start(&config).await?;
    sink.otherwise(Reply::status(500));
    let waiting = call(&consumer, &sink.url("/")).await?;
    sink.first(&waiting).await?;
    consumer.delivery(&waiting, "pending").await?;
    let done = consumer.call("demo/echo").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    until("the other one is gone", WAIT, async || {
        Ok((consumer.get(&format!("/requests/{done}")).await?.status == 404).then_some(()))
    })
    .await?;
    consumer.get(&format!("/requests/{waiting}/webhooks/completed")).await?.expect(200)?;
    sink.otherwise(Reply::status(200));
    consumer.request(Method::POST, &format!("/requests/{waiting}/redeliver")).send().await?.expect(202)?;
    sink.wait(&waiting, 2).await?;
    until("now it goes as well", WAIT, async || {
        Ok((consumer.get(&format!("/requests/{waiting}")).await?.status == 404).then_some(()))
    })
    .await?;
    let metrics = host.metrics().await?;
    assert!(metrics.sum("ripost_retention_total", "outcome=\"everything\"") >= 2.0);
    Ok(())
}

#[tokio::test]
async fn a_request_is_erased_once_it_has_ended() -> Test {
    let slow = Plugin::one("slow", guests::sleeps(60_000));
    let host = crate::host().plugin(&slow).plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let (consumer, sink) = (host.add_consumer("c1", "1").await?, Sink::start().await?);
    let open = consumer.call("demo/slow").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    let refused = host.cli(&["erase", "request", &open]).await?.expect(1)?;
    assert!(refused.stderr.contains("Cancel it"), "{}", refused.stderr);
    consumer.request(Method::POST, &format!("/requests/{open}/cancel")).send().await?.expect(200)?;
    let id = call(&consumer, &sink.url("/")).await?;
    consumer.delivery(&id, "delivered").await?;
    for id in [&open, &id] {
        let told = host.cli(&["erase", "request", id]).await?.expect(0)?;
        assert!(told.stdout.contains(&format!("erased: {id}")), "{}", told.stdout);
        consumer.get(&format!("/requests/{id}")).await?.expect(404)?;
    }
    host.cli(&["erase", "request", &id]).await?.expect(1)?;
    let listed = consumer.get("/requests").await?.expect(200)?.json()?;
    assert_eq!(listed["requests"], json!([]));
    Ok(())
}

#[tokio::test]
async fn an_erased_consumer_calls_no_more_and_the_books_stay_right() -> Test {
    let apis =
        [Api::new("demo", "shop", guests::echo()).price("0.050000"), Api::new("demo", "slow", guests::sleeps(1_500))];
    let host = crate::host().only_config(&kept("1 h", "1 h")).plugin(&Plugin::new("shop", apis)).start().await?;
    let consumer = host.add_consumer("Blue Bottle", "1").await?;
    let other = host.add_consumer("c2", "1").await?;
    let done = consumer.call("demo/shop").json(&json!({})).send().await?.expect(200)?;
    let done = done.header("ripost-request-id").unwrap().to_owned();
    let open = consumer.call("demo/slow").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    let others = other.call("demo/shop").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    let refused = host.cli(&["erase", "consumer", "Blue Bottle"]).await?.expect(1)?;
    assert!(refused.stderr.contains("0.950000 USDC"), "{}", refused.stderr);
    consumer.view(&done).await?;
    let told = host.cli(&["erase", "consumer", "Blue Bottle", "--keep-balance"]).await?.expect(0)?;
    assert!(told.stdout.contains("erased: Blue Bottle"), "{}", told.stdout);
    consumer.get(&format!("/requests/{done}")).await?.expect(401)?;
    consumer.call("demo/shop").json(&json!({})).send().await?.expect(401)?;
    let state = |id: String| {
        let host = &host;
        async move {
            Ok::<_, anyhow::Error>(host.admin(Method::GET, &format!("/admin/v1/requests/{id}/input")).await?.status)
        }
    };
    until("all its requests are gone", WAIT, async || {
        let gone = state(done.clone()).await? == 404 && state(open.clone()).await? == 404;
        Ok(gone.then_some(()))
    })
    .await?;
    assert_eq!(state(others).await?, 200);
    let list = host.cli(&["consumers", "list"]).await?.expect(0)?.stdout;
    assert!(!list.contains("Blue Bottle") && list.contains("erased con_"), "{list}");
    host.cli(&["erase", "consumer", "Blue Bottle"]).await?.expect(1)?;
    let stopped = host.sigterm().await?;
    audit::check(stopped.data())
}

#[tokio::test]
async fn without_room_nothing_is_accepted_and_what_was_accepted_ends() -> Test {
    let slow = Plugin::one("slow", guests::sleeps(2_500));
    let config = format!("{QUICK}\n[storage]\nsize_max = \"2 MiB\"\n");
    let host =
        crate::host().only_config(&config).plugin(&slow).plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let consumer = host.add_consumer("c1", "1").await?;
    let open = consumer.call("demo/slow").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    let filler = "x".repeat(900_000);
    let refused = until("there is no room", WAIT, async || {
        let call = consumer.call("demo/echo").header("prefer", "respond-async");
        let answer = call.json(&json!({ "filler": filler })).send().await?;
        Ok((answer.status == 503).then_some(answer))
    })
    .await?;
    assert_eq!(refused.json()?["type"], "urn:ripost:problem:storage-full");
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert_eq!(consumer.ended(&open).await?["status"], "completed");
    let status = host.cli(&["status"]).await?.expect(0)?.stdout;
    assert!(status.contains("DEGRADED (storage-full)") && status.contains("storage.size_max"), "{status}");
    let host = host
        .sigterm()
        .await?
        .with(|host| host.only_config(&format!("{QUICK}\n[storage]\nfree_min = \"100000 GiB\"\n")));
    let host = host.start().await?;
    let consumer = ripost_tests::Consumer::new(host.url(), consumer.key());
    until("the disk is too small", WAIT, async || {
        let answer = consumer.call("demo/echo").json(&json!({})).send().await?;
        Ok((answer.status == 503 && answer.json()?["type"] == "urn:ripost:problem:storage-full").then_some(()))
    })
    .await?;
    assert!(host.metrics().await?.sum("ripost_storage_free_bytes", "") > 0.0);
    Ok(())
}
