//! Secrets that change without a webhook being lost, and signatures that need no secret.

use crate::Test;
use crate::echo::{call, start};
use crate::feed::public;
use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use ripost_tests::peers::{Program, verify_v1a_with_node, verify_with};
use ripost_tests::{Answer, Consumer, Reply, Sink, until, verify};
use serde_json::{Value, json};
use std::time::Duration;

const ROTATE: &str = "/consumer/webhook-secret/rotate";

async fn rotate(consumer: &Consumer, body: &Value) -> Result<Answer> {
    consumer.request(Method::POST, ROTATE).json(body).send().await
}

async fn patch(consumer: &Consumer, signatures: Value) -> Result<Answer> {
    consumer.request(Method::PATCH, "/consumer").json(&json!({ "webhook_signatures": signatures })).send().await
}

/// A webhook that arrives now.
async fn webhook(consumer: &Consumer, sink: &Sink) -> Result<ripost_tests::Delivery> {
    let id = call(consumer, &sink.url("/")).await?;
    sink.first(&id).await
}

fn tokens(delivery: &ripost_tests::Delivery, version: &str) -> usize {
    let prefix = format!("{version},");
    delivery.header("webhook-signature").split(' ').filter(|token| token.starts_with(&prefix)).count()
}

#[tokio::test]
async fn while_an_old_secret_lives_webhooks_are_signed_with_both() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    let first = consumer.get("/consumer/webhook-secret").await?.expect(200)?.json()?;
    assert_eq!(first["previous"], json!([]));
    assert!(first["createdAt"].as_str().is_some_and(|at| at.ends_with('Z')), "{first}");
    let old = first["secret"].as_str().context("a secret")?;

    // Without a body: an overlap by default.
    let answer = consumer.request(Method::POST, ROTATE).send().await?.expect(200)?;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let rotated = answer.json()?;
    let new = rotated["secret"].as_str().context("a secret")?;
    assert_ne!(new, old);
    assert_eq!(rotated["previous"].as_array().map(Vec::len), Some(1), "{rotated}");
    assert_eq!(rotated["previous"][0]["secret"], old);
    assert!(rotated["previous"][0]["expiresAt"].is_string(), "{rotated}");
    assert_eq!(consumer.get("/consumer/webhook-secret").await?.expect(200)?.json()?, rotated);

    let delivery = webhook(&consumer, &sink).await?;
    assert_eq!(tokens(&delivery, "v1"), 2);
    verify(&delivery, new)?;
    verify(&delivery, old)?;
    // The new one is first.
    let mut only_first = delivery.clone();
    let token = delivery.header("webhook-signature").split(' ').next().context("a token")?;
    only_first.headers.insert("webhook-signature", token.parse()?);
    verify(&only_first, new)?;
    assert!(verify(&only_first, old).is_err());
    // And after a restart.
    let host = host.restart().await?;
    let consumer = host.consumer(consumer.key().context("a key")?);
    assert_eq!(consumer.get("/consumer/webhook-secret").await?.expect(200)?.json()?, rotated);
    let delivery = webhook(&consumer, &sink).await?;
    verify(&delivery, new)?;
    verify(&delivery, old)
}

#[tokio::test]
async fn an_old_secret_ends_at_once_or_when_its_time_is_over() -> Test {
    let (_host, consumer, sink) = start(crate::QUICK).await?;
    let old = consumer.webhook_secret().await?;
    let rotated = rotate(&consumer, &json!({ "overlap": "0 s" })).await?.expect(200)?.json()?;
    assert_eq!(rotated["previous"], json!([]));
    let current = rotated["secret"].as_str().context("a secret")?.to_owned();
    let delivery = webhook(&consumer, &sink).await?;
    assert_eq!(tokens(&delivery, "v1"), 1);
    verify(&delivery, &current)?;
    assert!(verify(&delivery, &old).is_err(), "a leaked secret is worth nothing at once");

    rotate(&consumer, &json!({ "overlap": "2 s" })).await?.expect(200)?;
    assert_eq!(tokens(&webhook(&consumer, &sink).await?, "v1"), 2);
    let alone = until("the old secret has ended", Duration::from_secs(10), async || {
        let delivery = webhook(&consumer, &sink).await?;
        Ok((tokens(&delivery, "v1") == 1).then_some(delivery))
    })
    .await?;
    assert!(verify(&alone, &current).is_err());
    verify(&alone, &consumer.webhook_secret().await?)?;
    let shown = consumer.get("/consumer/webhook-secret").await?.expect(200)?.json()?;
    assert_eq!(shown["previous"], json!([]));
    Ok(())
}

