//! `delivery = "off"`: a plain synchronous API. The answer is on the connection that asked; a free call writes nothing.

use crate::{Test, host};
use anyhow::Result;
use ripost_tests::guests::{self, Failure};
use ripost_tests::{Api, Host, Plugin, audit, until};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

fn api(slug: &str, component: Vec<u8>) -> Api {
    Api::new("demo", slug, component).line("delivery = \"off\"")
}

async fn start(apis: impl IntoIterator<Item = Api>) -> Result<Host> {
    host().plugin(&Plugin::new("plain", apis)).start().await
}

#[tokio::test]
async fn a_free_call_is_answered_at_once_and_writes_nothing() -> Test {
    let host = start([api("echo", guests::echo())]).await?;
    let consumer = host.demo();
    consumer.call("demo/echo").json(&json!({ "n": 0 })).send().await?.expect(200)?;
    let before = host.metrics().await?;
    for n in 0..20 {
        let call = consumer.call("demo/echo").json(&json!({ "n": n }));
        let answer = call.header("prefer", "respond-async").send().await?.expect(200)?;
        assert_eq!(answer.json()?, json!({ "n": n }));
        assert!(answer.header("ripost-request-id").is_some_and(|id| id.starts_with("req_")));
        assert_eq!(answer.header("content-security-policy"), Some("sandbox"));
        // Nothing is kept that could be asked for.
        let id = answer.header("ripost-request-id").unwrap().to_owned();
        consumer.get(&format!("/requests/{id}")).await?.expect(404)?;
    }
    let after = host.metrics().await?;
    let grown = |name: &str| after.sum(name, "") - before.sum(name, "");
    assert!(grown("ripost_requests_accepted_total").abs() < 0.5, "no request was accepted");
    assert!(grown("ripost_store_operations_total").abs() < 0.5, "nothing was written");
    assert!((grown("ripost_api_runs_total") - 20.0).abs() < 0.5);
    Ok(())
}

#[tokio::test]
async fn what_a_handler_says_is_what_the_caller_hears() -> Test {
    let host = start([
        api("teapot", guests::answers(418, &[("x-kind", "short"), ("set-cookie", "a=b")], b"tip me")),
        api("busy", guests::answers(503, &[("retry-after", "7")], b"not now")),
        api("invalid", guests::fails(Failure::Invalid(409))),
        api("later", guests::fails(Failure::Retry(Some(9)))),
        api("traps", guests::traps()),
        api("greedy", guests::takes_all_memory()).limit("memory = \"4 MiB\""),
        api("spins", guests::spins()).limit("cpu = \"100 ms\""),
        api("sleeps", guests::sleeps(60_000)).limit("wall = \"200 ms\""),
    ])
    .await?;
    let consumer = host.demo();
    let teapot = consumer.call("demo/teapot").send().await?.expect(418)?;
    assert_eq!((&teapot.body[..], teapot.header("x-kind")), (&b"tip me"[..], Some("short")));
    assert_eq!(teapot.header("set-cookie"), None, "an answer cannot act on our origin");
    let busy = consumer.call("demo/busy").send().await?.expect(503)?;
    assert_eq!((&busy.body[..], busy.header("retry-after")), (&b"not now"[..], Some("7")), "nobody runs it again");
    let later = consumer.call("demo/later").send().await?.expect(503)?;
    assert_eq!(later.header("retry-after"), Some("9"));
    for (slug, status, problem) in [
        ("traps", 502, "handler-trapped"),
        ("greedy", 502, "memory-limit"),
        ("spins", 502, "cpu-limit"),
        ("sleeps", 504, "deadline-exceeded"),
    ] {
        let started = Instant::now();
        let answer = consumer.call(&format!("demo/{slug}")).send().await?.expect(status)?;
        assert_eq!(answer.problem()?, problem, "{slug}");
        assert!(started.elapsed() < Duration::from_secs(5), "{slug}");
        assert!(answer.header("ripost-request-id").is_some(), "{slug}");
    }
    consumer.call("demo/invalid").send().await?.expect(409)?;
    Ok(())
}

#[tokio::test]
async fn it_sends_no_webhooks_and_says_so() -> Test {
    let host = start([api("echo", guests::echo())]).await?;
    let call = host.demo();
    let call = call.call("demo/echo").json(&json!({ "webhook_url": "https://example.com/hook" }));
    let answer = call.send().await?.expect(422)?;
    assert!(answer.json()?["detail"].as_str().is_some_and(|text| text.contains("delivery = \"off\"")));
    Ok(())
}

