//! What an operator decides about plugins, and which revisions are kept.

use super::Admin;
use super::access::Principal;
use super::routes::Parameters;
use crate::plugins::{KeptRevision, PluginError, RolledBack};
use crate::problem::{Kind, Problem};
use ripost_domain::api::ApiName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a stop ended.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct StoppedPlugin {
    /// The plugin.
    pub key: String,
    /// Unfinished requests that have failed with it.
    pub requests: u64,
}

/// Kept revisions, of one API with `?api=owner/slug`; for an owner those that offer APIs of its own.
pub(super) async fn revisions(
    admin: &Admin,
    principal: &Principal,
    query: Option<&str>,
) -> Result<Vec<KeptRevision>, Problem> {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let api =
        match pairs.find(|(name, _)| name == "api") {
            None => None,
            Some((_, api)) => Some(api.parse::<ApiName>().map_err(|error| {
                Problem::new(Kind::InvalidFilter, format!("`api`: {error}. Write ?api=owner/slug."))
            })?),
        };
    let mut revisions = admin.plugins.revisions(api.as_ref()).await.map_err(problem)?;
    if let Some(owner) = principal.only() {
        let own = format!("{owner}/");
        revisions.retain(|revision| !revision.apis.is_empty() && revision.apis.iter().all(|api| api.starts_with(&own)));
    }
    Ok(revisions)
}

/// Back to the revision before. A plugin is swapped as a whole: an owner's token takes back only what is all its own.
pub(super) async fn roll_back(
    admin: &Admin,
    parameters: &Parameters<'_>,
    principal: &Principal,
) -> Result<RolledBack, Problem> {
    let api = super::apis::named(parameters)?;
    admin.plugins.rollback_of(&api, principal.only()).await.map_err(problem)
}

pub(super) async fn stop(admin: &Admin, key: &str) -> Result<StoppedPlugin, Problem> {
    let mut requests = 0;
    for revision in admin.plugins.stop(key).await.map_err(problem)? {
        requests += admin.runs.fail_pinned(revision).await?;
    }
    Ok(StoppedPlugin { key: key.to_owned(), requests })
}

/// After a stop, a rollback or a quarantine; with an owner's token after the last two, of what is all its own.
pub(super) async fn start(admin: &Admin, key: &str, principal: &Principal) -> Result<(), Problem> {
    admin.plugins.start_of(key, principal.only()).await.map_err(problem)
}

pub(super) async fn remove(admin: &Admin, key: &str) -> Result<(), Problem> {
    admin.plugins.remove(key).await.map_err(problem)
}

/// What the operator is told. No `_` arm: a new error does not compile until someone has chosen.
fn problem(error: PluginError) -> Problem {
    let detail = format!("{error}.");
    match error {
        PluginError::Unknown(_) | PluginError::NotServed(_) | PluginError::NoSuchApi { .. } => {
            Problem::new(Kind::NotFound, detail)
        }
        PluginError::Shared(_) => Problem::new(Kind::Forbidden, detail).with("role", "owner"),
        PluginError::OperatorsStop(_) => Problem::new(Kind::Forbidden, detail).with("role", "operator"),
        PluginError::StillThere(_)
        | PluginError::Folder(_)
        | PluginError::NoPrevious(_)
        | PluginError::Changed(_)
        | PluginError::Taken { .. }
        | PluginError::Stopped(_) => Problem::new(Kind::PluginConflict, detail),
        PluginError::Revision(_) | PluginError::Load { .. } | PluginError::NotNow { .. } => {
            Problem::new(Kind::RevisionUnavailable, detail)
        }
        PluginError::Requests(_) | PluginError::Record(_) => {
            tracing::error!(error = detail, "A decision about a plugin could not be written down");
            let detail = "The gateway cannot write or read at the moment; its log says why. Nothing was changed.";
            Problem::new(Kind::StoreUnavailable, detail).retry_after(Duration::from_secs(5))
        }
        PluginError::Lost => Problem::new(Kind::Internal, detail),
    }
}
