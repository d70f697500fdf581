//! Calls that wait for their answer, and what decides whether they do.

use crate::{Test, host};
use ripost_tests::{Api, Plugin, Sink, guests, until};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_call_with_nowhere_to_be_called_back_gets_the_handlers_own_answer() -> Test {
    let teapot = guests::answers(203, &[("content-type", "text/html"), ("x-mine", "1"), ("x-mine", "2")], b"<b>hi</b>");
    let host = host().plugin(&Plugin::one("teapot", teapot)).start().await?;
    let consumer = host.demo();
    let answer = consumer.call("demo/teapot").json(&json!({})).send().await?.expect(203)?;
    assert_eq!(answer.header("content-type"), Some("text/html"));
    assert_eq!(answer.headers.get_all("x-mine").iter().count(), 2);
    assert_eq!(&answer.body[..], b"<b>hi</b>");
    let id = answer.header("ripost-request-id").expect("Ripost-Request-Id").to_owned();
    assert_eq!(answer.header("preference-applied"), None);

    // It is as durable as any other.
    let host = host.restart().await?;
    let consumer = host.demo();
    let view = consumer.view(&id).await?;
    assert_eq!((&view["status"], &view["delivery"]["state"]), (&json!("completed"), &json!("none")));
    assert_eq!(view["result"], "<b>hi</b>");
    let raw = consumer.get(&format!("/requests/{id}/result")).await?.expect(203)?;
    assert_eq!(&raw.body[..], b"<b>hi</b>");
    Ok(())
}

#[tokio::test]
async fn any_method_path_query_and_body_reach_the_handler() -> Test {
    let host = host().plugin(&Plugin::one("mirror", guests::mirror())).start().await?;
    let consumer = host.demo();
    for method in ["GET", "PUT", "PATCH", "DELETE", "POST"] {
        let method: http::Method = method.parse()?;
        let call = consumer.request(method.clone(), "/api/demo/api/mirror/a/b%20c?x=1&y=%2F").header("x-mine", "yes");
        let answer = call.raw("application/octet-stream", vec![0_u8, 255, 10]).send().await?.expect(200)?;
        let (head, body) = answer.body.split_at(answer.body.windows(2).position(|pair| pair == b"\n\n").unwrap() + 2);
        let head = std::str::from_utf8(head)?;
        assert!(head.starts_with(&format!("{method} /a/b%20c?x=1&y=%2F\n")), "{head}");
        assert!(
            head.contains("\nx-mine: yes\n") && head.contains("\ncontent-type: application/octet-stream\n"),
            "{head}"
        );
        assert!(
            !head.contains("x-consumer-key") && !head.contains("demo-public-key"),
            "the key is not the owner's: {head}"
        );
        assert_eq!(body, [0, 255, 10]);
    }
    Ok(())
}

#[tokio::test]
async fn whoever_prefers_to_wait_gets_the_answer_if_it_is_ready_in_time_and_the_webhook_too() -> Test {
    let host = host().plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let (consumer, sink) = (host.demo(), Sink::start().await?);
    let call = consumer.call("demo/echo").json(&json!({ "n": 1, "webhook_url": sink.url("/") }));
    let answer = call.header("prefer", "respond-async, wait=10").send().await?.expect(200)?;
    assert_eq!(answer.header("preference-applied"), Some("wait=10"));
    assert_eq!(answer.json()?, json!({ "n": 1 }));
    let id = answer.header("ripost-request-id").expect("Ripost-Request-Id");
    assert_eq!(sink.first(id).await?.json()?["result"], json!({ "n": 1 }));
    Ok(())
}

#[tokio::test]
async fn whoever_waits_in_vain_gets_the_202_and_the_result_later() -> Test {
    let host = host().plugin(&Plugin::one("slow", guests::sleeps(2000))).start().await?;
    let consumer = host.demo();
    let answer =
        consumer.call("demo/slow").json(&json!({ "n": 1 })).header("prefer", "wait=1").send().await?.expect(202)?;
    assert!(answer.took >= Duration::from_secs(1) && answer.took < Duration::from_millis(1900), "{:?}", answer.took);
    assert_eq!(answer.header("preference-applied"), None);
    let id = answer.request_id()?;
    let path = format!("/requests/{id}/result");
    let early = consumer.get(&path).await?.expect(409)?;
    assert_eq!(early.problem()?, "not-finished");
    let answer = until("the result", Duration::from_secs(5), async || {
        let answer = consumer.get(&path).await?;
        Ok((answer.status == 200).then_some(answer))
    })
    .await?;
    assert_eq!(answer.json()?, json!({ "n": 1 }));
    Ok(())
}

