//! What a handler is granted, over the wire: secrets that it never holds, keys that outlive the gateway, and a receipt of
//! what it used.

use crate::{Test, host};
use anyhow::{Context as _, Result};
use ripost_tests::{Api, Host, Plugin, Sink, places};
use serde_json::{Value, json};

const VALUE: &str = "s3cret-value-that-nobody-sees";

fn api(owner: &str, grants: &[&str]) -> Result<Api> {
    let path = places::built_plugin("outbound")?.join("outbound.wasm");
    let component = std::fs::read(&path).with_context(|| format!("reading {path}"))?;
    Ok(grants.iter().fold(Api::new(owner, "out", component), |api, grant| api.grant(grant)))
}

async fn report(host: &Host, api: &str, order: &Value) -> Result<Value> {
    host.demo().call(api).json(order).send().await?.expect(200)?.json()
}

/// Whether any file of the gateway's has these bytes in it.
fn is_in_a_file(folder: &camino::Utf8Path, needle: &[u8]) -> Result<Option<String>> {
    for entry in folder.read_dir_utf8()? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if let Some(found) = is_in_a_file(entry.path(), needle)? {
                return Ok(Some(found));
            }
        } else if std::fs::read(entry.path())?.windows(needle.len()).any(|window| window == needle) {
            return Ok(Some(entry.path().to_string()));
        }
    }
    Ok(None)
}

#[tokio::test]
async fn a_secret_goes_out_and_the_handler_never_holds_it() -> Test {
    let sink = Sink::start().await?;
    let rule = format!("outbound = [{:?}]", sink.url(""));
    let host =
        host().plugin(&Plugin::new("out", [api("demo", &[&rule, "secrets = [\"KEY\", \"OTHER\"]"])?])).start().await?;
    let order = json!({
        "method": "POST", "url": sink.url("/pay?key={{secret}}"), "secret": "KEY", "body": "{\"key\":\"{{secret}}\"}",
        "headers": [["authorization", "Bearer {{secret}}"], ["content-type", "application/json"]],
    });
    // Granted, and nobody has set it.
    let missing = host.demo().call("demo/out").json(&order).send().await?;
    assert!(missing.status.is_client_error() || missing.status.is_server_error(), "{}", missing.status);

    // Takes effect at once, without a reload.
    host.cli_with_input(&["secrets", "set", "demo", "KEY"], VALUE).await?.expect(0)?;
    let told = report(&host, "demo/out", &order).await?;
    assert_eq!(told["calls"][0]["status"], 200, "{told}");
    let arrived = sink.deliveries().pop().context("a call")?;
    assert_eq!(arrived.header("authorization"), format!("Bearer {VALUE}"));
    assert_eq!(arrived.path, format!("/pay?key={VALUE}"));
    assert_eq!(String::from_utf8_lossy(&arrived.body), json!({ "key": VALUE }).to_string());
    let placeholder = told["secret"].as_str().context("what the handler holds")?;
    assert!(placeholder.contains("KEY") && !placeholder.contains(VALUE), "{placeholder}");
    assert!(!told.to_string().contains(VALUE));

    // One that is granted to nobody here is refused, whatever its name.
    let other = host.demo().call("demo/out").json(&json!({ "url": sink.url("/"), "secret": "STRANGE" })).send().await?;
    assert!(!other.status.is_success(), "{}", other.status);

    // A durable call leaves rows and logs behind: nowhere is the value.
    let id = host.demo().call("demo/out").json(&order).header("prefer", "respond-async").accepted().await?;
    host.demo().ended(&id).await?;
    assert!(!host.log().contains(VALUE));
    assert_eq!(is_in_a_file(host.data(), VALUE.as_bytes())?, None);
    Ok(())
}

#[tokio::test]
async fn what_a_handler_keeps_is_there_after_a_crash_and_is_its_owners_own() -> Test {
    let sink = Sink::start().await?;
    let rule = format!("outbound = [{:?}]", sink.url(""));
    let granted = [rule.as_str(), "kv = true"];
    let apis = [api("one", &granted)?, api("two", &granted)?, api("three", &[rule.as_str()])?];
    let host = host().plugin(&Plugin::new("out", apis)).start().await?;
    let order = json!({ "url": sink.url("/"), "count_as": "calls", "times": 2 });
    for expected in [2, 4] {
        assert_eq!(report(&host, "one/out", &order).await?["count"], expected);
    }
    assert_eq!(report(&host, "two/out", &order).await?["count"], 2, "another owner's keys are others");
    let refused = host.demo().call("three/out").json(&order).send().await?;
    assert!(!refused.status.is_success(), "it was not granted");

    let host = host.sigkill()?.start().await?;
    assert_eq!(report(&host, "one/out", &order).await?["count"], 6);
    let usage = host.admin(http::Method::GET, "/admin/v1/owners/one/kv").await?.expect(200)?.json()?;
    assert_eq!(usage["keys"], 1, "{usage}");
    Ok(())
}

#[tokio::test]
async fn a_receipt_says_what_a_run_used_and_the_metrics_whose_it_was() -> Test {
    let sink = Sink::start().await?;
    let rule = format!("outbound = [{:?}]", sink.url(""));
    let host = host().plugin(&Plugin::new("out", [api("demo", &[&rule])?])).start().await?;
    let order = json!({ "method": "POST", "url": sink.url("/"), "body": "x".repeat(1000), "times": 3 });
    let id = host.demo().call("demo/out").json(&order).header("prefer", "respond-async").accepted().await?;
    host.demo().ended(&id).await?;
    let runs = host.admin(http::Method::GET, &format!("/admin/v1/requests/{id}/runs")).await?.expect(200)?.json()?;
    let text = runs.to_string();
    let run =
        runs.as_array().or_else(|| runs["runs"].as_array()).and_then(|runs| runs.first()).context(text.clone())?;
    let figure = |name: &str| run[name].as_u64().with_context(|| format!("{name} in {text}"));
    assert_eq!(figure("outboundCalls").or_else(|_| figure("outbound_calls"))?, 3, "{text}");
    let bytes = figure("outboundBytes").or_else(|_| figure("outbound_bytes"))?;
    assert!(bytes >= 3000, "{text}");
    let shown = host.cli(&["runs", &id]).await?.expect(0)?;
    assert!(shown.stdout.contains("outbound"), "{shown:?}");
    let metrics = host.metrics().await?;
    assert!((metrics.sum("ripost_api_outbound_calls_total", "api=\"out\"") - 3.0).abs() < 0.5);
    assert!(metrics.sum("ripost_api_cpu_seconds_total", "owner=\"demo\"") > 0.0);
    Ok(())
}

#[tokio::test]
async fn what_is_imported_and_not_granted_is_shown() -> Test {
    let host = host().plugin(&Plugin::new("out", [api("demo", &["kv = true"])?])).start().await?;
    let status = host.cli(&["status"]).await?.expect(0)?;
    assert!(status.stdout.contains("uses `outbound`, needs `grants.outbound`"), "{status:?}");
    assert!(!status.stdout.contains("grants.kv"), "{status:?}");
    Ok(())
}
