//! HTTP/2 by prior knowledge: the same answers, and the same bounds.

use crate::{Test, host};
use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ripost_tests::{Api, Host, Plugin, Wire, guests, until};
use std::time::Duration;
use tokio::net::TcpStream;

const LARGE: usize = 1_000_000;

async fn start(config: &str) -> Result<Host> {
    let large = Api::new("demo", "large", guests::answers_bytes(LARGE)).line("delivery = \"off\"");
    let endless = Api::new("demo", "endless", guests::sleeps(60_000)).line("delivery = \"off\"");
    let apis = [
        Api::new("demo", "echo", guests::echo()).price("0.010000"),
        large,
        endless.limit("wall = \"5 min\"").limit("concurrency = 200"),
    ];
    host().config(config).plugin(&Plugin::new("h2", apis)).start().await
}

struct Client {
    sender: SendRequest<Full<Bytes>>,
    base: String,
    driver: tokio::task::JoinHandle<hyper::Result<()>>,
}

impl Client {
    async fn connect(host: &Host) -> Result<Self> {
        let stream = TcpStream::connect(host.url().trim_start_matches("http://")).await?;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(65_535).initial_connection_window_size(1 << 20);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        #[expect(clippy::disallowed_methods, reason = "a test has no tracker")]
        let driver = tokio::spawn(connection);
        Ok(Self { sender, base: host.url().to_owned(), driver })
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        more: &[(&str, &str)],
        body: &str,
    ) -> Result<Response<Incoming>> {
        self.sender.ready().await?;
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let request =
            request.header("x-consumer-key", "demo-public-key-2026").header("content-type", "application/json");
        let sent = self.sender.send_request(request.body(Full::from(body.to_owned()))?);
        Ok(tokio::time::timeout(Duration::from_secs(10), sent).await.context("no answer")??)
    }

    async fn call(&mut self, slug: &str, more: &[(&str, &str)], body: &str) -> Result<Response<Incoming>> {
        self.send(Method::POST, &format!("/api/demo/api/{slug}"), more, body).await
    }
}

async fn whole(response: Response<Incoming>) -> Result<Bytes> {
    let read = tokio::time::timeout(Duration::from_secs(10), response.into_body().collect());
    Ok(read.await.context("no end of the body")??.to_bytes())
}

#[tokio::test]
async fn calls_are_answered_as_over_http1() -> Test {
    let host = start("").await?;
    let mut client = Client::connect(&host).await?;
    let answer = client.call("echo", &[], "{\"n\":1}").await?;
    ensure!(answer.status() == 200 && answer.version() == http::Version::HTTP_2);
    assert_eq!(whole(answer).await?, "{\"n\":1}");
    let accepted = client.call("echo", &[("prefer", "respond-async")], "{}").await?;
    assert_eq!(accepted.status(), 202);
    let location = accepted.headers()["location"].to_str()?.to_owned();
    let view = client.send(Method::GET, &location, &[("prefer", "wait=10")], "").await?;
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&whole(view).await?)?["status"], "completed");
    let large = client.call("large", &[], "{}").await?;
    assert_eq!(large.body().size_hint().exact(), Some(LARGE as u64));
    assert_eq!(whole(large).await?.len(), LARGE);
    let unknown = client.send(Method::GET, "/nothing", &[], "").await?;
    assert_eq!(
        (unknown.status().as_u16(), &unknown.headers()["content-type"]),
        (404, &"application/problem+json".parse()?)
    );
    let stream = client.send(Method::GET, &format!("{location}/events"), &[], "").await?;
    assert!(whole(stream).await?.starts_with(b"retry: 2000\n"));
    // The rest of the beginning may come in pieces of any size.
    let mut wire = Wire::open(host.url()).await?;
    wire.send(b"PRI * HT").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    wire.send(b"TP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    let mut frame = [0; 9];
    tokio::time::timeout(Duration::from_secs(5), tokio::io::AsyncReadExt::read_exact(&mut wire.stream, &mut frame))
        .await??;
    assert_eq!(frame[3], 4, "SETTINGS come first");
    Ok(())
}

#[tokio::test]
async fn a_stream_that_nobody_takes_ends_and_leaves_its_neighbours_alone() -> Test {
    let host = start("[connections]\nanswer_time = \"1 s\"").await?;
    let mut client = Client::connect(&host).await?;
    let unread = client.call("large", &[], "{}").await?;
    assert_eq!(unread.status(), 200);
    until("the end of what nobody takes", Duration::from_secs(10), async || {
        Ok((host.metrics().await?.sum("ripost_connections_cut_total", "reason=\"unread\"") > 0.5).then_some(()))
    })
    .await?;
    ensure!(unread.into_body().collect().await.is_err(), "it broke off");
    assert_eq!(whole(client.call("large", &[], "{}").await?).await?.len(), LARGE, "the connection goes on");
    Ok(())
}

#[tokio::test]
async fn a_caller_that_withdraws_a_call_stops_it() -> Test {
    let host = start("").await?;
    let mut client = Client::connect(&host).await?;
    let in_flight = async || Ok::<_, anyhow::Error>(host.metrics().await?.sum("ripost_runs_in_flight", ""));
    let base = client.base.clone();
    let request =
        Request::post(format!("{base}/api/demo/api/endless")).header("x-consumer-key", "demo-public-key-2026");
    client.sender.ready().await?;
    let call = client.sender.send_request(request.body(Full::from("{}"))?);
    // A call that is dropped is a stream that is reset.
    let _ = tokio::time::timeout(Duration::from_millis(500), call).await;
    until("the end of a run that was withdrawn", Duration::from_secs(10), async || {
        Ok((in_flight().await? < 0.5).then_some(()))
    })
    .await?;
    assert!(!client.driver.is_finished());
    Ok(())
}

#[tokio::test]
async fn a_flood_of_withdrawn_calls_ends_its_connection_and_no_other() -> Test {
    let host = start("").await?;
    let mut neighbour = Client::connect(&host).await?;
    let mut flood = Client::connect(&host).await?;
    for _ in 0..2_000 {
        if flood.sender.ready().await.is_err() {
            break;
        }
        let request = Request::post(format!("{}/api/demo/api/endless", flood.base));
        let request = request.header("x-consumer-key", "demo-public-key-2026").body(Full::from("{}"))?;
        let call = flood.sender.send_request(request);
        let _ = tokio::time::timeout(Duration::from_millis(2), call).await;
    }
    until("the end of the flood", Duration::from_secs(10), async || Ok(flood.driver.is_finished().then_some(())))
        .await?;
    assert_eq!(whole(neighbour.call("echo", &[], "{}").await?).await?, "{}");
    until("the end of its runs", Duration::from_secs(10), async || {
        Ok((host.metrics().await?.sum("ripost_runs_in_flight", "") < 0.5).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_connection_idles_no_longer_than_one_of_http1() -> Test {
    let host = start("[connections]\nheader_time = \"500 ms\"").await?;
    let mut client = Client::connect(&host).await?;
    assert_eq!(whole(client.call("echo", &[], "{}").await?).await?, "{}");
    until("the end of an idle connection", Duration::from_secs(10), async || {
        Ok(client.driver.is_finished().then_some(()))
    })
    .await?;
    // One that only begins.
    let mut wire = Wire::open(host.url()).await?;
    wire.send(b"PRI * HTTP/2.0\r\n").await;
    assert!(wire.ends_within(Duration::from_secs(10)).await);
    Ok(())
}
