//! What goes over the wire, whole: a change of shape shows up here and nowhere by accident.

use crate::{Test, host};
use ripost_tests::{Api, Plugin, Sink, guests};
use serde_json::{Value, json};

/// Ids of requests stand in links, and in sentences.
fn without_requests(text: &str) -> String {
    let mut parts = text.split("req_");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str("[request]");
        kept.push_str(part.trim_start_matches(|letter: char| letter.is_ascii_alphanumeric()));
    }
    kept
}

/// Ids, times, addresses and durations differ each time.
fn redacted(mut value: Value) -> Value {
    fn walk(value: &mut Value, name: &str) {
        match value {
            Value::Object(members) => members.iter_mut().for_each(|(name, value)| walk(value, name)),
            Value::Array(items) => items.iter_mut().for_each(|item| walk(item, name)),
            Value::String(text) => {
                let kept = text.split('/').map(|part| match part {
                    part if part.starts_with("127.0.0.1:") => "[address]",
                    part if part.starts_with("req_") => "[request]",
                    part if part.starts_with("dlv_") => "[delivery]",
                    part => part,
                });
                let kept = kept.collect::<Vec<_>>().join("/");
                *text = if name.ends_with("At") { "[time]".to_owned() } else { without_requests(&kept) };
            }
            Value::Number(_) if name == "delivery_latency_ms" => *value = "[ms]".into(),
            Value::Number(_) | Value::Bool(_) | Value::Null => {}
        }
    }
    walk(&mut value, "");
    value
}

#[tokio::test]
async fn the_202_the_view_and_the_webhook() -> Test {
    let apis = [
        Api::new("demo", "echo", guests::echo()).price("0.050000"),
        Api::new("demo", "traps", guests::traps()).price("0.050000"),
        Api::new("demo", "invalid", guests::fails(guests::Failure::Invalid(409))),
        Api::new("demo", "page", guests::answers(200, &[("content-type", "text/html")], b"<p>")),
        Api::new("demo", "png", guests::answers(200, &[("content-type", "image/png")], b"\x89PNG")),
    ];
    let host = host().plugin(&Plugin::new("shapes", apis)).start().await?;
    let (consumer, sink) = (host.demo(), Sink::start().await?);
    let mut shapes = serde_json::Map::new();
    for api in ["echo", "traps", "invalid", "page", "png"] {
        let call = consumer.call(&format!("demo/{api}")).json(&json!({ "n": 1, "webhook_url": sink.url("/hook") }));
        let answer = call.send().await?.expect(202)?;
        let id = answer.request_id()?;
        let webhook = sink.first(&id).await?.json()?;
        let view = consumer.delivery(&id, "delivered").await?;
        if api == "echo" {
            shapes.insert("202".to_owned(), redacted(answer.json()?));
            shapes.insert("view".to_owned(), redacted(view));
        }
        shapes.insert(format!("webhook of {api}"), redacted(webhook));
    }
    insta::assert_json_snapshot!("shapes", shapes);
    Ok(())
}
