//! What a consumer may do: how often, how much at once, how much a day, and how it is told.

use crate::clock::{Clock, at_a_clock};
use crate::{PAUSED, QUICK, Test};
use anyhow::{Context as _, Result};
use http::Method;
use ripost_tests::{Answer, Api, Call, Consumer, Host, Plugin, guests};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use tokio::task::JoinSet;

/// A list of RFC 9651 as the RateLimit fields have it: strings with parameters.
fn list(text: &str) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    let mut members = BTreeMap::new();
    for member in text.split(", ") {
        let mut parts = member.split(';');
        let name = parts.next().and_then(|name| name.strip_prefix('"')?.strip_suffix('"'));
        let name = name.with_context(|| format!("no string: {member}"))?;
        let parameters = parts.map(|part| {
            let (key, value) = part.split_once('=').with_context(|| format!("no parameter: {part}"))?;
            Ok((key.to_owned(), value.trim_matches('"').to_owned()))
        });
        anyhow::ensure!(members.insert(name.to_owned(), parameters.collect::<Result<_>>()?).is_none(), "{text}");
    }
    Ok(members)
}

/// `q`, `w` and `r` of a policy; `w` is 0 for what has no window.
fn said(answer: &Answer, policy: &str) -> Result<(u64, u64, u64)> {
    let field = |name: &str| list(answer.header(name).with_context(|| format!("no {name}: {:?}", answer.headers))?);
    let (policies, states) = (field("ratelimit-policy")?, field("ratelimit")?);
    assert!(policies.keys().eq(states.keys()), "{policies:?} {states:?}");
    let number = |of: &BTreeMap<String, BTreeMap<String, String>>, key: &str| -> Result<u64> {
        let parameters = of.get(policy).with_context(|| format!("no {policy} in {of:?}"))?;
        Ok(parameters.get(key).map(|text| text.parse()).transpose()?.unwrap_or(0))
    };
    Ok((number(&policies, "q")?, number(&policies, "w")?, number(&states, "r")?))
}

/// What a 429 says: its type, the limit, and how long to wait in seconds.
fn limited(answer: Answer) -> Result<(String, String, u64)> {
    let answer = answer.expect(429)?;
    let problem = answer.json()?;
    let wait = answer.header("retry-after").context("no Retry-After")?.parse()?;
    let limit = problem["limit"].as_str().context("no limit")?.to_owned();
    assert_eq!(problem["violated-policies"], json!([limit]));
    assert!(!problem["max"].is_null() && wait > 0, "{problem}");
    Ok((answer.problem()?, limit, wait))
}

fn later<'c>(consumer: &'c Consumer, api: &str) -> Call<'c> {
    consumer.call(api).json(&json!({ "n": 1 })).header("prefer", "respond-async")
}

fn echo(slug: &str) -> Api {
    Api::new("demo", slug, guests::echo())
}

async fn started(base: &str, config: &str, apis: impl IntoIterator<Item = Api>) -> Result<Host> {
    let plugin = Plugin::new("limited", apis);
    Host::builder().dev().show_log().config(base).config(config).plugin(&plugin).start().await
}

#[tokio::test]
async fn a_key_has_its_rate_and_every_answer_says_what_is_left() -> Test {
    let host = started(QUICK, "[consumers]\nrate = \"60/h burst 3\"", [echo("one"), echo("two")]).await?;
    let (consumer, other) = (host.add_consumer("c1", "1").await?, host.add_consumer("c2", "1").await?);
    let first = later(&consumer, "demo/one").send().await?.expect(202)?;
    assert_eq!(said(&first, "key")?, (60, 3600, 2));
    let waited = consumer.call("demo/two").json(&json!({})).send().await?.expect(200)?;
    assert_eq!(said(&waited, "key")?, (60, 3600, 1), "over all APIs");
    consumer.call("demo/none").send().await?.expect(404)?;
    assert_eq!(consumer.get("/consumer").await?.json()?["limits"]["rate"], json!({ "max": "60/h burst 3", "left": 0 }));

    let refused = later(&consumer, "demo/one").header("idempotency-key", "k").send().await?;
    assert_eq!(said(&refused, "key")?, (60, 3600, 0));
    let (problem, limit, wait) = limited(refused)?;
    assert_eq!((problem.as_str(), limit.as_str()), ("rate-limited", "key"));
    assert!((50..=60).contains(&wait), "one a minute: {wait}");

    later(&other, "demo/one").send().await?.expect(202)?;
    let stranger = host.consumer("nobody's");
    for _ in 0..10 {
        assert_eq!(stranger.call("demo/one").send().await?.expect(401)?.problem()?, "unknown-key");
    }
    assert_eq!(host.metrics().await?.sum("ripost_calls_limited_total", "limit=\"key\"").to_bits(), 1_f64.to_bits());
    Ok(())
}

