//! A consumer that hangs up, at every stage of a call: nothing that was accepted is lost by it, nothing that was not
//! is charged, and nothing of the gateway stays taken.

use crate::{QUICK, Test};
use anyhow::{Context as _, Result, ensure};
use ripost_tests::{Api, Consumer, Host, Plugin, Sink, audit, guests, until};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// As many at each stage; more than there is of whatever could stay taken.
const TIMES: usize = 24;
/// The API's price, in micro-USDC, and what the consumer has.
const PRICE: i64 = 10_000;
const CREDIT: i64 = 10_000_000;
const CONFIG: &str = "[connections]\nstreams_max = 8\nstreams_per_consumer = 8\n[consumers]\nconcurrency = 100\n";

struct Scene {
    host: Host,
    consumer: Consumer,
    address: SocketAddr,
    sink: Sink,
}

impl Scene {
    async fn set() -> Result<Self> {
        let apis = [("echo", guests::echo()), ("slow", guests::sleeps(300)), ("large", guests::answers_bytes(900_000))];
        let apis = apis.map(|(slug, component)| Api::new("demo", slug, component).price("0.010000"));
        let plain = Api::new("demo", "plain", guests::sleeps(300)).price("0.010000").line("delivery = \"off\"");
        let plugin = Plugin::new("hang-ups", apis.into_iter().chain([plain]));
        let host = crate::host().only_config(&format!("{CONFIG}{QUICK}")).plugin(&plugin).start().await?;
        let consumer = host.add_consumer("c1", "10").await?;
        let address = host.url().trim_start_matches("http://").parse()?;
        Ok(Self { host, consumer, address, sink: Sink::start().await? })
    }

    fn head(&self, line: &str, more: &str) -> String {
        let key = self.consumer.key().unwrap_or_default();
        format!("{line} HTTP/1.1\r\nhost: {}\r\nx-consumer-key: {key}\r\n{more}", self.address)
    }

    fn call(&self, slug: &str, more: &str, body: &str) -> String {
        let length = format!("content-type: application/json\r\ncontent-length: {}\r\n{more}\r\n", body.len());
        format!("{}{body}", self.head(&format!("POST /api/demo/api/{slug}"), &length))
    }

    /// Sends the first bytes and hangs up, after having read as many.
    async fn hang_up(&self, request: &str, sent: usize, read: usize) -> Result<()> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(&request.as_bytes()[..sent.min(request.len())]).await?;
        let mut answer = vec![0; read];
        if read > 0 {
            let reading = tokio::time::timeout(Duration::from_secs(10), stream.read_exact(&mut answer));
            reading.await.context("the gateway said nothing")??;
        }
        Ok(())
    }

    /// All that was accepted (at least so many) has ended, is paid for and delivered; the rest cost nothing; and there is
    /// room for all.
    async fn ends_well(self, least: usize) -> Test {
        let Self { host, consumer, sink, .. } = self;
        let requests = until("everything has ended", Duration::from_secs(20), async || {
            let (mut all, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = consumer.get(&format!("/requests?limit=100{cursor}")).await?.expect(200)?.json()?;
                all.extend(page["requests"].as_array().context("a list")?.iter().cloned());
                match page["next"].as_str() {
                    Some(next) if page["more"] == true => cursor = format!("&before={next}"),
                    _ => break,
                }
            }
            let open = |request: &serde_json::Value| {
                request["status"] != "completed" || request["delivery"]["state"] == "pending"
            };
            // What was sent last may not have been read yet; then money is held, or will be.
            let paid = PRICE * i64::try_from(all.len())?;
            let settled = consumer.balances().await? == (CREDIT - paid, 0);
            Ok((settled && all.len() >= least && !all.iter().any(open)).then_some(all))
        })
        .await?;
        for request in requests.iter().filter(|request| request["delivery"]["state"] != "none") {
            sink.first(request["requestId"].as_str().context("an id")?).await?;
        }
        // What could stay taken: bodies in memory, places of runs, streams, the consumer's own concurrency.
        for slug in ["echo", "plain", "large"] {
            consumer.call(&format!("demo/{slug}")).json(&json!({})).send().await?.expect(200)?;
        }
        let stopped = host.sigterm().await?;
        audit::check(stopped.data())
    }
}

