//! What a consumer does with its webhooks: logs, feed, receipts, sending again, tests, disabled URLs.

use super::Gateway;
use super::identity::Caller;
use super::prefer::Prefer;
use super::reply::Reply;
use super::requests::{allow_get, json, unknown};
use crate::delivery::shown::Reader;
use crate::delivery::webhooks::{self, RedeliverMany};
use crate::problem::{Kind, Problem};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use ripost_domain::id::RequestId;
use ripost_store::{Consumer, RequestRecord, Tries};
use serde::Deserialize;
use std::sync::Arc;

type Answered = Result<Response<Full<Bytes>>, Problem>;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RedeliverOne {
    event: Option<String>,
    url: Option<String>,
    /// By the whole schedule, also what was delivered.
    #[serde(default)]
    retry: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestUrl {
    url: String,
}

/// # Errors
/// 405 for anything but POST.
pub(super) fn only_post(method: &Method) -> Result<(), Problem> {
    if method == Method::POST {
        return Ok(());
    }
    Err(Problem::new(Kind::MethodNotAllowed, "This is done with POST.")
        .header(header::ALLOW, HeaderValue::from_static("POST")))
}

pub(super) fn with_status(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = json(body);
    *response.status_mut() = status;
    response
}

pub(super) fn to_json(value: &impl serde::Serialize) -> Result<Bytes, Problem> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| Problem::new(Kind::Internal, error.to_string()))
}

impl Gateway {
    /// The holder of a key, who asks no more often than it may.
    pub(super) async fn reader(&self, headers: &HeaderMap) -> Result<Arc<Caller>, Problem> {
        let consumer = self.identity.identify(headers).await?;
        self.limiter.poll(&consumer)?;
        Ok(consumer)
    }

    /// The same of a key that only its holder knows.
    pub(super) async fn holder(&self, headers: &HeaderMap) -> Result<Arc<Caller>, Problem> {
        let consumer = self.reader(headers).await?;
        if consumer.key_is_public {
            let detail = "Anybody can read this key, so it may not do this. Ask the operator for a key of your own.";
            return Err(Problem::new(Kind::KeyIsPublic, detail));
        }
        Ok(consumer)
    }

    /// A request of the caller's; an unknown one and somebody else's are the same.
    pub(super) async fn own(&self, id: RequestId, consumer: &Consumer) -> Result<RequestRecord, Problem> {
        let record = self.store.request(id).await?.filter(|record| record.consumer == consumer.id);
        record.ok_or_else(unknown)
    }

    pub(super) async fn deliveries(&self, request: &Request<Incoming>, id: RequestId) -> Answered {
        allow_get(request.method())?;
        let consumer = self.holder(request.headers()).await?;
        self.own(id, &consumer).await?;
        let deliveries = self.webhooks.logs(id, Reader::Consumer).await?;
        Ok(json(to_json(&serde_json::json!({ "deliveries": deliveries }))?))
    }

    pub(super) async fn receipt(&self, request: &Request<Incoming>, id: RequestId) -> Answered {
        allow_get(request.method())?;
        let consumer = self.holder(request.headers()).await?;
        let record = self.own(id, &consumer).await?;
        Ok(json(to_json(&self.webhooks.receipt(&record, Reader::Consumer).await?)?))
    }

    pub(super) async fn redeliver(&self, request: Request<Incoming>, id: RequestId) -> Answered {
        only_post(request.method())?;
        let consumer = self.holder(request.headers()).await?;
        self.own(id, &consumer).await?;
        let asked: RedeliverOne = self.read_fields(request).await?;
        let event = asked.event.as_deref().unwrap_or("completed");
        let tries = if asked.retry { Tries::BySchedule } else { Tries::Once };
        let url = asked.url.as_deref();
        let delivery = self.webhooks.redeliver(id, event, consumer.id, url, tries, Reader::Consumer).await?;
        Ok(with_status(StatusCode::ACCEPTED, to_json(&delivery)?))
    }

