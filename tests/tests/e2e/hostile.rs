//! Endpoints that do what no endpoint should: each attempt ends in time, says why, costs no memory to speak of, and
//! harms no neighbour.

use crate::Test;
use crate::echo::{call, only_attempt, start};
use anyhow::{Context as _, Result, ensure};
use ripost_tests::{Consumer, Hostile, Mode, Sink, until};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// One attempt each, and its time is over soon. The breaker is not what is looked at here.
const ONE_TRY: &str = r#"
[delivery]
schedule = ["0 ms"]
deadline = "1 s"
sweep = "50 ms"
in_flight_per_host = 1024
breaker_failures = 1000
[runs]
sweep = "50 ms"
"#;
/// Five times the deadline.
const ATTEMPT_MAX_MS: u64 = 5_000;
/// Requests whose webhooks each hostile endpoint gets.
const CALLS: usize = 4;
const GROWTH_MAX_KIB: u64 = 64 << 10;

/// What may be said of an attempt: classes of which one fits, or none because it was delivered.
type Expected = (&'static str, &'static [&'static str]);

const DELIVERED: Expected = ("delivered", &[]);

const fn exhausted(classes: &'static [&'static str]) -> Expected {
    ("exhausted", classes)
}

fn cases() -> Vec<(Mode, Expected)> {
    let often = Duration::from_millis(20);
    let answers = |status| Mode::Answers(status, String::new());
    let (late, silent_body) = (exhausted(&["answer-timeout"]), exhausted(&["body-timeout"]));
    let (closed, protocol) = (exhausted(&["connection-closed"]), exhausted(&["protocol"]));
    vec![
        (Mode::NeverReads, late),
        // Whether it is reset while it is opened or after is a matter of microseconds.
        (Mode::ResetAtOnce, exhausted(&["connection-closed", "unreachable"])),
        (Mode::Hangs, late),
        (Mode::Closes, closed),
        (Mode::ResetsAfterRequest, closed),
        (Mode::HalfHead, late),
        (Mode::HeadThenSilence, silent_body),
        (Mode::DripsHead(often), late),
        (Mode::DripsBody(often), silent_body),
        // Its status is what counts; nobody reads on.
        (Mode::EndlessBody, DELIVERED),
        (Mode::EndlessChunks, DELIVERED),
        (Mode::GzipBomb, DELIVERED),
        (Mode::EndlessChunkExtension, exhausted(&["protocol", "body-cut"])),
        (Mode::EndlessTrailers, exhausted(&["protocol", "body-cut"])),
        (Mode::Headers(100_000), protocol),
        (Mode::EndlessHeader, protocol),
        (Mode::InterimFlood, protocol),
        (Mode::Garbage, protocol),
        (Mode::TwoLengths, protocol),
        (Mode::CutShort, exhausted(&["body-cut"])),
        (Mode::ResetsInBody, exhausted(&["body-cut", "connection-closed"])),
        (Mode::RedirectsTo("http://127.0.0.1:1/".to_owned()), exhausted(&["redirect"])),
        (answers(400), exhausted(&["status"])),
        (answers(404), exhausted(&["status"])),
        (answers(500), exhausted(&["status"])),
        (answers(599), exhausted(&["status"])),
    ]
}

/// Calls and waits for each webhook until told to stop; how many came, and the slowest.
async fn neighbour(consumer: Consumer, stop: Arc<AtomicBool>) -> Result<(usize, Duration)> {
    let sink = Sink::start().await?;
    let (mut count, mut slowest) = (0, Duration::ZERO);
    while !stop.load(Ordering::Acquire) {
        let started = Instant::now();
        let id = call(&consumer, &sink.url("/")).await?;
        while sink.of(&id).is_empty() {
            ensure!(started.elapsed() < Duration::from_secs(10), "a healthy neighbour's webhook does not come");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        slowest = slowest.max(started.elapsed());
        count += 1;
    }
    Ok((count, slowest))
}

#[tokio::test]
async fn whatever_an_endpoint_does_its_attempt_ends_in_time_with_a_reason_and_harms_nobody() -> Test {
    let (host, consumer, _sink) = start(ONE_TRY).await?;
    let healthy = host.add_consumer("healthy", "1").await?;
    // What is allocated once is there before the memory is looked at.
    let warm = Sink::start().await?;
    for _ in 0..50 {
        let id = call(&healthy, &warm.url("/")).await?;
        warm.first(&id).await?;
    }
    let before = host.rss_kib()?;

    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    // A thread of its own: what is asked of the endpoints meanwhile must not slow it down.
    // And connections of its own: this thread, which drives those of `healthy`, waits for it in the end.
    let healthy = Consumer::new(host.url(), healthy.key());
    let neighbour = std::thread::spawn(move || -> Result<(usize, Duration)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(neighbour(healthy, told))
    });
    let mut under_way = Vec::new();
    for (mode, expected) in cases() {
        let endpoint = Hostile::start(mode.clone()).await?;
        let mut ids = Vec::new();
        for _ in 0..CALLS {
            ids.push(call(&consumer, &endpoint.url("/hook")).await?);
        }
        under_way.push((mode, expected, endpoint, ids));
    }
    let mut most = before;
    for (mode, (state, classes), endpoint, ids) in &under_way {
        for id in ids {
            let view = until(&format!("the end of {mode:?}"), Duration::from_secs(30), async || {
                most = most.max(host.rss_kib()?);
                let view = consumer.view(id).await?;
                let state = view["delivery"]["state"].as_str();
                Ok(matches!(state, Some("delivered" | "exhausted" | "abandoned")).then_some(view))
            })
            .await?;
            let delivery = consumer.delivery_of(id, "completed").await?;
            assert_eq!(view["delivery"]["state"], *state, "{mode:?}: {delivery}");
            let attempt = only_attempt(&delivery)?;
            match attempt["errorClass"].as_str() {
                None => assert!(classes.is_empty(), "{mode:?} is a failure: {delivery}"),
                Some(class) => assert!(classes.contains(&class), "{mode:?} is `{class}`: {delivery}"),
            }
            let reason = (*state == "exhausted").then_some("schedule");
            assert_eq!(delivery["reason"].as_str(), reason, "{mode:?}: {delivery}");
            let took = attempt["durationMs"].as_u64().context("durationMs")?;
            assert!(took < ATTEMPT_MAX_MS, "{mode:?} took {took} ms");
            let excerpt = attempt["excerpt"].as_str().map_or(0, str::len);
            // 16 KiB, and what replaces bytes that are no text.
            assert!(excerpt <= 3 * (16 << 10), "{mode:?}: {excerpt} bytes are kept");
        }
        // A second reader may hold the same connection for a moment.
        if *mode != Mode::NeverReads {
            let what = format!("{mode:?} is hung up on");
            until(&what, Duration::from_secs(5), async || Ok((endpoint.open() == 0).then_some(()))).await?;
        }
        // Socket buffers of both sides are several MiB on some machines; without a bound it is 64 MiB each.
        let taken = endpoint.bytes() / CALLS as u64;
        assert!(taken < 32 << 20, "{mode:?}: {taken} bytes were taken of each connection");
    }
    stop.store(true, Ordering::Release);
    let (count, slowest) = neighbour.join().map_err(|_| anyhow::anyhow!("the neighbour panicked"))??;
    assert!(count >= 10, "the neighbour got {count} webhooks only");
    assert!(slowest < Duration::from_secs(2), "the neighbour waited {slowest:?}");
    let growth = most.saturating_sub(before);
    assert!(growth < GROWTH_MAX_KIB, "the host grew by {growth} KiB, from {before}");
    Ok(())
}

#[tokio::test]
async fn many_floods_at_once_cost_no_memory_to_speak_of() -> Test {
    let (host, consumer, sink) = start(ONE_TRY).await?;
    let id = call(&consumer, &sink.url("/")).await?;
    sink.first(&id).await?;
    let mut before = None;
    let mut most = 0;
    // The first round is for what is allocated once.
    for round in 0..3 {
        let mut endpoints = Vec::new();
        let mut ids = Vec::new();
        for mode in [Mode::EndlessBody, Mode::EndlessHeader, Mode::InterimFlood, Mode::Headers(100_000), Mode::GzipBomb]
        {
            for _ in 0..6 {
                let endpoint = Hostile::start(mode.clone()).await?;
                for _ in 0..4 {
                    ids.push(call(&consumer, &endpoint.url("/")).await?);
                }
                endpoints.push(endpoint);
            }
        }
        for id in &ids {
            most = most.max(host.rss_kib()?);
            consumer.delivery_ended(id, Duration::from_secs(30)).await?;
        }
        if round == 0 {
            before = Some(host.rss_kib()?);
            most = 0;
        }
    }
    let before = before.context("a first round")?;
    let growth = most.saturating_sub(before);
    assert!(growth < GROWTH_MAX_KIB, "the host grew by {growth} KiB, from {before}");
    Ok(())
}

#[tokio::test]
async fn where_a_redirect_wanted_to_go_is_shown_and_nobody_goes_there() -> Test {
    let (_host, consumer, elsewhere) = start(ONE_TRY).await?;
    let endpoint = Hostile::start(Mode::RedirectsTo(elsewhere.url("/final"))).await?;
    let id = call(&consumer, &endpoint.url("/")).await?;
    let view = consumer.delivery(&id, "exhausted").await?;
    assert_eq!((&view["delivery"]["lastStatus"], &view["delivery"]["reason"]), (&301.into(), &"schedule".into()));
    let delivery = consumer.delivery_of(&id, "completed").await?;
    let attempt = only_attempt(&delivery)?;
    assert_eq!((&attempt["status"], &attempt["errorClass"]), (&301.into(), &"redirect".into()));
    let detail = attempt["errorDetail"].as_str().context("a detail")?;
    assert!(detail.contains(&elsewhere.url("/final")), "{detail}");
    assert_eq!(elsewhere.connections(), 0);
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_a_class_of_its_own_without_an_excerpt() -> Test {
    let (_host, consumer, sink) = start(ONE_TRY).await?;
    let url = sink.url("/");
    drop(sink);
    let id = call(&consumer, &url).await?;
    consumer.delivery(&id, "exhausted").await?;
    let delivery = consumer.delivery_of(&id, "completed").await?;
    let attempt = only_attempt(&delivery)?;
    let class = attempt["errorClass"].as_str().context("a class")?;
    assert!(["connect-refused", "unreachable"].contains(&class), "{attempt}");
    assert!(attempt["status"].is_null() && attempt["excerpt"].as_str().unwrap_or_default().is_empty(), "{attempt}");
    let phases = &attempt["phases"];
    assert!(phases["firstByteMs"].is_null() && phases["bodyMs"].is_null() && phases["tlsMs"].is_null(), "{attempt}");
    Ok(())
}
