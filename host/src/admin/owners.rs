//! What belongs to owners: what they have earned, the secrets of their components, and how much those keep.

use super::Admin;
use super::access::Principal;
use super::api::fields_within;
use super::routes::Parameters;
use crate::capability::{SecretLine, SecretName, secrets};
use crate::problem::{Kind, Problem};
use hyper::body::Incoming;
use ripost_domain::api::Name;
use ripost_domain::money::Amount;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A secret as JSON: each byte may take six, as in `\u0001`.
const SECRET_BODY_BYTES_MAX: usize = 6 * secrets::VALUE_BYTES_MAX + 64;

/// A secret to set. Not `Debug`: it would be in a log one day.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSecret {
    /// The value.
    pub value: String,
}

fn invalid(error: impl std::fmt::Display) -> Problem {
    Problem::new(Kind::InvalidValue, error.to_string())
}

/// The owner that the path names.
fn owner(parameters: &Parameters<'_>) -> Result<Name, Problem> {
    parameters.at(0).parse().map_err(invalid)
}

pub(super) fn secrets(admin: &Admin, parameters: &Parameters<'_>) -> Result<Vec<SecretLine>, Problem> {
    Ok(admin.owner_secrets.list(Some(&owner(parameters)?)))
}

pub(super) async fn set_secret(admin: &Admin, parameters: &Parameters<'_>, body: Incoming) -> Result<(), Problem> {
    let (owner, name): (Name, SecretName) = (owner(parameters)?, parameters.at(1).parse().map_err(invalid)?);
    let SetSecret { value } = fields_within(body, SECRET_BODY_BYTES_MAX).await?;
    let value = secrets::value(value).map_err(invalid)?;
    admin.owner_secrets.set(&owner, &name, value).await?;
    tracing::info!(%owner, %name, "Set a secret");
    Ok(())
}

pub(super) async fn remove_secret(admin: &Admin, parameters: &Parameters<'_>) -> Result<(), Problem> {
    let (owner, name): (Name, SecretName) = (owner(parameters)?, parameters.at(1).parse().map_err(invalid)?);
    if !admin.owner_secrets.remove(&owner, &name).await? {
        return Err(Problem::new(Kind::NotFound, format!("{owner} has no secret {name}.")));
    }
    tracing::info!(%owner, %name, "Removed a secret");
    Ok(())
}

/// An owner with what it has earned.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct OwnerLine {
    /// Its name.
    #[schemars(with = "String")]
    pub owner: Name,
    /// How many of its APIs serve.
    pub apis: usize,
    /// Its part of all requests that were captured, after the platform's fee.
    #[schemars(with = "String")]
    pub earned_usdc: Amount,
}

/// Those that offer something, and those that ever earned; for an owner itself alone.
pub(super) async fn list(admin: &Admin, principal: &Principal) -> Result<Vec<OwnerLine>, Problem> {
    if let Principal::Owner(owner) = principal {
        return Ok(vec![line(admin, owner.clone()).await?]);
    }
    let mut owners: BTreeMap<Name, OwnerLine> = BTreeMap::new();
    let none = |owner: Name| OwnerLine { owner, apis: 0, earned_usdc: Amount::ZERO };
    for (owner, earned_usdc) in admin.store.earnings().await? {
        owners.insert(owner.clone(), OwnerLine { earned_usdc, ..none(owner) });
    }
    for api in admin.plugins.registry().apis() {
        let owner = &api.name.owner;
        owners.entry(owner.clone()).or_insert_with(|| none(owner.clone())).apis += 1;
    }
    Ok(owners.into_values().collect())
}

pub(super) async fn balance(admin: &Admin, parameters: &Parameters<'_>) -> Result<OwnerLine, Problem> {
    line(admin, owner(parameters)?).await
}

async fn line(admin: &Admin, owner: Name) -> Result<OwnerLine, Problem> {
    let earned_usdc = admin.store.earned(&owner).await?;
    let apis = admin.plugins.registry().apis().iter().filter(|api| api.name.owner == owner).count();
    Ok(OwnerLine { owner, apis, earned_usdc })
}

/// What an owner verifies forwarded requests with. Not `Debug`: it would be in a log one day.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct UpstreamSecret {
    /// `whsec_…`
    pub secret: String,
}

pub(super) fn upstream_secret(admin: &Admin, parameters: &Parameters<'_>) -> Result<UpstreamSecret, Problem> {
    let owner = owner(parameters)?;
    Ok(UpstreamSecret { secret: admin.keyring.upstream_secret(&owner).to_whsec() })
}

pub(super) async fn kv_usage(admin: &Admin, parameters: &Parameters<'_>) -> Result<serde_json::Value, Problem> {
    let owner = owner(parameters)?;
    let usage = admin.store.kv_usage(&owner).await?;
    Ok(serde_json::json!({ "owner": owner, "bytes": usage.bytes, "keys": usage.keys }))
}
