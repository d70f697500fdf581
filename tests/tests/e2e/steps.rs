//! Durable steps and journalled calls: what the runs of one request do between them.

use crate::{Test, host};
use anyhow::{Context as _, Result};
use ripost_tests::{Api, Host, Plugin, Reply, Sink, audit, guests, places, until};
use serde_json::{Value, json};
use std::time::Duration;

fn built(guest: &str) -> Result<Vec<u8>> {
    let path = places::built_plugin(guest)?.join(format!("{guest}.wasm"));
    std::fs::read(&path).with_context(|| format!("reading {path}"))
}

fn api(slug: &str, sink: &Sink) -> Result<Api> {
    Ok(Api::new("demo", slug, built("steps")?).grant(&format!("outbound = [{:?}]", sink.url(""))))
}

/// A host in development mode whose `demo/steps` may call the sink.
async fn start() -> Result<(Host, Sink)> {
    let sink = Sink::start().await?;
    let host = host().plugin(&Plugin::new("steps", [api("steps", &sink)?])).start().await?;
    Ok((host, sink))
}

/// What a request came to that was accepted.
async fn report(host: &Host, orders: &Value) -> Result<(String, Value)> {
    let consumer = host.demo();
    let id = consumer.call("demo/steps").header("prefer", "respond-async").json(orders).accepted().await?;
    let view = consumer.ended(&id).await?;
    anyhow::ensure!(view["status"] == "completed", "{view}\n{}", host.log());
    Ok((id, view["result"].clone()))
}

fn posting(sink: &Sink, body: &str) -> Value {
    json!({ "url": sink.url("/"), "body": body })
}

#[tokio::test]
async fn a_retry_keeps_the_steps_and_sends_nothing_again() -> Test {
    let (host, sink) = start().await?;
    sink.otherwise(Reply::status(201).body("made"));
    let orders = json!({ "retries": 2, "steps": [
        { "name": "charge", "input": "42", "call": { "url": sink.url("/charge"), "keyed": true } },
        { "name": "ship" },
        { "call": posting(&sink, "outside of a step") },
    ] });
    let (id, report) = report(&host, &orders).await?;
    assert_eq!(report["attempt"], 3);
    let outcomes = &report["outcomes"];
    let charge = &outcomes[0]["value"];
    assert_eq!((&charge["attempt"], &charge["body"]), (&json!(1), &json!("made")), "the first value: {report}");
    assert_eq!(outcomes[1]["value"]["attempt"], 1);
    assert_eq!((&outcomes[2]["value"]["attempt"], &outcomes[2]["value"]["body"]), (&json!(3), &json!("made")));
    let sent = sink.deliveries();
    assert_eq!(sent.len(), 2, "each was sent once");
    let key = sent[0].header("idempotency-key");
    assert!(key.len() > 24 && key.starts_with("step_") && charge["key"] == key, "{key}");

    let steps = host.admin(http::Method::GET, &format!("/admin/v1/requests/{id}/steps")).await?.expect(200)?.json()?;
    let names: Vec<_> = (0..2).map(|at| (&steps[at]["name"], &steps[at]["attempt"])).collect();
    assert_eq!(names, [(&json!("charge"), &json!(1)), (&json!("ship"), &json!(1))], "{steps}");
    let text = host.cli(&["runs", &id]).await?.expect(0)?.stdout;
    assert!(text.contains("\nstep charge  20") && text.contains("run 1  "), "{text}");
    host.admin(http::Method::GET, &format!("/admin/v1/requests/{}/steps", id.replace(&id[4..8], "0000")))
        .await?
        .expect(404)?;

    let (_, other) = self::report(&host, &orders).await?;
    assert_ne!(other["outcomes"][0]["value"]["key"], charge["key"], "of another request");
    audit::check(host.data())
}

#[tokio::test]
async fn the_clock_says_again_what_was_made_durable_and_never_goes_backwards() -> Test {
    let (host, _sink) = start().await?;
    let (_, once) = report(&host, &json!({ "retries": 2, "steps": [{ "name": "a" }, { "name": "b" }] })).await?;
    let times: Vec<u64> = once["times_ms"].as_array().context("times")?.iter().filter_map(Value::as_u64).collect();
    let at = |nth: usize| once["outcomes"][nth]["value"]["at_ms"].as_u64();
    assert_eq!(times.len(), 3);
    assert!(times[0] <= at(0).context("a")? && at(0) <= Some(times[1]) && at(1) <= Some(times[2]), "{once}");
    assert_eq!((&once["outcomes"][0]["value"]["attempt"], &once["attempt"]), (&json!(1), &json!(3)));
    Ok(())
}

