//! A consumer: calls APIs over HTTP with a key, as any program outside would.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::time::{Duration, Instant};

/// For one whole exchange; a test that waits longer has failed.
const EXCHANGE_MAX: Duration = Duration::from_secs(20);

/// Somebody with a key. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Consumer {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    key: Option<String>,
}

/// What came back, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// From before the call was sent until its body was read.
    pub took: Duration,
}

/// One call, before it is sent.
#[must_use]
pub struct Call<'a> {
    consumer: &'a Consumer,
    request: http::request::Builder,
    body: Bytes,
}

impl Consumer {
    /// A consumer of the host at `base` (`http://127.0.0.1:3000`) with a key, or with none.
    #[must_use]
    pub fn new(base: &str, key: Option<&str>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            base: base.trim_end_matches('/').to_owned(),
            key: key.map(str::to_owned),
        }
    }

    /// The same connections with another key.
    #[must_use]
    pub fn with_key(&self, key: Option<&str>) -> Self {
        Self { key: key.map(str::to_owned), ..self.clone() }
    }

    /// The key that it calls with.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Any request; `target` is a path, or a link that the host gave.
    pub fn request(&self, method: Method, target: &str) -> Call<'_> {
        let uri = if target.starts_with('/') { format!("{}{target}", self.base) } else { target.to_owned() };
        let mut request = http::Request::builder().method(method).uri(uri);
        if let Some(key) = &self.key {
            request = request.header("x-consumer-key", key);
        }
        Call { consumer: self, request, body: Bytes::new() }
    }

    /// A GET.
    ///
    /// # Errors
    /// No answer came.
    pub async fn get(&self, target: &str) -> Result<Answer> {
        self.request(Method::GET, target).send().await
    }

    /// A POST of an API, `demo/echo`, perhaps with more of a path and a query behind it.
    pub fn call(&self, api: &str) -> Call<'_> {
        let (owner, rest) = api.split_once('/').expect("an API is `owner/slug`");
        self.request(Method::POST, &format!("/api/{owner}/api/{rest}"))
    }

    /// Where a request stands.
    ///
    /// # Errors
    /// No answer came, or not a 200 with JSON.
    pub async fn view(&self, id: &str) -> Result<Value> {
        self.get(&format!("/requests/{id}")).await?.expect(200)?.json()
    }

    /// Waits until a request has ended, whichever way.
    ///
    /// # Errors
    /// It did not within ten seconds.
    pub async fn ended(&self, id: &str) -> Result<Value> {
        crate::until(&format!("the end of {id}"), Duration::from_secs(10), async || {
            let view = self.view(id).await?;
            let ended = matches!(view["status"].as_str(), Some("completed" | "failed" | "cancelled" | "expired"));
            Ok(ended.then_some(view))
        })
        .await
    }

    /// Waits until a request's delivery has a certain state, and has the view.
    ///
    /// # Errors
    /// It has not within ten seconds.
    pub async fn delivery(&self, id: &str, state: &str) -> Result<Value> {
        crate::until(&format!("delivery {state} of {id}"), Duration::from_secs(10), async || {
            let view = self.view(id).await?;
            Ok((view["delivery"]["state"] == state).then_some(view))
        })
        .await
    }

    /// All deliveries of a request with their attempts, found by the link that its view has.
    ///
    /// # Errors
    /// No answer came, or one of another shape.
    pub async fn deliveries(&self, id: &str) -> Result<Vec<Value>> {
        let view = self.view(id).await?;
        let link = view["links"]["deliveries"].as_str().with_context(|| format!("no link to deliveries in {view}"))?;
        let answer = self.get(link).await?.expect(200)?.json()?;
        Ok(answer["deliveries"].as_array().with_context(|| format!("no deliveries in {answer}"))?.clone())
    }

    /// One of them, that of an event.
    ///
    /// # Errors
    /// No answer came, or there is none of that event.
    pub async fn delivery_of(&self, id: &str, event: &str) -> Result<Value> {
        let deliveries = self.deliveries(id).await?;
        let found = deliveries.iter().find(|delivery| delivery["event"] == event);
        Ok(found.with_context(|| format!("no delivery of {event} in {deliveries:?}"))?.clone())
    }

    /// Waits until a request's last event has ended, whichever way: `delivered`, `exhausted` or `abandoned`; its view.
    ///
    /// # Errors
    /// It has not within `limit`.
    pub async fn delivery_ended(&self, id: &str, limit: Duration) -> Result<Value> {
        crate::until(&format!("the end of the delivery of {id}"), limit, async || {
            let view = self.view(id).await?;
            let ended = matches!(view["delivery"]["state"].as_str(), Some("delivered" | "exhausted" | "abandoned"));
            Ok(ended.then_some(view))
        })
        .await
    }

    /// Everything undelivered, page by page, from a place on; at most 100 pages.
    ///
    /// # Errors
    /// No answer came, or one of another shape, or the feed has no end.
    pub async fn undelivered(&self, filter: &str) -> Result<Vec<Value>> {
        let (mut all, mut after) = (Vec::new(), None);
        for _ in 0..100 {
            let after_part = after.map(|cursor: String| format!("&after={cursor}")).unwrap_or_default();
            let page = self.get(&format!("/events?limit=100{filter}{after_part}")).await?.expect(200)?.json()?;
            all.extend(page["events"].as_array().with_context(|| format!("no events in {page}"))?.iter().cloned());
            if page["more"] == false {
                return Ok(all);
            }
            after = Some(page["next"].as_str().with_context(|| format!("no next in {page}"))?.to_owned());
        }
        anyhow::bail!("the feed has no end")
    }

    /// Asks for a request to be delivered once more.
    pub fn redeliver(&self, id: &str) -> Call<'_> {
        self.request(Method::POST, &format!("/requests/{id}/redeliver"))
    }

    /// The secret that this consumer's webhooks are signed with.
    ///
    /// # Errors
    /// It is not to be had.
    pub async fn webhook_secret(&self) -> Result<String> {
        let answer = self.get("/consumer/webhook-secret").await?.expect(200)?.json()?;
        let secret = answer["secret"].as_str().with_context(|| format!("no `secret` in {answer}"))?;
        Ok(secret.to_owned())
    }

    /// What this consumer has: available and held, in micro-USDC.
    ///
    /// # Errors
    /// No answer came, or one of another shape.
    pub async fn balances(&self) -> Result<(i64, i64)> {
        let answer = self.get("/consumer").await?.expect(200)?.json()?;
        let amount = |name: &str| micros(answer["balance"][name].as_str().unwrap_or_default());
        let context = || format!("balances in {answer}");
        Ok((amount("available_usdc").with_context(context)?, amount("held_usdc").with_context(context)?))
    }
}

