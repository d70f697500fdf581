//! What of a call's head reaches the owner, and what of it is refused.

use crate::{Test, upstream};
use http::Method;
use ripost_tests::wire::{ask, exchange, status};
use ripost_tests::{Delivery, Host, Reply, Sink, audit};
use serde_json::json;

const KEY: (&str, &str) = ("x-consumer-key", "demo-public-key-2026");

async fn sent_on(host: &Host, service: &Sink) -> anyhow::Result<Delivery> {
    let consumer = host.demo();
    let call = consumer.request(Method::POST, "/api/demo/api/up").header("connection", "close, X-Secret");
    let call = call.header("x-secret", "1").header("x-mine", "1").header("prefer", "wait=20");
    let call = call.header("forwarded", "for=1.2.3.4").header("x-forwarded-for", "1.2.3.4");
    let call = call.header("x-forwarded-host", "evil.example").header("x-real-ip", "1.2.3.4");
    let call = call.header("x-original-url", "/admin").header("x_forwarded_for", "1.2.3.4");
    let call = call.header("ripost_consumer", "somebody");
    let answer = call.json(&json!({})).send().await?.expect(200)?;
    service.first(answer.header("ripost-request-id").unwrap_or_default()).await
}

const OF_PROXIES: [&str; 5] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "x-original-url"];

#[tokio::test]
async fn an_owner_is_told_of_a_caller_only_by_a_proxy_that_the_operator_trusts() -> Test {
    for (config, told) in [
        ("", false),
        ("[connections]\ntrusted_proxies = [\"10.0.0.0/8\", \"fd00::/8\"]", false),
        ("[connections]\ntrusted_proxies = [\"10.0.0.0/8\", \"127.0.0.0/8\"]", true),
    ] {
        let service = Sink::start().await?;
        service.otherwise(Reply::status(200).body("ok"));
        let host = upstream::host(&service.url("/"), "").config(config).start().await?;
        let forwarded = sent_on(&host, &service).await?;
        for name in OF_PROXIES {
            assert_eq!(forwarded.headers.contains_key(name), told, "{name} {config}: {forwarded:?}");
        }
        for name in ["x-secret", "connection", "x_forwarded_for", "ripost_consumer"] {
            assert!(!forwarded.headers.contains_key(name), "{name}: {forwarded:?}");
        }
        assert_eq!(forwarded.header("x-mine"), "1");
    }
    Ok(())
}

#[tokio::test]
async fn a_field_that_counts_once_is_not_taken_twice() -> Test {
    let service = Sink::start().await?;
    let host = upstream::host(&service.url("/"), "").start().await?;
    let post = ("content-length", "0");
    for twice in
        [("x-consumer-key", "demo-public-key-2026"), ("x-consumer-key", "other"), ("content-type", "text/plain")]
    {
        let fields = [KEY, ("content-type", "application/json"), twice, post];
        let answer = ask(host.url(), "POST", "/api/demo/api/up", &fields).await?;
        assert!(status(&answer) == 400 && answer.contains("duplicate-field"), "{twice:?}: {answer}");
    }
    let token = std::fs::read_to_string(host.data().join("admin-token"))?;
    let token = format!("Bearer {}", token.trim());
    let fields = [("authorization", token.as_str()), ("authorization", "Bearer other")];
    let answer = ask(host.admin_url(), "GET", "/admin/v1/status", &fields).await?;
    assert!(status(&answer) == 400 && answer.contains("duplicate-field"), "{answer}");
    assert_eq!((service.count(), audit::count(host.data(), "requests")?), (0, 0));
    Ok(())
}

#[tokio::test]
async fn methods_for_proxies_are_refused_with_those_that_are_allowed() -> Test {
    let service = Sink::start().await?;
    let host = upstream::host(&service.url("/"), "").start().await?;
    for target in ["/api/demo/api/up", "/requests", "/healthz", "/nothing", "/admin/v1/status", "/openapi.json"] {
        for method in ["TRACE", "TRACK"] {
            let answer = ask(host.url(), method, target, &[KEY]).await?;
            assert!(status(&answer) == 405 && answer.to_lowercase().contains("\r\nallow: get, "), "{target}: {answer}");
        }
    }
    let answer =
        exchange(host.url(), b"CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\nconnection: close\r\n\r\n")
            .await?;
    assert!(status(&answer) == 405 && answer.to_lowercase().contains("\r\nallow: "), "{answer}");
    assert_eq!((service.count(), audit::count(host.data(), "requests")?), (0, 0));
    Ok(())
}