#[tokio::test]
async fn respond_async_is_answered_with_202_also_without_a_webhook() -> Test {
    let host = host().plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let consumer = host.demo();
    let answer =
        consumer.call("demo/echo").json(&json!([1])).header("prefer", "respond-async").send().await?.expect(202)?;
    assert_eq!(answer.header("preference-applied"), Some("respond-async"));
    let view = consumer.ended(&answer.request_id()?).await?;
    assert_eq!((&view["result"], &view["delivery"]["state"]), (&json!([1]), &json!("none")));
    Ok(())
}

#[tokio::test]
async fn a_waiting_caller_reads_what_went_wrong() -> Test {
    let apis = [
        Api::new("demo", "traps", guests::traps()),
        Api::new("demo", "invalid", guests::fails(guests::Failure::Invalid(409))),
        Api::new("demo", "missing", guests::answers(404, &[("content-type", "text/plain")], b"no such thing")),
    ];
    let host = host().plugin(&Plugin::new("broken", apis)).start().await?;
    let consumer = host.demo();
    let trapped = consumer.call("demo/traps").send().await?.expect(502)?;
    assert_eq!(trapped.problem()?, "handler-trapped");
    assert!(trapped.header("ripost-request-id").is_some());
    let invalid = consumer.call("demo/invalid").send().await?.expect(409)?.json()?;
    assert_eq!(invalid["type"], "urn:ripost:owner:demo:problem:no-luck");
    assert_eq!((&invalid["title"], &invalid["detail"]), (&json!("No luck today"), &json!("Try tomorrow")));
    let missing = consumer.call("demo/missing").send().await?.expect(404)?;
    assert_eq!(&missing.body[..], b"no such thing");
    Ok(())
}

#[tokio::test]
async fn a_caller_that_hangs_up_cancels_nothing() -> Test {
    let host = host().plugin(&Plugin::one("slow", guests::sleeps(500))).start().await?;
    let (consumer, sink) = (host.demo(), Sink::start().await?);
    let call =
        consumer.call("demo/slow").json(&json!({ "n": 7, "webhook_url": sink.url("/") })).header("prefer", "wait=10");
    let waited = tokio::time::timeout(Duration::from_millis(150), call.send()).await;
    assert!(waited.is_err(), "it was to be still waiting");
    let delivery = until("the webhook", Duration::from_secs(5), async || Ok(sink.deliveries().pop())).await?;
    assert_eq!(delivery.json()?["result"], json!({ "n": 7 }));
    Ok(())
}

#[tokio::test]
async fn binary_and_empty_answers_are_linked_or_left_out() -> Test {
    let apis = [
        Api::new("demo", "png", guests::answers(200, &[("content-type", "image/png")], b"\x89PNG\r\n")),
        Api::new("demo", "nothing", guests::answers(204, &[], b"")),
        Api::new("demo", "large", guests::answers_bytes(300_000)),
    ];
    let host = host().plugin(&Plugin::new("bodies", apis)).start().await?;
    let (consumer, sink) = (host.demo(), Sink::start().await?);
    for (api, len) in [("demo/png", 6), ("demo/large", 300_000)] {
        let id = consumer.call(api).json(&json!({ "webhook_url": sink.url("/") })).accepted().await?;
        let payload = sink.first(&id).await?.json()?;
        assert!(payload.get("result").is_some_and(serde_json::Value::is_null), "{api}: {payload}");
        let link = payload["result_url"].as_str().unwrap();
        assert_eq!(consumer.get(link).await?.expect(200)?.body.len(), len);
    }
    let id = consumer.call("demo/nothing").json(&json!({ "webhook_url": sink.url("/") })).accepted().await?;
    let payload = sink.first(&id).await?.json()?;
    assert_eq!(payload["status"], "completed");
    assert!(payload.get("result_url").is_none(), "{payload}");
    consumer.get(&format!("/requests/{id}/result")).await?.expect(204)?;
    Ok(())
}
