//! The seed's call, from the 202 to the signed webhook.

use crate::{Test, host};
use anyhow::Context as _;
use ripost_tests::{Host, Plugin, Sink, guests, places, reference, until, verify};
use serde_json::{Value, json};
use std::time::Duration;

const API: &str = "demo/bb-webhook-receiver";

async fn reports() -> anyhow::Result<Host> {
    host().plugin_dir(places::built_plugin("reports")?).start().await
}

/// `2026-01-31T08:15:30.123Z`
fn is_time(value: &Value) -> bool {
    let shape = |byte: u8| if byte.is_ascii_digit() { '0' } else { char::from(byte) };
    value.as_str().is_some_and(|text| text.bytes().map(shape).collect::<String>() == "0000-00-00T00:00:00.000Z")
}

fn revenues(lines: &Value) -> std::collections::BTreeMap<String, u64> {
    let line = |line: &Value| (line["name"].as_str().unwrap().to_owned(), line["revenue_cents"].as_u64().unwrap());
    lines.as_array().unwrap().iter().map(line).collect()
}

#[tokio::test]
async fn the_seeds_call_is_answered_at_once_and_its_report_arrives_signed() -> Test {
    let (host, sink) = (reports().await?, Sink::start().await?);
    let consumer = host.demo();
    let url = sink.url("/hook?from=ripost");
    let body = json!({ "action": "generate-report", "format": "json", "webhook_url": url });

    let answer = consumer.call(API).json(&body).send().await?.expect(202)?;
    let accepted = answer.json()?;
    let id = answer.request_id()?;
    assert!(id.len() == 30 && id.starts_with("req_"), "{id}");
    assert_eq!(answer.header("location"), Some(format!("/requests/{id}").as_str()));
    assert_eq!(answer.header("ripost-request-id"), Some(id.as_str()));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("retry-after").context("Retry-After")?.parse::<u32>()? >= 1);
    assert_eq!(accepted["status"], "accepted");
    assert!(is_time(&accepted["createdAt"]) && is_time(&accepted["expiresAt"]), "{accepted}");
    assert!(accepted["createdAt"].as_str() < accepted["expiresAt"].as_str());
    assert_eq!(accepted["links"]["self"], format!("{}/requests/{id}", host.url()));
    assert_eq!(accepted["links"]["result"], format!("{}/requests/{id}/result", host.url()));
    let settlement = json!({
        "state": "held", "price_usdc": "0.050000", "commission_usdc": "0.002500",
        "owner_revenue_usdc": "0.047500", "tx_hash": null, "chain": null,
    });
    assert_eq!(accepted["settlement"], settlement);

    let webhook = sink.first(&id).await?;
    verify(&webhook, &consumer.webhook_secret().await?)?;
    assert_eq!((webhook.method.as_str(), webhook.path.as_str()), ("POST", "/hook?from=ripost"));
    assert_eq!(webhook.header("content-type"), "application/json");
    assert_eq!(webhook.header("ripost-attempt"), "1");
    assert_eq!(webhook.header("accept-encoding"), "identity");
    let payload = webhook.json()?;
    assert_eq!((&payload["requestId"], &payload["status"]), (&json!(id), &json!("completed")));
    assert_eq!(payload["settlement"]["state"], "captured");
    assert_eq!(payload["delivered_to"], url);
    assert!(payload["delivery_latency_ms"].is_u64() && payload.get("delivery").is_none(), "{payload}");

    let (result, rows, seed) = (&payload["result"], reference::ROWS, reference::SEED);
    assert_eq!(result["records"], rows);
    assert_eq!(result["totals"], reference::totals(rows, seed));
    assert!(result["generated_at"].as_str().is_some_and(|at| at.starts_with("20")), "{result}");
    for side in ["by_region", "by_product", "by_month"] {
        assert_eq!(revenues(&result["report"][side]), reference::revenue_by(side, rows, seed), "{side}");
    }

    let view = consumer.delivery(&id, "delivered").await?;
    assert_eq!(view["delivery"]["attempts"], 1);
    assert_eq!(view["delivery"]["lastStatus"], 200);
    assert!(view["delivery"]["nextAttemptAt"].is_null(), "{view}");
    assert_eq!((&view["status"], &view["settlement"]["state"]), (&json!("completed"), &json!("captured")));
    assert_eq!(&view["result"], result);

    let raw = consumer.get(&format!("/requests/{id}/result")).await?.expect(200)?;
    assert_eq!(raw.header("content-type"), Some("application/json"));
    assert_eq!(&raw.json()?, result);
    let sent = consumer.get(&format!("/requests/{id}/webhooks/completed")).await?.expect(200)?;
    assert_eq!(sent.body, webhook.body, "the stored payload is the one that was sent");
    assert_eq!(sent.header("webhook-id"), Some(webhook.id()));
    assert_eq!(sink.count(), 1, "one webhook for one request");
    Ok(())
}

