//! Requests for those who do not call: an owner sees what its APIs were asked, operators see all. A list, and one request
//! with everything that its reader may see.

use super::access::Principal;
use super::consumers::consumer_of;
use super::runs::{self, RunShown, StepShown};
use super::{Admin, webhooks};
use crate::gateway::listing;
use crate::gateway::requests::visible as visible_state;
use crate::problem::{Kind, Problem};
use ripost_domain::api::ApiName;
use ripost_domain::id::{ConsumerId, RequestId};
use ripost_domain::money::Amount;
use ripost_domain::request::{Settlement, State};
use ripost_domain::time::Timestamp;
use ripost_store::{RequestPage, RequestRecord, Whose};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// One line of the list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RequestLine {
    /// Its id.
    #[schemars(with = "String")]
    pub request_id: RequestId,
    /// `owner/slug`.
    #[schemars(with = "String")]
    pub api: String,
    /// Who called: its name for operators; for owners the opaque id that their handlers are given.
    pub consumer: String,
    /// Where it stands.
    #[schemars(with = "String")]
    pub status: State,
    /// The type of the problem that it ended with.
    pub problem: Option<String>,
    /// Runs that were started.
    pub attempts: u32,
    /// When it was accepted.
    #[schemars(with = "String")]
    pub created_at: Timestamp,
    /// When it ended.
    #[schemars(with = "Option<String>")]
    pub finished_at: Option<Timestamp>,
    /// Where the webhook of its end stands; none: there is none, or not yet.
    pub delivery: Option<String>,
    /// What became of the money.
    #[schemars(with = "String")]
    pub settlement: Settlement,
    /// What the request costs at most.
    #[schemars(with = "String")]
    pub price_usdc: Amount,
    /// What the consumer has paid; null while that is not decided, and for a free request.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub captured_usdc: Option<Amount>,
    /// The owner's part: of the price until the request has ended, then of what was captured.
    #[schemars(with = "String")]
    pub owner_revenue_usdc: Amount,
}

/// A page, newest first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RequestsShown {
    /// What fits the filters.
    pub requests: Vec<RequestLine>,
    /// For `before`, to go on; none: nothing was looked at.
    #[schemars(with = "Option<String>")]
    pub next: Option<RequestId>,
    /// Whether there may be more. A page can be short, and even empty, and not be the last.
    pub more: bool,
}

/// One request.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RequestShown {
    #[serde(flatten)]
    /// As in the list.
    pub line: RequestLine,
    /// The revision that it was accepted under.
    pub revision: String,
    /// Its deadline.
    #[schemars(with = "String")]
    pub expires_at: Timestamp,
    /// Where the webhook goes; for operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<String>,
    /// The problem that it ended with, as the consumer reads it.
    pub error: Option<serde_json::Value>,
    /// What was answered.
    pub result: Option<ResultShown>,
    /// Its runs that have ended, with their logs.
    pub runs: Vec<RunShown>,
    /// Its committed steps.
    pub steps: Vec<StepShown>,
    /// Its webhooks with their attempts.
    pub deliveries: Vec<serde_json::Value>,
}

/// What is known of a result without its body.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ResultShown {
    /// HTTP status.
    pub status: u16,
    /// Length of the body.
    pub bytes: u64,
}

/// Not there, or of another owner's API: one and the same, so that ids cannot be tried out.
pub(super) fn unknown() -> Problem {
    let detail = "Check the id: `ripost requests list` shows the requests that your token may see. They are kept for a while only (`[retention]`).";
    Problem::new(Kind::UnknownRequest, detail)
}

/// A request that the principal may see.
pub(super) async fn visible(admin: &Admin, principal: &Principal, id: RequestId) -> Result<RequestRecord, Problem> {
    let record = admin.store.request(id).await?.ok_or_else(unknown)?;
    if principal.sees(record.api.owner.as_str()) { Ok(record) } else { Err(unknown()) }
}

