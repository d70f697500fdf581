//! Runs share nothing, and one owner's guest does not take another's turn.

use crate::{Test, host};
use ripost_tests::{Api, Plugin, guests};
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
