//! `ripost reload`

use super::out::outln;
use super::{Failure, client, status};
use crate::admin;
use crate::plugins::{Origin, PluginStatus, State};
use crate::readiness::Code;
use anyhow::{Context as _, anyhow};
use clap::Args;
use http::Method;
use std::time::{Duration, Instant};

/// Between two looks at how far the plugins are, and how long they are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOK_TIME: Duration = Duration::from_secs(900);

/// Read the plugins folder now, judge again what was rejected, and show what came of it
///
/// SIGHUP and POST /admin/v1/reload do the same and wait for nothing; this waits until what is in the folder is compiled
/// and tried. Exits with 1 if the folder cannot be read or a plugin is rejected.
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
        let gateway = self.gateway.open()?;
        let mut status: admin::Status = gateway.ask(Method::POST, "/admin/v1/reload", None)?;
        let began = Instant::now();
        // What owners push comes and goes at any time.
        let is_under_way = |plugin: &PluginStatus| plugin.source == Origin::Folder && plugin.state == State::Compiling;
        while status.plugins.iter().any(is_under_way) && began.elapsed() < LOOK_TIME {
            std::thread::sleep(LOOK_EVERY);
            status = gateway.ask(Method::GET, "/admin/v1/status", None)?;
        }
        if self.json {
            outln!("{}", serde_json::to_string_pretty(&status.plugins).context("writing JSON")?);
        } else {
            status.plugins.iter().for_each(status::print_plugin);
            status::print_strays(&status);
        }
        let reasons = status.readiness.iter().flat_map(|readiness| &readiness.reasons);
        if let Some(reason) = reasons.into_iter().find(|reason| reason.code == Code::PluginsFolder) {
            return Err(anyhow!("not reloaded: {}", reason.detail).into());
        }
        let rejected = status.plugins.iter().filter(|plugin| plugin.state == State::Rejected);
        let rejected: Vec<&str> = rejected.map(|plugin| plugin.key.as_str()).collect();
        if rejected.is_empty() {
            return Ok(());
        }
        Err(anyhow!("rejected: {}", rejected.join(", ")).into())
    }
}
