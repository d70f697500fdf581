//! `ripost reload`

use super::{Failure, client, status};
use crate::admin;
use crate::plugins::State;
use anyhow::{Context as _, anyhow};
use clap::Args;
use http::Method;

/// Read the plugins folder now, judge again what was rejected, and show what came of it
///
/// SIGHUP and POST /admin/v1/reload do the same. Exits with 1 if a plugin is rejected.
#[derive(Args)]
pub(super) struct Reload {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: client::Gateway,
}

impl Reload {
    pub(super) fn run(self) -> Result<(), Failure> {
        let status: admin::Status = self.gateway.ask(Method::POST, "/admin/v1/reload", None)?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&status.plugins).context("writing JSON")?);
        } else {
            status.plugins.iter().for_each(status::print_plugin);
        }
        match status.plugins.iter().filter(|plugin| plugin.state == State::Rejected).count() {
            0 => Ok(()),
            1 => Err(anyhow!("1 plugin is rejected").into()),
            rejected => Err(anyhow!("{rejected} plugins are rejected").into()),
        }
    }
}
