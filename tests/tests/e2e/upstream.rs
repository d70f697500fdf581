//! Owners' own services: what they are sent, how they answer, and who may call back.

use crate::{QUICK, Test};
use anyhow::{Context as _, Result};
use http::Method;
use ripost_domain::signature::{self, Secret};
use ripost_tests::guests::{self, transforms::Kind};
use ripost_tests::peers::{Program, Receiver};
use ripost_tests::{Answer, Consumer, Delivery, Host, HostBuilder, Plugin, Reply, Sink, until};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinSet;

const PRICE: &str = "0.050000";
const MICROS: i64 = 50_000;
/// What the demo consumer has.
const BALANCE: i64 = 1_000_000_000_000;

/// A plugin whose API `demo/up` is this service.
pub(crate) fn plugin(url: &str, lines: &str) -> Plugin {
    let manifest = format!(
        "[plugin]\nname = \"up\"\nversion = \"1\"\n\n[[api]]\nowner = \"demo\"\nslug = \"up\"\nupstream = \"{url}\"\nprice = \"{PRICE}\"\n{lines}\n"
    );
    Plugin::new("up", []).with_manifest(|_| manifest)
}

pub(crate) fn host(url: &str, lines: &str) -> HostBuilder {
    Host::builder().dev().show_log().config(QUICK).plugin(&plugin(url, lines))
}

/// The path of the callback URL that a forwarded request came with.
pub(crate) fn callback(host: &Host, forwarded: &Delivery) -> Result<String> {
    let url = forwarded.header("ripost-callback-url");
    let path = url.strip_prefix(host.url()).with_context(|| format!("{url:?} does not begin with {}", host.url()))?;
    Ok(path.to_owned())
}

/// Posts as an owner's service does: with nothing but the URL.
async fn post(host: &Host, path: &str, headers: &[(&str, &str)], kind: &str, body: &str) -> Result<Answer> {
    let service = Consumer::new(host.url(), None);
    let mut call = service.request(Method::POST, path);
    for (name, value) in headers {
        call = call.header(name, value);
    }
    call.raw(kind, body.to_owned()).send().await
}

pub(crate) async fn result(host: &Host, path: &str, body: &str) -> Result<Answer> {
    post(host, path, &[], "application/json", body).await
}

pub(crate) async fn awaits(consumer: &Consumer, id: &str) -> Test {
    until("the acknowledgement", Duration::from_secs(10), async || {
        Ok((consumer.view(id).await?["status"] == "awaiting_callback").then_some(()))
    })
    .await
}