#[tokio::test]
async fn a_step_that_comes_with_another_input_is_refused_by_name() -> Test {
    let (host, _sink) = start().await?;
    let orders = json!({ "retries": 1, "steps": [{ "name": "charge", "input": "{{attempt}}" }] });
    let (_, report) = report(&host, &orders).await?;
    let outcome = &report["outcomes"][0];
    assert_eq!(outcome["error"], "input-changed", "{report}");
    assert!(outcome["text"].as_str().is_some_and(|text| text.contains("`charge`")), "{report}");
    Ok(())
}

#[tokio::test]
async fn steps_do_not_nest_and_what_is_too_much_is_refused_with_the_figures() -> Test {
    let (host, _sink) = start().await?;
    for (step, place, error, says) in [
        (json!({ "name": "outer", "nested": "inner" }), 0, "work", "`outer` is open"),
        (json!({ "name": "n", "times": 300 }), 256, "limit", "256 is the most"),
        (json!({ "name": "n", "bytes": 256 << 10 }), 0, "limit", "262144 at most"),
        (json!({ "name": "n".repeat(129) }), 0, "limit", "129 bytes"),
        (json!({ "name": "n", "bytes": 250 << 10, "times": 40 }), 32, "limit", "8388608 is the most"),
    ] {
        let (_, report) = report(&host, &json!({ "steps": [step] })).await?;
        let outcomes = report["outcomes"].as_array().context("outcomes")?;
        assert!(outcomes[..place].iter().all(|outcome| outcome["error"].is_null()));
        let outcome = outcomes.get(place).with_context(|| format!("{} outcomes of {step}", outcomes.len()))?;
        let text = outcome["text"].as_str().unwrap_or_default();
        assert!(outcome["error"] == error && text.contains(says), "{error}: {outcome}");
    }
    Ok(())
}

#[tokio::test]
async fn a_call_in_doubt_is_sent_again_with_a_key_and_never_without() -> Test {
    let (host, sink) = start().await?;
    sink.script([Reply::reset()]);
    let orders = json!({ "retries": 1, "steps": [{ "call": posting(&sink, "no key") }] });
    let (_, told) = report(&host, &orders).await?;
    let outcome = &told["outcomes"][0];
    assert!(
        outcome["error"] == "in-doubt" && outcome["text"].as_str().is_some_and(|text| text.contains("earlier run"))
    );
    assert_eq!(sink.count(), 1, "it was not sent again: {told}");

    sink.script([Reply::reset()]);
    let call = json!({ "url": sink.url("/"), "body": "keyed", "keyed": true });
    let (_, told) = report(&host, &json!({ "steps": [{ "name": "charge", "call": call }] })).await?;
    assert_eq!((&told["attempt"], &told["outcomes"][0]["value"]["status"]), (&json!(2), &json!(200)));
    let keys: Vec<String> = sink.deliveries()[1..].iter().map(|one| one.header("idempotency-key").to_owned()).collect();
    assert!(keys.len() == 2 && keys[0] == keys[1] && !keys[0].is_empty(), "{keys:?}");
    audit::check(host.data())
}

#[tokio::test]
async fn an_answer_that_asks_for_another_try_is_not_kept_and_another_one_is() -> Test {
    let (host, sink) = start().await?;
    for again in [500, 503, 429, 408] {
        let before = sink.count();
        sink.script([Reply::status(again), Reply::status(404)]);
        let orders = json!({ "retries": 2, "steps": [{ "call": posting(&sink, &again.to_string()) }] });
        let (_, told) = report(&host, &orders).await?;
        assert_eq!((&told["attempt"], &told["outcomes"][0]["value"]["status"]), (&json!(3), &json!(404)), "{told}");
        assert_eq!(sink.count() - before, 2, "{again} was sent again, 404 was not");
    }
    let safe = json!({ "method": "GET", "url": sink.url("/rate") });
    let orders = json!({ "retries": 1, "steps": [{ "call": safe }, { "name": "a" }, { "call": safe }] });
    let before = sink.count();
    report(&host, &orders).await?;
    assert_eq!(sink.count() - before, 3, "the first went with the step, the second with nothing");
    Ok(())
}

#[tokio::test]
async fn a_call_that_is_not_stored_has_no_steps_and_nothing_is_done() -> Test {
    let sink = Sink::start().await?;
    let plain = api("plain", &sink)?.line("delivery = \"off\"");
    let host = host().plugin(&Plugin::new("steps", [plain])).start().await?;
    let call = json!({ "url": sink.url("/"), "keyed": true });
    let orders = json!({ "steps": [{ "name": "charge", "call": call }] });
    let consumer = host.demo();
    let told = consumer.call("demo/plain").json(&orders).send().await?.expect(200)?.json()?;
    assert_eq!((&told["outcomes"][0]["error"], sink.count()), (&json!("unavailable"), 0), "{told}");
    let keyed = consumer.call("demo/plain").header("idempotency-key", "k").json(&orders);
    let told = keyed.send().await?.expect(200)?.json()?;
    assert_eq!((&told["outcomes"][0]["value"]["status"], sink.count()), (&json!(200), 1), "with a key it is stored");
    Ok(())
}