pub(super) async fn list(admin: &Admin, principal: &Principal, query: Option<&str>) -> Result<RequestsShown, Problem> {
    let (whose, more): (_, &[&str]) = match principal {
        Principal::Operator => (Whose::Everybody, &["owner", "consumer"]),
        Principal::Owner(owner) => (Whose::Owner(owner.clone()), &[]),
    };
    let (mut filter, others) = listing::filter(whose, query, more)?;
    // An API's owner is known: straight to what is that owner's.
    if let (Whose::Everybody, Some(api)) = (&filter.whose, &filter.api) {
        filter.whose = Whose::Owner(api.owner.clone());
    }
    for (name, value) in others {
        filter.whose = match name.as_str() {
            "owner" => {
                let owner = value.parse();
                Whose::Owner(owner.map_err(|error| Problem::new(Kind::InvalidFilter, format!("owner: {error}.")))?)
            }
            _ => Whose::Consumer(consumer_of(admin, &value).await?),
        };
    }
    let asked = filter.states.first().copied();
    let mut page = admin.store.list_requests(filter).await?;
    listing::retain_shown(&mut page, asked, &admin.live);
    let RequestPage { requests, next, more } = page;
    let mut names = Names::default();
    let mut lines = Vec::with_capacity(requests.len());
    for record in &requests {
        let consumer = names.of(admin, principal, &record.api, record.consumer).await?;
        lines.push(line(admin, record, consumer));
    }
    Ok(RequestsShown { requests: lines, next, more })
}

pub(super) async fn show(admin: &Admin, principal: &Principal, id: RequestId) -> Result<RequestShown, Problem> {
    let record = visible(admin, principal, id).await?;
    let consumer = Names::default().of(admin, principal, &record.api, record.consumer).await?;
    let deliveries = webhooks::logs(admin, principal, id).await?.into_iter().map(serde_json::to_value);
    let deliveries = deliveries.collect::<Result<_, _>>();
    Ok(RequestShown {
        line: line(admin, &record, consumer),
        revision: record.digest.to_string(),
        expires_at: record.expires_at,
        webhook_url: record.webhook_url.filter(|_| *principal == Principal::Operator),
        error: record.problem.and_then(|json| serde_json::from_slice(&json).ok()),
        result: record.result.map(|meta| ResultShown { status: meta.status, bytes: meta.bytes }),
        runs: runs::of_any(admin, principal, id).await?,
        steps: runs::steps(admin, id).await?,
        deliveries: deliveries.map_err(|error| Problem::new(Kind::Internal, error.to_string()))?,
    })
}

/// How consumers are called on one page; each is looked up once.
#[derive(Default)]
struct Names(HashMap<ConsumerId, String>);

impl Names {
    async fn of(
        &mut self,
        admin: &Admin,
        principal: &Principal,
        api: &ApiName,
        consumer: ConsumerId,
    ) -> Result<String, Problem> {
        if let Principal::Owner(_) = principal {
            return Ok(admin.keyring.opaque_consumer(api.owner.as_str(), consumer));
        }
        if let Some(name) = self.0.get(&consumer) {
            return Ok(name.clone());
        }
        let found = admin.store.consumer(consumer).await?;
        let name = found.map_or_else(|| consumer.to_string(), |found| found.name);
        self.0.insert(consumer, name.clone());
        Ok(name)
    }
}

#[derive(Deserialize)]
struct ProblemType {
    #[serde(rename = "type")]
    kind: String,
}

fn line(admin: &Admin, record: &RequestRecord, consumer: String) -> RequestLine {
    let problem = record.problem.as_ref().and_then(|json| serde_json::from_slice::<ProblemType>(json).ok());
    let shares = record.captured.map_or(record.split, |captured| record.split.rate.split(captured));
    RequestLine {
        request_id: record.id,
        api: record.api.to_string(),
        consumer,
        status: visible_state(record.state, admin.live.get(record.id).as_ref()),
        problem: problem.map(|problem| problem.kind),
        attempts: record.attempt,
        created_at: record.created_at,
        finished_at: record.finished_at,
        delivery: record.delivery.as_ref().map(|delivery| delivery.state.as_str().to_owned()),
        settlement: record.settlement,
        price_usdc: record.split.price,
        captured_usdc: record.captured,
        owner_revenue_usdc: shares.owner,
    }
}