#[tokio::test]
async fn another_seed_or_row_count_gives_the_totals_of_that_data() -> Test {
    let host = reports().await?;
    let consumer = host.demo();
    for (rows, seed) in [(50_000, 8), (1, 0), (2, 7), (1000, 9_007_199_254_740_991)] {
        let body = json!({ "action": "generate-report", "format": "json", "rows": rows, "seed": seed });
        let answer = consumer.call(API).json(&body).send().await?.expect(200)?.json()?;
        assert_eq!(answer["totals"], reference::totals(rows, seed), "{rows} rows of seed {seed}");
        assert_eq!(answer["records"], rows);
    }
    assert_ne!(reference::totals(50_000, 8), reference::totals(50_000, 7));
    Ok(())
}

#[tokio::test]
async fn a_report_as_csv_is_text_in_the_webhook_and_a_file_under_its_link() -> Test {
    let (host, sink) = (reports().await?, Sink::start().await?);
    let consumer = host.demo();
    let body = json!({ "action": "generate-report", "format": "csv", "rows": 2000, "webhook_url": sink.url("/") });
    let id = consumer.call(API).json(&body).accepted().await?;
    let payload = sink.first(&id).await?.json()?;
    assert_eq!(payload["result_type"], "text/csv; charset=utf-8");
    let text = payload["result"].as_str().context("CSV is a JSON string")?;
    let mut lines: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
    lines.sort_unstable();
    assert_eq!(lines, reference::csv_lines(2000, reference::SEED));

    let raw = consumer.get(&format!("/requests/{id}/result")).await?.expect(200)?;
    assert_eq!(raw.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(raw.body, text.as_bytes());
    Ok(())
}

#[tokio::test]
async fn an_unknown_action_or_format_is_the_consumers_mistake_and_costs_nothing() -> Test {
    let (host, sink) = (reports().await?, Sink::start().await?);
    let consumer = host.demo();
    let before = consumer.balances().await?;
    for body in [
        json!({ "action": "make-coffee", "format": "json" }),
        json!({ "action": "generate-report", "format": "pdf" }),
        json!({ "action": "generate-report", "format": "json", "rows": 0 }),
        json!({ "action": "generate-report" }),
    ] {
        let mut called = body.clone();
        called["webhook_url"] = sink.url("/").into();
        let id = consumer.call(API).json(&called).accepted().await?;
        let payload = sink.first(&id).await?.json()?;
        assert_eq!(
            (&payload["status"], &payload["settlement"]["state"]),
            (&json!("failed"), &json!("released")),
            "{body}"
        );
        let kind = payload["error"]["type"].as_str().unwrap_or_default();
        assert!(kind.starts_with("urn:ripost:owner:demo:problem:"), "{body}: {payload}");
        assert!((400..500).contains(&payload["error"]["status"].as_u64().unwrap_or_default()), "{payload}");
        assert!(payload.get("result").is_none(), "{payload}");
        assert_eq!(consumer.view(&id).await?["error"], payload["error"]);
    }
    assert_eq!(consumer.balances().await?, before);
    Ok(())
}

#[tokio::test]
async fn the_progress_of_a_run_can_be_watched() -> Test {
    let host = host().plugin(&Plugin::one("slow", guests::reports_progress(1500))).start().await?;
    let (consumer, sink) = (host.demo(), Sink::start().await?);
    let id = consumer.call("demo/slow").json(&json!({ "n": 1, "webhook_url": sink.url("/") })).accepted().await?;
    let view = until("progress", Duration::from_secs(5), async || {
        let view = consumer.view(&id).await?;
        Ok((view["progress"]["percent"] == 40).then_some(view))
    })
    .await?;
    assert_eq!(view["progress"]["message"], "halfway there");
    assert_eq!((&view["status"], &view["settlement"]["state"]), (&json!("running"), &json!("none")));
    assert_eq!(view["delivery"]["attempts"], 0);
    let payload = sink.first(&id).await?.json()?;
    assert_eq!(payload["result"], json!({ "n": 1 }));
    Ok(())
}
