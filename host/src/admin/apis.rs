//! APIs: what serves, who may call it, and whether it takes calls.

use super::Admin;
use super::access::Principal;
use super::consumers::consumer_of;
use super::routes::Parameters;
use crate::plugins::{Access, ActiveApi};
use crate::problem::{Kind, Problem};
use ripost_domain::api::{ApiName, Digest};
use ripost_domain::id::ConsumerId;
use ripost_domain::money::Amount;
use ripost_domain::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Of a reason: a sentence or two.
const REASON_CHARS_MAX: usize = 500;

/// Why an API is paused.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PauseApi {
    /// For those who call it.
    pub reason: String,
}

/// An API that serves.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ApiLine {
    /// `owner/slug`.
    pub api: String,
    /// The plugin that it is of.
    pub plugin: String,
    /// That plugin's version.
    pub version: String,
    /// The revision that answers new calls.
    #[schemars(with = "String")]
    pub revision: Digest,
    /// `open` or `subscribed`.
    pub access: String,
    /// For one request.
    #[schemars(with = "String")]
    pub price_usdc: Amount,
    /// Consumers that are subscribed.
    pub subscribers: usize,
    /// If it takes no new calls.
    pub paused: Option<PausedShown>,
}

/// Why it takes no new calls.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PausedShown {
    /// For those who call it; may be empty.
    pub reason: String,
    /// Since when.
    #[schemars(with = "String")]
    pub since: Timestamp,
}

/// Who may call an API that is not open.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SubscriberLine {
    /// Its id.
    #[schemars(with = "String")]
    pub consumer: ConsumerId,
    /// For people.
    pub name: String,
    /// Since when.
    #[schemars(with = "String")]
    pub since: Timestamp,
}

fn line(admin: &Admin, api: &ActiveApi) -> ApiLine {
    let access = match api.spec.access {
        Access::Open => "open",
        Access::Subscribed => "subscribed",
    };
    ApiLine {
        api: api.name.to_string(),
        plugin: api.plugin.clone(),
        version: api.version.clone(),
        revision: api.digest,
        access: access.to_owned(),
        price_usdc: api.spec.price,
        subscribers: admin.access.subscriber_count(&api.name),
        paused: admin.access.pause_of(&api.name).map(|pause| PausedShown { reason: pause.reason, since: pause.at }),
    }
}

pub(super) fn list(admin: &Admin, principal: &Principal) -> Vec<ApiLine> {
    let registry = admin.plugins.registry();
    let apis = registry.apis().into_iter().filter(|api| principal.sees(api.name.owner.as_str()));
    apis.map(|api| line(admin, api)).collect()
}

/// The API that a path names, whether there is one or not.
pub(super) fn named(parameters: &Parameters<'_>) -> Result<ApiName, Problem> {
    let part = |index| parameters.at(index).parse().map_err(|_| unknown(parameters));
    Ok(ApiName { owner: part(0)?, slug: part(1)? })
}

/// The same, of one that serves.
fn serving(admin: &Admin, parameters: &Parameters<'_>) -> Result<ApiName, Problem> {
    let registry = admin.plugins.registry();
    let api = registry.api(parameters.at(0), parameters.at(1)).ok_or_else(|| unknown(parameters))?;
    Ok(api.name.clone())
}

fn unknown(parameters: &Parameters<'_>) -> Problem {
    let detail = format!(
        "No API `{}/{}` serves here; `ripost api list` shows those that do.",
        parameters.at(0),
        parameters.at(1)
    );
    Problem::new(Kind::UnknownApi, detail)
}

pub(super) async fn pause(admin: &Admin, parameters: &Parameters<'_>, fields: PauseApi) -> Result<(), Problem> {
    let reason = fields.reason.trim();
    if reason.chars().count() > REASON_CHARS_MAX || reason.chars().any(char::is_control) {
        let detail = format!("A reason is one line of at most {REASON_CHARS_MAX} characters.");
        return Err(Problem::new(Kind::InvalidValue, detail));
    }
    let api = serving(admin, parameters)?;
    admin.access.pause(&api, reason.to_owned()).await?;
    tracing::warn!(%api, reason, "Paused an API: it takes no new calls");
    Ok(())
}

/// Also of one that does not serve any more, so that it does not come back paused.
pub(super) async fn resume(admin: &Admin, parameters: &Parameters<'_>) -> Result<(), Problem> {
    let api = named(parameters)?;
    if admin.access.resume(&api).await? {
        tracing::info!(%api, "Resumed an API");
        return Ok(());
    }
    serving(admin, parameters).map(|_| ())
}

pub(super) async fn subscribe(admin: &Admin, parameters: &Parameters<'_>) -> Result<(), Problem> {
    let api = serving(admin, parameters)?;
    let consumer = consumer_of(admin, parameters.at(2)).await?;
    if admin.access.subscribe(consumer, &api).await? {
        tracing::info!(%api, consumer.id = %consumer, "Subscribed a consumer");
    }
    Ok(())
}

/// Also from one that does not serve any more.
pub(super) async fn unsubscribe(admin: &Admin, parameters: &Parameters<'_>) -> Result<(), Problem> {
    let api = named(parameters)?;
    let consumer = consumer_of(admin, parameters.at(2)).await?;
    if !admin.access.unsubscribe(consumer, &api).await? {
        let detail = format!("`{}` is not subscribed to `{api}`.", parameters.at(2));
        return Err(Problem::new(Kind::NotFound, detail));
    }
    tracing::info!(%api, consumer.id = %consumer, "Unsubscribed a consumer");
    Ok(())
}

pub(super) async fn subscribers(admin: &Admin, parameters: &Parameters<'_>) -> Result<Vec<SubscriberLine>, Problem> {
    let subscribers = admin.access.subscribers(&named(parameters)?);
    let consumers = admin.store.consumers().await?;
    let lines = consumers.into_iter().filter_map(|consumer| {
        let since = *subscribers.get(&consumer.id)?;
        Some(SubscriberLine { consumer: consumer.id, name: consumer.name, since })
    });
    Ok(lines.collect())
}