#[tokio::test]
async fn with_an_idempotency_key_the_same_call_again_has_the_same_answer() -> Test {
    let host = start([api("random", guests::remembers()), api("slow", guests::sleeps(600)).limit("wall = \"200 ms\"")])
        .await?;
    let consumer = host.demo();
    let send = || consumer.call("demo/random").raw("text/plain", "x").header("idempotency-key", "k1").send();
    let first = send().await?.expect(200)?;
    let again = send().await?.expect(200)?;
    assert_eq!((&first.body, first.header("ripost-request-id")), (&again.body, again.header("ripost-request-id")));
    let other = consumer.call("demo/random").raw("text/plain", "y").header("idempotency-key", "k1");
    assert_eq!(other.send().await?.expect(422)?.problem()?, "idempotency-mismatch");
    // Never 202, with a key or without.
    for key in ["k2", "k2"] {
        let call = consumer.call("demo/slow").header("idempotency-key", key).header("prefer", "respond-async");
        let status = call.send().await?.status.as_u16();
        assert!(matches!(status, 502 | 504), "{status}");
    }
    Ok(())
}

#[tokio::test]
async fn a_caller_that_hangs_up_stops_the_guest() -> Test {
    let host =
        start([api("sleeps", guests::sleeps(15_000)).limit("concurrency = 1"), api("echo", guests::echo())]).await?;
    let consumer = host.demo();
    for _ in 0..3 {
        let call = consumer.call("demo/sleeps").send();
        // There is one place: if the guest before still had it, this one would never begin.
        assert!(tokio::time::timeout(Duration::from_millis(150), call).await.is_err());
    }
    let consumer = &consumer;
    until("the place to be free again", Duration::from_secs(5), async || {
        let status = host.admin(http::Method::GET, "/metrics").await?;
        let text = String::from_utf8_lossy(&status.body).into_owned();
        Ok(text.contains("ripost_runs_in_flight 0").then_some(()))
    })
    .await?;
    consumer.call("demo/echo").send().await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn one_owners_flood_delays_that_owner_only() -> Test {
    let apis = [
        Api::new("flood", "sleeps", guests::sleeps(300)).line("delivery = \"off\"").limit("concurrency = 1000"),
        Api::new("calm", "echo", guests::echo()).line("delivery = \"off\""),
    ];
    let config = "\n[runs]\nsweep = \"50 ms\"\nconcurrency = 8\nqueued_max = 64\nqueued_per_owner_max = 40\n[sandbox]\nowner_concurrency = 6\n";
    let host = ripost_tests::Host::builder()
        .dev()
        .show_log()
        .only_config(config)
        .plugin(&Plugin::new("two", apis))
        .start()
        .await?;
    let consumer = host.demo();
    let mut flood = JoinSet::new();
    for _ in 0..100 {
        let consumer = consumer.clone();
        flood.spawn(async move { anyhow::Ok(consumer.call("flood/sleeps").send().await?.status.as_u16()) });
    }
    let mut slowest = Duration::ZERO;
    let mut calm = 0;
    while flood.try_join_next().is_none() || calm < 50 {
        let answer = consumer.call("calm/echo").json(&json!({ "n": calm })).send().await?.expect(200)?;
        slowest = slowest.max(answer.took);
        calm += 1;
        if calm > 2000 {
            break;
        }
    }
    assert!(slowest < Duration::from_millis(250), "the calm owner waited {slowest:?}, as long as a run of the other's");
    let mut refused = 0;
    for status in flood.join_all().await {
        match status? {
            200 => {}
            503 => refused += 1,
            other => anyhow::bail!("status {other}"),
        }
    }
    assert!(refused > 0, "what is beyond the owner's share of the queue is refused at once");
    Ok(())
}

fn priced(slug: &str, component: Vec<u8>) -> Api {
    api(slug, component).price("0.050000")
}

#[tokio::test]
async fn a_priced_call_is_paid_and_kept_before_it_is_answered() -> Test {
    let host = start([
        priced("shop", guests::echo()),
        priced("teapot", guests::answers(418, &[], b"tip me")),
        priced("moved", guests::answers(303, &[("location", "/there")], b"")),
        priced("traps", guests::traps()),
        priced("large", guests::answers_bytes(100_000)),
    ])
    .await?;
    let consumer = host.add_consumer("c1", "0.150000").await?;
    let before = host.metrics().await?.sum("ripost_store_operations_total", "");
    let answer = consumer.call("demo/shop").json(&json!({ "n": 1 })).send().await?.expect(200)?;
    assert_eq!(answer.json()?, json!({ "n": 1 }));
    let operations = host.metrics().await?.sum("ripost_store_operations_total", "") - before;
    assert!((operations - 2.0).abs() < 0.5, "the reservation, which writes nothing, and one write: {operations}");
    let id = answer.header("ripost-request-id").unwrap();
    let view = consumer.view(id).await?;
    assert_eq!((&view["status"], &view["settlement"]["state"]), (&json!("completed"), &json!("captured")));
    assert_eq!(view["result"], json!({ "n": 1 }));
    let result = consumer.get(&format!("/requests/{id}/result")).await?.expect(200)?;
    assert_eq!(result.body, answer.body);
    assert_eq!(consumer.balances().await?, (100_000, 0));

    for (slug, status) in [("teapot", 418), ("traps", 502)] {
        let answer = consumer.call(&format!("demo/{slug}")).json(&json!({})).send().await?.expect(status)?;
        let id = answer.header("ripost-request-id").unwrap();
        consumer.get(&format!("/requests/{id}")).await?.expect(404)?;
    }
    assert_eq!(consumer.balances().await?, (100_000, 0), "what is no answer costs nothing");
    consumer.call("demo/moved").json(&json!({})).send().await?.expect(303)?;
    let large = consumer.call("demo/large").json(&json!({})).send().await?.expect(200)?;
    assert_eq!(large.body.len(), 100_000);
    let id = large.header("ripost-request-id").unwrap();
    assert_eq!(consumer.get(&format!("/requests/{id}/result")).await?.expect(200)?.body, large.body);
    assert_eq!(consumer.balances().await?, (0, 0));
    let refused = consumer.call("demo/shop").json(&json!({})).send().await?.expect(402)?.json()?;
    assert_eq!(refused["available_usdc"], "0.000000");
    let dear = consumer.call("demo/shop").json(&json!({ "max_price_usdc": "0.010000" })).send().await?.expect(409)?;
    assert_eq!(dear.json()?["type"], "urn:ripost:problem:price-changed");
    let stopped = host.sigterm().await?;
    audit::check(stopped.data())
}

#[tokio::test]
async fn a_balance_is_spent_once_however_many_ask_for_it() -> Test {
    let durable = Api::new("demo", "durable", guests::sleeps(100)).price("0.050000");
    let host = start([priced("slow", guests::sleeps(300)), durable]).await?;
    let consumer = host.add_consumer("c1", "0.500000").await?;
    let mut calls = JoinSet::new();
    for n in 0..64 {
        let consumer = consumer.clone();
        let slug = if n % 2 == 0 { "demo/slow" } else { "demo/durable" };
        calls.spawn(async move {
            let call = consumer.call(slug).json(&json!({}));
            Ok::<_, anyhow::Error>(call.send().await?.status.as_u16())
        });
    }
    let mut counts = std::collections::BTreeMap::<u16, u32>::new();
    while let Some(status) = calls.join_next().await {
        *counts.entry(status??).or_default() += 1;
    }
    assert_eq!(counts, [(200, 10), (402, 54)].into(), "ten are paid for, and nobody else is answered");
    assert_eq!(consumer.balances().await?, (0, 0));
    let stopped = host.sigterm().await?;
    audit::check(stopped.data())
}

#[tokio::test]
async fn a_priced_caller_that_hangs_up_gives_back_what_was_set_aside() -> Test {
    let host = start([priced("sleeps", guests::sleeps(60_000)), priced("shop", guests::echo())]).await?;
    let consumer = host.add_consumer("c1", "0.050000").await?;
    let call = consumer.call("demo/sleeps").json(&json!({}));
    assert!(tokio::time::timeout(Duration::from_millis(500), call.send()).await.is_err(), "it sleeps");
    until("the balance is free again", Duration::from_secs(5), async || {
        let answer = consumer.call("demo/shop").json(&json!({})).send().await?;
        Ok((answer.status == 200).then_some(()))
    })
    .await?;
    assert_eq!(consumer.balances().await?, (0, 0));
    let stopped = host.sigterm().await?;
    audit::check(stopped.data())
}
