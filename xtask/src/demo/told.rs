//! The words of the demonstration.

use std::io::Write;

use anyhow::{Context, Result};
use camino::Utf8Path;
use http::HeaderMap;
use ripost_tests::{Host, cli::DEMO_KEY};
use serde_json::Value;

use super::{API, PLUGIN};
use crate::setup::repository;

/// A line of the story. Its reader may have gone (`| head`): the demonstration goes on all the same.
pub(super) fn say(text: &str) {
    writeln!(std::io::stdout(), "{text}").ok();
}

pub(super) fn heading(text: &str) {
    say(&format!("\n== {text}"));
}

/// As seen from the checkout.
pub(super) fn relative(path: &Utf8Path) -> String {
    path.strip_prefix(repository()).unwrap_or(path).to_string()
}

/// The seed's call, ready to be pasted.
pub(super) fn curl(gateway: &str, api: &str, key: &str, webhook_url: &str) -> String {
    let (owner, slug) = api.split_once('/').expect("an API is `owner/slug`");
    format!(
        "curl -X POST {gateway}/api/{owner}/api/{slug} \\\n  -H \"Content-Type: application/json\" \\\n  \
         -H \"X-Consumer-Key: {key}\" \\\n  \
         -d '{{\"action\": \"generate-report\", \"format\": \"json\", \"webhook_url\": \"{webhook_url}\"}}'"
    )
}

pub(super) fn headers(headers: &HeaderMap, names: &[&str]) {
    for name in names {
        if let Some(value) = headers.get(*name) {
            say(&format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
        }
    }
}

/// The three machines of a request and its progress, in a line.
pub(super) fn progress(view: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let mut line = format!("{:<9}", text(&view["status"]));
    if let Some(percent) = view["progress"]["percent"].as_u64() {
        line.push_str(&format!("  {percent:>3} %  {}", text(&view["progress"]["message"])));
    }
    let (delivery, settlement) = (text(&view["delivery"]["state"]), text(&view["settlement"]["state"]));
    format!("{line:<46}  delivery {delivery}, settlement {settlement}")
}

/// What `ripost status --json` says of the plugin and the process.
pub(super) struct Status {
    pub(super) digest: String,
    pub(super) started_at: String,
}

pub(super) async fn status(host: &Host) -> Result<Status> {
    let status = host.cli(&["status", "--json"]).await?.expect(0).context("ripost status")?.json()?;
    let plugins = status["plugins"].as_array().context("`ripost status` has no plugins")?;
    let plugin = plugins.iter().find(|plugin| plugin["plugin"] == PLUGIN);
    let plugin = plugin.with_context(|| format!("`ripost status` does not know {PLUGIN}: {status}"))?;
    let digest = plugin["active"].as_str().with_context(|| format!("`ripost status` shows no digest: {plugin}"))?;
    let started_at = status["started_at"].as_str().context("`ripost status` has no started_at")?;
    Ok(Status { digest: digest.to_owned(), started_at: started_at.to_owned() })
}

/// For whoever goes on by hand.
pub(super) fn what_next(host: &Host, folder: &Utf8Path) -> String {
    let (gateway, folder) = (host.url(), relative(folder));
    let (owner, slug) = API.split_once('/').expect("an API is `owner/slug`");
    format!(
        "gateway   {gateway}\n\
         plugins   {folder}/plugins   (rename a component into place and it serves)\n\
         log       {folder}/host.log\n\n\
         the call above again, or the answer itself, without a webhook:\n  \
         curl -X POST {gateway}/api/{owner}/api/{slug} -H \"X-Consumer-Key: {DEMO_KEY}\" \\\n    \
         -H \"Content-Type: application/json\" -d '{{\"action\": \"generate-report\", \"format\": \"csv\", \"rows\": 20}}'\n\
         who you are, and what is left of the balance:\n  \
         curl {gateway}/consumer -H \"X-Consumer-Key: {DEMO_KEY}\"\n\
         what is loaded:\n  \
         target/release/ripost status --data {folder}/data\n\
         metrics:\n  \
         curl {gateway}/metrics\n"
    )
}
