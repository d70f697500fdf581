//! Calls of handlers against receivers on loopback: what reaches them, what does not, and what a handler is told.

mod guarding;
mod secrets;

use super::{Outlet, OutletBounds};
use crate::capability::{Capabilities, Granting as _, SecretValues};
use crate::config::SecretForm;
use crate::egress::tests::receiver::Receiver;
use crate::egress::tests::{Names, development};
use crate::egress::{EgressClient, OwnAddresses, Settings};
use crate::keyring::Keyring;
use crate::plugins::ApiGrants;
use bytes::Bytes;
use ripost_domain::address::{PlainHttp, Policy, UrlPolicy};
use ripost_domain::api::{ApiName, Name};
use ripost_runtime::{Grants, OutboundError, OutboundRequest, OutboundResponse};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: b\r\n\r\nok";

/// Secrets by owner and name.
#[derive(Default)]
struct Values(Mutex<BTreeMap<(String, String), String>>);

impl Values {
    fn set(&self, owner: &str, name: &str, value: &str) {
        self.0.lock().unwrap().insert((owner.to_owned(), name.to_owned()), value.to_owned());
    }

    fn unset(&self, owner: &str, name: &str) {
        self.0.lock().unwrap().remove(&(owner.to_owned(), name.to_owned()));
    }
}

impl SecretValues for Values {
    fn get(&self, owner: &Name, name: &str) -> Option<SecretString> {
        let value = self.0.lock().unwrap().get(&(owner.to_string(), name.to_owned())).cloned();
        value.map(SecretString::from)
    }
}

/// A gateway as handlers see it.
struct Outside {
    capabilities: Capabilities,
    values: Arc<Values>,
}

struct Setup {
    addresses: Policy,
    plain_http: PlainHttp,
    names: Arc<Names>,
    own: OwnAddresses,
    bounds: OutletBounds,
    form: SecretForm,
}

impl Default for Setup {
    /// As in development mode.
    fn default() -> Self {
        Self {
            addresses: development(),
            plain_http: PlainHttp::Loopback,
            names: Names::none(),
            own: OwnAddresses::default(),
            bounds: OutletBounds { in_flight: 3, in_flight_per_owner: 2 },
            form: SecretForm::Placeholder,
        }
    }
}

impl Setup {
    fn start(self) -> Outside {
        let settings = Settings { policy: self.addresses.clone(), ..Settings::default() };
        let client = EgressClient::new(settings, Arc::new(self.own), self.names, &TaskTracker::new()).unwrap();
        let url_policy = UrlPolicy { addresses: self.addresses, plain_http: self.plain_http };
        let keyring = Keyring::new([1; 32]);
        let values = Arc::new(Values::default());
        let capabilities = Capabilities {
            outlet: Arc::new(Outlet::new(client, url_policy, self.bounds)),
            secrets: values.clone(),
            secret_form: self.form,
            keyring: Arc::new(keyring),
            kv: None,
        };
        Outside { capabilities, values }
    }
}

impl Outside {
    fn new() -> Self {
        Setup::default().start()
    }

    fn grants(&self, owner: &str, rules: &[&str], secrets: &[&str]) -> Grants {
        let granted = ApiGrants {
            outbound: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
            secrets: secrets.iter().map(|name| name.parse().unwrap()).collect(),
            kv: true,
        };
        let api = ApiName { owner: owner.parse().unwrap(), slug: "a".parse().unwrap() };
        self.capabilities.grants(&api, &granted)
    }
}

type Sent = Result<OutboundResponse, OutboundError>;

async fn send(grants: &Grants, request: OutboundRequest) -> Sent {
    grants.outbound.as_ref().expect("outbound is granted").send(request).await
}

fn get(url: &str) -> OutboundRequest {
    OutboundRequest {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: Bytes::new(),
        timeout: Duration::from_secs(5),
        response_bytes_max: 1000,
    }
}

fn post(url: &str, content_type: &str, body: &str) -> OutboundRequest {
    let headers = vec![("content-type".to_owned(), Bytes::from(content_type.to_owned()))];
    OutboundRequest { method: "POST".to_owned(), headers, body: Bytes::from(body.to_owned()), ..get(url) }
}

fn with(mut request: OutboundRequest, name: &str, value: &str) -> OutboundRequest {
    request.headers.push((name.to_owned(), Bytes::from(value.to_owned())));
    request
}

fn origin(receiver: &Receiver) -> String {
    format!("http://{}", receiver.address)
}

