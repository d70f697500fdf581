//! Handlers that call the outside: where they may, how far they come, and what they are told.

use crate::{Test, host};
use anyhow::{Context as _, Result};
use ripost_tests::{Api, Consumer, Host, Hostile, Mode, Plugin, Sink, places};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The guest that calls what its body says.
fn component() -> Result<Vec<u8>> {
    let path = places::built_plugin("outbound")?.join("outbound.wasm");
    std::fs::read(&path).with_context(|| format!("reading {path}"))
}

fn api(owner: &str, rules: &[&str]) -> Result<Api> {
    Ok(Api::new(owner, "out", component()?).grant(&format!("outbound = {rules:?}")))
}

/// A host in development mode whose `demo/out` may call these.
async fn granting(rules: &[&str]) -> Result<Host> {
    host().plugin(&Plugin::new("out", [api("demo", rules)?])).start().await
}

async fn calls(consumer: &Consumer, api: &str, order: &Value) -> Result<Vec<Value>> {
    let report = consumer.call(api).json(order).send().await?.expect(200)?.json()?;
    report["calls"].as_array().cloned().with_context(|| format!("calls in {report}"))
}

async fn call(host: &Host, order: &Value) -> Result<Value> {
    Ok(calls(&host.demo(), "demo/out", order).await?.remove(0))
}

