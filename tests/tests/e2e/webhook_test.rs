//! Whoever sets an endpoint up can have a webhook sent to it, and is told all about what came of it.

use crate::Test;
use crate::echo::start;
use crate::feed::public;
use anyhow::{Context as _, Result};
use http::Method;
use ripost_tests::{Answer, Consumer, Hostile, Mode, Reply, audit, until, verify};
use serde_json::{Value, json};
use std::time::Duration;

async fn test(consumer: &Consumer, url: &str) -> Result<Answer> {
    consumer.request(Method::POST, "/webhooks/test").json(&json!({ "url": url })).send().await
}

#[tokio::test]
async fn a_test_webhook_goes_the_whole_way_and_can_be_verified() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    let tested = test(&consumer, &sink.url("/hook?x=1")).await?.expect(200)?.json()?;
    assert_eq!((&tested["delivered"], &tested["status"]), (&json!(true), &json!(200)));
    assert!(tested["errorClass"].is_null(), "{tested}");
    assert!(tested["phases"]["connectMs"].is_number() && tested["phases"]["firstByteMs"].is_number(), "{tested}");
    assert!(tested["phases"]["tlsMs"].is_null(), "{tested}");
    let arrived = until("the webhook", Duration::from_secs(5), async || Ok(sink.deliveries().pop())).await?;
    assert_eq!((arrived.method.as_str(), arrived.path.as_str()), ("POST", "/hook?x=1"));
    assert_eq!(
        (&tested["webhookId"], &tested["signature"]),
        (&json!(arrived.id()), &json!(arrived.header("webhook-signature")))
    );
    verify(&arrived, &consumer.webhook_secret().await?)?;
    arrived.json()?;
    let verifiers = tested["verify"].to_string();
    assert!(verifiers.len() > 20, "it says how to verify: {tested}");
    // A test is no request, and nothing of it is left.
    assert_eq!(audit::count(host.data(), "requests")?, 0);
    assert_eq!(audit::count(host.data(), "deliveries")?, 0);
    assert!(consumer.undelivered("").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_does_not_work_is_told_of_and_not_tried_again() -> Test {
    let (_host, consumer, sink) = start(crate::QUICK.replace("2 s", "500 ms").as_str()).await?;
    sink.otherwise(Reply::status(503).body("not now"));
    let tested = test(&consumer, &sink.url("/")).await?.expect(200)?.json()?;
    assert_eq!(
        (&tested["delivered"], &tested["status"], &tested["errorClass"]),
        (&json!(false), &json!(503), &json!("status"))
    );
    let url = sink.url("/");
    assert_eq!(sink.count(), 1);
    drop(sink);
    let tested = test(&consumer, &url).await?.expect(200)?.json()?;
    assert_eq!((&tested["delivered"], &tested["status"]), (&json!(false), &Value::Null));
    // The connection of the test before may be closing this moment.
    assert!(
        ["connection-closed", "unreachable"].contains(&tested["errorClass"].as_str().context("a class")?),
        "{tested}"
    );
    for (mode, class) in [
        (Mode::Hangs, "answer-timeout"),
        (Mode::HeadThenSilence, "body-timeout"),
        (Mode::Garbage, "protocol"),
        (Mode::Closes, "connection-closed"),
        (Mode::RedirectsTo("http://127.0.0.1:1/".to_owned()), "redirect"),
    ] {
        let endpoint = Hostile::start(mode.clone()).await?;
        let tested = test(&consumer, &endpoint.url("/")).await?.expect(200)?.json()?;
        assert_eq!((&tested["delivered"], &tested["errorClass"]), (&json!(false), &json!(class)), "{mode:?}");
        assert!(tested["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{mode:?}: {tested}");
        assert_eq!(endpoint.connections(), 1, "{mode:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_test_reaches_no_place_that_webhooks_may_not_reach() -> Test {
    let (host, consumer, _sink) = start(crate::QUICK).await?;
    for (url, slug) in [
        ("https://10.0.0.1/", "webhook-url-forbidden"),
        ("https://169.254.169.254/latest/meta-data", "webhook-url-forbidden"),
        ("https://[::ffff:10.0.0.1]/", "webhook-url-forbidden"),
        ("nowhere", "webhook-url-invalid"),
        ("file:///etc/passwd", "webhook-url-invalid"),
        ("http://user:secret@127.0.0.1:9/", "webhook-url-invalid"),
    ] {
        let answer = test(&consumer, url).await?.expect(422).context(url)?;
        assert_eq!(answer.problem()?, slug, "{url}");
    }
    for body in [json!({}), json!({ "url": 5 }), json!({ "url": "https://a.example/", "method": "PUT" })] {
        let answer = consumer.request(Method::POST, "/webhooks/test").json(&body).send().await?;
        assert!([400, 422].contains(&answer.status.as_u16()), "{body}: {}", answer.status);
    }
    consumer.request(Method::POST, "/webhooks/test").send().await?.expect(400)?;
    consumer.get("/webhooks/test").await?.expect(405)?;
    assert_eq!(test(&consumer.with_key(None), "https://a.example/").await?.expect(401)?.problem()?, "missing-key");
    let public = public(&host).await?;
    assert_eq!(test(&public, "https://a.example/").await?.expect(403)?.problem()?, "key-is-public");
    Ok(())
}

#[tokio::test]
async fn the_command_line_does_the_same_and_says_so_by_its_exit_code() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    let key = consumer.key().context("a key")?;
    let (url, output) = (sink.url("/"), host.cli(&["webhook-test", &sink.url("/"), "--key", key]).await?.expect(0)?);
    assert_eq!(sink.count(), 1);
    assert!(output.stdout.contains("200") && !output.stdout.contains(key), "{output:?}");
    verify(&sink.deliveries()[0], &consumer.webhook_secret().await?)?;
    sink.otherwise(Reply::status(500));
    let failed = host.cli(&["webhook-test", &url, "--key", key]).await?.expect(1)?;
    assert!(failed.stdout.contains("500") || failed.stderr.contains("500"), "{failed:?}");
    for arguments in [
        &["webhook-test", "https://10.0.0.1/", "--key", key][..],
        &["webhook-test", &url, "--key", "ck_wrong"],
        &["webhook-test", &url],
    ] {
        let output = host.cli(arguments).await?;
        assert!(output.code.is_some_and(|code| code != 0) && !output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
    assert_eq!(sink.count(), 2);
    Ok(())
}
