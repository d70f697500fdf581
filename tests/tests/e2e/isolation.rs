//! Runs share nothing, one owner's guest does not take another's turn, and one endpoint not another's webhooks.

use crate::echo::{call, start};
use crate::{Test, host};
use anyhow::Result;
use ripost_tests::{Api, Consumer, Hostile, Mode, Plugin, Reply, Sink, guests, until};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

#[tokio::test]
async fn two_runs_share_no_memory() -> Test {
    let host = host().plugin(&Plugin::one("remembers", guests::remembers())).start().await?;
    let consumer = host.demo();
    for _ in 0..5 {
        assert_eq!(&consumer.call("demo/remembers").send().await?.expect(200)?.body[..], b"1 1");
    }
    let mut calls = JoinSet::new();
    for _ in 0..64 {
        let consumer = consumer.clone();
        calls.spawn(async move { consumer.call("demo/remembers").send().await?.expect(200) });
    }
    for answer in calls.join_all().await {
        assert_eq!(&answer?.body[..], b"1 1");
    }
    Ok(())
}

#[tokio::test]
async fn a_trap_leaves_nothing_behind_for_the_next_run() -> Test {
    let apis =
        [Api::new("demo", "greedy", guests::takes_all_memory()), Api::new("demo", "remembers", guests::remembers())];
    let host = host().plugin(&Plugin::new("mixed", apis)).start().await?;
    let consumer = host.demo();
    for _ in 0..10 {
        consumer.call("demo/greedy").send().await?.expect(502)?;
        assert_eq!(&consumer.call("demo/remembers").send().await?.expect(200)?.body[..], b"1 1");
    }
    Ok(())
}

#[tokio::test]
async fn spinning_guests_do_not_take_everybody_elses_turn() -> Test {
    let apis = [
        Api::new("demo", "spins", guests::spins()).limit("cpu = \"2 s\"").limit("wall = \"15 s\""),
        Api::new("other", "echo", guests::echo()),
    ];
    let host = host().plugin(&Plugin::new("mixed", apis)).start().await?;
    let consumer = host.demo();
    for _ in 0..6 {
        consumer.call("demo/spins").json(&json!({})).header("prefer", "respond-async").accepted().await?;
    }
    let started = Instant::now();
    let mut slowest = Duration::ZERO;
    while started.elapsed() < Duration::from_secs(2) {
        let answer = consumer.call("other/echo").json(&json!({ "n": 1 })).send().await?.expect(200)?;
        slowest = slowest.max(answer.took);
    }
    assert!(slowest < Duration::from_millis(1000), "the slowest neighbour waited {slowest:?}");
    Ok(())
}

#[tokio::test]
async fn a_capability_that_is_not_granted_answers_with_a_refusal() -> Test {
    let host = host().plugin(&Plugin::one("kv", guests::asks_kv())).start().await?;
    let answer = host.demo().call("demo/kv").send().await?.expect(200)?;
    let said = std::str::from_utf8(&answer.body)?;
    assert!(matches!(said, "not-granted" | "unavailable"), "{said}");
    Ok(())
}

/// Calls that healthy consumers make at once, and how often.
const ABREAST: usize = 4;
const CALLS_EACH: usize = 60;

/// From the call to the arrival of its webhook: the 99th percentile over some hundred calls.
async fn p99(consumer: &Consumer, sink: &Sink) -> Result<Duration> {
    let url = sink.url("/healthy");
    let mut clients = JoinSet::new();
    for _ in 0..ABREAST {
        let (consumer, url) = (consumer.clone(), url.clone());
        clients.spawn(async move {
            let mut started = Vec::new();
            for _ in 0..CALLS_EACH {
                let before = Instant::now();
                started.push((call(&consumer, &url).await?, before));
            }
            anyhow::Ok(started)
        });
    }
    let mut times = Vec::new();
    for started in clients.join_all().await {
        for (id, before) in started? {
            let arrived = sink.first(&id).await?.at;
            times.push(arrived.saturating_duration_since(before));
        }
    }
    times.sort();
    Ok(times[times.len() * 99 / 100])
}

/// Twice what it was alone; on a busy machine a scheduler's hiccup is no queue.
fn bound(alone: Duration) -> Duration {
    (2 * alone).max(Duration::from_millis(250))
}

const HOLES: &str = r#"
[delivery]
schedule = ["0 ms", "5 s"]
deadline = "10 s"
sweep = "50 ms"
[runs]
sweep = "50 ms"
"#;

#[tokio::test]
async fn a_black_hole_with_ten_times_its_share_in_flight_slows_no_healthy_endpoint() -> Test {
    let (host, consumer, sink) = start(HOLES).await?;
    let unlucky = host.add_consumer("unlucky", "1").await?;
    let alone = p99(&consumer, &sink).await?;

    let hole = Hostile::start(Mode::Hangs).await?;
    for _ in 0..200 {
        call(&unlucky, &hole.url("/")).await?;
    }
    until("the hole has what it may have", Duration::from_secs(5), async || Ok((hole.open() >= 1).then_some(())))
        .await?;
    let beside = p99(&consumer, &sink).await?;
    assert!(beside < bound(alone), "p99 is {beside:?} beside a black hole and {alone:?} without");
    // Also for the consumer whose other endpoint it is.
    let own_other = Sink::start().await?;
    let beside = p99(&unlucky, &own_other).await?;
    assert!(beside < bound(alone), "p99 is {beside:?} for the same consumer and {alone:?} without a black hole");
    assert!(hole.open() <= 16, "{} connections are open to one endpoint", hole.open());
    Ok(())
}