impl Call<'_> {
    /// With one more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// With a JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.raw("application/json", body.to_string())
    }

    /// With a body of any type.
    pub fn raw(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    /// Sends it and reads the answer to its end.
    ///
    /// # Errors
    /// No whole answer came within twenty seconds.
    pub async fn send(self) -> Result<Answer> {
        let request = self.request.body(Full::new(self.body)).context("this call cannot be put into HTTP")?;
        let what = format!("{} {}", request.method(), request.uri());
        let started = Instant::now();
        let exchange = async {
            let (head, body) = self.consumer.client.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            anyhow::Ok(Answer { status: head.status, headers: head.headers, body, took: started.elapsed() })
        };
        tokio::time::timeout(EXCHANGE_MAX, exchange)
            .await
            .with_context(|| format!("{what}: no answer in {EXCHANGE_MAX:?}"))?
            .context(what)
    }

    /// Sends it and expects a `202`; the id of the request.
    ///
    /// # Errors
    /// Another answer came, or none.
    pub async fn accepted(self) -> Result<String> {
        self.send().await?.expect(202)?.request_id()
    }
}

impl Answer {
    /// This answer if it has that status.
    ///
    /// # Errors
    /// It has another; the error shows the body.
    pub fn expect(self, status: u16) -> Result<Self> {
        anyhow::ensure!(
            self.status.as_u16() == status,
            "expected {status}, got {}: {}",
            self.status,
            String::from_utf8_lossy(&self.body).chars().take(2000).collect::<String>()
        );
        Ok(self)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// It is not.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| {
            format!("not JSON: {}", String::from_utf8_lossy(&self.body).chars().take(500).collect::<String>())
        })
    }

    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// `requestId` of the body.
    ///
    /// # Errors
    /// There is none.
    pub fn request_id(&self) -> Result<String> {
        let body = self.json()?;
        Ok(body["requestId"].as_str().with_context(|| format!("no requestId in {body}"))?.to_owned())
    }

    /// The last part of a problem's `type`.
    ///
    /// # Errors
    /// The answer is not a whole problem (RFC 9457) that says its own status.
    pub fn problem(&self) -> Result<String> {
        let problem = self.json()?;
        anyhow::ensure!(
            self.header("content-type") == Some("application/problem+json"),
            "{:?}: {problem}",
            self.headers
        );
        anyhow::ensure!(problem["status"] == self.status.as_u16(), "{} but {problem}", self.status);
        anyhow::ensure!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "no title: {problem}");
        slug(&problem).map(str::to_owned)
    }
}

/// The last part of the gateway's own problem type.
///
/// # Errors
/// The value has no such type.
pub fn slug(problem: &Value) -> Result<&str> {
    let name = problem["type"].as_str().and_then(|name| name.strip_prefix("urn:ripost:problem:"));
    name.with_context(|| format!("not a problem of the gateway's: {problem}"))
}

/// `1.050000` as micro-USDC.
#[must_use]
pub fn micros(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.')?;
    if fraction.len() != 6 {
        return None;
    }
    whole.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(fraction.parse().ok()?)
}
