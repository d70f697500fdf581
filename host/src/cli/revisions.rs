//! `ripost revisions [OWNER/SLUG]`

use super::out::{counted, outln};
use super::{Failure, client};
use crate::plugins::KeptRevision;
use anyhow::Context as _;
use clap::Args;
use http::Method;
use ripost_domain::api::ApiName;
use ripost_runtime::Value;

/// List the revisions that are kept, why, and how many requests name them
#[derive(Args)]
pub(super) struct Revisions {
    /// Those that offer this API only
    #[arg(value_name = "OWNER/SLUG")]
    api: Option<ApiName>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: client::Gateway,
}

impl Revisions {
    pub(super) fn run(self) -> Result<(), Failure> {
        let path = match &self.api {
            None => "/admin/v1/revisions".to_owned(),
            Some(api) => format!("/admin/v1/revisions?api={api}"),
        };
        let revisions: Vec<KeptRevision> = self.gateway.ask(Method::GET, &path, None)?;
        if self.json {
            outln!("{}", serde_json::to_string_pretty(&revisions).context("writing JSON")?);
            return Ok(());
        }
        if revisions.is_empty() {
            outln!("no revision is kept");
        }
        for revision in &revisions {
            print(revision);
        }
        Ok(())
    }
}

fn print(revision: &KeptRevision) {
    let plugin = revision.key.as_deref().or(revision.plugin.as_deref()).unwrap_or("-");
    let version = revision.version.as_deref().unwrap_or("-");
    let size = Value::Bytes(usize::try_from(revision.bytes).unwrap_or(usize::MAX));
    let requests = match revision.requests {
        0 => String::new(),
        requests => format!(", {}", counted(requests, "request", "requests")),
    };
    let state = revision.state.as_str();
    outln!("{} {plugin} {version}: {state} since {}, {size}{requests}", revision.digest.short(), revision.since);
    if let Some(reason) = &revision.reason {
        outln!("  {reason}");
    }
}