#[tokio::test]
async fn asking_has_a_rate_of_its_own_that_takes_nothing_from_calls() -> Test {
    let host = started(QUICK, "[consumers]\npolls = \"60/h burst 4\"", [echo("one")]).await?;
    let consumer = host.add_consumer("c1", "1").await?;
    let id = later(&consumer, "demo/one").accepted().await?;
    let view = format!("/requests/{id}");
    for path in [&view, "/requests", "/consumer", &format!("{view}/events")] {
        consumer.get(path).await?.expect(200)?;
    }
    for path in [&view, "/requests", "/consumer", "/events", &format!("{view}/events"), &format!("{view}/result")] {
        let (problem, limit, _) = limited(consumer.get(path).await?)?;
        assert_eq!((problem.as_str(), limit.as_str()), ("rate-limited", "polls"), "{path}");
    }
    limited(consumer.request(Method::POST, &format!("{view}/cancel")).send().await?)?;
    later(&consumer, "demo/one").send().await?.expect(202)?;
    Ok(())
}

#[tokio::test]
async fn an_api_has_a_rate_for_all_its_consumers_and_one_for_each() -> Test {
    let api = echo("one").limit("rate = \"60/h burst 3\"").limit("rate_per_consumer = \"30/h burst 2\"");
    let host = started(QUICK, "", [api, echo("two")]).await?;
    let (first, second) = (host.add_consumer("c1", "1").await?, host.add_consumer("c2", "1").await?);
    let answer = later(&first, "demo/one").send().await?.expect(202)?;
    assert_eq!((said(&answer, "api-consumer")?, said(&answer, "api")?), ((30, 3600, 1), (60, 3600, 2)));
    later(&first, "demo/one").send().await?.expect(202)?;
    for _ in 0..3 {
        assert_eq!(limited(later(&first, "demo/one").send().await?)?.1, "api-consumer");
    }
    later(&second, "demo/one").send().await?.expect(202)?;
    assert_eq!(limited(later(&second, "demo/one").send().await?)?.1, "api");
    let free = later(&second, "demo/two").send().await?.expect(202)?;
    assert!(free.header("ratelimit").is_none() && free.header("ratelimit-policy").is_none());
    Ok(())
}

#[tokio::test]
async fn of_sixty_four_at_once_ten_are_accepted_where_ten_may_be_and_a_restart_changes_nothing() -> Test {
    let host = started(PAUSED, "[consumers]\nconcurrency = 10", [echo("one").price("0.010000")]).await?;
    let consumer = host.add_consumer("c1", "10").await?;
    let mut calls = JoinSet::new();
    for number in 0..64 {
        let consumer = consumer.clone();
        calls.spawn(async move {
            later(&consumer, "demo/one").header("idempotency-key", &format!("k{number}")).send().await
        });
    }
    let mut ids = HashSet::new();
    for answer in calls.join_all().await {
        let answer = answer?;
        if answer.status == 202 {
            assert_eq!(said(&answer, "concurrency")?.0, 10);
            ids.insert(answer.request_id()?);
        } else {
            assert_eq!(said(&answer, "concurrency")?, (10, 0, 0));
            assert_eq!(limited(answer)?.0, "concurrency-limited");
        }
    }
    assert_eq!(ids.len(), 10);
    assert_eq!(consumer.balances().await?, (9_900_000, 100_000), "ten holds");

    let key = consumer.key().context("a key")?.to_owned();
    let host = host.restart().await?;
    let consumer = host.consumer(&key);
    let used =
        async || Ok::<Value, anyhow::Error>(consumer.get("/consumer").await?.json()?["limits"]["concurrency"].clone());
    assert_eq!(used().await?, json!({ "max": 10, "used": 10 }));
    assert_eq!(limited(later(&consumer, "demo/one").send().await?)?.1, "concurrency");
    let id = ids.iter().next().context("one of ten")?;
    consumer.request(Method::POST, &format!("/requests/{id}/cancel")).send().await?.expect(200)?;
    assert_eq!(used().await?, json!({ "max": 10, "used": 9 }));
    let again = later(&consumer, "demo/one").header("idempotency-key", "new").send().await?.expect(202)?;
    assert_eq!(said(&again, "concurrency")?, (10, 0, 0));
    assert_eq!(limited(later(&consumer, "demo/one").send().await?)?.1, "concurrency");
    let same = later(&consumer, "demo/one").header("idempotency-key", "new").send().await?.expect(202)?;
    assert_eq!(same.request_id()?, again.request_id()?, "a repeat is answered though there is no room for another");
    Ok(())
}