#[tokio::test]
async fn a_granted_call_arrives_as_the_handler_wrote_it() {
    let receiver = Receiver::answering(OK).await;
    let outside = Outside::new();
    let origin = origin(&receiver);
    let grants = outside.grants("a", &[&format!("POST {origin}/v1")], &[]);
    let request = with(post(&format!("{origin}/v1/x?q=%20ä#f"), "text/csv", "a,b"), "x-mine", "1");
    let response = send(&grants, request).await.unwrap();
    assert_eq!((response.status, &response.body[..]), (200, &b"ok"[..]));
    assert!(response.headers.contains(&("x-a".to_owned(), Bytes::from_static(b"b"))), "{:?}", response.headers);
    let arrived = &receiver.requests()[0];
    let first = arrived.lines().next().unwrap();
    assert_eq!(first, "POST /v1/x?q=%20%C3%A4 HTTP/1.1");
    for line in ["content-type: text/csv", "x-mine: 1", "accept-encoding: identity", "content-length: 3"] {
        assert!(arrived.contains(&format!("\r\n{line}\r\n")), "{line}: {arrived}");
    }
    assert!(arrived.ends_with("\r\n\r\na,b") && arrived.contains("user-agent: Ripost/"), "{arrived}");
}

#[tokio::test]
async fn a_call_that_no_grant_covers_is_not_made_and_the_error_lists_those_there_are() {
    let receiver = Receiver::answering(OK).await;
    let outside = Outside::new();
    let origin = origin(&receiver);
    let grants = outside.grants("a", &[&format!("GET {origin}/v1/"), "https://*.example.org"], &[]);
    let port = receiver.address.port();
    for request in [
        get(&format!("{origin}/v2/")),
        get(&format!("{origin}/v1/../v2/")),
        get(&format!("{origin}/v1/%2e%2e/v2/")),
        get(&format!("{origin}/v1/..%2fv2/")),
        get(&format!("{origin}/v1\\..\\v2/")),
        get(&format!("http://localhost:{port}/v1/")),
        get(&format!("http://user@127.0.0.1:{port}/v1/")),
        get(&format!("http://a.example.org@127.0.0.1:{port}/v1/")),
        get(&format!("https://127.0.0.1:{port}/v1/")),
        get(&format!("ftp://127.0.0.1:{port}/v1/")),
        get("https://example.org/"),
        post(&format!("{origin}/v1/"), "text/plain", "x"),
    ] {
        let url = request.url.clone();
        let error = send(&grants, request).await.unwrap_err();
        let OutboundError::NotGranted(text) = &error else { panic!("{url}: {error:?}") };
        assert!(text.contains(&format!("\"GET {origin}/v1/\", \"https://*.example.org\"")), "{text}");
    }
    assert_eq!(receiver.accepted(), 0);
    assert!(outside.grants("a", &[], &[]).outbound.is_none());
}

#[tokio::test]
async fn what_http_cannot_carry_is_refused_before_anything_is_connected() {
    let receiver = Receiver::answering(OK).await;
    let outside = Outside::new();
    let grants = outside.grants("a", &[&origin(&receiver)], &[]);
    let url = receiver.url();
    let method = |method: &str| OutboundRequest { method: method.to_owned(), ..get(&url) };
    for request in [
        method("CONNECT"),
        method("TRACE"),
        method("get"),
        method(""),
        method("GET / HTTP/1.1\r\nx: y\r\n\r\nGET"),
        get("no url"),
        get("//127.0.0.1/"),
        get(&format!("{url} HTTP/1.1")).with_space(),
        with(get(&url), "x-a", "b\r\n\r\nGET /admin HTTP/1.1"),
        with(get(&url), "host", "elsewhere"),
        with(get(&url), "transfer-encoding", "chunked"),
        with(with(get(&url), "content-length", "0"), "content-length", "7"),
        with(get(&url), "content-length", "7"),
        with(get(&url), "webhook-signature", "v1,x"),
    ] {
        let shown = format!("{request:?}");
        let error = send(&grants, request).await.unwrap_err();
        assert!(matches!(error, OutboundError::Invalid(_)), "{shown}: {error:?}");
    }
    assert_eq!(receiver.accepted(), 0);
}

trait WithSpace {
    fn with_space(self) -> Self;
}

impl WithSpace for OutboundRequest {
    /// A space that the parser would strip, and another program would not.
    fn with_space(mut self) -> Self {
        self.url = format!("\t{}\n", "http://127.0.0.1 /");
        self
    }
}

#[tokio::test]
async fn two_owners_never_share_a_connection_and_one_owners_calls_do() {
    let receiver = Receiver::answering(OK).await;
    let outside = Outside::new();
    for _ in 0..5 {
        for owner in ["a", "b"] {
            send(&outside.grants(owner, &[&origin(&receiver)], &[]), get(&receiver.url())).await.unwrap();
        }
    }
    assert_eq!((receiver.accepted(), receiver.requests().len()), (2, 10));
}