#[tokio::test]
async fn a_delivery_from_before_the_rotation_is_signed_with_what_is_live_when_it_is_sent() -> Test {
    let config = "[delivery]\nschedule = [\"0 ms\", \"1 s\"]\nsweep = \"50 ms\"\n[runs]\nsweep = \"50 ms\"\n";
    let (_host, consumer, sink) = start(config).await?;
    let old = consumer.webhook_secret().await?;
    sink.script([Reply::status(500)]);
    let id = call(&consumer, &sink.url("/")).await?;
    sink.first(&id).await?;
    let new = rotate(&consumer, &json!({ "overlap": "0 s" })).await?.expect(200)?.json()?;
    let attempts = sink.wait(&id, 2).await?;
    verify(&attempts[0], &old)?;
    verify(&attempts[1], new["secret"].as_str().context("a secret")?)?;
    assert!(verify(&attempts[1], &old).is_err());
    assert_eq!(attempts[0].body, attempts[1].body);
    Ok(())
}

#[tokio::test]
async fn a_consumer_can_bring_its_own_secret_and_a_bad_one_is_refused() -> Test {
    let (_host, consumer, sink) = start(crate::QUICK).await?;
    let own = format!("whsec_{}", STANDARD.encode([42; 24]));
    let rotated = rotate(&consumer, &json!({ "secret": own, "overlap": "7 d" })).await?.expect(200)?.json()?;
    assert_eq!(rotated["secret"], own);
    verify(&webhook(&consumer, &sink).await?, &own)?;
    let short = format!("whsec_{}", STANDARD.encode([1; 23]));
    let long = format!("whsec_{}", STANDARD.encode([1; 65]));
    for body in [
        json!({ "secret": short }),
        json!({ "secret": long }),
        json!({ "secret": "whsec_?" }),
        json!({ "secret": "" }),
        json!({ "secret": 5 }),
        json!({ "overlap": "8 d" }),
        json!({ "overlap": "soon" }),
        json!({ "overlap": "-1 s" }),
        json!({ "overlap": true }),
    ] {
        let answer = rotate(&consumer, &body).await?.expect(422).with_context(|| body.to_string())?;
        answer.problem()?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!text.contains(&short[6..]) && !text.contains(&long[6..]), "a problem repeats no secret: {text}");
    }
    consumer.request(Method::POST, ROTATE).raw("application/json", "{").send().await?.expect(400)?;
    assert_eq!(consumer.get("/consumer/webhook-secret").await?.expect(200)?.json()?, rotated, "nothing has changed");
    Ok(())
}

#[tokio::test]
async fn old_secrets_do_not_pile_up() -> Test {
    let (_host, consumer, sink) = start(crate::QUICK).await?;
    let mut secrets = vec![consumer.webhook_secret().await?];
    for _ in 0..5 {
        let rotated = rotate(&consumer, &json!({ "overlap": "24 h" })).await?.expect(200)?.json()?;
        secrets.push(rotated["secret"].as_str().context("a secret")?.to_owned());
    }
    let refused = rotate(&consumer, &json!({ "overlap": "24 h" })).await?.expect(409)?;
    assert_eq!(refused.problem()?, "too-many-secrets");
    assert_eq!(Some(consumer.webhook_secret().await?.as_str()), secrets.last().map(String::as_str));
    let delivery = webhook(&consumer, &sink).await?;
    assert_eq!(tokens(&delivery, "v1"), 6);
    for secret in &secrets {
        verify(&delivery, secret)?;
    }
    Ok(())
}

