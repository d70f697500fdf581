//! Deliveries: those of their own APIs for owners, everybody's for operators, who send them again and enable endpoints.

use super::Admin;
use super::access::Principal;
use super::consumers::consumer_of;
use crate::delivery::shown::{DeliveryShown, Reader};
use crate::delivery::webhooks::{self, EventsShown, RedeliverMany, RedeliveredMany};
use crate::problem::{Kind, Problem};
use ripost_domain::id::RequestId;
use ripost_domain::receipt::Receipt;
use ripost_store::RequestRecord;
use serde::Deserialize;

/// A URL to test, as one consumer's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestUrl {
    url: String,
    consumer: String,
}

/// As whom the principal reads.
fn reader(principal: &Principal) -> Reader {
    match principal {
        Principal::Operator => Reader::Operator,
        Principal::Owner(_) => Reader::Owner,
    }
}

pub(super) async fn list(admin: &Admin, principal: &Principal, query: Option<&str>) -> Result<EventsShown, Problem> {
    let (mut filter, consumer) = webhooks::filter(query)?;
    if let Some(name) = consumer {
        if *principal != Principal::Operator {
            return Err(Problem::new(Kind::InvalidFilter, "`consumer` is a filter for operators; leave it out."));
        }
        filter.consumer = Some(consumer_of(admin, &name).await?);
    }
    filter.owner = principal.only().cloned();
    admin.webhooks.page(filter, reader(principal)).await
}

pub(super) async fn redeliver(admin: &Admin, asked: RedeliverMany) -> Result<RedeliveredMany, Problem> {
    let consumer = match asked.consumer.as_deref() {
        Some(name) => Some(consumer_of(admin, name).await?),
        None => None,
    };
    admin.webhooks.redeliver_many(asked, consumer).await
}

pub(super) async fn logs(admin: &Admin, principal: &Principal, id: RequestId) -> Result<Vec<DeliveryShown>, Problem> {
    admin.webhooks.logs(id, reader(principal)).await
}

/// The owner's form, for both: what only the consumer may see is not in it, and it verifies all the same.
pub(super) async fn receipt(admin: &Admin, record: &RequestRecord) -> Result<Receipt, Problem> {
    admin.webhooks.receipt(record, Reader::Owner).await
}

pub(super) async fn enable(admin: &Admin, query: Option<&str>) -> Result<(), Problem> {
    let (mut consumer, mut url) = (None, None);
    for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match &*key {
            "consumer" => consumer = Some(value.into_owned()),
            "url" => url = Some(value.into_owned()),
            _ => {}
        }
    }
    let (Some(consumer), Some(url)) = (consumer, url) else {
        let detail = "Name both: DELETE /admin/v1/disabled-urls?consumer=NAME&url=…";
        return Err(Problem::new(Kind::InvalidValue, detail));
    };
    admin.webhooks.enable(consumer_of(admin, &consumer).await?, &url).await
}

pub(super) async fn disabled(admin: &Admin) -> Result<serde_json::Value, Problem> {
    let disabled = admin.store.disabled_urls(None).await?;
    let shown: Vec<_> = disabled
        .into_iter()
        .map(|disabled| serde_json::json!({ "consumer": disabled.consumer, "url": disabled.url, "reason": disabled.reason, "at": disabled.at }))
        .collect();
    Ok(serde_json::json!({ "disabled": shown }))
}

pub(super) async fn test(admin: &Admin, asked: TestUrl) -> Result<crate::delivery::Tested, Problem> {
    let consumer = consumer_of(admin, &asked.consumer).await?;
    let url = admin.webhooks.check_url(consumer, &asked.url).await?;
    admin.webhooks.sender.test(consumer, url).await
}
