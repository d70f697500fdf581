//! `ripost plugins list | stop | start | remove | schema`

use super::client::{self, segment};
use super::out::{counted, outln};
use super::{Failure, status};
use crate::admin::{self, StoppedPlugin};
use crate::plugins::schema;
use anyhow::Context as _;
use clap::Subcommand;
use http::Method;
use serde_json::Value;

/// Plugins, by their keys: the folder's name, or `owner/name` of a pushed one.
#[derive(Subcommand)]
pub(super) enum Command {
    /// List them with what they serve
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// Take one out of service: what it has not ended fails, and its holds are released
    ///
    /// Its callers get a 503. It stays stopped until another revision comes, or `ripost plugins start`.
    Stop {
        /// Which
        key: String,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// Serve again what is there: after a stop, a rollback or a quarantine
    Start {
        /// Which
        key: String,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// Forget one that was pushed, or whose folder is gone; what was accepted runs to its end
    Remove {
        /// Which
        key: String,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// Print the JSON Schema of plugin.toml, for editors
    Schema,
}

impl Command {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List { json, gateway } => {
                let status: admin::Status = gateway.ask(Method::GET, "/admin/v1/status", None)?;
                if json {
                    outln!("{}", serde_json::to_string_pretty(&status.plugins).context("writing JSON")?);
                } else {
                    status.plugins.iter().for_each(status::print_plugin);
                }
            }
            Self::Stop { key, gateway } => {
                let path = format!("/admin/v1/plugins/{}/stop", segment(&key));
                let StoppedPlugin { key, requests } = gateway.ask(Method::POST, &path, None)?;
                outln!("stopped: {key}; {} failed with it", counted(requests, "request", "requests"));
            }
            Self::Start { key, gateway } => {
                gateway.ask::<Value>(Method::POST, &format!("/admin/v1/plugins/{}/start", segment(&key)), None)?;
                outln!("started: {key}");
            }
            Self::Remove { key, gateway } => {
                // A pushed one by its owner's name, so that its owner may.
                let path = match key.split_once('/') {
                    Some((owner, name)) => format!("/admin/v1/plugins/{}/{}", segment(owner), segment(name)),
                    None => format!("/admin/v1/plugins/{}", segment(&key)),
                };
                gateway.ask::<Value>(Method::DELETE, &path, None)?;
                outln!("removed: {key}");
            }
            Self::Schema => outln!("{}", serde_json::to_string_pretty(&schema()).context("writing JSON")?),
        }
        Ok(())
    }
}
