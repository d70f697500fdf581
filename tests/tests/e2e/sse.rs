//! What happens to a request, as server-sent events.

use crate::{PAUSED, Test, host};
use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use ripost_tests::{Api, Consumer, Host, Plugin, guests};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// An open stream.
struct Stream {
    status: u16,
    head: http::HeaderMap,
    body: Incoming,
    text: String,
}

/// One event as its reader sees it.
#[derive(Debug)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Stream {
    async fn open(host: &Host, consumer: &Consumer, id: &str, last: Option<&str>) -> Result<Self> {
        let address = host.url().trim_start_matches("http://");
        let stream = tokio::net::TcpStream::connect(address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        #[expect(clippy::disallowed_methods, reason = "it ends with its connection")]
        tokio::spawn(connection);
        let mut request = http::Request::get(format!("/requests/{id}/events")).header("host", address);
        if let Some(key) = consumer.key() {
            request = request.header("x-consumer-key", key);
        }
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = sender.send_request(request.body(Empty::<bytes::Bytes>::new())?).await?;
        let (head, body) = answer.into_parts();
        Ok(Self { status: head.status.as_u16(), head: head.headers, body, text: String::new() })
    }

    /// The next event; none once the stream has ended.
    async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    let lines = event.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    lines.collect::<Vec<_>>().join("\n")
                };
                let (name, id, data) = (field("event"), field("id"), field("data"));
                if name.is_empty() {
                    continue;
                }
                let data = serde_json::from_str(&data).with_context(|| format!("the data of {event}"))?;
                return Ok(Some(Event { name, id, data }));
            }
            let frame = tokio::time::timeout(Duration::from_secs(10), self.body.frame()).await.context("no event")?;
            match frame {
                Some(frame) => self.text.push_str(std::str::from_utf8(frame?.data_ref().context("data")?)?),
                None => return Ok(None),
            }
        }
    }

    /// All events to the end.
    async fn all(mut self) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await? {
            events.push(event);
        }
        Ok(events)
    }
}

#[tokio::test]
async fn a_stream_tells_states_and_progress_and_ends_with_the_view() -> Test {
    let host = host().plugin(&Plugin::one("steps", guests::reports_progress(700))).start().await?;
    let consumer = host.demo();
    let id = consumer.call("demo/steps").header("prefer", "respond-async").json(&json!({"a": 1})).accepted().await?;
    let stream = Stream::open(&host, &consumer, &id, None).await?;
    assert_eq!(stream.status, 200);
    assert_eq!(stream.head["content-type"], "text/event-stream");
    assert_eq!(stream.head["cache-control"], "no-store");
    let events = stream.all().await?;
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    let last = events.last().unwrap();
    assert!(names.contains(&"state") && names.contains(&"progress"), "{names:?}");
    let running = events.iter().find(|event| event.data["status"] == "running").unwrap();
    assert_eq!((&running.name[..], &running.data["requestId"]), ("state", &json!(id)));
    let progress = events.iter().find(|event| event.name == "progress").unwrap();
    assert_eq!(progress.data, json!({"percent": 40, "message": "halfway there"}));
    assert_eq!(
        (&last.name[..], &last.data["status"], &last.data["result"]),
        ("completed", &json!("completed"), &json!({"a": 1}))
    );
    let view = consumer.view(&id).await?;
    assert_eq!((&last.data["links"], &last.data["settlement"]), (&view["links"], &view["settlement"]));

    // Whoever comes back with what it has seen is told the rest, and after the end there is none.
    for event in &events[..events.len() - 1] {
        let rest = Stream::open(&host, &consumer, &id, Some(&event.id)).await?.all().await?;
        assert_eq!(rest.iter().map(|event| &event.name[..]).collect::<Vec<_>>(), ["completed"], "after {event:?}");
        assert_eq!(rest[0].id, last.id);
    }
    assert_eq!(Stream::open(&host, &consumer, &id, Some(&last.id)).await?.status, 204);
    Ok(())
}

#[tokio::test]
async fn who_comes_back_after_a_restart_is_told_what_is_new_and_does_not_miss_the_end() -> Test {
    let plugin = Plugin::one("echo", guests::echo());
    let host = Host::builder().dev().show_log().config(PAUSED).plugin(&plugin).start().await?;
    let consumer = host.demo();
    let id = consumer.call("demo/echo").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    let mut stream = Stream::open(&host, &consumer, &id, None).await?;
    let first = stream.next().await?.context("an event")?;
    assert_eq!((&first.name[..], &first.data["status"]), ("state", &json!("accepted")));

    let began = Instant::now();
    host.signal_term()?;
    assert!(stream.next().await?.is_none(), "a host that stops ends its streams");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let host = host.ended().await?.with(|host| host.only_config(crate::QUICK)).start().await?;
    let rest = Stream::open(&host, &host.demo(), &id, Some(&first.id)).await?.all().await?;
    assert_eq!(rest.last().unwrap().data["status"], "completed");
    assert!(rest.iter().all(|event| event.id != first.id), "{rest:?}");
    Ok(())
}

#[tokio::test]
async fn streams_are_for_the_requests_consumer_and_there_are_not_more_than_allowed() -> Test {
    let config = format!("{PAUSED}\n[connections]\nstreams_max = 3\nstreams_per_consumer = 2\n");
    let plugin = Plugin::new("two", [Api::new("demo", "echo", guests::echo())]);
    let host = Host::builder().dev().show_log().config(&config).plugin(&plugin).start().await?;
    let (consumer, other) = (host.demo(), host.add_consumer("other", "1").await?);
    let accept = async |consumer: &Consumer| {
        consumer.call("demo/echo").header("prefer", "respond-async").json(&json!({})).accepted().await
    };
    let (mine, others) = (accept(&consumer).await?, accept(&other).await?);
    let foreign = other.get(&format!("/requests/{mine}/events")).await?.expect(404)?;
    assert_eq!(foreign.problem()?, "unknown-request");
    other.with_key(None).get(&format!("/requests/{mine}/events")).await?.expect(401)?;
    other.request(http::Method::POST, &format!("/requests/{mine}/events")).send().await?.expect(405)?;

    let first = Stream::open(&host, &consumer, &mine, None).await?;
    let _second = Stream::open(&host, &consumer, &mine, None).await?;
    let third = consumer.get(&format!("/requests/{mine}/events")).await?.expect(429)?;
    assert_eq!((third.problem()?.as_str(), third.header("retry-after")), ("too-many-streams", Some("5")));
    let _others = Stream::open(&host, &other, &others, None).await?;
    let full = other.get(&format!("/requests/{others}/events")).await?.expect(503)?;
    assert_eq!(full.problem()?, "overloaded");
    drop(first);
    ripost_tests::until("the place of a reader that has gone", Duration::from_secs(5), async || {
        Ok((Stream::open(&host, &consumer, &mine, None).await?.status == 200).then_some(()))
    })
    .await
}
