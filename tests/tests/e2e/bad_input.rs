//! Wrong calls: each has a clear problem, and nothing is half written.

use crate::{Test, host};
use anyhow::{Context as _, Result};
use ripost_tests::{Api, Host, Plugin, guests};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const API: &str = "demo/echo";

fn plugin() -> Plugin {
    Plugin::new("echo", [Api::new("demo", "echo", guests::echo()).price("0.050000")])
}

async fn start() -> Result<Host> {
    // All of `host()` and a small limit.
    host().config("[limits]\nbody = \"2 KiB\"").plugin(&plugin()).start().await
}

/// Nothing was accepted, nothing held.
async fn nothing_was_written(host: &Host) -> Test {
    assert_eq!(host.demo().balances().await?, (1_000_000_000_000, 0));
    let status = host.cli(&["status", "--json"]).await?.expect(0)?.json()?;
    assert_eq!((&status["queues"]["requests_accepted"], &status["queues"]["requests_running"]), (&json!(0), &json!(0)));
    let metrics = host.metrics().await?;
    assert_eq!(metrics.sum("ripost_requests_accepted_total", "").to_bits(), 0_f64.to_bits());
    let entries = ripost_tests::audit::count(host.data(), "requests")?;
    assert_eq!(entries, 0, "rows of requests");
    Ok(())
}

#[tokio::test]
async fn every_wrong_call_has_its_problem_and_writes_nothing() -> Test {
    let host = start().await?;
    let demo = host.demo();
    let (nobody, stranger) = (demo.with_key(None), demo.with_key(Some("ck_wrong")));
    let body = json!({ "n": 1 });
    let url = |url: serde_json::Value| demo.call(API).json(&json!({ "webhook_url": url }));
    let mut cases = vec![
        (401, "missing-key", nobody.call(API).json(&body)),
        (401, "unknown-key", stranger.call(API).json(&body)),
        (404, "unknown-api", demo.call("demo/nothing").json(&body)),
        (404, "unknown-api", demo.call("nobody/echo").json(&body)),
        (404, "not-found", demo.request(http::Method::GET, "/")),
        (404, "not-found", demo.request(http::Method::POST, "/api/demo/echo").json(&body)),
        (405, "method-not-allowed", demo.request(http::Method::POST, "/consumer")),
        (405, "method-not-allowed", demo.request(http::Method::DELETE, "/consumer/webhook-secret")),
        (413, "body-too-large", demo.call(API).raw("application/json", "x".repeat(2049))),
        (400, "invalid-header", demo.call(API).json(&body).header("idempotency-key", "")),
        (400, "invalid-header", demo.call(API).json(&body).header("idempotency-key", &"k".repeat(256))),
        (400, "invalid-header", demo.call(API).json(&body).header("idempotency-key", "\"k")),
        (400, "invalid-header", demo.call(API).json(&body).header("idempotency-key", "\"k\" \"k\"")),
        (
            400,
            "invalid-header",
            demo.call(API).json(&body).header("idempotency-key", "a").header("idempotency-key", "b"),
        ),
        (422, "webhook-url-invalid", demo.call(API).raw("text/plain", "x").header("ripost-webhook-url", "nowhere")),
        (409, "price-changed", demo.call(API).json(&json!({ "max_price_usdc": "0.01" }))),
    ];
    for text in ["", "{", "nope", "{\"a\":1,}", "{} {}", "{\"a\":\"\u{1}\"}", "[1,"] {
        cases.push((400, "invalid-json", demo.call(API).raw("application/json", text)));
        cases.push((400, "invalid-json", demo.call(API).raw("application/problem+json; charset=utf-8", text)));
    }
    for wrong in [
        json!(5),
        json!(null),
        json!(["http://127.0.0.1/"]),
        json!(""),
        json!("hook"),
        json!("/hook"),
        json!("ftp://127.0.0.1/"),
        json!("file:///etc/passwd"),
        json!("javascript:alert(1)"),
        json!("http://"),
        json!("http://user:secret@127.0.0.1:9/"),
        json!("http://user@127.0.0.1:9/"),
    ] {
        cases.push((422, "webhook-url-invalid", url(wrong)));
    }
    for forbidden in [
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://192.168.1.1/",
        "https://[fd00::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://0.0.0.0/",
        "https://100.64.0.1/",
        "https://224.0.0.1/",
    ] {
        cases.push((422, "webhook-url-forbidden", url(json!(forbidden))));
    }
    let mut problems = std::collections::BTreeMap::new();
    for (number, (status, slug, call)) in cases.into_iter().enumerate() {
        let what = format!("case {number}, {status} {slug}");
        let answer = call.send().await?.expect(status).context(what.clone())?;
        assert_eq!(answer.problem()?, slug, "{what}");
        assert_eq!(answer.header("link"), Some(format!("</problems/{slug}>; rel=\"help\"").as_str()), "{what}");
        let problem = answer.json()?;
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "says what to do: {problem}");
        problems.entry(slug).or_insert(problem);
    }
    insta::assert_json_snapshot!("problems", problems);
    nothing_was_written(&host).await
}

