//! Erasing: a request, or a consumer with all of its own. The ledger stays.

use super::Admin;
use super::consumers::{consumer_of, quoted};
use crate::problem::{Kind, Problem};
use ripost_domain::id::{ConsumerId, RequestId};
use ripost_domain::money::Amount;
use ripost_store::Erased;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A request that was erased.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ErasedRequest {
    /// Which one.
    #[schemars(with = "String")]
    pub request: RequestId,
    /// Webhooks that will not be delivered.
    pub undelivered: u32,
}

/// A consumer that was erased.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ErasedConsumer {
    /// What the ledger knows it by.
    #[schemars(with = "String")]
    pub consumer: ConsumerId,
    /// What it had and did not spend.
    #[schemars(with = "String")]
    pub available: Amount,
}

/// What is to become of a balance.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EraseConsumer {
    /// A balance is no reason to refuse: it stays in the ledger, and nobody can spend it.
    #[serde(default)]
    pub keep_balance: bool,
}

pub(super) async fn request(admin: &Admin, id: RequestId) -> Result<ErasedRequest, Problem> {
    match admin.store.erase_request(id).await? {
        Erased::Gone { undelivered } => {
            tracing::info!(request.id = %id, undelivered, "Erased a request");
            Ok(ErasedRequest { request: id, undelivered })
        }
        Erased::Unfinished(state) => Err(Problem::new(
            Kind::NotFinished,
            format!("Its state is `{}`. Cancel it, or wait for its end, and erase it then.", state.as_str()),
        )),
        Erased::Unknown => Err(Problem::new(Kind::UnknownRequest, "There is no such request.")),
    }
}

pub(super) async fn consumer(admin: &Admin, name: &str, fields: EraseConsumer) -> Result<ErasedConsumer, Problem> {
    let id = consumer_of(admin, name).await?;
    let available = admin.store.balances(id).await?.available;
    if !available.is_zero() && !fields.keep_balance {
        return Err(Problem::new(
            Kind::BalanceLeft,
            format!("{name} has {available} USDC. Pay it back and book that with `ripost consumers debit {} {available} --reference …`, or leave it in the ledger, where it cannot be spent, with `--keep-balance` (`\"keep_balance\": true`).", quoted(name)),
        )
        .with("available_usdc", available.to_string()));
    }
    if !admin.identity.erase(id, admin.clock.now()).await? {
        return Err(Problem::new(Kind::NotFound, format!("{name} was erased before.")));
    }
    admin.access.forget(id);
    admin.limiter.forget(id);
    // What has ended goes now, the rest as it ends.
    admin.retention.asked.notify_one();
    tracing::info!(consumer.id = %id, "Erased a consumer");
    Ok(ErasedConsumer { consumer: id, available })
}