#[tokio::test]
async fn a_step_is_one_write_and_a_handler_without_any_writes_nothing_more() -> Test {
    let (host, _sink) = start().await?;
    let operations = async || anyhow::Ok(host.metrics().await?.sum("ripost_store_operations_total", ""));
    let mut costs = Vec::new();
    report(&host, &json!({ "steps": [] })).await?;
    for steps in [json!([]), json!([{ "name": "a" }]), json!([{ "name": "a" }, { "name": "b" }, { "name": "c" }])] {
        let before = operations().await?;
        report(&host, &json!({ "steps": steps })).await?;
        costs.push(operations().await? - before);
    }
    let more: Vec<f64> = costs.iter().map(|cost| cost - costs[0]).collect();
    assert!((more[1] - 1.0).abs() < 0.5 && (more[2] - 3.0).abs() < 0.5, "{costs:?}");
    Ok(())
}

#[tokio::test]
async fn a_rollback_leaves_a_request_with_a_step_to_the_revision_that_committed_it() -> Test {
    let sink = Sink::start().await?;
    let plugin = |component| {
        let api = Api::new("demo", "steps", component);
        Plugin::new("steps", [api.grant(&format!("outbound = [{:?}]", sink.url("")))])
    };
    let host = host().plugin(&plugin(guests::says("before"))).start().await?;
    let consumer = host.demo();
    let said = async |body: &Value| {
        let id = consumer.call("demo/steps").header("prefer", "respond-async").json(body).accepted().await?;
        anyhow::Ok(consumer.ended(&id).await?["result"].clone())
    };
    assert_eq!(said(&json!({ "steps": [] })).await?, "before");
    plugin(built("steps")?).install(host.stage(), host.plugins())?;
    until("the new revision serves", Duration::from_secs(10), async || {
        Ok((said(&json!({ "steps": [] })).await? != "before").then_some(()))
    })
    .await?;
    // The service is at work when the revision is rolled back, and has not answered when the host dies.
    sink.otherwise(Reply::status(201).after(Duration::from_secs(3600)));
    let call = json!({ "url": sink.url("/"), "keyed": true });
    let bound = json!({ "steps": [{ "name": "first" }, { "name": "second", "call": call }] });
    let free = json!({ "steps": [{ "name": "only", "call": call }] });
    let accept = async |body| consumer.call("demo/steps").header("prefer", "respond-async").json(body).accepted().await;
    let (stays, goes) = (accept(&bound).await?, accept(&free).await?);
    until("both have called", Duration::from_secs(10), async || Ok((sink.count() == 2).then_some(()))).await?;
    host.cli(&["rollback", "demo/steps"]).await?.expect(0)?;
    sink.otherwise(Reply::status(201));
    let host = host.sigkill()?.start().await?;
    let consumer = host.demo();
    assert_eq!(consumer.ended(&goes).await?["result"], "before", "nothing of it was committed");
    let view = consumer.ended(&stays).await?;
    let outcomes = &view["result"]["outcomes"];
    assert_eq!((&outcomes[0]["value"]["attempt"], &outcomes[1]["value"]["status"]), (&json!(1), &json!(201)), "{view}");
    audit::check(host.data())
}

#[tokio::test]
async fn a_handler_of_wasi_http_is_journalled_like_any_other() -> Test {
    let sink = Sink::start().await?;
    sink.otherwise(Reply::status(200).body("made"));
    let api = Api::new("demo", "wasi", built("wstd-http")?).grant(&format!("outbound = [{:?}]", sink.url("")));
    let host = host().plugin(&Plugin::new("wasi", [api])).start().await?;
    let consumer = host.demo();
    let call = consumer.call("demo/wasi").header("prefer", "respond-async").header("post-to", &sink.url("/a"));
    let id = call.json(&json!({ "n": 1 })).accepted().await?;
    let view = consumer.ended(&id).await?;
    assert_eq!(view["result"]["posted"], "made", "{view}");
    let runs = host.cli(&["runs", &id, "--json"]).await?.expect(0)?.json()?;
    assert_eq!((runs.as_array().map(Vec::len), sink.count()), (Some(2), 1), "two runs, one call: {runs}");
    Ok(())
}