#[tokio::test]
async fn an_answer_is_whole_or_an_error_with_figures_and_the_connection_is_closed() {
    let receiver = Receiver::start(|mut stream, _, log| async move {
        log.request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    let outside = Outside::new();
    let grants = outside.grants("a", &[&origin(&receiver)], &[]);
    let error = send(&grants, get(&receiver.url())).await.unwrap_err();
    assert!(matches!(&error, OutboundError::Limit(text) if text.contains("1000 bytes")), "{error:?}");
    assert_eq!(outside.capabilities.outlet.client().idle_connections(), 0);
}

#[tokio::test]
async fn an_answer_that_drips_ends_with_the_deadline_and_is_in_doubt_unless_nothing_could_have_happened() {
    let receiver = Receiver::start(|mut stream, _, log| async move {
        log.request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let outside = Outside::new();
    let grants = outside.grants("a", &[&origin(&receiver)], &[]);
    let hurried = |request| OutboundRequest { timeout: Duration::from_millis(200), ..request };
    let started = Instant::now();
    assert_eq!(send(&grants, hurried(get(&receiver.url()))).await.unwrap_err(), OutboundError::Timeout);
    let error = send(&grants, hurried(post(&receiver.url(), "text/plain", "pay"))).await.unwrap_err();
    assert!(matches!(&error, OutboundError::InDoubt(text) if text.contains("200 ms")), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn on_a_dead_connection_only_what_may_arrive_twice_is_sent_again() {
    for (method, key, again) in [
        ("GET", false, true),
        ("HEAD", false, true),
        ("OPTIONS", false, true),
        ("POST", true, true),
        ("POST", false, false),
        ("PUT", false, false),
        ("DELETE", false, false),
    ] {
        // Answers the first request of each connection, and hangs up on the second.
        let receiver = Receiver::start(|mut stream, _, log| async move {
            log.request(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            log.request(&mut stream).await;
        })
        .await;
        let outside = Outside::new();
        let grants = outside.grants("a", &[&origin(&receiver)], &[]);
        send(&grants, get(&receiver.url())).await.unwrap();
        let mut request = OutboundRequest { method: method.to_owned(), ..get(&receiver.url()) };
        if key {
            request = with(request, "idempotency-key", "k1");
        }
        let second = send(&grants, request).await;
        assert_eq!(
            (second.is_ok(), receiver.accepted()),
            (again, 1 + usize::from(again)),
            "{method} {key}: {second:?}"
        );
        if !again {
            assert!(matches!(second, Err(OutboundError::InDoubt(_))), "{method}: {second:?}");
        }
    }
}

#[tokio::test]
async fn nothing_is_followed_and_nothing_is_decoded() {
    let elsewhere = Receiver::answering(OK).await;
    let location = format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url());
    let redirecting = Receiver::start(move |mut stream, _, log| {
        let location = location.clone();
        async move {
            log.request(&mut stream).await;
            let _ = stream.write_all(location.as_bytes()).await;
        }
    })
    .await;
    let mut bomb = Vec::new();
    write!(bomb, "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n").unwrap();
    bomb.extend([0x1f, 0x8b, 8, 0]);
    let packed = Receiver::answering(Box::leak(bomb.into_boxed_slice())).await;
    let outside = Outside::new();
    let rules = [origin(&elsewhere), origin(&redirecting), origin(&packed)];
    let grants = outside.grants("a", &rules.each_ref().map(String::as_str), &[]);
    assert_eq!(send(&grants, get(&redirecting.url())).await.unwrap().status, 302);
    assert_eq!(elsewhere.accepted(), 0);
    let response = send(&grants, with(get(&packed.url()), "accept-encoding", "gzip")).await.unwrap();
    assert_eq!(response.body[..], [0x1f, 0x8b, 8, 0]);
    assert!(packed.requests()[0].contains("accept-encoding: gzip"));
}

#[tokio::test]
async fn calls_at_once_are_bounded_for_each_owner_and_for_all_and_more_are_refused_at_once() {
    let receiver = Receiver::start(|mut stream, _, log| async move {
        log.request(&mut stream).await;
        std::future::pending().await
    })
    .await;
    let outside = Arc::new(Outside::new());
    let call = |owner: &str| {
        let grants = outside.grants(owner, &[&origin(&receiver)], &[]);
        let request = get(&receiver.url());
        async move { send(&grants, request).await }
    };
    let tasks = TaskTracker::new();
    let waiting: Vec<_> = ["a", "a", "b"].into_iter().map(|owner| tasks.spawn(call(owner))).collect();
    while receiver.requests().len() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let error = call("a").await.unwrap_err();
    assert!(matches!(&error, OutboundError::Limit(text) if text.contains("2 outbound calls")), "{error:?}");
    let error = call("b").await.unwrap_err();
    assert!(matches!(&error, OutboundError::Unavailable(text) if text.contains("all 3")), "{error:?}");
    for task in waiting {
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    let request = OutboundRequest { timeout: Duration::from_millis(50), ..get(&receiver.url()) };
    let grants = outside.grants("a", &[&origin(&receiver)], &[]);
    assert_eq!(send(&grants, request).await.unwrap_err(), OutboundError::Timeout, "the places are free again");
}
