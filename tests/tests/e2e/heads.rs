//! What no call comes of: request heads that cannot be read, and callers that close their side.

use crate::{Test, host};
use anyhow::{Context as _, Result};
use ripost_tests::{Api, Host, Plugin, Wire, audit, guests, until};
use std::time::{Duration, Instant};

const KEY: &str = "x-consumer-key: demo-public-key-2026\r\n";

async fn start() -> Result<Host> {
    let slow = Api::new("demo", "slow", guests::sleeps(1500));
    let plain = Api::new("demo", "plain", guests::sleeps(1500)).line("delivery = \"off\"");
    let endless = Api::new("demo", "endless", guests::sleeps(60_000)).line("delivery = \"off\"");
    let endless = endless.limit("wall = \"5 min\"").limit("concurrency = 1");
    let apis = [Api::new("demo", "echo", guests::echo()), slow, plain, endless];
    host().plugin(&Plugin::new("heads", apis)).start().await
}

fn call(slug: &str, more: &str) -> String {
    format!(
        "POST /api/demo/api/{slug} HTTP/1.1\r\nhost: a\r\n{KEY}content-type: application/json\r\ncontent-length: 2\r\n{more}\r\n{{}}"
    )
}

#[tokio::test]
async fn a_head_that_cannot_be_read_is_answered_with_a_problem_that_says_why() -> Test {
    let host = start().await?;
    let get = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n{more}\r\n").into_bytes();
    let fields = |many: usize| (0..many).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    let long = |bytes: usize| format!("x-long: {}\r\n", "x".repeat(bytes));
    // With a whole valid head behind it, which must not be taken for the rest of the wrong one.
    let pipelined = [get("/healthz", "x: \u{1}\r\n"), get("/healthz", "")].concat();
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("101 fields", get("/healthz", &fields(100)), 431, "head-too-large"),
        ("1000 fields", get("/healthz", &fields(1000)), 431, "head-too-large"),
        ("400 KiB of fields", get("/healthz", &long(400 << 10)), 431, "head-too-large"),
        ("8 MiB of fields", get("/healthz", &long(8 << 20)), 431, "head-too-large"),
        ("a control character in a value", get("/healthz", "x: a\u{1}b\r\n"), 400, "malformed-request"),
        ("a NUL in a value", get("/healthz", "x: a\0b\r\n"), 400, "malformed-request"),
        ("a space before the colon", get("/healthz", "x : 1\r\n"), 400, "malformed-request"),
        ("no colon", get("/healthz", "x\r\n"), 400, "malformed-request"),
        ("an empty name", get("/healthz", ": 1\r\n"), 400, "malformed-request"),
        ("a quote in the query", get("/healthz?a=\"b\"", ""), 400, "malformed-request"),
        ("a less-than in the query", get("/healthz?a=<b>", ""), 400, "malformed-request"),
        ("a space in the path", b"GET /a b HTTP/1.1\r\n\r\n".to_vec(), 400, "malformed-request"),
        ("a byte that is no UTF-8", b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(), 400, "malformed-request"),
        ("HTTP/1.2", b"GET / HTTP/1.2\r\nhost: a\r\n\r\n".to_vec(), 400, "malformed-request"),
        ("HTTP/3.0", b"GET / HTTP/3.0\r\nhost: a\r\n\r\n".to_vec(), 400, "malformed-request"),
        ("no version", b"GET /\r\n\r\n".to_vec(), 400, "malformed-request"),
        ("no method", b" / HTTP/1.1\r\n\r\n".to_vec(), 400, "malformed-request"),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), 400, "malformed-request"),
        (
            "two lengths",
            b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_vec(),
            400,
            "malformed-request",
        ),
        ("a length that is none", b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n".to_vec(), 400, "malformed-request"),
        ("an unknown coding", b"POST / HTTP/1.1\r\ntransfer-encoding: x\r\n\r\n".to_vec(), 400, "malformed-request"),
        ("a long URL", get(&format!("/{}", "x".repeat(65_535)), ""), 414, "url-too-long"),
        ("with another behind it", pipelined, 400, "malformed-request"),
    ];
    let refused = cases.len();
    for (what, bytes, status, slug) in cases {
        let mut wire = Wire::open(host.url()).await?;
        wire.send(&bytes).await;
        let answer = wire.answer().await.context(what)?;
        assert_eq!((answer.status, answer.problem().context(what)?.as_str()), (status, slug), "{what}");
        assert_eq!(answer.header("connection"), Some("close"), "{what}");
        assert!(answer.header("date").is_some_and(|date| date.ends_with(" GMT")), "{what}");
        assert!(wire.ends_within(Duration::from_secs(5)).await, "{what}");
    }
    let metrics = host.metrics().await?;
    let counted = metrics.sum("ripost_requests_refused_total", "");
    assert!((counted - refused as f64).abs() < 0.5, "{counted} of {refused}");
    // What is just within the bounds is served.
    for good in [get("/healthz", &fields(99)), get("/healthz", &long(60 << 10)), get("/healthz?a=%22%3C", "")] {
        let mut wire = Wire::open(host.url()).await?;
        wire.send(&good).await;
        assert_eq!(wire.answer().await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn what_came_before_an_unreadable_head_is_answered_first() -> Test {
    let host = start().await?;
    let mut wire = Wire::open(host.url()).await?;
    wire.send(format!("{}GET /a b HTTP/1.1\r\n\r\n", call("echo", "prefer: respond-async\r\n")).as_bytes()).await;
    assert_eq!(wire.answer().await?.status, 202);
    assert_eq!(wire.answer().await?.status, 400);
    // And again, each by itself.
    let mut wire = Wire::open(host.url()).await?;
    wire.send(call("echo", "").as_bytes()).await;
    assert_eq!(wire.answer().await?.status, 200);
    wire.send(b"GET /a b HTTP/1.1\r\n\r\n").await;
    assert_eq!(wire.answer().await?.problem()?, "malformed-request");
    Ok(())
}

#[tokio::test]
async fn a_head_that_does_not_come_to_its_end_is_told_so() -> Test {
    let host = host().config("[connections]\nheader_time = \"300 ms\"").start().await?;
    let mut slow = Wire::open(host.url()).await?;
    slow.send(b"GET /healthz HTTP/1.1\r\nhost: a\r\n").await;
    let answer = slow.answer().await?;
    assert_eq!((answer.status, answer.problem()?.as_str()), (408, "request-timeout"));
    let mut torn = Wire::open(host.url()).await?;
    torn.send(b"GET /healthz HTTP/1.1\r\nhost: a\r\n").await;
    torn.close_sending().await?;
    let answer = torn.answer().await?;
    assert_eq!((answer.status, answer.problem()?.as_str()), (400, "malformed-request"));
    // A connection that says nothing has asked for nothing.
    let mut idle = Wire::open(host.url()).await?;
    assert!(idle.answer().await.is_err());
    let mut served = Wire::open(host.url()).await?;
    served.send(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(served.answer().await?.status, 200);
    assert!(served.answer().await.is_err(), "it idles, and nothing is wrong with that");
    Ok(())
}

#[tokio::test]
async fn a_caller_that_closes_its_side_after_a_whole_request_has_its_answer() -> Test {
    let host = start().await?;
    for (slug, more, status) in [
        ("echo", "", 200),
        ("echo", "prefer: respond-async\r\n", 202),
        ("slow", "prefer: wait=10\r\n", 200),
        ("plain", "", 200),
    ] {
        let mut wire = Wire::open(host.url()).await?;
        wire.send(call(slug, more).as_bytes()).await;
        wire.close_sending().await?;
        assert_eq!(wire.answer().await.context(slug)?.status, status, "{slug} {more}");
        assert!(wire.ends_within(Duration::from_secs(5)).await, "{slug}");
    }
    // HTTP/1.0 has no interim answers, and none are sent.
    let mut old = Wire::open(host.url()).await?;
    old.send(call("plain", "").replace("HTTP/1.1", "HTTP/1.0").as_bytes()).await;
    old.close_sending().await?;
    let mut all = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut old.stream, &mut all).await?;
    assert!(all.starts_with(b"HTTP/1.0 200 OK\r\n"), "{}", String::from_utf8_lossy(&all));
    let stopped = host.sigterm().await?;
    audit::check(stopped.data())
}

#[tokio::test]
async fn a_caller_that_is_gone_stops_what_runs_for_it_alone() -> Test {
    let host = start().await?;
    // One run at once: each of these gets a place only if the one before was stopped, minutes before its time.
    for reset in [false, true, false] {
        let wire = {
            let mut wire = Wire::open(host.url()).await?;
            wire.send(call("endless", "").as_bytes()).await;
            wire
        };
        until("a run", Duration::from_secs(10), async || {
            Ok((host.metrics().await?.sum("ripost_runs_in_flight", "") > 0.5).then_some(()))
        })
        .await?;
        if reset {
            wire.stream.set_zero_linger()?;
        }
        let hung_up = Instant::now();
        drop(wire);
        until("the end of a run that nobody waits for", Duration::from_secs(10), async || {
            Ok((host.metrics().await?.sum("ripost_runs_in_flight", "") < 0.5).then_some(()))
        })
        .await?;
        assert!(hung_up.elapsed() < Duration::from_secs(8), "{:?}", hung_up.elapsed());
    }
    Ok(())
}
