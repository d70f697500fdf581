//! What single consumers may do.

use super::Admin;
use super::consumers::consumer_of;
use crate::gateway::limits::Holding;
use crate::problem::{Kind, Problem};
use ripost_domain::id::ConsumerId;
use ripost_domain::limit::{Count, Rate, Setting};
use ripost_store::ConsumerLimits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt::Display;

/// What is to be a consumer's own: `default`, `none` or a limit; what is left out stays.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SetLimits {
    /// Calls with one key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub rate: Option<Setting<Rate>>,
    /// Requests that have not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub concurrency: Option<Setting<Count>>,
    /// Requests accepted on one day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub daily: Option<Setting<Count>>,
}

/// One consumer's limits.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct LimitsShown {
    /// Whose.
    #[schemars(with = "String")]
    pub consumer: ConsumerId,
    /// Calls with one key.
    pub rate: LimitShown,
    /// Requests that have not ended.
    pub concurrency: LimitShown,
    /// Requests accepted on one day.
    pub daily: LimitShown,
}

/// One limit.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct LimitShown {
    /// `default`, `none`, or the limit that is the consumer's own.
    pub own: String,
    /// What holds: a limit, or `none`.
    pub holds: String,
}

fn shown<T: Display>(own: Setting<T>, holds: Option<impl Display>) -> LimitShown {
    let holds = holds.map_or_else(|| "none".to_owned(), |holds| holds.to_string());
    LimitShown { own: own.to_string(), holds }
}

fn of(admin: &Admin, consumer: ConsumerId) -> LimitsShown {
    let (own, holds) = (admin.limiter.own(consumer), admin.limiter.holding(consumer));
    let Holding { rate, concurrency, daily } = holds;
    LimitsShown {
        consumer,
        rate: shown(own.rate, rate),
        concurrency: shown(own.concurrency, concurrency),
        daily: shown(own.daily, daily),
    }
}

pub(super) async fn get(admin: &Admin, name: &str) -> Result<LimitsShown, Problem> {
    Ok(of(admin, consumer_of(admin, name).await?))
}

pub(super) async fn set(admin: &Admin, name: &str, fields: SetLimits) -> Result<LimitsShown, Problem> {
    let consumer = consumer_of(admin, name).await?;
    let before = admin.limiter.own(consumer);
    let limits = ConsumerLimits {
        rate: fields.rate.unwrap_or(before.rate),
        concurrency: fields.concurrency.unwrap_or(before.concurrency),
        daily: fields.daily.unwrap_or(before.daily),
    };
    if !admin.limiter.set(consumer, limits).await? {
        return Err(Problem::new(Kind::NotFound, format!("There is no consumer `{name}` any more.")));
    }
    let ConsumerLimits { rate, concurrency, daily } = limits;
    tracing::info!(consumer.id = %consumer, %rate, %concurrency, %daily, "Set a consumer's limits");
    Ok(of(admin, consumer))
}