#[tokio::test]
async fn while_the_call_is_being_sent() -> Test {
    let scene = Scene::set().await?;
    let body = json!({ "filler": "x".repeat(200_000), "webhook_url": scene.sink.url("/") }).to_string();
    let call = scene.call("echo", "", &body);
    let head = call.len() - body.len();
    for _ in 0..TIMES {
        for sent in [1, 20, head - 2, head, head + 1, head + body.len() / 2, call.len() - 1] {
            scene.hang_up(&call, sent, 0).await?;
        }
    }
    let listed = scene.consumer.get("/requests").await?.expect(200)?.json()?;
    assert_eq!(listed["requests"], json!([]), "what did not come whole was not accepted");
    scene.ends_well(0).await
}

#[tokio::test]
async fn once_the_call_is_sent_and_before_it_is_answered() -> Test {
    let scene = Scene::set().await?;
    let body = json!({ "webhook_url": scene.sink.url("/") }).to_string();
    for round in 0..TIMES {
        let key = format!("idempotency-key: k{round}\r\n");
        for (slug, more) in [("echo", ""), ("slow", "prefer: wait=30\r\n"), ("slow", &*key), ("plain", "")] {
            let body = if slug == "plain" { "{}" } else { &*body };
            let call = scene.call(slug, more, body);
            scene.hang_up(&call, call.len(), 0).await?;
        }
    }
    // Whoever is gone before it was heard has asked for nothing: none of these need have been accepted.
    scene.ends_well(0).await
}

#[tokio::test]
async fn while_the_answer_comes() -> Test {
    let scene = Scene::set().await?;
    for _ in 0..TIMES {
        let call = scene.call("large", "", "{}");
        scene.hang_up(&call, call.len(), 1_000).await?;
    }
    let listed = scene.consumer.get("/requests?limit=100").await?.expect(200)?.json()?;
    ensure!(listed["requests"].as_array().map(Vec::len) == Some(TIMES), "each was answered, and so accepted: {listed}");
    let id = listed["requests"][0]["requestId"].as_str().context("an id")?.to_owned();
    for _ in 0..TIMES {
        let get = scene.head(&format!("GET /requests/{id}/result"), "\r\n");
        scene.hang_up(&get, get.len(), 1_000).await?;
    }
    scene.ends_well(TIMES).await
}

#[tokio::test]
async fn while_a_request_is_waited_for_and_watched() -> Test {
    let scene = Scene::set().await?;
    for _ in 0..TIMES {
        let call = scene.consumer.call("demo/slow").header("prefer", "respond-async");
        let id = call.json(&json!({})).accepted().await?;
        let wait = scene.head(&format!("GET /requests/{id}"), "prefer: wait=30\r\n\r\n");
        scene.hang_up(&wait, wait.len(), 0).await?;
        let watch = scene.head(&format!("GET /requests/{id}/events"), "\r\n");
        scene.hang_up(&watch, watch.len(), 17).await?;
    }
    // Streams whose readers are gone give their places back.
    until("there is room for another stream", Duration::from_secs(20), async || {
        let call = scene.consumer.call("demo/slow").header("prefer", "respond-async");
        let id = call.json(&json!({})).accepted().await?;
        let watch = scene.head(&format!("GET /requests/{id}/events"), "\r\n");
        let mut stream = TcpStream::connect(scene.address).await?;
        stream.write_all(watch.as_bytes()).await?;
        let mut line = [0; 15];
        stream.read_exact(&mut line).await?;
        Ok((&line == b"HTTP/1.1 200 OK").then_some(()))
    })
    .await?;
    scene.ends_well(TIMES).await
}