#[tokio::test]
async fn what_has_ended_or_was_refused_makes_room_again() -> Test {
    let api = echo("one").price("0.500000").limit("concurrency_per_consumer = 1");
    let host = started(
        QUICK,
        "",
        [api, echo("two"), echo("off").line("delivery = \"off\"").limit("concurrency_per_consumer = 1")],
    )
    .await?;
    let (poor, other) = (host.add_consumer("poor", "0.4").await?, host.add_consumer("c2", "10").await?);
    for _ in 0..3 {
        assert_eq!(later(&poor, "demo/one").send().await?.expect(402)?.problem()?, "insufficient-balance");
        let id = later(&other, "demo/one").accepted().await?;
        other.ended(&id).await?;
        let bad = other.call("demo/one").json(&json!({ "webhook_url": "ftp://x" })).send().await?.expect(422)?;
        assert_eq!(bad.problem()?, "webhook-url-invalid");
        other.call("demo/off").json(&json!({})).send().await?.expect(200)?;
        other.call("demo/two").json(&json!({})).send().await?.expect(200)?;
    }
    assert_eq!(other.get("/consumer").await?.json()?["limits"]["concurrency"], json!({ "max": null, "used": 0 }));
    Ok(())
}

#[tokio::test]
async fn each_api_has_its_own_room_for_each_consumer() -> Test {
    let api = || echo("one").limit("concurrency_per_consumer = 2").limit("daily_per_consumer = 3");
    let host = started(PAUSED, "", [api(), echo("two")]).await?;
    let (first, second) = (host.add_consumer("c1", "1").await?, host.add_consumer("c2", "1").await?);
    let kept = later(&first, "demo/one").accepted().await?;
    let answer = later(&first, "demo/one").send().await?.expect(202)?;
    assert_eq!((said(&answer, "api-concurrency")?, said(&answer, "api-daily")?), ((2, 0, 0), (3, 86_400, 1)));
    assert_eq!(limited(later(&first, "demo/one").send().await?)?.1, "api-concurrency");
    later(&first, "demo/two").send().await?.expect(202)?;
    later(&second, "demo/one").send().await?.expect(202)?;
    for _ in 0..2 {
        let cancelled = first.request(Method::POST, &format!("/requests/{kept}/cancel")).send().await?;
        cancelled.expect(200)?;
    }
    let last = later(&first, "demo/one").accepted().await?;
    first.request(Method::POST, &format!("/requests/{last}/cancel")).send().await?.expect(200)?;
    let (problem, limit, wait) = limited(later(&first, "demo/one").send().await?)?;
    assert_eq!((problem.as_str(), limit.as_str()), ("quota-exceeded", "api-daily"));
    assert!(wait <= 86_400);
    Ok(())
}