fn error_of(called: &Value) -> &str {
    called["error"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_handler_calls_what_its_manifest_grants_and_nothing_else() -> Test {
    let sink = Sink::start().await?;
    let base = sink.url("");
    let host = granting(&[&format!("POST {base}/v1/"), "https://*.example.org"]).await?;
    let order = json!({
        "method": "POST", "url": format!("{base}/v1/orders?a=b"), "headers": [["x-mine", "1"]], "body": "hello", "times": 3,
    });
    let called = calls(&host.demo(), "demo/out", &order).await?;
    assert!(called.len() == 3 && called.iter().all(|called| called["status"] == 200), "{called:?}");
    let arrived = sink.deliveries();
    assert_eq!((arrived.len(), arrived[0].path.as_str(), &arrived[0].body[..]), (3, "/v1/orders?a=b", &b"hello"[..]));
    assert_eq!(arrived[0].header("x-mine"), "1");
    assert!(arrived[0].header("user-agent").starts_with("Ripost/"));
    assert!(
        arrived.iter().all(|delivery| delivery.connection == arrived[0].connection),
        "one connection serves them all"
    );
    for (method, path) in [("GET", "/v1/orders"), ("POST", "/v2"), ("POST", "/v1/../v2"), ("POST", "/v1/..%2fv2")] {
        let called = call(&host, &json!({ "method": method, "url": format!("{base}{path}") })).await?;
        let text = called["text"].as_str().unwrap_or_default();
        assert!(
            error_of(&called) == "not-granted" && text.contains("https://*.example.org"),
            "{method} {path}: {called}"
        );
    }
    assert_eq!(sink.deliveries().len(), 3);
    Ok(())
}

#[tokio::test]
async fn no_grant_leads_inside_the_operators_network() -> Test {
    let inside = Hostile::start(Mode::Answers(200, String::new())).await?;
    let port = inside.url("").rsplit(':').next().context("a port")?.trim_end_matches('/').to_owned();
    // The grants are as wide as a careless owner could make them; the addresses decide.
    let hosts = ["127.0.0.1", "0.0.0.0", "[::1]", "[::ffff:7f00:1]", "localhost", "[64:ff9b::7f00:1]"];
    let mut rules: Vec<String> = hosts.iter().map(|host| format!("http://{host}:{port}")).collect();
    rules.push("http://169.254.169.254".to_owned());
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let host = Host::builder()
        .show_log()
        .config("[outbound]\nplain_http = true")
        .plugin(&Plugin::new("out", [api("demo", &rules)?]))
        .start()
        .await?;
    let consumer = host.add_consumer("c1", "1").await?;
    for url in [
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        format!("http://127.0.0.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f000001:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://[64:ff9b::127.0.0.1]:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{port}/"),
    ] {
        let called = calls(&consumer, "demo/out", &json!({ "url": url })).await?.remove(0);
        assert_eq!(error_of(&called), "address-forbidden", "{url}: {called}");
        // The host as the handler named it, and not what a name means.
        if url.ends_with(&format!("localhost:{port}/")) {
            assert_eq!(called["text"], format!("localhost:{port} has no address that handlers may reach"));
        }
    }
    let userinfo = json!({ "url": format!("http://a.example.org@127.0.0.1:{port}/") });
    let called = calls(&consumer, "demo/out", &userinfo).await?.remove(0);
    assert_eq!(error_of(&called), "not-granted", "{called}");
    assert_eq!(inside.connections(), 0, "nothing knocked");
    Ok(())
}

#[tokio::test]
async fn the_gateway_cannot_be_called_through_itself() -> Test {
    let sink = Sink::start().await?;
    let port = sink.url("");
    let host = granting(&[&port, "http://127.0.0.1:1"]).await?;
    // The grant is written once the port is known.
    let own = host.url().to_owned();
    let plugin = Plugin::new("out", [api("demo", &[&port, &own])?]);
    plugin.install(host.stage(), host.plugins())?;
    ripost_tests::until("the new grant", Duration::from_secs(10), async || {
        let called = call(&host, &json!({ "url": format!("{own}/healthz") })).await?;
        Ok((error_of(&called) == "address-forbidden").then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() -> Test {
    let elsewhere = Hostile::start(Mode::Answers(200, String::new())).await?;
    let redirecting = Hostile::start(Mode::RedirectsTo(elsewhere.url("/"))).await?;
    let rules = [redirecting.url(""), elsewhere.url("")].map(|url| url.trim_end_matches('/').to_owned());
    let host = granting(&rules.each_ref().map(String::as_str)).await?;
    let called = call(&host, &json!({ "url": redirecting.url("/") })).await?;
    assert_eq!(
        (called["status"].as_u64(), called["headers"]["location"].as_str()),
        (Some(301), Some(&*elsewhere.url("/")))
    );
    assert_eq!(elsewhere.connections(), 0);
    Ok(())
}

#[tokio::test]
async fn an_answer_without_end_is_cut_and_one_that_drips_is_not_waited_for() -> Test {
    let endless = Hostile::start(Mode::EndlessBody).await?;
    let chunks = Hostile::start(Mode::EndlessChunks).await?;
    let drips = Hostile::start(Mode::DripsBody(Duration::from_millis(20))).await?;
    let head = Hostile::start(Mode::DripsHead(Duration::from_millis(20))).await?;
    let interim = Hostile::start(Mode::InterimFlood).await?;
    let rules = [&endless, &chunks, &drips, &head, &interim].map(|one| one.url("").trim_end_matches('/').to_owned());
    let host = granting(&rules.each_ref().map(String::as_str)).await?;
    for (from, error) in [(&endless, "limit"), (&chunks, "limit"), (&interim, "in-doubt")] {
        let called = call(&host, &json!({ "url": from.url("/"), "timeout_ms": 8_000 })).await?;
        assert_eq!(error_of(&called), error, "{called}");
    }
    for (from, method, error) in [(&drips, "GET", "timeout"), (&head, "GET", "timeout"), (&drips, "POST", "in-doubt")] {
        let started = Instant::now();
        let called = call(&host, &json!({ "url": from.url("/"), "method": method, "timeout_ms": 300 })).await?;
        assert_eq!(error_of(&called), error, "{called}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_decoded_for_a_handler() -> Test {
    let bomb = Hostile::start(Mode::GzipBomb).await?;
    let host = granting(&[bomb.url("").trim_end_matches('/')]).await?;
    let called = call(&host, &json!({ "url": bomb.url("/"), "headers": [["accept-encoding", "gzip"]] })).await?;
    assert_eq!((called["status"].as_u64(), called["headers"]["content-encoding"].as_str()), (Some(200), Some("gzip")));
    let length: u64 = called["headers"]["content-length"].as_str().context("a length")?.parse()?;
    assert_eq!(called["body_bytes"].as_u64(), Some(length), "as it came");
    Ok(())
}

#[tokio::test]
async fn a_request_cannot_be_hidden_in_a_request() -> Test {
    let sink = Sink::start().await?;
    let base = sink.url("");
    let host = granting(&[&base]).await?;
    for headers in [
        json!([["x-a", "b\r\n\r\nGET /admin HTTP/1.1"]]),
        json!([["x-a\r\nhost", "b"]]),
        json!([["host", "elsewhere"]]),
        json!([["transfer-encoding", "chunked"]]),
        json!([["content-length", "0"], ["content-length", "5"]]),
        json!([["connection", "upgrade"]]),
        json!([["webhook-signature", "v1,x"]]),
    ] {
        let called = call(&host, &json!({ "url": format!("{base}/"), "headers": headers })).await?;
        assert_eq!(error_of(&called), "invalid", "{headers}: {called}");
    }
    let called =
        call(&host, &json!({ "url": format!("{base}/"), "method": "GET / HTTP/1.1\r\nx: y\r\n\r\nGET" })).await?;
    assert_eq!(error_of(&called), "invalid", "{called}");
    let absolute = format!("{base}/http://169.254.169.254/");
    assert_eq!(call(&host, &json!({ "url": absolute })).await?["status"], 200);
    assert_eq!(sink.deliveries().iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), ["/http://169.254.169.254/"]);
    Ok(())
}

#[tokio::test]
async fn connections_are_an_owners_own() -> Test {
    let sink = Sink::start().await?;
    let base = sink.url("");
    let plugin = |owner: &str| anyhow::Ok(Plugin::new(owner, [api(owner, &[&base])?]));
    let host = host().plugin(&plugin("anna")?).plugin(&plugin("bert")?).start().await?;
    for _ in 0..3 {
        for owner in ["anna", "bert"] {
            calls(&host.demo(), &format!("{owner}/out"), &json!({ "url": format!("{base}/{owner}") })).await?;
        }
    }
    let arrived = sink.deliveries();
    let of = |owner: &str| -> Vec<usize> {
        arrived.iter().filter(|one| one.path == format!("/{owner}")).map(|one| one.connection).collect()
    };
    assert_eq!((of("anna").len(), of("bert").len()), (3, 3));
    assert!(of("anna").iter().all(|connection| !of("bert").contains(connection)), "{arrived:?}");
    Ok(())
}

#[tokio::test]
async fn a_run_makes_so_many_calls_and_no_more() -> Test {
    let sink = Sink::start().await?;
    let base = sink.url("");
    let host = granting(&[&base]).await?;
    let called = calls(&host.demo(), "demo/out", &json!({ "url": format!("{base}/"), "times": 40 })).await?;
    let good = called.iter().filter(|called| called["status"] == 200).count();
    assert_eq!((good, sink.deliveries().len()), (32, 32));
    let text = called[39]["text"].as_str().unwrap_or_default();
    assert!(error_of(&called[39]) == "limit" && text.contains("32") && text.contains("outbound_calls"), "{text}");
    Ok(())
}
