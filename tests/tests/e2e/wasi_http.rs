//! Handlers made by three public toolchains that know `wasi:http` and nothing of Ripost.

use crate::{Test, host};
use ripost_tests::{Api, Plugin, audit, places};
use serde_json::json;
use std::time::Duration;

/// A whole JavaScript engine takes the compiler 30 s of an idle core, and other tests want the same core.
const COMPILE: &str = "[compile]\ncpu = \"2 m\"\nwall = \"4 m\"\n";
const START_MAX: Duration = Duration::from_secs(240);

async fn answers(guest: &str) -> Test {
    let host = host().plugin_dir(places::built_plugin(guest)?).config(COMPILE).start_within(START_MAX).start().await?;
    let demo = host.demo();
    let call = demo.call(&format!("test/{guest}/a/b?q=1"));
    let answer = call.json(&json!({ "text": "世界 🌍" })).send().await?.expect(200)?;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let said = answer.json()?;
    let id = said["request"].as_str().unwrap_or_default();
    assert!(id.starts_with("req_"), "{said}");
    let body: serde_json::Value = serde_json::from_str(said["body"].as_str().unwrap_or_default())?;
    assert_eq!(body, json!({ "text": "世界 🌍" }), "{said}");
    for (field, value) in [("method", "POST"), ("path", "/a/b"), ("query", "q=1")] {
        assert_eq!(said[field], value, "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_handler_in_rust_by_wstd_answers() -> Test {
    answers("wstd-http").await
}

#[tokio::test]
async fn a_handler_of_wasi_http_says_with_a_header_what_its_answer_costs() -> Test {
    let component = std::fs::read(places::built_plugin("wstd-http")?.join("wstd-http.wasm"))?;
    let api = Api::new("demo", "meter", component).price("0.050000");
    let host = host().plugin(&Plugin::new("meter", [api])).start().await?;
    let consumer = host.add_consumer("metered", "1").await?;
    let call = |cost: &str| consumer.call("demo/meter").header("cost", cost).json(&json!({})).send();
    let paid = call("0.02").await?.expect(200)?;
    assert_eq!((paid.header("ripost-capture-usdc"), consumer.balances().await?), (None, (980_000, 0)));
    assert_eq!(call("0.06").await?.expect(502)?.problem()?, "capture-invalid");
    assert_eq!(consumer.balances().await?, (980_000, 0));
    audit::check(host.data())
}

#[tokio::test]
async fn a_handler_in_javascript_by_componentize_js_answers() -> Test {
    answers("js-http").await
}

#[tokio::test]
async fn a_handler_in_python_by_componentize_py_answers() -> Test {
    answers("py-http").await
}