#[tokio::test]
async fn many_black_holes_leave_room_for_whoever_has_proven_to_work() -> Test {
    // All of them ask for three times what there is.
    let config = HOLES.replace("[delivery]", "[delivery]\nin_flight = 64\nin_flight_per_host = 1024");
    let (host, consumer, sink) = start(&config).await?;
    let unlucky = host.add_consumer("unlucky", "1").await?;
    let alone = p99(&consumer, &sink).await?;
    let mut holes = Vec::new();
    for _ in 0..48 {
        let hole = Hostile::start(Mode::Hangs).await?;
        for _ in 0..4 {
            call(&unlucky, &hole.url("/")).await?;
        }
        holes.push(hole);
    }
    let open = || holes.iter().map(Hostile::open).sum::<usize>();
    until("the holes have what they may have", Duration::from_secs(5), async || Ok((open() >= 16).then_some(())))
        .await?;
    let beside = p99(&consumer, &sink).await?;
    assert!(beside < bound(alone), "p99 is {beside:?} beside 48 black holes and {alone:?} without");
    assert!(open() < 64, "{} of 64 attempts are in black holes", open());
    Ok(())
}

#[tokio::test]
async fn an_endpoint_never_has_more_attempts_at_once_than_its_share() -> Test {
    let config = HOLES.replace("[delivery]", "[delivery]\nin_flight_per_endpoint = 3");
    let (_host, consumer, sink) = start(&config).await?;
    sink.otherwise(Reply::status(200).after(Duration::from_millis(50)));
    let hole = Hostile::start(Mode::Hangs).await?;
    for number in 0..30 {
        // The query is no part of the endpoint.
        call(&consumer, &hole.url(&format!("/?n={number}"))).await?;
    }
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(call(&consumer, &sink.url("/")).await?);
        assert!(hole.open() <= 3, "{} attempts at once", hole.open());
    }
    for id in &ids {
        consumer.delivery_ended(id, Duration::from_secs(10)).await?;
        assert!(hole.open() <= 3, "{} attempts at once", hole.open());
    }
    assert!(sink.connections() <= 6, "{} connections for three attempts at once", sink.connections());
    Ok(())
}

#[tokio::test]
async fn a_breaker_leaves_a_failing_endpoint_alone_and_a_probe_closes_it() -> Test {
    let config = r#"
[delivery]
schedule = ["0 ms", "10 ms", "10 ms", "10 ms", "10 ms", "10 ms", "10 ms", "10 ms", "10 ms", "10 ms", "10 ms", "10 ms"]
deadline = "2 s"
sweep = "50 ms"
breaker_failures = 3
breaker_wait = "2 s"
[runs]
sweep = "50 ms"
"#;
    let (host, consumer, sink) = start(config).await?;
    sink.otherwise(Reply::status(503));
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(call(&consumer, &sink.url("/")).await?);
    }
    until("it fails", Duration::from_secs(5), async || Ok((sink.count() >= 3).then_some(()))).await?;
    // Without a breaker all 240 attempts are over by the end of this.
    let healthy = Sink::start().await?;
    let open_since = Instant::now();
    while open_since.elapsed() < Duration::from_secs(1) {
        let id = call(&consumer, &healthy.url("/")).await?;
        healthy.first(&id).await?;
    }
    let knocks = sink.count();
    assert!(knocks <= 3 + 16, "{knocks} attempts at an endpoint whose breaker opens after 3");
    sink.otherwise(Reply::status(200));
    for id in &ids {
        let view = consumer.delivery_ended(id, Duration::from_secs(30)).await?;
        assert_eq!(view["delivery"]["state"], "delivered", "a breaker uses no attempts up: {view}");
    }
    drop(host);
    Ok(())
}

#[tokio::test]
async fn a_host_gets_so_many_attempts_a_second_from_everybody_together() -> Test {
    let config = format!("{}\n", crate::QUICK.replace("[delivery]", "[delivery]\nhost_per_second = 5"));
    let (host, first, sink) = start(&config).await?;
    let second = host.add_consumer("c2", "1").await?;
    let started = Instant::now();
    let mut ids = Vec::new();
    for number in 0..20 {
        let consumer = if number % 2 == 0 { &first } else { &second };
        ids.push((consumer, call(consumer, &sink.url(&format!("/{}", number % 4))).await?));
    }
    for (consumer, id) in &ids {
        consumer.delivery_ended(id, Duration::from_secs(15)).await?;
    }
    assert_eq!(sink.count(), 20);
    // Five at once and five a second more: three seconds.
    assert!(started.elapsed() >= Duration::from_secs(2), "20 attempts in {:?}", started.elapsed());
    Ok(())
}