#[tokio::test]
async fn the_public_libraries_verify_with_either_of_two_live_secrets_also_beside_v1a() -> Test {
    let (_host, consumer, sink) = start(crate::QUICK).await?;
    let old = consumer.webhook_secret().await?;
    let rotated = rotate(&consumer, &json!({ "overlap": "24 h" })).await?.expect(200)?.json()?;
    let new = rotated["secret"].as_str().context("a secret")?;
    let stranger = format!("whsec_{}", STANDARD.encode([9; 32]));
    for signatures in [json!(["v1"]), json!(["v1", "v1a"])] {
        patch(&consumer, signatures.clone()).await?.expect(200)?;
        let delivery = webhook(&consumer, &sink).await?;
        assert_eq!(tokens(&delivery, "v1"), 2);
        assert_eq!(tokens(&delivery, "v1a"), usize::from(signatures[1] == "v1a"));
        let mut changed = delivery.clone();
        changed.body = String::from_utf8(delivery.body.to_vec())?.replace("completed", "cancelled").into();
        assert_ne!(changed.body, delivery.body);
        let expected = format!("verified {}", delivery.request_id());
        for kind in [Program::Node, Program::Python] {
            for secret in [new, &old] {
                assert_eq!(verify_with(kind, &delivery, secret).await?, expected, "{kind:?} {signatures}");
                assert!(verify_with(kind, &changed, secret).await.is_err(), "{kind:?} takes a changed body");
            }
            assert!(verify_with(kind, &delivery, &stranger).await.is_err(), "{kind:?} takes anybody's secret");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_gateways_own_signature_is_checked_with_its_public_key_alone() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    assert_eq!(consumer.get("/consumer").await?.expect(200)?.json()?["webhook_signatures"], json!(["v1"]));
    assert_eq!(tokens(&webhook(&consumer, &sink).await?, "v1a"), 0, "whoever does not ask for it does not get it");
    let answer = patch(&consumer, json!(["v1", "v1a"])).await?.expect(200)?.json()?;
    assert_eq!(answer["webhook_signatures"], json!(["v1", "v1a"]));
    assert_eq!(consumer.get("/consumer").await?.expect(200)?.json()?["webhook_signatures"], json!(["v1", "v1a"]));

    let keys = consumer.with_key(None).get("/.well-known/webhook-keys").await?.expect(200)?.json()?;
    let jwk = &keys["keys"][0];
    assert_eq!((&jwk["kty"], &jwk["crv"]), (&json!("OKP"), &json!("Ed25519")), "{keys}");
    assert!(jwk.get("d").is_none(), "the public half: {keys}");
    let whpk = keys["whpk"][0].as_str().and_then(|key| key.strip_prefix("whpk_")).context("a whpk_ key")?;
    let x = jwk["x"].as_str().context("x")?;
    assert_eq!(base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(x)?, STANDARD.decode(whpk)?);

    let delivery = webhook(&consumer, &sink).await?;
    assert_eq!((tokens(&delivery, "v1"), tokens(&delivery, "v1a")), (1, 1));
    verify(&delivery, &consumer.webhook_secret().await?)?;
    verify_v1a_with_node(&delivery, jwk).await?;
    let mut changed = delivery.clone();
    changed.body = b"{}".as_slice().into();
    assert!(verify_v1a_with_node(&changed, jwk).await.is_err());

    // One key for as long as there is the data folder.
    let host = host.restart().await?;
    let consumer = host.consumer(consumer.key().context("a key")?);
    assert_eq!(consumer.get("/.well-known/webhook-keys").await?.expect(200)?.json()?, keys);
    verify_v1a_with_node(&webhook(&consumer, &sink).await?, jwk).await?;

    for wrong in [json!(["v2"]), json!([]), json!("v1"), json!(["v1a", 1]), json!(null)] {
        let answer = patch(&consumer, wrong.clone()).await?.expect(422).with_context(|| wrong.to_string())?;
        answer.problem()?;
    }
    consumer.request(Method::PATCH, "/consumer").raw("application/json", "[").send().await?.expect(400)?;
    patch(&consumer, json!(["v1"])).await?.expect(200)?;
    assert_eq!(tokens(&webhook(&consumer, &sink).await?, "v1a"), 0);
    Ok(())
}

#[tokio::test]
async fn a_public_key_changes_nothing_and_nobody_changes_anothers() -> Test {
    let (host, consumer, _sink) = start(crate::QUICK).await?;
    let public = public(&host).await?;
    let other = host.add_consumer("other", "1").await?;
    let (mine, others) = (consumer.webhook_secret().await?, other.webhook_secret().await?);
    for answer in [
        public.get("/consumer/webhook-secret").await?,
        rotate(&public, &json!({})).await?,
        patch(&public, json!(["v1", "v1a"])).await?,
    ] {
        assert_eq!(answer.expect(403)?.problem()?, "key-is-public");
    }
    let nobody = consumer.with_key(None);
    assert_eq!(rotate(&nobody, &json!({})).await?.expect(401)?.problem()?, "missing-key");
    assert_eq!(patch(&nobody, json!(["v1"])).await?.expect(401)?.problem()?, "missing-key");
    rotate(&other, &json!({})).await?.expect(200)?;
    assert_eq!(consumer.webhook_secret().await?, mine);
    assert_ne!(other.webhook_secret().await?, others);
    Ok(())
}

#[tokio::test]
async fn old_and_new_secrets_lie_on_the_disk_sealed_and_are_not_logged() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    let own = format!("whsec_{}", STANDARD.encode(b"a-secret-to-be-looked-for-32-byt"));
    let old = consumer.webhook_secret().await?;
    rotate(&consumer, &json!({ "secret": own, "overlap": "24 h" })).await?.expect(200)?;
    webhook(&consumer, &sink).await?;
    let stopped = host.sigterm().await?;
    let mut needles = Vec::new();
    for secret in [&own, &old] {
        let text = secret.trim_start_matches("whsec_");
        needles.push(STANDARD.decode(text)?);
        needles.push(text.as_bytes().to_vec());
    }
    let mut files = 0;
    for entry in stopped.data().read_dir_utf8()? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let bytes = std::fs::read(entry.path())?;
            let found = needles.iter().any(|needle| bytes.windows(needle.len()).any(|window| window == needle));
            assert!(!found, "{} has a secret in it", entry.path());
            files += 1;
        }
    }
    assert!(files > 1);
    let log = stopped.log();
    assert!(!log.contains(&own[6..]) && !log.contains(&old[6..]));
    Ok(())
}