    pub(super) async fn redeliver_many(&self, request: Request<Incoming>) -> Answered {
        only_post(request.method())?;
        let consumer = self.holder(request.headers()).await?;
        let asked: RedeliverMany = self.read_fields(request).await?;
        if asked.consumer.is_some() {
            return Err(Problem::new(
                Kind::InvalidFilter,
                "These are always your own deliveries: leave `consumer` out.",
            ));
        }
        let done = self.webhooks.redeliver_many(asked, Some(consumer.id)).await?;
        Ok(with_status(StatusCode::ACCEPTED, to_json(&done)?))
    }

    /// Everything undelivered, page by page; waits for something if the caller prefers to.
    pub(super) async fn events(&self, request: &Request<Incoming>) -> Answered {
        allow_get(request.method())?;
        let consumer = self.holder(request.headers()).await?;
        let (mut filter, named) = webhooks::filter(request.uri().query())?;
        if named.is_some() {
            return Err(Problem::new(Kind::InvalidFilter, "These are always your own events: leave `consumer` out."));
        }
        filter.consumer = Some(consumer.id);
        let prefer = Prefer::read(request.headers());
        let deadline = tokio::time::Instant::now() + prefer.wait.unwrap_or_default();
        let news = self.webhooks.news.of(consumer.id);
        let page = loop {
            let told = news.notified();
            tokio::pin!(told);
            // Before the store is read: what comes in between is not missed.
            told.as_mut().enable();
            let page = self.webhooks.page(filter.clone(), Reader::Consumer).await;
            let wait_more = matches!(&page, Ok(page) if page.is_empty()) && prefer.wait.is_some();
            if !wait_more {
                break page;
            }
            tokio::select! {
                () = &mut told => {}
                () = tokio::time::sleep_until(deadline) => break page,
                () = self.stopping.cancelled() => break page,
            }
        };
        self.webhooks.news.leave(consumer.id, news);
        let mut response = json(to_json(&page?)?);
        if let Some(applied) = prefer.applied(true) {
            response.headers_mut().insert("preference-applied", applied);
        }
        Ok(response)
    }

    pub(super) async fn webhook_test(&self, request: Request<Incoming>) -> Answered {
        only_post(request.method())?;
        let consumer = self.holder(request.headers()).await?;
        let asked: TestUrl = self.read_object(request).await?;
        let url = self.webhooks.check_url(consumer.id, &asked.url).await?;
        let tested = self.webhooks.sender.test(consumer.id, url).await?;
        Ok(json(to_json(&tested)?))
    }

    pub(super) async fn disabled_urls(&self, request: &Request<Incoming>) -> Answered {
        let consumer = self.holder(request.headers()).await?;
        if request.method() == Method::DELETE {
            let query = request.uri().query().unwrap_or_default();
            let url = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "url");
            let Some((_, url)) = url else {
                return Err(Problem::new(Kind::InvalidValue, "Name the URL: DELETE /consumer/disabled-urls?url=…"));
            };
            self.webhooks.enable(consumer.id, &url).await?;
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NO_CONTENT;
            return Ok(response);
        }
        allow_get(request.method())?;
        let disabled = self.store.disabled_urls(Some(consumer.id)).await?;
        let disabled: Vec<_> = disabled
            .into_iter()
            .map(|disabled| serde_json::json!({ "url": disabled.url, "reason": disabled.reason, "at": disabled.at }))
            .collect();
        Ok(json(to_json(&serde_json::json!({ "disabled": disabled }))?))
    }

    /// A result by its link: whoever has it may read it, until its time.
    pub(super) async fn linked_result(
        &self,
        request: &Request<Incoming>,
        token: &str,
    ) -> Result<Response<Reply>, Problem> {
        allow_get(request.method())?;
        let unknown =
            || Problem::new(Kind::NotFound, "There is no such result. Take the link from the webhook as it is.");
        let (id, until_s) = self.keyring.read_result_token(token).ok_or_else(unknown)?;
        if self.clock.now().as_seconds() >= until_s {
            let detail =
                "This link's time is over. The result may still be at GET /requests/{id}/result with the consumer key.";
            return Err(Problem::new(Kind::LinkExpired, detail));
        }
        let record = self.store.request(id).await?.ok_or_else(unknown)?;
        self.result(record).await
    }
}
