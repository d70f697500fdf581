//! When attempts are made: never early, no earlier than the endpoint asks, no later than the consumer wants.

use crate::Test;
use crate::echo::{call, start};
use anyhow::{Context as _, Result};
use ripost_tests::{Api, Consumer, Delivery, Plugin, Reply, Sink, guests, until};
use serde_json::{Value, json};
use std::time::{Duration, UNIX_EPOCH};

/// Clocks of two processes have milliseconds in common and no more.
const ROUNDING: Duration = Duration::from_millis(5);

fn schedule(waits: &str) -> String {
    format!(
        "[delivery]\nschedule = [{waits}]\ndeadline = \"2 s\"\nsweep = \"50 ms\"\nbreaker_failures = 1000\n[runs]\nsweep = \"50 ms\"\n"
    )
}

fn gaps(attempts: &[Delivery]) -> Vec<Duration> {
    attempts.windows(2).map(|pair| pair[1].at.saturating_duration_since(pair[0].at)).collect()
}

#[tokio::test]
async fn attempts_are_never_early_and_end_with_the_schedule() -> Test {
    let waits = [300, 600, 900].map(Duration::from_millis);
    let (_host, consumer, sink) = start(&schedule(r#""0 ms", "300 ms", "600 ms", "900 ms""#)).await?;
    sink.otherwise(Reply::status(500));
    let id = call(&consumer, &sink.url("/")).await?;
    let view = consumer.delivery(&id, "exhausted").await?;
    assert_eq!((&view["delivery"]["attempts"], &view["delivery"]["reason"]), (&json!(4), &json!("schedule")));
    assert_eq!(view["delivery"]["nextAttemptAt"], Value::Null);
    let attempts = sink.of(&id);
    assert_eq!(attempts.len(), 4);
    for (gap, wait) in gaps(&attempts).into_iter().zip(waits) {
        assert!(gap + ROUNDING >= wait, "{gap:?} after a failure instead of {wait:?}");
        assert!(gap < wait * 5 + Duration::from_secs(1), "{gap:?} after a failure instead of {wait:?}");
    }
    let delivery = consumer.delivery_of(&id, "completed").await?;
    let numbers: Vec<_> = delivery["log"].as_array().context("a log")?.iter().map(|entry| &entry["attempt"]).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    Ok(())
}

#[tokio::test]
async fn a_delivery_that_failed_waits_for_its_time_over_a_crash() -> Test {
    let (host, consumer, sink) = start(&schedule(r#""0 ms", "2500 ms""#)).await?;
    sink.script([Reply::status(500)]);
    let id = call(&consumer, &sink.url("/")).await?;
    until("the failure is recorded", Duration::from_secs(5), async || {
        Ok((consumer.view(&id).await?["delivery"]["lastStatus"] == 500).then_some(()))
    })
    .await?;
    let host = host.restart().await?;
    let consumer = host.consumer(consumer.key().context("a key")?);
    let attempts = sink.wait(&id, 2).await?;
    let waited = gaps(&attempts)[0];
    assert!(waited + ROUNDING >= Duration::from_millis(2500), "{waited:?}");
    assert_eq!(attempts[0].id(), attempts[1].id());
    consumer.delivery(&id, "delivered").await?;
    Ok(())
}

#[tokio::test]
async fn retry_after_in_seconds_is_a_floor_for_every_failure_that_says_it() -> Test {
    let (_host, consumer, sink) = start(crate::QUICK).await?;
    for status in [429, 500, 503] {
        sink.script([Reply::status(status).header("retry-after", "2")]);
        let id = call(&consumer, &sink.url("/")).await?;
        let waited = gaps(&sink.wait(&id, 2).await?)[0];
        assert!(waited + ROUNDING >= Duration::from_secs(2), "{status}: {waited:?}");
    }
    Ok(())
}

#[tokio::test]
async fn retry_after_as_a_date_is_a_floor_too() -> Test {
    let (_host, consumer, sink) = start(crate::QUICK).await?;
    #[expect(clippy::disallowed_methods, reason = "the date is one that the host compares with its clock")]
    let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH)?;
    let until_s = now.as_secs() + 3;
    sink.script([Reply::status(503).header("retry-after", &http_date(until_s))]);
    let id = call(&consumer, &sink.url("/")).await?;
    let attempts = sink.wait(&id, 2).await?;
    let sent_s: u64 = attempts[1].header("webhook-timestamp").parse()?;
    assert!(sent_s >= until_s, "sent at {sent_s}, not before {until_s} was asked for");
    Ok(())
}

#[tokio::test]
async fn retry_after_makes_nothing_earlier_and_nonsense_is_none() -> Test {
    let (_host, consumer, sink) = start(&schedule(r#""0 ms", "700 ms""#)).await?;
    for text in ["0", "-5", "soon", "", "1e9", "Thu, 01 Jan 1970 00:00:00 GMT"] {
        sink.script([Reply::status(503).header("retry-after", text)]);
        let id = call(&consumer, &sink.url("/")).await?;
        let waited = gaps(&sink.wait(&id, 2).await?)[0];
        assert!(waited + ROUNDING >= Duration::from_millis(700), "`{text}`: {waited:?}");
        consumer.delivery(&id, "delivered").await?;
    }
    Ok(())
}

async fn call_with_max_age(consumer: &Consumer, sink: &Sink, max_age: &str) -> Result<ripost_tests::Answer> {
    let call = consumer.call("demo/echo").json(&json!({ "n": 1, "webhook_url": sink.url("/") }));
    call.header("ripost-retry-max-age", max_age).send().await
}

#[tokio::test]
async fn a_consumer_can_bound_how_long_it_is_tried() -> Test {
    let (_host, consumer, sink) = start(&schedule(r#""0 ms", "100 ms", "30 s", "1 m""#)).await?;
    sink.otherwise(Reply::status(500));
    for max_age in ["2", "2 s"] {
        let id = call_with_max_age(&consumer, &sink, max_age).await?.expect(202)?.request_id()?;
        let view = consumer.delivery(&id, "exhausted").await?;
        assert_eq!((&view["delivery"]["attempts"], &view["delivery"]["reason"]), (&json!(2), &json!("max-age")));
        assert_eq!(view["status"], "completed", "the request itself is not in doubt");
    }
    // Without it, and with one that is long enough, the third attempt is waited for.
    let without = call(&consumer, &sink.url("/")).await?;
    let long = call_with_max_age(&consumer, &sink, "2 h").await?.expect(202)?.request_id()?;
    for id in [without, long] {
        sink.wait(&id, 2).await?;
        let view = until("the second failure", Duration::from_secs(5), async || {
            let view = consumer.view(&id).await?;
            Ok((view["delivery"]["attempts"] == 2 && view["delivery"]["state"] == "pending").then_some(view))
        })
        .await?;
        assert!(view["delivery"]["nextAttemptAt"].is_string(), "{view}");
        assert!(view["delivery"].get("reason").is_none_or(Value::is_null), "{view}");
    }
    Ok(())
}

#[tokio::test]
async fn a_bound_that_is_no_time_is_refused_and_nothing_is_accepted() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    for wrong in ["soon", "-1", "1.5", "2 parsecs", "99999999999999999999", "0x10"] {
        let answer = call_with_max_age(&consumer, &sink, wrong).await?.expect(422).context(wrong)?;
        answer.problem()?;
    }
    assert_eq!(ripost_tests::audit::count(host.data(), "requests")?, 0);
    assert_eq!(sink.count(), 0);
    Ok(())
}

#[tokio::test]
async fn an_api_can_have_a_schedule_of_its_own() -> Test {
    let apis = [
        Api::new("demo", "own", guests::echo()).line(r#"retry = { schedule = ["0 ms", "20 ms"] }"#),
        Api::new("demo", "usual", guests::echo()),
    ];
    let host = crate::host().plugin(&Plugin::new("both", apis)).start().await?;
    let (consumer, sink) = (host.demo(), Sink::start().await?);
    sink.otherwise(Reply::status(500));
    for (api, attempts) in [("demo/own", 2), ("demo/usual", 3)] {
        let id = consumer.call(api).json(&json!({ "webhook_url": sink.url("/") })).accepted().await?;
        let view = consumer.delivery(&id, "exhausted").await?;
        assert_eq!(view["delivery"]["attempts"], attempts, "{api}");
    }
    Ok(())
}

#[tokio::test]
async fn a_schedule_that_cannot_be_used_refuses_the_plugin_and_says_why() -> Test {
    let host = crate::host().start().await?;
    for (number, schedule) in [r#"["soon"]"#, "[]", r#"["0 s", "25 h"]"#].into_iter().enumerate() {
        let name = format!("bad{number}");
        let line = format!("retry = {{ schedule = {schedule} }}");
        let api = Api::new("demo", &name, guests::echo()).line(&line);
        Plugin::new(&name, [api]).install(host.stage(), host.plugins())?;
        let reason = until(&format!("a reason for {schedule}"), Duration::from_secs(10), async || {
            let status = host.cli(&["status", "--json"]).await?.expect(0)?.json()?;
            let plugins = status["plugins"].as_array().cloned().unwrap_or_default();
            let found = plugins.into_iter().find(|plugin| plugin["key"] == *name);
            Ok(found.and_then(|plugin| plugin["reason"].as_str().map(str::to_owned)))
        })
        .await?;
        assert!(reason.contains("retry") || reason.contains("schedule"), "{reason}");
        host.demo().call(&format!("demo/{name}")).json(&json!({})).send().await?.expect(404)?;
    }
    Ok(())
}

#[tokio::test]
async fn an_attempt_that_the_hosts_own_end_broke_off_is_not_counted() -> Test {
    let config = format!("{}[shutdown]\ngrace = \"300 ms\"\n", schedule(r#""0 ms""#).replace("2 s", "10 s"));
    let (host, consumer, sink) = start(&config).await?;
    // By the time this answers, the host has stopped.
    sink.script([Reply::status(200).after(Duration::from_secs(5))]);
    let id = call(&consumer, &sink.url("/")).await?;
    sink.first(&id).await?;
    let stopped = host.sigterm().await?;
    assert_eq!(stopped.status.code(), Some(0));
    let host = stopped.start().await?;
    let consumer = host.consumer(consumer.key().context("a key")?);
    let view = consumer.delivery_ended(&id, Duration::from_secs(20)).await?;
    assert_eq!(view["delivery"]["state"], "delivered", "the only attempt of the schedule was not used up: {view}");
    let attempts = sink.of(&id);
    assert_eq!(attempts[0].id(), attempts[1].id());
    assert_eq!(attempts[0].body, attempts[1].body);
    Ok(())
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` of seconds since 1970.
fn http_date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (mut day, second) = (seconds / 86_400, seconds % 86_400);
    let weekday = DAYS[usize::try_from(day % 7).unwrap()];
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday}, {:02} {} {year} {hour:02}:{minute:02}:{second:02} GMT", day + 1, MONTHS[month])
}

#[test]
fn dates_are_written_as_http_has_them() {
    assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(http_date(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
}
