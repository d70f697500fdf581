//! A receipt proves what was sent where, when, and what came back, to whoever has the gateway's public key.

use crate::Test;
use crate::echo::{call, start};
use anyhow::{Context as _, Result};
use camino::Utf8Path;
use http::Method;
use ripost_tests::{Host, Output, Reply};
use serde_json::{Value, json};

async fn whpk(host: &Host) -> Result<String> {
    let keys = host.demo().with_key(None).get("/.well-known/webhook-keys").await?.expect(200)?.json()?;
    Ok(keys["whpk"][0].as_str().context("a whpk_ key")?.to_owned())
}

/// `ripost verify` of a receipt in a file; a temporary one of the host's stage.
async fn verified(host: &Host, receipt: &Value, key: &str) -> Result<Output> {
    let path = host.stage().join("receipt.json");
    std::fs::write(&path, receipt.to_string())?;
    verify_file(host, &path, key).await
}

async fn verify_file(host: &Host, path: &Utf8Path, key: &str) -> Result<Output> {
    host.cli(&["verify", path.as_str(), "--key", key]).await
}

/// All values that are neither list nor object, by JSON pointer.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                leaves(value, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                leaves(value, &format!("{at}/{index}"), found);
            }
        }
        _ => found.push(at.to_owned()),
    }
}

/// Another value of the same kind.
fn another(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            let last = if text.ends_with('1') { "2" } else { "1" };
            let cut = text.char_indices().next_back().map_or(0, |(at, _)| at);
            json!(format!("{}{last}", &text[..cut]))
        }
        Value::Number(number) => json!(number.as_u64().unwrap_or(0) + 1),
        Value::Bool(set) => json!(!set),
        _ => json!(1),
    }
}

#[tokio::test]
async fn a_receipt_holds_with_the_gateways_key_and_not_when_anything_in_it_is_changed() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    sink.script([Reply::status(500).body("out of paper"), Reply::status(200).body("thanks")]);
    let id = call(&consumer, &sink.url("/secret-path")).await?;
    consumer.delivery(&id, "delivered").await?;
    let receipt = consumer.get(&format!("/requests/{id}/receipt")).await?.expect(200)?.json()?;
    let text = receipt.to_string();
    for part in [&id, &sink.url("/secret-path"), "out of paper", "thanks", sink.of(&id)[0].id()] {
        assert!(text.contains(part), "no `{part}` in {receipt}");
    }
    let key = whpk(&host).await?;
    let output = verified(&host, &receipt, &key).await?.expect(0)?;
    assert!(output.stdout.contains(&id), "{output:?}");

    let mut places = Vec::new();
    leaves(&receipt, "", &mut places);
    assert!(places.len() > 20, "{places:?}");
    for place in &places {
        let mut changed = receipt.clone();
        let value = changed.pointer_mut(place).context("a place")?;
        *value = another(value);
        let output = verified(&host, &changed, &key).await?;
        assert!(output.code != Some(0), "{place} can be changed: {changed}\n{output:?}");
    }
    // Nor what is left out or put in.
    let mut shorter = receipt.clone();
    shorter["deliveries"][0]["attempts"].as_array_mut().context("attempts")?.remove(0);
    verified(&host, &shorter, &key).await?.expect(1)?;
    let mut swapped = receipt.clone();
    swapped["deliveries"][0]["attempts"].as_array_mut().context("attempts")?.reverse();
    verified(&host, &swapped, &key).await?.expect(1)?;
    let mut longer = receipt.clone();
    longer["note"] = json!("paid in full");
    assert_ne!(verified(&host, &longer, &key).await?.code, Some(0));
    Ok(())
}

