//! `ripost api list | pause | resume | subscribers`

use super::out::{one_line, outln};
use super::{Failure, client};
use crate::admin::{ApiLine, PauseApi, SubscriberLine};
use anyhow::Context as _;
use clap::Subcommand;
use http::Method;
use ripost_domain::api::ApiName;
use serde_json::Value;

/// APIs that serve.
#[derive(Subcommand)]
pub(super) enum Command {
    /// List those that serve
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// Take no new calls; what was accepted is run and delivered
    Pause {
        /// Which
        #[arg(value_name = "OWNER/SLUG")]
        api: ApiName,
        /// For those who call it
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// Take calls again
    Resume {
        /// Which
        #[arg(value_name = "OWNER/SLUG")]
        api: ApiName,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// List who is subscribed to one
    Subscribers {
        /// Which
        #[arg(value_name = "OWNER/SLUG")]
        api: ApiName,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        gateway: client::Gateway,
    },
}

impl Command {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List { json, gateway } => {
                let lines: Vec<ApiLine> = gateway.ask(Method::GET, "/admin/v1/apis", None)?;
                if json {
                    outln!("{}", serde_json::to_string_pretty(&lines).context("writing JSON")?);
                } else {
                    list(&lines);
                }
            }
            Self::Pause { api, reason, gateway } => {
                let fields = serde_json::to_value(PauseApi { reason }).context("writing the request")?;
                gateway.ask::<Value>(Method::POST, &format!("/admin/v1/apis/{api}/pause"), Some(&fields))?;
                outln!("paused: {api}");
            }
            Self::Resume { api, gateway } => {
                gateway.ask::<Value>(Method::POST, &format!("/admin/v1/apis/{api}/resume"), None)?;
                outln!("resumed: {api}");
            }
            Self::Subscribers { api, json, gateway } => {
                let path = format!("/admin/v1/apis/{api}/subscribers");
                let lines: Vec<SubscriberLine> = gateway.ask(Method::GET, &path, None)?;
                if json {
                    outln!("{}", serde_json::to_string_pretty(&lines).context("writing JSON")?);
                    return Ok(());
                }
                outln!("{:<32} {:<24} SINCE", "CONSUMER", "NAME");
                for line in lines {
                    outln!("{:<32} {:<24} {}", line.consumer.to_string(), line.name, line.since);
                }
            }
        }
        Ok(())
    }
}

fn list(lines: &[ApiLine]) {
    outln!(
        "{:<32} {:<10} {:>12} {:>11}  {:<24} {:<12} PAUSED",
        "API",
        "ACCESS",
        "PRICE USDC",
        "SUBSCRIBERS",
        "PLUGIN",
        "REVISION"
    );
    for line in lines {
        let paused = line.paused.as_ref().map_or_else(String::new, |paused| {
            let reason =
                if paused.reason.is_empty() { String::new() } else { format!(": {}", one_line(&paused.reason)) };
            format!("since {}{reason}", paused.since)
        });
        let text = format!(
            "{:<32} {:<10} {:>12} {:>11}  {:<24} {:<12} {paused}",
            line.api,
            line.access,
            line.price_usdc.to_string(),
            line.subscribers,
            format!("{} {}", line.plugin, one_line(&line.version)),
            line.revision.short(),
        );
        outln!("{}", text.trim_end());
    }
}
