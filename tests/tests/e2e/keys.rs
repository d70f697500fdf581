//! Keys of consumers: several at a time, and what ends one.

use crate::{Test, host};
use anyhow::{Context as _, Result};
use http::Method;
use ripost_tests::{Host, Plugin, guests, until};
use serde_json::{Value, json};
use std::time::Duration;

async fn start() -> Result<Host> {
    host().plugin(&Plugin::one("echo", guests::echo())).start().await
}

async fn add(host: &Host, arguments: &[&str]) -> Result<String> {
    let command = [&["consumers", "keys", "add"], arguments, &["--json"]].concat();
    let added = host.cli(&command).await?.expect(0)?.json()?;
    Ok(added["key"].as_str().with_context(|| format!("no key in {added}"))?.to_owned())
}

async fn list(host: &Host, consumer: &str) -> Result<Vec<Value>> {
    let listed = host.cli(&["consumers", "keys", "list", consumer, "--json"]).await?.expect(0)?.json()?;
    Ok(listed.as_array().context("a list")?.clone())
}

async fn opens(host: &Host, key: &str) -> Result<bool> {
    let answer = host.consumer(key).call("demo/echo").json(&json!({})).send().await?;
    match answer.status.as_u16() {
        200 => Ok(true),
        401 => {
            assert_eq!(answer.problem()?, "unknown-key");
            Ok(false)
        }
        other => anyhow::bail!("{other}"),
    }
}

#[tokio::test]
async fn a_key_is_replaced_without_an_interruption() -> Test {
    let host = start().await?;
    let first = host.add_consumer("acme", "1").await?;
    let old = first.key().context("a key")?.to_owned();
    let id = first.call("demo/echo").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    let new = add(&host, &["acme", "--name", "2026-12"]).await?;
    assert!(opens(&host, &old).await? && opens(&host, &new).await?, "both at the same time");
    assert_eq!(host.consumer(&new).view(&id).await?["requestId"], id.as_str(), "one consumer, whichever key it uses");
    let listed = list(&host, "acme").await?;
    let names: Vec<_> = listed.iter().map(|line| line["name"].as_str().unwrap_or_default()).collect();
    assert_eq!(names, ["key-1", "2026-12"]);
    for (line, key) in listed.iter().zip([&old, &new]) {
        let hint = format!("ck_…{}", &key[key.len() - 4..]);
        assert_eq!((&line["hint"], &line["public"]), (&json!(hint), &json!(false)));
        assert!(!line.to_string().contains(key.as_str()), "{line}");
    }
    let told = host.cli(&["consumers", "keys", "list", "acme"]).await?.expect(0)?.stdout;
    assert!(told.contains("2026-12") && !told.contains(&new), "{told}");

    host.cli(&["consumers", "keys", "revoke", "acme", "key-1"]).await?.expect(0)?;
    // Known a moment ago, and at once no more; on a connection that is open too.
    let refused = first.call("demo/echo").json(&json!({})).send().await?.expect(401)?;
    assert_eq!(refused.problem()?, "unknown-key");
    first.get(&format!("/requests/{id}")).await?.expect(401)?;
    assert!(opens(&host, &new).await?);
    let host = host.restart().await?;
    assert!(!opens(&host, &old).await? && opens(&host, &new).await?);
    Ok(())
}

#[tokio::test]
async fn a_key_can_end_after_a_while() -> Test {
    let host = start().await?;
    let consumer = host.add_consumer("acme", "1").await?;
    let old = consumer.key().context("a key")?.to_owned();
    let short = add(&host, &["acme", "--expires-in", "1500 ms"]).await?;
    add(&host, &["acme"]).await?;
    assert!(opens(&host, &short).await? && opens(&host, &old).await?);
    let told = host.cli(&["consumers", "keys", "revoke", "acme", "key-1", "--in", "1500 ms"]).await?.expect(0)?;
    assert!(told.stdout.contains("revoked: key-1 of acme, from "), "{told:?}");
    assert!(opens(&host, &old).await?, "the overlap");
    for key in [&short, &old] {
        until("it opens nothing", Duration::from_secs(5), async || Ok((!opens(&host, key).await?).then_some(())))
            .await?;
    }
    let refused = consumer.get("/consumer").await?.expect(401)?.json()?;
    assert!(refused["detail"].as_str().is_some_and(|text| text.contains("The key expired at ")), "{refused}");
    let expired: Vec<bool> = list(&host, "acme").await?.iter().map(|line| line["expired"] == true).collect();
    assert_eq!(expired, [true, true, false]);
    // They make room for the next.
    add(&host, &["acme", "--name", "key-1"]).await?;
    assert_eq!(list(&host, "acme").await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn the_last_key_is_not_revoked_by_mistake() -> Test {
    let host = start().await?;
    let consumer = host.add_consumer("acme", "1").await?;
    let key = consumer.key().context("a key")?.to_owned();
    let public = add(&host, &["acme", "--name", "web", "--public"]).await?;
    let refused = host.cli(&["consumers", "keys", "revoke", "acme", "key-1"]).await?.expect(1)?.stderr;
    assert!(refused.contains("ripost consumers keys add acme") && refused.contains("--last"), "{refused}");
    let path = "/admin/v1/consumers/acme/keys/key-1";
    assert_eq!(host.admin(Method::DELETE, path).await?.expect(409)?.problem()?, "last-key");
    assert!(opens(&host, &key).await?);
    host.consumer(&public).get("/consumer/webhook-secret").await?.expect(403)?;
    host.cli(&["consumers", "keys", "revoke", "acme", "key-1", "--last"]).await?.expect(0)?;
    assert!(!opens(&host, &key).await? && opens(&host, &public).await?);
    // And back again, without losing what is the consumer's.
    let again = add(&host, &["acme"]).await?;
    assert_eq!(host.consumer(&again).balances().await?, (1_000_000, 0));
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_a_key_that_is_asked_for_is_said() -> Test {
    let host = start().await?;
    host.add_consumer("acme", "1").await?;
    let post = async |fields: Value| host.admin_json(Method::POST, "/admin/v1/consumers/acme/keys", &fields).await;
    assert_eq!(post(json!({ "name": "key-1" })).await?.expect(409)?.problem()?, "name-taken");
    for fields in [
        json!({ "name": "" }),
        json!({ "name": "a\nb" }),
        json!({ "expires_in": "0 s" }),
        json!({ "expires_in": "soon" }),
        json!({ "expires_in": "4000 d" }),
    ] {
        let refused = post(fields.clone()).await?.expect(422)?;
        assert_eq!(refused.problem()?, "invalid-value", "{fields}");
    }
    post(json!({ "expiresIn": "1 d" })).await?.expect(400)?;
    // Without any field it has the next free name.
    let added = host.admin(Method::POST, "/admin/v1/consumers/acme/keys").await?.expect(201)?.json()?;
    assert_eq!((&added["name"], &added["expires_at"]), (&json!("key-2"), &Value::Null));
    host.admin(Method::DELETE, "/admin/v1/consumers/acme/keys/none").await?.expect(404)?;
    host.admin(Method::GET, "/admin/v1/consumers/nobody/keys").await?.expect(404)?;
    Ok(())
}