#[tokio::test]
async fn a_day_has_its_requests_over_restarts_and_midnight_brings_new_ones() -> Test {
    let clock = Clock::new()?;
    let plugin = Plugin::new("limited", [echo("one").price("0.500000"), echo("two")]);
    let host = at_a_clock(&clock, &format!("{QUICK}[consumers]\ndaily = 3\n"))?.plugin(&plugin).start().await?;
    let consumer = host.add_consumer("c1", "0.7").await?;
    let key = consumer.key().context("a key")?.to_owned();
    let first = later(&consumer, "demo/one").header("idempotency-key", "k").send().await?.expect(202)?;
    assert_eq!(said(&first, "daily")?, (3, 86_400, 2));
    later(&consumer, "demo/one").send().await?.expect(402)?;
    later(&consumer, "demo/one").header("idempotency-key", "k").send().await?.expect(202)?;
    let second = later(&consumer, "demo/two").send().await?.expect(202)?;
    assert_eq!(said(&second, "daily")?, (3, 86_400, 1), "neither a refusal nor a repeat counts");

    let host = host.restart().await?;
    let consumer = host.consumer(&key);
    let shown = consumer.get("/consumer").await?.json()?["limits"]["daily"].clone();
    assert_eq!((&shown["max"], &shown["used"]), (&json!(3), &json!(2)));
    assert!(shown["resetsAt"].as_str().is_some_and(|at| at.ends_with("T00:00:00.000Z")), "{shown}");
    later(&consumer, "demo/two").send().await?.expect(202)?;
    let refused = later(&consumer, "demo/two").send().await?;
    assert_eq!(refused.json()?["resets_at"], shown["resetsAt"]);
    let (problem, limit, wait) = limited(refused)?;
    assert_eq!((problem.as_str(), limit.as_str()), ("quota-exceeded", "daily"));
    assert!(wait <= 86_400);
    let repeat = later(&consumer, "demo/one").header("idempotency-key", "k").send().await?.expect(202)?;
    assert_eq!(repeat.request_id()?, first.request_id()?);

    clock.set("+86400s")?;
    let next = later(&consumer, "demo/two").send().await?.expect(202)?;
    assert_eq!(said(&next, "daily")?, (3, 86_400, 2), "another day");
    Ok(())
}

#[tokio::test]
async fn an_operator_gives_one_consumer_limits_of_its_own_that_outlive_a_restart() -> Test {
    let host = started(PAUSED, "[consumers]\nconcurrency = 1", [echo("one")]).await?;
    let (first, second) = (host.add_consumer("c1", "1").await?, host.add_consumer("c2", "1").await?);
    let set = ["consumers", "limits", "c1", "--concurrency", "2", "--rate", "60/h burst 9", "--daily", "none"];
    let shown = host.cli(&set).await?.expect(0)?.stdout;
    assert!(
        shown.ends_with("rate: 60/h burst 9 (its own)\nconcurrency: 2 (its own)\ndaily: none (its own)\n"),
        "{shown}"
    );
    let host = host.restart().await?;
    let [first, second] = [&first, &second].map(|consumer| host.consumer(consumer.key().unwrap()));
    for (consumer, room) in [(&first, 2), (&second, 1)] {
        for _ in 0..room {
            later(consumer, "demo/one").send().await?.expect(202)?;
        }
        assert_eq!(limited(later(consumer, "demo/one").send().await?)?.0, "concurrency-limited");
    }
    let json = host.cli(&["consumers", "limits", "c1", "--concurrency", "none", "--json"]).await?.expect(0)?.json()?;
    assert_eq!(json["concurrency"], json!({ "own": "none", "holds": "none" }));
    let answer = later(&first, "demo/one").send().await?.expect(202)?;
    assert_eq!(said(&answer, "key")?.0, 60);
    // Three were accepted while there was no limit on the day, and count all the same.
    let one_more = json!({ "daily": 4 });
    host.admin_json(Method::PATCH, "/admin/v1/consumers/c1/limits", &one_more).await?.expect(200)?;
    assert_eq!(said(&later(&first, "demo/one").send().await?.expect(202)?, "daily")?, (4, 86_400, 0));
    assert_eq!(limited(later(&first, "demo/one").send().await?)?.1, "daily");
    let body = json!({ "concurrency": "default", "rate": "default", "daily": 7 });
    let shown = host.admin_json(Method::PATCH, "/admin/v1/consumers/c1/limits", &body).await?.expect(200)?.json()?;
    assert_eq!(shown["concurrency"], json!({ "own": "default", "holds": "1" }));
    assert_eq!(shown["daily"], json!({ "own": "7", "holds": "7" }));
    let (problem, ..) = limited(later(&first, "demo/one").send().await?)?;
    assert_eq!(problem, "concurrency-limited");
    for (name, body, status) in [
        ("nobody", json!({}), 404),
        ("c1", json!({ "rate": "fast" }), 400),
        ("c1", json!({ "concurrency": 0 }), 400),
        ("c1", json!({ "speed": 1 }), 400),
    ] {
        let path = format!("/admin/v1/consumers/{name}/limits");
        host.admin_json(Method::PATCH, &path, &body).await?.expect(status)?;
    }
    Ok(())
}