#[tokio::test]
async fn an_upstream_that_answers_at_once_is_sent_all_that_it_needs_and_nothing_of_the_consumer() -> Test {
    let (service, hook) = (Sink::start().await?, Sink::start().await?);
    service.script([Reply::status(200)
        .header("content-type", "application/json")
        .header("set-cookie", "a=b")
        .body(r#"{"made":1}"#)]);
    let host = host(&service.url("/process?k=1"), "").start().await?;
    let consumer = host.demo();
    let hook_url = hook.url("/hook");
    let call = consumer.request(Method::POST, "/api/demo/api/up/deep/path?q=2").header("x-mine", "kept");
    let call = call.header("cookie", "secret=1").header("webhook-id", "forged").header("ripost-attempt", "9");
    let id = call.json(&json!({ "action": "make", "webhook_url": hook_url })).accepted().await?;
    let ended = consumer.ended(&id).await?;
    assert_eq!((&ended["status"], &ended["result"]), (&json!("completed"), &json!({ "made": 1 })), "{ended}");
    assert_eq!(ended["settlement"]["state"], "captured");
    let forwarded = service.first(&id).await?;
    assert_eq!((forwarded.method.as_str(), forwarded.path.as_str()), ("POST", "/process/deep/path?k=1&q=2"));
    let url = forwarded.header("ripost-callback-url").to_owned();
    assert_eq!(forwarded.json()?, json!({ "action": "make", "webhook_url": url }));
    assert!(url.starts_with(&format!("{}/callbacks/{id}.1.", host.url())), "{url}");
    assert_eq!((forwarded.header("x-mine"), forwarded.header("ripost-attempt")), ("kept", "1"));
    assert!(forwarded.header("traceparent").starts_with("00-"), "{forwarded:?}");
    for absent in ["cookie", "x-consumer-key"] {
        assert_eq!(forwarded.header(absent), "", "{absent}");
    }
    let seen = format!("{:?} {:?}", forwarded.headers, forwarded.body);
    assert!(!seen.contains(&hook_url) && !seen.contains("demo-public-key"), "{seen}");
    // Signed, so that the owner knows who calls.
    let secret = host.cli(&["upstream", "secret", "demo"]).await?.expect(0)?.stdout;
    let secret = Secret::parse(secret.trim())?;
    let seconds: i64 = forwarded.header("webhook-timestamp").parse()?;
    assert_eq!(forwarded.id(), id);
    let expected = signature::sign_v1(&[&secret], &id, seconds, &forwarded.body);
    assert_eq!(forwarded.header("webhook-signature"), expected);
    // And the consumer sees nothing of the owner's network.
    let webhook = hook.first(&id).await?;
    let address = service.address().to_string();
    assert!(!String::from_utf8_lossy(&webhook.body).contains(&address));
    let raw = consumer.get(&format!("/requests/{id}/result")).await?.expect(200)?;
    assert_eq!((raw.header("set-cookie"), raw.header("content-type")), (None, Some("application/json")));
    // There is nothing left to call back.
    let late = result(&host, &callback(&host, &forwarded)?, "{}").await?.expect(409)?;
    assert_eq!(late.problem()?, "callback-conflict");
    Ok(())
}

#[tokio::test]
async fn what_an_answer_without_a_body_means_depends_on_the_method() -> Test {
    let service = Sink::start().await?;
    let host = host(&service.url("/process"), "").start().await?;
    let consumer = host.demo();
    let call = |method: &str| {
        let method = Method::from_bytes(method.as_bytes()).unwrap_or_default();
        consumer.request(method, "/api/demo/api/up/x").header("prefer", "wait=5").send()
    };
    let mut captured = 0;
    for (method, status, length) in [
        ("HEAD", 200, Some("5120")),
        ("HEAD", 202, None),
        ("HEAD", 204, None),
        ("GET", 200, Some("0")),
        ("GET", 204, None),
        ("PUT", 204, None),
        ("PUT", 201, Some("0")),
        ("DELETE", 204, None),
        ("DELETE", 200, Some("0")),
    ] {
        let reply = Reply::status(status);
        service.otherwise(if let Some(length) = length { reply.header("content-length", length) } else { reply });
        let answer = call(method).await?;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (status, &b""[..]), "{method} {status}");
        assert_eq!(answer.header("content-length"), length, "{method} {status}");
        captured += MICROS;
        assert_eq!(consumer.balances().await?, (BALANCE - captured, 0), "{method} {status}");
        // Kept with the request, where the body's length is that of what is there.
        let id = answer.header("ripost-request-id").context("the request's id")?;
        let kept = consumer.get(&format!("/requests/{id}/result")).await?.expect(status)?;
        assert_ne!(kept.header("content-length"), Some("5120"));
    }
    for (method, status) in [("POST", 204), ("POST", 200), ("PATCH", 204), ("PUT", 202), ("DELETE", 202), ("GET", 202)]
    {
        service.otherwise(Reply::status(status));
        let method = Method::from_bytes(method.as_bytes())?;
        let call = consumer.request(method, "/api/demo/api/up").header("prefer", "respond-async");
        let id = call.send().await?.expect(202)?.request_id()?;
        awaits(&consumer, &id).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_repeated_head_has_the_same_length() -> Test {
    let service = Sink::start().await?;
    service.otherwise(Reply::status(200).header("content-length", "5120"));
    let host = host(&service.url("/process"), "").start().await?;
    let consumer = host.demo();
    for _ in 0..2 {
        let call = consumer.request(Method::HEAD, "/api/demo/api/up").header("idempotency-key", "once");
        let answer = call.header("prefer", "wait=5").send().await?.expect(200)?;
        assert_eq!(answer.header("content-length"), Some("5120"));
    }
    assert_eq!(service.count(), 1);
    Ok(())
}

#[tokio::test]
async fn a_callback_that_is_json_is_read_as_json_whatever_curl_calls_it() -> Test {
    let service = Sink::start().await?;
    service.otherwise(Reply::status(202));
    let host = host(&service.url("/"), "").start().await?;
    let consumer = host.demo();
    let form = "application/x-www-form-urlencoded";
    for (kind, body, read, kept) in [
        (Some(form), r#"{"report":"a=b"}"#, json!({ "report": "a=b" }), Some("application/json")),
        (None, "[1]", json!([1]), Some("application/json")),
        (None, "plain", json!("plain"), None),
        (Some(form), "a=b", json!(null), Some(form)),
    ] {
        let id = consumer.call("demo/up").header("prefer", "respond-async").json(&json!({})).accepted().await?;
        let path = callback(&host, &service.first(&id).await?)?;
        let kind = kind.map_or_else(String::new, |kind| format!("content-type: {kind}\r\n"));
        let length = body.len();
        let post = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{kind}content-length: {length}\r\n\r\n{body}"
        );
        let answer = ripost_tests::wire::exchange(host.url(), post.as_bytes()).await?;
        assert!(answer.contains(" 200 "), "{answer}");
        let ended = consumer.ended(&id).await?;
        assert_eq!(ended["result"], read, "{kind}{body}: {ended}");
        let raw = consumer.get(&format!("/requests/{id}/result")).await?.expect(200)?;
        assert_eq!((raw.header("content-type"), &raw.body[..]), (kept, body.as_bytes()));
    }
    Ok(())
}

#[tokio::test]
async fn a_kept_connection_that_is_dead_costs_neither_an_attempt_nor_the_request() -> Test {
    let service = Sink::start().await?;
    service.script([Reply::status(200).body("1"), Reply::reset(), Reply::status(200).body("2")]);
    let host = host(&service.url("/"), "max_attempts = 1").start().await?;
    let consumer = host.demo();
    let call = || consumer.call("demo/up").header("prefer", "wait=10").json(&json!({})).send();
    call().await?.expect(200)?;
    let second = call().await?.expect(200)?;
    assert_eq!(&second.body[..], b"2");
    let id = second.header("ripost-request-id").context("the request's id")?;
    let sent = service.of(id);
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!((sent[0].header("ripost-attempt"), sent[1].header("ripost-attempt")), ("1", "1"));
    assert_eq!((sent[0].header("webhook-id"), &sent[0].body), (sent[1].header("webhook-id"), &sent[1].body));
    assert!(sent[0].connection == 0 && sent[1].connection == 1, "{sent:?}");
    // Its owner can see it.
    let runs = host.admin(Method::GET, &format!("/admin/v1/requests/{id}/runs")).await?.json()?;
    assert!(runs.to_string().contains("sent again on a new one"), "{runs}");
    Ok(())
}

#[tokio::test]
async fn a_result_that_comes_later_ends_the_request_once() -> Test {
    let (service, hook) = (Sink::start().await?, Sink::start().await?);
    service.otherwise(Reply::status(202).body(r#"{"queued":true}"#));
    let host = host(&service.url("/process"), "").start().await?;
    let consumer = host.demo();
    let id = consumer.call("demo/up").json(&json!({ "a": 1, "webhook_url": hook.url("/hook") })).accepted().await?;
    let path = callback(&host, &service.first(&id).await?)?;
    awaits(&consumer, &id).await?;
    assert_eq!(consumer.balances().await?, (BALANCE - MICROS, MICROS));

    post(&host, &path, &[("ripost-progress", "40")], "text/plain", "").await?.expect(200)?;
    let view = consumer.view(&id).await?;
    assert_eq!(view["progress"]["percent"], 40, "{view}");
    result(&host, &format!("{path}/progress"), r#"{"progress":70,"message":"nearly"}"#).await?.expect(200)?;
    let view = consumer.view(&id).await?;
    assert_eq!(view["progress"], json!({ "percent": 70, "message": "nearly" }), "{view}");

    let waiting = consumer.view(&id).await?;
    assert_eq!(waiting["status"], "awaiting_callback");
    let done = result(&host, &path, r#"{"report":"r"}"#).await?.expect(200)?.json()?;
    assert_eq!(done["status"], "completed");
    let ended = consumer.ended(&id).await?;
    assert_eq!((&ended["result"], &ended["settlement"]["state"]), (&json!({ "report": "r" }), &json!("captured")));
    assert_eq!(hook.first(&id).await?.json()?["result"], json!({ "report": "r" }));
    // The same again is welcome, another is not, and nothing changes.
    result(&host, &path, r#"{"report":"r"}"#).await?.expect(200)?;
    assert_eq!(result(&host, &path, r#"{"report":"x"}"#).await?.expect(409)?.problem()?, "callback-conflict");
    let wrong_kind = post(&host, &path, &[], "text/plain", r#"{"report":"r"}"#).await?;
    assert_eq!(wrong_kind.status, 409);
    post(&host, &path, &[("ripost-progress", "90")], "text/plain", "").await?.expect(409)?;
    assert_eq!(consumer.ended(&id).await?["result"], json!({ "report": "r" }));
    assert_eq!((service.count(), hook.count()), (1, 1));
    assert_eq!(consumer.balances().await?, (BALANCE - MICROS, 0));
    Ok(())
}

#[tokio::test]
async fn a_failure_can_be_posted_too_and_gives_the_hold_back() -> Test {
    let service = Sink::start().await?;
    service.otherwise(Reply::status(204));
    let host = host(&service.url("/"), "").start().await?;
    let consumer = host.demo();
    for (headers, kind, body, settled) in [
        (&[("ripost-status", "422")][..], "application/json", r#"{"why":"no such format"}"#, "failed"),
        (&[], "application/problem+json", r#"{"type":"about:blank","status":500}"#, "failed"),
        (&[("ripost-status", "503")], "text/plain", "busy", "failed"),
        (&[("ripost-status", "201")], "text/csv", "a,b", "completed"),
    ] {
        let id = consumer.call("demo/up").header("prefer", "respond-async").json(&json!({})).accepted().await?;
        let path = callback(&host, &service.first(&id).await?)?;
        let posted = post(&host, &path, headers, kind, body).await?.expect(200)?.json()?;
        assert_eq!(posted["status"], settled, "{kind} {headers:?}");
        let ended = consumer.ended(&id).await?;
        assert_eq!(ended["status"], settled, "{ended}");
        let raw = consumer.get(&format!("/requests/{id}/result")).await?;
        assert_eq!((raw.header("content-type"), &raw.body[..]), (Some(kind), body.as_bytes()));
    }
    assert_eq!(consumer.balances().await?, (BALANCE - MICROS, 0), "one of them was a result");
    assert_eq!(service.count(), 4, "what was taken is never forwarded again");
    Ok(())
}

#[tokio::test]
async fn a_callback_url_is_good_for_its_request_alone() -> Test {
    let service = Sink::start().await?;
    service.otherwise(Reply::status(202));
    let host = host(&service.url("/"), "limits = { response_body = \"16 KiB\" }").start().await?;
    let consumer = host.demo();
    let mut paths = Vec::new();
    for _ in 0..2 {
        let id = consumer.call("demo/up").header("prefer", "respond-async").json(&json!({})).accepted().await?;
        paths.push(callback(&host, &service.first(&id).await?)?);
        awaits(&consumer, &id).await?;
    }
    let part = |path: &str, index: usize| path.split('.').nth(index).unwrap_or_default().to_owned();
    let (first, second) = (&paths[0], &paths[1]);
    let mut answers = Vec::new();
    for forged in [
        format!("{}.1.{}", part(first, 0), part(second, 2)),
        format!("{}.2.{}", part(first, 0), part(first, 2)),
        format!("{}.1.{}", "/callbacks/req_01jd6g0000e0g0g0g0g0g0g0g0", part(first, 2)),
        format!("{first}x"),
        "/callbacks/".to_owned(),
        "/callbacks/x/progress".to_owned(),
    ] {
        let answer = result(&host, &forged, "{}").await?;
        answers.push((answer.status.as_u16(), String::from_utf8(answer.body.to_vec())?));
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0] && answer.0 == 404),
        "all are one and the same: {answers:?}"
    );
    let read = Consumer::new(host.url(), None).get(first).await?;
    assert_eq!(read.status, 405, "it cannot be read");
    result(&host, first, "{broken").await?.expect(400)?;
    post(&host, first, &[("ripost-status", "700")], "text/plain", "").await?.expect(422)?;
    let large = "x".repeat(17 << 10);
    post(&host, first, &[], "text/plain", &large).await?.expect(413)?;
    for path in &paths {
        result(&host, path, "{}").await?.expect(200)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_body_over_its_limit_is_told_so_and_not_cut_off() -> Test {
    let service = Sink::start().await?;
    service.otherwise(Reply::status(202));
    let host = host(&service.url("/"), "").start().await?;
    let id = host.demo().call("demo/up").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    let path = callback(&host, &service.first(&id).await?)?;
    awaits(&host.demo(), &id).await?;
    // More than any buffer on the way has room for: it is still being sent when the answer is known.
    let large = "x".repeat(12 << 20);
    for _ in 0..10 {
        assert_eq!(post(&host, &path, &[], "text/plain", &large).await?.expect(413)?.problem()?, "body-too-large");
        assert_eq!(post(&host, &format!("{path}/progress"), &[], "text/plain", &large).await?.status, 413);
        let call = host.demo().call("demo/up").raw("text/plain", large.clone()).send().await?.expect(413)?;
        assert_eq!(call.problem()?, "body-too-large");
        host.demo().call("demo/nothing").raw("text/plain", large.clone()).send().await?.expect(404)?;
    }
    result(&host, &path, "{}").await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn a_callback_may_be_quicker_than_the_acknowledgement_and_the_later_answer_counts_for_nothing() -> Test {
    let service = Sink::start().await?;
    service.script([
        Reply::status(202).after(Duration::from_millis(700)),
        Reply::status(200).body("too late").after(Duration::from_millis(700)),
    ]);
    let host = host(&service.url("/"), "").start().await?;
    let consumer = host.demo();
    for _ in 0..2 {
        let id = consumer.call("demo/up").header("prefer", "respond-async").json(&json!({})).accepted().await?;
        let path = callback(&host, &service.first(&id).await?)?;
        result(&host, &path, r#"{"first":true}"#).await?.expect(200)?;
        assert_eq!(consumer.ended(&id).await?["result"], json!({ "first": true }));
        host.logged(&format!("Ended request {id}")).await?;
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert_eq!(consumer.view(&id).await?["result"], json!({ "first": true }));
    }
    assert_eq!(service.count(), 2);
    assert_eq!(consumer.balances().await?, (BALANCE - 2 * MICROS, 0));
    Ok(())
}

#[tokio::test]
async fn of_many_results_at_once_one_counts() -> Test {
    let (service, hook) = (Sink::start().await?, Sink::start().await?);
    service.otherwise(Reply::status(202));
    let host = host(&service.url("/"), "").start().await?;
    let consumer = host.demo();
    let id = consumer.call("demo/up").json(&json!({ "webhook_url": hook.url("/hook") })).accepted().await?;
    let path = callback(&host, &service.first(&id).await?)?;
    let mut racers = JoinSet::new();
    for number in 0..32 {
        let (path, base) = (path.clone(), host.url().to_owned());
        racers.spawn(async move {
            let body = format!("{{\"winner\":{}}}", number % 16);
            let service = Consumer::new(&base, None);
            let answer = service.request(Method::POST, &path).raw("application/json", body).send().await?;
            anyhow::Ok((number % 16, answer.status.as_u16()))
        });
    }
    let mut answers = Vec::new();
    while let Some(racer) = racers.join_next().await {
        answers.push(racer??);
    }
    let ended = consumer.ended(&id).await?;
    let winner = ended["result"]["winner"].as_i64().context("a winner")?;
    for (number, status) in answers {
        assert_eq!(status, if i64::from(number) == winner { 200 } else { 409 }, "{number}");
    }
    hook.first(&id).await?;
    assert_eq!(consumer.balances().await?, (BALANCE - MICROS, 0));
    assert_eq!(hook.count(), 1);
    Ok(())
}

#[tokio::test]
async fn after_a_refusal_the_callback_of_the_run_before_is_stale_and_after_a_time_out_it_is_not() -> Test {
    let service = Sink::start().await?;
    service.script([
        Reply::status(503).header("retry-after", "1"),
        Reply::status(202),
        Reply::status(200).body("x").after(Duration::from_secs(9)),
        Reply::status(202),
    ]);
    let host = host(&service.url("/"), "limits = { wall = \"500 ms\" }").start().await?;
    let consumer = host.demo();
    let call = || consumer.call("demo/up").header("prefer", "respond-async").json(&json!({}));
    let id = call().accepted().await?;
    let runs = service.wait(&id, 2).await?;
    let (zombie, current) = (callback(&host, &runs[0])?, callback(&host, &runs[1])?);
    assert_ne!(zombie, current);
    assert_eq!((runs[0].header("ripost-attempt"), runs[1].header("ripost-attempt")), ("1", "2"));
    assert_eq!(result(&host, &zombie, "{\"from\":1}").await?.expect(409)?.problem()?, "callback-stale");
    result(&host, &current, "{\"from\":2}").await?.expect(200)?;
    assert_eq!(consumer.ended(&id).await?["result"], json!({ "from": 2 }));
    // It may have taken the one that it was silent about.
    let id = call().accepted().await?;
    let runs = service.wait(&id, 2).await?;
    assert_eq!(callback(&host, &runs[0])?, callback(&host, &runs[1])?);
    result(&host, &callback(&host, &runs[0])?, "{\"from\":3}").await?.expect(200)?;
    assert_eq!(consumer.ended(&id).await?["result"], json!({ "from": 3 }));
    Ok(())
}

#[tokio::test]
async fn an_upstream_that_is_down_is_tried_again_and_the_consumer_is_not_told_where_it_is() -> Test {
    // A port that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let host = host(&format!("http://127.0.0.1:{port}/"), "max_attempts = 2").start().await?;
    let consumer = host.demo();
    let answer = consumer.call("demo/up").header("prefer", "wait=20").json(&json!({})).send().await?.expect(502)?;
    assert_eq!(answer.problem()?, "upstream-failed");
    let text = String::from_utf8(answer.body.to_vec())?;
    assert!(!text.contains(&port.to_string()) && !text.contains("127.0.0.1"), "{text}");
    assert_eq!(consumer.balances().await?, (BALANCE, 0));
    // The owner finds it.
    let runs = host.admin(Method::GET, &format!("/admin/v1/requests/{}/runs", answer.request_id()?)).await?.json()?;
    assert!(runs.to_string().contains(&format!("127.0.0.1:{port}")), "{runs}");
    Ok(())
}

#[tokio::test]
async fn a_service_that_comes_up_later_gets_what_was_refused() -> Test {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let host = host(&format!("http://127.0.0.1:{port}/"), "max_attempts = 5").start().await?;
    let consumer = host.demo();
    let id = consumer.call("demo/up").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    host.logged("An upstream gave no answer").await?;
    let service = Sink::start_at(([127, 0, 0, 1], port).into()).await?;
    service.otherwise(Reply::status(200).body("up"));
    let ended = consumer.ended(&id).await?;
    assert_eq!((&ended["status"], &ended["result"]), (&json!("completed"), &json!("up")), "{ended}");
    assert!(service.first(&id).await?.header("ripost-callback-url").contains(&format!("{id}.1.")), "the same URL");
    Ok(())
}

#[tokio::test]
async fn what_waits_for_a_callback_survives_a_kill_and_is_not_forwarded_again() -> Test {
    let (service, hook) = (Sink::start().await?, Sink::start().await?);
    service.otherwise(Reply::status(202));
    let host = host(&service.url("/"), "").start().await?;
    let id = host.demo().call("demo/up").json(&json!({ "webhook_url": hook.url("/hook") })).accepted().await?;
    let forwarded = service.first(&id).await?;
    awaits(&host.demo(), &id).await?;
    let path = callback(&host, &forwarded)?;
    let host = host.sigkill()?.start().await?;
    let consumer = host.demo();
    assert_eq!(consumer.view(&id).await?["status"], "awaiting_callback");
    result(&host, &path, r#"{"after":"the kill"}"#).await?.expect(200)?;
    assert_eq!(consumer.ended(&id).await?["result"], json!({ "after": "the kill" }));
    assert_eq!(hook.first(&id).await?.json()?["result"], json!({ "after": "the kill" }));
    assert_eq!(service.count(), 1);
    Ok(())
}

#[tokio::test]
async fn a_callback_that_never_comes_lets_the_request_expire() -> Test {
    let (service, hook) = (Sink::start().await?, Sink::start().await?);
    service.otherwise(Reply::status(202));
    let host = host(&service.url("/"), "expires_in = \"1 s\"\nreply = \"callback\"").start().await?;
    let consumer = host.demo();
    let id = consumer.call("demo/up").json(&json!({ "webhook_url": hook.url("/hook") })).accepted().await?;
    let path = callback(&host, &service.first(&id).await?)?;
    let ended = consumer.ended(&id).await?;
    assert_eq!((&ended["status"], &ended["settlement"]["state"]), (&json!("expired"), &json!("released")), "{ended}");
    assert_eq!(result(&host, &path, "{}").await?.expect(410)?.problem()?, "callback-expired");
    assert_eq!(hook.first(&id).await?.json()?["status"], "expired");
    assert_eq!(consumer.balances().await?, (BALANCE, 0));
    Ok(())
}

#[tokio::test]
async fn a_caller_who_waits_has_the_result_that_was_called_back() -> Test {
    let service = Sink::start().await?;
    service.otherwise(Reply::status(202));
    let host = host(&service.url("/"), "").start().await?;
    let base = host.url().to_owned();
    let caller = host.demo();
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { caller.call("demo/up").header("prefer", "wait=20").json(&json!({})).send().await });
    let forwarded = until("the request", Duration::from_secs(10), async || Ok(service.deliveries().pop())).await?;
    let path = callback(&host, &forwarded)?;
    awaits(&host.demo(), forwarded.request_id()).await?;
    let service = Consumer::new(&base, None);
    service
        .request(Method::POST, &path)
        .header("ripost-status", "201")
        .raw("text/plain", "made")
        .send()
        .await?
        .expect(200)?;
    let answer = waiting.join_next().await.context("the caller")???;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (201, &b"made"[..]));
    Ok(())
}

#[tokio::test]
async fn a_synchronous_api_can_be_an_upstream_and_is_given_no_callback_url() -> Test {
    let service = Sink::start().await?;
    service.script([Reply::status(202).body("at once")]);
    let lines = "delivery = \"off\"";
    let free =
        plugin(&service.url("/"), lines).with_manifest(|text| text.replace(&format!("price = \"{PRICE}\"\n"), ""));
    let host = Host::builder().dev().show_log().config(QUICK).plugin(&free).start().await?;
    let answer = host.demo().call("demo/up").json(&json!({ "a": 1 })).send().await?;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (202, &b"at once"[..]));
    let forwarded = service.deliveries().remove(0);
    assert_eq!((forwarded.json()?, forwarded.header("ripost-callback-url")), (json!({ "a": 1 }), ""));
    Ok(())
}

#[tokio::test]
async fn an_owners_token_cannot_name_an_address_inside_the_network_unless_the_operator_lets_it() -> Test {
    let service = Sink::start().await?;
    service.otherwise(Reply::status(200).body("inside"));
    for (config, allowed) in [("", false), ("[upstream]\nallow = [\"127.0.0.0/8\"]\nplain_http = true\n", true)] {
        let host = Host::builder().not_dev().show_log().only_config(&format!("{QUICK}{config}")).start().await?;
        let consumer = host.add_consumer("c1", "10").await?;
        let added = host.cli(&["tokens", "add", "ci", "--role", "owner", "--owner", "demo", "--json"]).await?;
        let token = added.expect(0)?.json()?["token"].as_str().context("a token")?.to_owned();
        let folder = host.stage().join("up");
        plugin(&service.url("/"), "").write(&folder)?;
        let base = host.admin_url().to_owned();
        let pushed = host.cli(&["push", folder.as_str(), "--to", &base, "--token", &token]).await?;
        assert_eq!(pushed.code == Some(0), allowed, "{pushed:?}");
        if allowed {
            let answer = consumer.call("demo/up").json(&json!({})).send().await?;
            assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"inside"[..]));
        } else {
            assert!(pushed.stderr.contains("upstream"), "{pushed:?}");
            // The operator may.
            host.cli(&["push", folder.as_str()]).await?.expect(0)?;
            let answer = consumer.call("demo/up").json(&json!({})).send().await?;
            assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"inside"[..]));
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_response_transform_applies_however_the_result_comes() -> Test {
    let service = Sink::start().await?;
    service.script([Reply::status(200).body("inline"), Reply::status(202)]);
    let transform = guests::transforms::appends(Kind::Response, "!");
    let plugin = plugin(&service.url("/"), "transforms = { response = [\"mark.wasm\"] }").file("mark.wasm", transform);
    let host = Host::builder().dev().show_log().config(QUICK).plugin(&plugin).start().await?;
    let consumer = host.demo();
    let mut results: Vec<Value> = Vec::new();
    for number in 0..2 {
        let id = consumer.call("demo/up").header("prefer", "respond-async").json(&json!({})).accepted().await?;
        let forwarded = service.first(&id).await?;
        if number == 1 {
            post(&host, &callback(&host, &forwarded)?, &[], "text/plain", "later").await?.expect(200)?;
        }
        results.push(consumer.ended(&id).await?["result"].clone());
    }
    assert_eq!(results, ["inline!", "later!"]);
    Ok(())
}

#[tokio::test]
async fn a_transform_cannot_lead_out_of_the_upstream_either() -> Test {
    for (path, status, sent) in [("/below", 200, 1), ("/..%2fadmin", 502, 0), ("/../admin", 502, 0)] {
        let service = Sink::start().await?;
        let plugin = plugin(&service.url("/process"), "transforms = { request = [\"path.wasm\"] }");
        let plugin = plugin.file("path.wasm", guests::transforms::asks_for(path));
        let host = Host::builder().dev().show_log().config(QUICK).plugin(&plugin).start().await?;
        service.otherwise(Reply::status(200).body("ok"));
        let consumer = host.demo();
        let answer = consumer.call("demo/up/asked").header("prefer", "wait=10").json(&json!({})).send().await?;
        assert_eq!((answer.status.as_u16(), service.count()), (status, sent), "{path}: {answer:?}");
        match sent {
            0 => assert_eq!(answer.problem()?, "transform-failed"),
            _ => assert_eq!(service.deliveries()[0].path, "/process/below"),
        }
        assert_eq!(consumer.balances().await?.1, 0);
        assert_eq!(ripost_tests::audit::count(host.data(), "requests")?, sent as u64, "{path}");
    }
    Ok(())
}

async fn acknowledges_and_calls_back(kind: Program, sample: &str, made_by: &str) -> Test {
    let (mut service, hook) = (Receiver::start(kind, sample).await?, Sink::start().await?);
    let host = host(&service.url.replace("/hook", "/process"), "").start().await?;
    let consumer = host.demo();
    let body = json!({ "action": "generate-report", "webhook_url": hook.url("/hook") });
    let id = consumer.call("demo/up").json(&body).accepted().await?;
    let result = json!({ "action": "generate-report", "made_by": made_by });
    assert_eq!(hook.first(&id).await?.json()?["result"], result);
    let ended = consumer.ended(&id).await?;
    assert_eq!((&ended["status"], &ended["settlement"]["state"]), (&json!("completed"), &json!("captured")), "{ended}");
    assert_eq!(service.line().await?.trim(), "called back 200");
    Ok(())
}

#[tokio::test]
async fn an_express_service_that_knows_nothing_of_us_acknowledges_and_calls_back() -> Test {
    acknowledges_and_calls_back(Program::Node, "upstream.mjs", "express").await
}

#[tokio::test]
async fn a_flask_service_that_knows_nothing_of_us_acknowledges_and_calls_back() -> Test {
    acknowledges_and_calls_back(Program::Python, "upstream.py", "flask").await
}

#[tokio::test]
async fn what_was_cancelled_while_it_waited_takes_no_callback() -> Test {
    let service = Sink::start().await?;
    service.otherwise(Reply::status(202));
    let host = host(&service.url("/"), "").start().await?;
    let consumer = host.add_consumer("c1", "1").await?;
    let id = consumer.call("demo/up").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    let path = callback(&host, &service.first(&id).await?)?;
    awaits(&consumer, &id).await?;
    let cancelled = consumer.request(Method::POST, &format!("/requests/{id}/cancel")).send().await?;
    assert!(cancelled.status.is_success(), "{cancelled:?}");
    let late = result(&host, &path, "{}").await?.expect(409)?;
    assert_eq!((late.problem()?.as_str(), &late.json()?["state"]), ("callback-conflict", &json!("cancelled")));
    assert_eq!(consumer.balances().await?, (1_000_000, 0), "the hold was released");
    Ok(())
}