#[tokio::test]
async fn each_problem_leads_to_a_page_that_anybody_may_read() -> Test {
    let host = host().argument("--admin-listen").argument("127.0.0.1:0").plugin(&plugin()).start().await?;
    let nobody = host.demo().with_key(None);
    let refused = nobody.call(API).json(&json!({})).send().await?.expect(401)?;
    let link = refused.header("link").context("a link")?;
    let path = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"help\"")).context("its form")?;
    let operators = ripost_tests::Consumer::new(host.admin_url(), None);
    for of in [&nobody, &operators] {
        let page = of.get(path).await?.expect(200)?;
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(page.header("content-security-policy"), Some("default-src 'none'"));
        let text = std::str::from_utf8(&page.body)?;
        assert!(text.contains("<li>To do: Send <code>X-Consumer-Key</code>."), "{text}");
        assert_eq!(of.get("/problems/nothing").await?.expect(404)?.problem()?, "not-found");
    }
    let index = nobody.get("/problems").await?.expect(200)?;
    let index = std::str::from_utf8(&index.body)?;
    assert!(index.contains(&format!("<a href=\"{path}\">missing-key</a> (401)")), "{index}");
    nobody.request(http::Method::POST, path).send().await?.expect(405)?;
    Ok(())
}

#[tokio::test]
async fn outside_development_mode_no_webhook_goes_to_this_machine_or_its_neighbours() -> Test {
    let host = Host::builder().show_log().plugin(&plugin()).start().await?;
    let consumer = host.add_consumer("c1", "1").await?;
    for forbidden in [
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.0.0.1/",
        "https://localhost/",
        "https://localhost./",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://10.1.2.3/",
        "https://169.254.169.254/",
    ] {
        let answer = consumer.call(API).json(&json!({ "webhook_url": forbidden })).send().await?;
        let answer = answer.expect(422).context(forbidden)?;
        assert_eq!(answer.problem()?, "webhook-url-forbidden", "{forbidden}");
    }
    let answer = consumer.call(API).json(&json!({ "webhook_url": "http://127.0.0.1:9/" })).send().await?.expect(422)?;
    assert!(answer.problem()?.starts_with("webhook-url-"));
    assert_eq!(consumer.balances().await?, (1_000_000, 0));
    Ok(())
}

#[tokio::test]
async fn the_well_known_key_opens_nothing_outside_development_mode() -> Test {
    let host = host().plugin(&plugin()).start().await?;
    host.demo().call(API).json(&json!({})).send().await?.expect(200)?;
    // The data folder has seen development mode; the process has not.
    let host = host.sigterm().await?.with(ripost_tests::HostBuilder::not_dev).start().await?;
    let answer = host.demo().call(API).json(&json!({})).send().await?.expect(401)?;
    assert_eq!(answer.problem()?, "unknown-key");
    Ok(())
}

/// Sends bytes as they are, and has the first line of what comes back.
async fn raw(host: &Host, bytes: &[u8]) -> Result<String> {
    let address = host.url().strip_prefix("http://").context("an address")?;
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.windows(2).any(|pair| pair == b"\r\n") {
        let read =
            tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer)).await.context("no answer")??;
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..read]);
    }
    Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_body_that_does_not_say_how_long_it_is_has_the_same_limit() -> Test {
    let host = start().await?;
    let head = "POST /api/demo/api/echo HTTP/1.1\r\nhost: a\r\nx-consumer-key: demo-public-key-2026\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    let long = [head, &chunk, &chunk, &chunk, "0\r\n\r\n"].concat();
    assert!(raw(&host, long.as_bytes()).await?.contains(" 413 "));
    let fits = [head, &chunk, "0\r\n\r\n"].concat();
    assert!(raw(&host, fits.as_bytes()).await?.contains(" 200 "));
    Ok(())
}

#[tokio::test]
async fn what_is_not_http_or_comes_too_slowly_is_cut_off() -> Test {
    let host = host()
        .config("[connections]\nheader_time = \"300 ms\"\nbody_time = \"300 ms\"")
        .plugin(&plugin())
        .start()
        .await?;
    let first = raw(&host, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").await?;
    assert!(first.is_empty() || first.contains(" 400 "), "{first}");
    let slow = "POST /api/demo/api/echo HTTP/1.1\r\nhost: a\r\nx-consumer-key: demo-public-key-2026\r\ncontent-length: 10\r\n\r\nabc";
    assert!(raw(&host, slow.as_bytes()).await?.contains(" 408 "), "a body has its time");
    // A head that never ends: the connection is closed, with 408 or without a word.
    let head = raw(&host, b"GET /healthz HTTP/1.1\r\nhost: a\r\n").await?;
    assert!(head.is_empty() || head.contains(" 408 "), "{head}");
    Ok(())
}
