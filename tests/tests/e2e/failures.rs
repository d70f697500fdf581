//! What a handler can do wrong: each has its problem, a released hold and a webhook all the same.

use crate::{Test, host};
use ripost_tests::consumer::slug;
use ripost_tests::guests::{self, Failure};
use ripost_tests::{Api, Plugin, Sink, verify};
use serde_json::json;
use std::time::{Duration, Instant};

fn api(slug: &str, component: &[u8]) -> Api {
    // An answer has to fit into memory before it can be too large.
    let memory = if slug == "huge" { "32 MiB" } else { "4 MiB" };
    let api = Api::new("demo", slug, component).price("0.050000").limit(&format!("memory = \"{memory}\""));
    api.limit("cpu = \"200 ms\"").limit("wall = \"3 s\"")
}

#[tokio::test]
async fn every_way_to_fail_releases_the_hold_and_sends_the_problem() -> Test {
    // What the gateway's problem is called, or the owner's with its status.
    let cases = [
        ("traps", guests::traps(), "handler-trapped", 502),
        ("spins", guests::spins(), "cpu-limit", 502),
        ("greedy", guests::takes_all_memory(), "memory-limit", 502),
        ("recurses", guests::recurses(), "stack-overflow", 502),
        ("bad-status", guests::answers(99, &[], b""), "response-invalid", 502),
        ("bad-header", guests::answers(200, &[("bad header", "x")], b""), "response-invalid", 502),
        ("bad-value", guests::answers(200, &[("x", "a\r\nset-cookie: b")], b""), "response-invalid", 502),
        ("huge", guests::answers_bytes(8 << 20), "response-invalid", 502),
        ("says-404", guests::answers(404, &[], b"no"), "request-refused", 400),
        ("says-500", guests::answers(500, &[], b"no"), "owner-failed", 502),
        ("invalid", guests::fails(Failure::Invalid(409)), "no-luck", 409),
        ("invalid-5", guests::fails(Failure::Invalid(500)), "no-luck", 422),
        ("failed", guests::fails(Failure::Failed(507)), "no-luck", 507),
    ];
    let apis = cases.iter().map(|(name, component, _, _)| api(name, component));
    let host = host().plugin(&Plugin::new("failures", apis)).start().await?;
    let (consumer, sink) = (host.add_consumer("c1", "100").await?, Sink::start().await?);
    let secret = consumer.webhook_secret().await?;
    for (name, _, kind, status) in &cases {
        let call = consumer.call(&format!("demo/{name}")).json(&json!({ "webhook_url": sink.url("/") }));
        let id = call.accepted().await?;
        let webhook = sink.first(&id).await?;
        verify(&webhook, &secret)?;
        let payload = webhook.json()?;
        assert_eq!(
            (&payload["status"], &payload["settlement"]["state"]),
            (&json!("failed"), &json!("released")),
            "{name}"
        );
        let error = &payload["error"];
        assert_eq!(error["status"], *status, "{name}: {error}");
        if *kind == "no-luck" {
            assert_eq!(error["type"], "urn:ripost:owner:demo:problem:no-luck");
            assert_eq!((&error["title"], &error["detail"]), (&json!("No luck today"), &json!("Try tomorrow")));
        } else {
            assert_eq!(slug(error)?, *kind, "{name}");
        }
        assert!(payload.get("result").is_none(), "{name}: {payload}");
        let view = consumer.ended(&id).await?;
        assert_eq!((&view["status"], &view["error"]), (&json!("failed"), error), "{name}");
    }
    assert_eq!(consumer.balances().await?, (100_000_000, 0), "all holds are released");
    ripost_tests::audit::check(host.data())?;
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_a_failure_stays_readable() -> Test {
    let missing = guests::answers(404, &[("content-type", "text/plain")], b"no such thing");
    let host = host().plugin(&Plugin::one("missing", missing)).start().await?;
    let consumer = host.demo();
    let id = consumer.call("demo/missing").header("prefer", "respond-async").accepted().await?;
    assert_eq!(consumer.ended(&id).await?["status"], "failed");
    let raw = consumer.get(&format!("/requests/{id}/result")).await?.expect(404)?;
    assert_eq!(&raw.body[..], b"no such thing");
    Ok(())
}

#[tokio::test]
async fn not_now_is_run_again_until_it_works_or_no_run_is_left() -> Test {
    let apis = [
        Api::new("demo", "second", guests::fails_first(1, Failure::Retry(Some(0)))).price("0.050000"),
        Api::new("demo", "third", guests::fails_first(2, Failure::Retry(Some(0)))).price("0.050000"),
        Api::new("demo", "fourth", guests::fails_first(3, Failure::Retry(Some(0)))).price("0.050000"),
        Api::new("demo", "one-run", guests::fails_first(1, Failure::Retry(Some(0))))
            .price("0.050000")
            .line("max_attempts = 1"),
        Api::new("demo", "busy", guests::answers(503, &[("retry-after", "0")], b"busy")).price("0.050000"),
    ];
    let host = host().plugin(&Plugin::new("retries", apis)).start().await?;
    let consumer = host.add_consumer("c1", "10").await?;
    for (api, status, settlement) in [
        ("demo/second", "completed", "captured"),
        ("demo/third", "completed", "captured"),
        ("demo/fourth", "failed", "released"),
        ("demo/one-run", "failed", "released"),
        ("demo/busy", "failed", "released"),
    ] {
        let id = consumer.call(api).json(&json!({ "n": 1 })).header("prefer", "respond-async").accepted().await?;
        let view = consumer.ended(&id).await?;
        assert_eq!(
            (&view["status"], &view["settlement"]["state"]),
            (&json!(status), &json!(settlement)),
            "{api}: {view}"
        );
        if api == "demo/fourth" {
            assert_eq!(view["error"]["type"], "urn:ripost:owner:demo:problem:no-luck");
        }
        if api == "demo/busy" {
            assert_eq!(slug(&view["error"])?, "owner-unavailable");
        }
    }
    assert_eq!(consumer.balances().await?, (9_900_000, 0), "two were captured");
    Ok(())
}

#[tokio::test]
async fn a_spinning_guest_dies_at_its_cpu_budget_and_a_sleeping_one_outlives_it() -> Test {
    let limited =
        |slug: &str, component| Api::new("demo", slug, component).limit("cpu = \"300 ms\"").limit("wall = \"10 s\"");
    let apis = [limited("spins", guests::spins()), limited("sleeps", guests::sleeps(1500))];
    let host = host().plugin(&Plugin::new("cpu", apis)).start().await?;
    let consumer = host.demo();
    let started = Instant::now();
    let spun = consumer.call("demo/spins").json(&json!({})).send().await?.expect(502)?;
    let took = started.elapsed();
    assert_eq!(spun.problem()?, "cpu-limit");
    assert!(took >= Duration::from_millis(290) && took < Duration::from_secs(5), "{took:?}");
    let slept = consumer.call("demo/sleeps").json(&json!({ "n": 1 })).send().await?.expect(200)?;
    assert!(slept.took >= Duration::from_millis(1500), "five times its CPU budget: {:?}", slept.took);
    Ok(())
}

#[tokio::test]
async fn a_run_that_waits_too_long_dies_at_its_wall_time() -> Test {
    let api = Api::new("demo", "sleeps", guests::sleeps(15_000)).limit("wall = \"300 ms\"");
    let host = host().plugin(&Plugin::new("wall", [api])).start().await?;
    let answer = host.demo().call("demo/sleeps").json(&json!({})).send().await?.expect(502)?;
    assert_eq!(answer.problem()?, "wall-limit");
    assert!(answer.took >= Duration::from_millis(290) && answer.took < Duration::from_secs(4), "{:?}", answer.took);
    Ok(())
}

#[tokio::test]
async fn a_request_past_its_deadline_expires_and_is_released() -> Test {
    let api = Api::new("demo", "echo", guests::echo()).price("0.050000").line("expires_in = \"1 s\"");
    let host = ripost_tests::Host::builder().dev().show_log().config(crate::PAUSED).plugin(&Plugin::new("late", [api]));
    let host = host.start().await?;
    let (consumer, sink) = (host.add_consumer("c1", "1").await?, Sink::start().await?);
    let id = consumer.call("demo/echo").json(&json!({ "webhook_url": sink.url("/") })).accepted().await?;
    let view = consumer.ended(&id).await?;
    assert_eq!((&view["status"], &view["settlement"]["state"]), (&json!("expired"), &json!("released")));
    assert_eq!(slug(&view["error"])?, "deadline-exceeded");
    assert_eq!(sink.first(&id).await?.json()?["status"], "expired");
    assert_eq!(consumer.balances().await?, (1_000_000, 0));
    Ok(())
}
