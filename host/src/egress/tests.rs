//! The way out against receivers of every kind, all on loopback.

mod accepting;
mod answers;
mod broken;
mod facts;
mod flood;
mod guarding;
mod names;
pub(crate) mod receiver;
mod reuse;
mod slow;
pub(crate) mod tls;

use super::resolve::{Resolve, ResolveError};
use super::{Answer, EgressClient, Exchange, Outgoing, OwnAddresses, Party, SendError, Settings};
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method};
use ripost_domain::address::{PlainHttp, Policy, UrlPolicy, WebhookUrl};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

const SECOND: Duration = Duration::from_secs(1);
/// Where the test is about it.
const DEADLINE: Duration = Duration::from_millis(300);

/// Answers by a script; the last answer is repeated.
pub(crate) struct Names {
    script: Mutex<Vec<Result<Vec<IpAddr>, ResolveError>>>,
    wait: Duration,
    responds: bool,
    calls: AtomicUsize,
}

impl Names {
    fn scripted(script: Vec<Result<Vec<IpAddr>, ResolveError>>) -> Arc<Self> {
        Arc::new(Self { script: Mutex::new(script), wait: Duration::ZERO, responds: true, calls: AtomicUsize::new(0) })
    }

    /// One list of addresses for each look-up.
    pub(crate) fn answering(answers: &[&[&str]]) -> Arc<Self> {
        let ips = |answer: &&[&str]| Ok(answer.iter().map(|ip| ip.parse().unwrap()).collect());
        Self::scripted(answers.iter().map(ips).collect())
    }

    /// Nothing is to be asked.
    pub(crate) fn none() -> Arc<Self> {
        Self::answering(&[])
    }

    /// Nobody has the name.
    pub(crate) fn unknown() -> Arc<Self> {
        Self::answering(&[&[]])
    }

    pub(crate) fn silent(responds: bool) -> Arc<Self> {
        let script = Mutex::new(vec![Ok(vec!["127.0.0.1".parse().unwrap()])]);
        Arc::new(Self { script, wait: 60 * SECOND, responds, calls: AtomicUsize::new(0) })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.wait).await;
        let mut script = self.script.lock().unwrap();
        assert!(!script.is_empty(), "{name} was not to be looked up");
        if script.len() > 1 { script.remove(0) } else { script[0].clone() }
    }

    async fn responds(&self) -> bool {
        self.responds
    }
}

pub(crate) fn development() -> Policy {
    Policy { allow_loopback: true, ..Policy::default() }
}

fn settings() -> Settings {
    Settings { policy: development(), ..Settings::default() }
}

fn client_with(settings: Settings, names: Arc<Names>) -> EgressClient {
    EgressClient::new(settings, Arc::new(OwnAddresses::default()), names, &TaskTracker::new()).unwrap()
}

fn client() -> EgressClient {
    client_with(settings(), Names::none())
}

/// As a consumer's URL would be once development mode and plain http are allowed.
fn url(text: &str) -> WebhookUrl {
    let policy = UrlPolicy { addresses: development(), plain_http: PlainHttp::Everywhere };
    WebhookUrl::parse(text, &policy).unwrap()
}

fn post(text: &str) -> Outgoing {
    Outgoing {
        party: Party::Gateway,
        url: url(text),
        method: Method::POST,
        headers: HeaderMap::new(),
        body: Bytes::from_static(br#"{"hello":"world"}"#),
        deadline: 5 * SECOND,
        response_bytes_read_max: 64 * 1024,
        response_bytes_kept: 16 * 1024,
    }
}

async fn send(client: &EgressClient, text: &str) -> Result<Answer, SendError> {
    client.send(post(text)).await.result
}

/// Sends with a short deadline and holds it to that.
async fn hurried(client: &EgressClient, outgoing: Outgoing) -> Exchange {
    let started = Instant::now();
    let exchange = client.send(Outgoing { deadline: DEADLINE, ..outgoing }).await;
    assert!(started.elapsed() < 5 * DEADLINE, "the deadline did not end it");
    exchange
}

async fn fails(client: &EgressClient, text: &str) -> SendError {
    send(client, text).await.expect_err("there is no answer to this")
}