#[tokio::test]
async fn another_gateways_key_or_no_receipt_at_all_is_refused() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    let (other, ..) = start(crate::QUICK).await?;
    let id = call(&consumer, &sink.url("/")).await?;
    consumer.delivery(&id, "delivered").await?;
    let receipt = consumer.get(&format!("/requests/{id}/receipt")).await?.expect(200)?.json()?;
    let (key, strangers) = (whpk(&host).await?, whpk(&other).await?);
    assert_ne!(key, strangers, "each gateway has a key of its own");
    verified(&host, &receipt, &key).await?.expect(0)?;
    verified(&host, &receipt, &strangers).await?.expect(1)?;
    for text in ["", "{}", "[]", "{\"kind\":1}", "not JSON", "\0"] {
        let path = host.stage().join("no-receipt.json");
        std::fs::write(&path, text)?;
        let output = verify_file(&host, &path, &key).await?;
        assert!(output.code.is_some_and(|code| code != 0) && !output.stderr.is_empty(), "`{text}`: {output:?}");
    }
    for wrong in ["whpk_", "whpk_AAAA", "whsec_AAAA", ""] {
        let output = verified(&host, &receipt, wrong).await?;
        assert!(output.code.is_some_and(|code| code != 0), "`{wrong}`: {output:?}");
    }
    assert_ne!(verify_file(&host, &host.stage().join("nowhere.json"), &key).await?.code, Some(0));
    Ok(())
}

#[tokio::test]
async fn the_owners_form_holds_too_and_says_nothing_of_the_consumers_endpoint() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    sink.script([Reply::status(500).body("my own business"), Reply::status(200)]);
    let id = call(&consumer, &sink.url("/my-own-path?token=1")).await?;
    consumer.delivery(&id, "delivered").await?;
    let path = format!("/admin/v1/requests/{id}/receipt");
    let receipt = host.admin(Method::GET, &path).await?.expect(200)?.json()?;
    let mut places = Vec::new();
    leaves(&receipt, "", &mut places);
    for place in &places {
        let name = place.rsplit('/').next().unwrap_or_default();
        assert!(!["url", "peer", "excerpt", "salt"].contains(&name), "{place} in {receipt}");
    }
    let port = sink.address().port().to_string();
    let attempts = receipt["deliveries"][0]["attempts"].to_string();
    for part in ["my-own-path", "my own business", &format!(":{port}")] {
        assert!(!receipt.to_string().contains(part), "`{part}` in {receipt}");
    }
    assert!(attempts.contains("500") && attempts.contains("200"), "{receipt}");
    verified(&host, &receipt, &whpk(&host).await?).await?.expect(0)?;
    // It is the operator's to give.
    let foreign = consumer.get(&format!("{}{path}", host.admin_url())).await?;
    foreign.expect(401)?;
    host.admin(Method::GET, "/admin/v1/requests/req_1/receipt").await?.expect(404)?;
    Ok(())
}

#[tokio::test]
async fn what_was_not_delivered_has_a_receipt_too_and_it_holds_after_a_crash() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    sink.otherwise(Reply::status(500));
    let id = call(&consumer, &sink.url("/")).await?;
    consumer.delivery(&id, "exhausted").await?;
    let before = whpk(&host).await?;
    let host = host.restart().await?;
    let consumer = host.consumer(consumer.key().context("a key")?);
    sink.otherwise(Reply::status(200));
    consumer.redeliver(&id).send().await?.expect(202)?;
    consumer.delivery(&id, "delivered").await?;
    let receipt = consumer.get(&format!("/requests/{id}/receipt")).await?.expect(200)?.json()?;
    assert_eq!(receipt["deliveries"][0]["attempts"].as_array().map(Vec::len), Some(4), "{receipt}");
    // The key from before is the key.
    verified(&host, &receipt, &before).await?.expect(0)?;
    Ok(())
}

#[tokio::test]
async fn anothers_receipt_is_as_unknown_as_one_that_never_was() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    let other = host.add_consumer("other", "1").await?;
    let id = call(&consumer, &sink.url("/")).await?;
    consumer.delivery(&id, "delivered").await?;
    for part in ["receipt", "deliveries"] {
        let path = format!("/requests/{id}/{part}");
        assert_eq!(other.get(&path).await?.expect(404)?.problem()?, "unknown-request", "{part}");
        assert_eq!(consumer.with_key(None).get(&path).await?.expect(401)?.problem()?, "missing-key", "{part}");
        consumer.get(&format!("/requests/req_1/{part}")).await?.expect(404)?;
        consumer.request(Method::POST, &path).send().await?.expect(405)?;
    }
    Ok(())
}
