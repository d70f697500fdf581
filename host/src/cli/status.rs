//! `ripost status`

use super::out::outln;
use super::{Failure, client};
use crate::admin;
use crate::plugins::{Origin, PluginStatus, State};
use anyhow::Context as _;
use clap::Args;
use http::Method;

/// Show what a running gateway has loaded and how much waits.
#[derive(Args)]
pub(super) struct Status {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: client::Gateway,
}

impl Status {
    pub(super) fn run(self) -> Result<(), Failure> {
        let status: admin::Status = self.gateway.ask(Method::GET, "/admin/v1/status", None)?;
        if self.json {
            outln!("{}", serde_json::to_string_pretty(&status).context("writing JSON")?);
            return Ok(());
        }
        outln!("ripost {} since {}", status.version, status.started_at);
        if status.plugins.is_empty() {
            // Owners are not shown the queues, and cannot reach the folder.
            let to_do = match status.queues {
                Some(_) => {
                    "put a folder with a plugin.toml into the plugins folder, or send one with `ripost push DIR`"
                }
                None => "send one with `ripost push DIR`",
            };
            outln!("no plugins: {to_do}");
        }
        for plugin in &status.plugins {
            print_plugin(plugin);
        }
        print_strays(&status);
        for failures in &status.failures {
            outln!("{}", failures_text(failures));
        }
        for reason in status.readiness.iter().flat_map(|readiness| &readiness.reasons) {
            let state = reason.state.as_str().to_uppercase();
            outln!("{state} ({}): {}", reason.code.as_str(), reason.detail);
        }
        let Some(queues) = &status.queues else { return Ok(()) };
        outln!(
            "requests: {} waiting, {} running, {} awaiting a callback; deliveries: {} waiting, {} in flight, {} exhausted",
            queues.requests_accepted,
            queues.requests_running,
            queues.requests_awaiting,
            queues.deliveries_pending,
            queues.deliveries_in_flight,
            queues.deliveries_exhausted
        );
        Ok(())
    }
}

fn failures_text(failures: &admin::FailuresShown) -> String {
    let admin::FailuresShown { api, failed, expired } = failures;
    format!(
        "{api}: in the last 24 h {failed} failed, {expired} expired (`ripost requests list --api {api} --since 24h`)"
    )
}

/// What is in the plugins folder and is no plugin: not an error, and what somebody looks for who has forgotten a manifest.
pub(super) fn print_strays(status: &admin::Status) {
    for name in &status.strays {
        outln!("note: {name:?} in the plugins folder has no {}, so it is not a plugin", crate::plugins::FILE_NAME);
    }
}

pub(super) fn print_plugin(plugin: &PluginStatus) {
    let version = plugin.version.as_deref().unwrap_or("-");
    let pushed = match plugin.source {
        Origin::Folder => "",
        Origin::Push => ", pushed",
    };
    let state = plugin.state.as_str();
    let serving = match (plugin.active, plugin.state) {
        (Some(digest), _) => format!("serving {}", digest.short()),
        (None, State::Compiling) => "no revision serving yet".to_owned(),
        (None, _) => "no revision serving".to_owned(),
    };
    outln!("{} {version}: {state} since {}, {serving}{pushed}", plugin.key, plugin.since);
    for api in &plugin.apis {
        let state = match (api.state, api.revision) {
            (State::Active, Some(_)) => String::new(),
            (state, Some(revision)) => format!(": {}, {} serves", state.as_str(), revision.short()),
            (state, None) => format!(": {}, not served", state.as_str()),
        };
        let refused =
            if api.not_granted.is_empty() { String::new() } else { format!(" ({})", api.not_granted.join("; ")) };
        outln!("  /api/{}{state}{refused}", api.name.replacen('/', "/api/", 1));
    }
    if let Some(reason) = &plugin.reason {
        outln!("  {}: {reason}", judged(plugin));
    }
}

/// Which revision the reason is about, and how far it came.
fn judged(plugin: &PluginStatus) -> String {
    let revision = plugin.candidate.map(|digest| format!("revision {}", digest.short()));
    let verdict = (plugin.state == State::Rejected).then(|| "refused".to_owned());
    let stage = plugin.stage.map(|stage| format!("at {stage}"));
    let words: Vec<String> = [revision, verdict, stage].into_iter().flatten().collect();
    if words.is_empty() { plugin.state.as_str().to_owned() } else { words.join(" ") }
}
