//! What belongs to owners: the secrets of their components, and how much those keep.

use super::Admin;
use super::api::{fields_within, json, no_content};
use crate::capability::{SecretName, secrets};
use crate::problem::{Kind, Problem};
use bytes::Bytes;
use http::{Method, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use ripost_domain::api::Name;
use serde::{Deserialize, Serialize};

/// A secret as JSON: each byte may take six, as in `\u0001`.
const SECRET_BODY_BYTES_MAX: usize = 6 * secrets::VALUE_BYTES_MAX + 64;

/// A secret to set. Not `Debug`: it would be in a log one day.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetSecret {
    /// The value.
    pub value: String,
}

/// `/admin/v1/owners/{owner}/…`
pub(super) async fn answer(
    admin: &Admin,
    method: &Method,
    path: &str,
    body: Incoming,
) -> Result<Response<Full<Bytes>>, Problem> {
    let unknown = || {
        let detail = "There are /admin/v1/owners/{owner}/secrets, …/secrets/{name} and …/kv.";
        Problem::new(Kind::NotFound, detail)
    };
    let invalid = |error: &dyn std::fmt::Display| Problem::new(Kind::InvalidValue, error.to_string());
    let (owner, rest) = path.trim_start_matches("/admin/v1/owners/").split_once('/').ok_or_else(unknown)?;
    let owner: Name = owner.parse().map_err(|error| invalid(&error))?;
    match (method, rest.split_once('/').unwrap_or((rest, ""))) {
        (&Method::GET, ("secrets", "")) => json(200, &admin.owner_secrets.list(Some(&owner))),
        (&Method::PUT, ("secrets", name)) if !name.is_empty() => {
            let name: SecretName = name.parse().map_err(|error| invalid(&error))?;
            let SetSecret { value } = fields_within(body, SECRET_BODY_BYTES_MAX).await?;
            let value = secrets::value(value).map_err(|error| invalid(&error))?;
            admin.owner_secrets.set(&owner, &name, value).await?;
            tracing::info!(%owner, %name, "Set a secret");
            Ok(no_content())
        }
        (&Method::DELETE, ("secrets", name)) if !name.is_empty() => {
            let name: SecretName = name.parse().map_err(|error| invalid(&error))?;
            if !admin.owner_secrets.remove(&owner, &name).await? {
                return Err(Problem::new(Kind::NotFound, format!("{owner} has no secret {name}.")));
            }
            tracing::info!(%owner, %name, "Removed a secret");
            Ok(no_content())
        }
        (&Method::GET, ("kv", "")) => {
            let usage = admin.store.kv_usage(&owner).await?;
            json(200, &serde_json::json!({ "owner": owner, "bytes": usage.bytes, "keys": usage.keys }))
        }
        (_, ("secrets" | "kv", _)) => {
            Err(Problem::new(Kind::MethodNotAllowed, "Use GET to read, PUT and DELETE on …/secrets/{name}."))
        }
        _ => Err(unknown()),
    }
}
