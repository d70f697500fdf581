//! `ripost requests list | show`

use super::out::{one_line, out, outln};
use super::{Failure, client, runs};
use crate::admin::{RequestLine, RequestShown, RequestsShown};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use http::Method;
use ripost_domain::api::{ApiName, Name};
use ripost_domain::id::RequestId;
use ripost_domain::time::{Clock as _, SystemClock, Timestamp};
use ripost_domain::units;
use serde_json::Value;
use std::str::FromStr;
use std::time::Duration;
use url::form_urlencoded::Serializer;

/// Pages that one list looks through. Each may pass over thousands of requests that do not fit.
const PAGES_MAX: u32 = 200;
/// What a list shows unless it is told otherwise.
const LINES: u32 = 20;

/// Requests, for operators and for the owner of the API.
#[derive(Subcommand)]
pub(super) enum Command {
    /// List requests, newest first
    ///
    /// With an owner's token: those of the owner's APIs, with consumers under the opaque ids that handlers see.
    List {
        #[command(flatten)]
        which: Box<Which>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// Show one request: how it ended, its runs with their logs, its steps, its webhooks
    Show {
        /// The request
        request: RequestId,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        gateway: client::Gateway,
    },
}

/// Which requests.
#[derive(Args)]
pub(super) struct Which {
    /// Only this API
    #[arg(long, value_name = "OWNER/SLUG")]
    api: Option<ApiName>,
    /// Only this status: accepted, running, awaiting_callback, completed, failed, cancelled or expired
    #[arg(long)]
    status: Option<String>,
    /// Accepted since then: RFC 3339, or an age such as 2h
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Accepted before then: RFC 3339, or an age such as 2h
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// Only this owner's APIs; for operators
    #[arg(long, conflicts_with_all = ["api", "consumer"])]
    owner: Option<Name>,
    /// Only this consumer, by name; for operators
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
    /// Older than this request
    #[arg(long, value_name = "REQUEST")]
    before: Option<RequestId>,
    /// Maximum number of requests to list
    #[arg(long, default_value_t = LINES, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

/// A moment, or how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    At(Timestamp),
    Ago(Duration),
}

impl FromStr for When {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(age) = units::parse_duration(text) {
            return Ok(Self::Ago(age));
        }
        let at = text.parse().map_err(|_| "write a time such as 2026-11-24T08:00:00Z, or an age such as 30m, 2h, 7d");
        at.map(Self::At).map_err(str::to_owned)
    }
}

impl When {
    fn timestamp(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(age) => now.before(age),
        }
    }
}

impl Which {
    fn query(&self, before: Option<RequestId>, left: usize, now: Timestamp) -> String {
        let mut query = Serializer::new(String::new());
        let time = |when: Option<When>| when.map(|when| when.timestamp(now).to_string());
        let texts = [
            ("api", self.api.as_ref().map(ToString::to_string)),
            ("status", self.status.clone()),
            ("since", time(self.since)),
            ("until", time(self.until)),
            ("owner", self.owner.as_ref().map(ToString::to_string)),
            ("consumer", self.consumer.clone()),
            ("before", before.map(|id| id.to_string())),
            ("limit", Some(left.min(500).to_string())),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                query.append_pair(name, &text);
            }
        }
        query.finish()
    }

    /// Goes on from page to page until there are enough, or no more, or it is far back.
    fn list(&self, gateway: &client::Gateway) -> Result<RequestsShown, Failure> {
        let now = SystemClock::start().now();
        let client = gateway.open()?;
        let mut shown = RequestsShown { requests: Vec::new(), next: self.before, more: true };
        for _ in 0..PAGES_MAX {
            let left = (self.limit as usize).saturating_sub(shown.requests.len());
            if left == 0 || !shown.more {
                break;
            }
            let path = format!("/admin/v1/requests?{}", self.query(shown.next, left, now));
            let page: RequestsShown = client.ask(Method::GET, &path, None)?;
            shown.requests.extend(page.requests);
            (shown.next, shown.more) = (page.next, page.more);
        }
        Ok(shown)
    }
}

impl Command {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List { which, json, gateway } => {
                let shown = which.list(&gateway)?;
                match json {
                    true => outln!("{}", serde_json::to_string_pretty(&shown).context("writing JSON")?),
                    false => out!("{}", list_text(&shown)),
                }
            }
            Self::Show { request, json, gateway } => {
                let shown: RequestShown = gateway.ask(Method::GET, &format!("/admin/v1/requests/{request}"), None)?;
                match json {
                    true => outln!("{}", serde_json::to_string_pretty(&shown).context("writing JSON")?),
                    false => out!("{}", text(&shown)),
                }
            }
        }
        Ok(())
    }
}

fn list_text(shown: &RequestsShown) -> String {
    let mut text = String::new();
    if shown.requests.is_empty() {
        text.push_str(if shown.more { "none found so far\n" } else { "no requests\n" });
    } else {
        text.push_str(&columns(["REQUEST", "ACCEPTED", "API", "STATUS", "SETTLEMENT", "DELIVERY", "CONSUMER"]));
    }
    for line in &shown.requests {
        let status = status(line);
        let settlement = settlement(line);
        text.push_str(&columns([
            &line.request_id.to_string(),
            &line.created_at.to_string(),
            &line.api,
            &status,
            &settlement,
            line.delivery.as_deref().unwrap_or("-"),
            &one_line(&line.consumer),
        ]));
    }
    if let (true, Some(next)) = (shown.more, shown.next) {
        text.push_str(&format!("more: --before {next}\n"));
    }
    text
}

fn columns([request, accepted, api, status, settlement, delivery, consumer]: [&str; 7]) -> String {
    let line =
        format!("{request:<30}  {accepted:<24}  {api:<24}  {status:<26}  {settlement:<18}  {delivery:<9}  {consumer}");
    format!("{}\n", line.trim_end())
}

/// With the kind of problem that it ended with: the last word of its type.
fn status(line: &RequestLine) -> String {
    match line.problem.as_deref().and_then(|kind| kind.rsplit(':').next()) {
        Some(kind) => format!("{}: {}", line.status.as_str(), one_line(kind)),
        None => line.status.as_str().to_owned(),
    }
}

fn settlement(line: &RequestLine) -> String {
    match line.price_usdc.is_zero() {
        true => "free".to_owned(),
        false => format!("{} {}", line.settlement.as_str(), line.captured_usdc.unwrap_or(line.price_usdc)),
    }
}

fn text(shown: &RequestShown) -> String {
    let RequestShown { line, revision, expires_at, webhook_url, error, result, runs, steps, deliveries } = shown;
    let mut text = format!("{} of {}: {}\n", line.request_id, line.api, status(line));
    let mut field = |name: &str, value: String| text.push_str(&format!("  {name:<10} {}\n", one_line(&value)));
    field("accepted", format!("{}, revision {}", line.created_at, revision.get(..12).unwrap_or(revision)));
    field("consumer", line.consumer.clone());
    match line.finished_at {
        Some(at) => field("ended", format!("{at}, after {:.3} s", at.since(line.created_at).as_secs_f64())),
        None => field("expires", expires_at.to_string()),
    }
    match line.price_usdc.is_zero() {
        true => field("price", "free".to_owned()),
        false => {
            let money = format!(
                "{} USDC, {} USDC, owner's part {} USDC",
                line.price_usdc,
                settlement(line),
                line.owner_revenue_usdc
            );
            field("price", money);
        }
    }
    if let Some(result) = result {
        field("result", format!("status {}, {} bytes", result.status, result.bytes));
    }
    if let Some(error) = error {
        let part = |name: &str| error[name].as_str().unwrap_or_default();
        field("error", format!("{}: {}", part("title"), part("detail")));
    }
    if let Some(url) = webhook_url {
        field("webhook", url.clone());
    }
    if runs.is_empty() {
        text.push_str("no run has ended\n");
    }
    runs.iter().for_each(|run| text.push_str(&runs::text(run)));
    steps.iter().for_each(|step| text.push_str(&runs::step_text(step)));
    deliveries.iter().for_each(|delivery| text.push_str(&super::deliveries::delivery_text(delivery)));
    text
}

/// A value of JSON as a word.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => one_line(text),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown() -> RequestShown {
        serde_json::from_value(json!({
            "request_id": "req_01jd6g0000e0g0g0g0g0g0g0g0", "api": "alice/words", "consumer": "Blue\u{1b}[2J Bottle",
            "status": "failed", "problem": "urn:ripost:problem:handler-trapped", "attempts": 1,
            "created_at": "2026-11-24T08:00:00Z", "finished_at": "2026-11-24T08:00:01.250Z", "delivery": "delivered",
            "settlement": "captured", "price_usdc": "0.050000", "captured_usdc": "0.020000", "owner_revenue_usdc": "0.019000",
            "revision": "0123456789abcdef", "expires_at": "2026-11-24T09:00:00Z",
            "error": { "title": "The handler crashed", "detail": "Ask\nthe owner." }, "result": null,
            "runs": [], "steps": [], "deliveries": [],
        }))
        .unwrap()
    }

    #[test]
    fn a_request_is_shown_line_by_line_and_steers_no_terminal() {
        let shown = shown();
        let text = text(&shown);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "req_01jd6g0000e0g0g0g0g0g0g0g0 of alice/words: failed: handler-trapped");
        assert_eq!(lines[1], "  accepted   2026-11-24T08:00:00.000Z, revision 0123456789ab");
        assert_eq!(lines[2], "  consumer   Blue\\u001b[2J Bottle");
        assert_eq!(lines[3], "  ended      2026-11-24T08:00:01.250Z, after 1.250 s");
        assert_eq!(lines[4], "  price      0.050000 USDC, captured 0.020000 USDC, owner's part 0.019000 USDC");
        assert_eq!(lines[5], "  error      The handler crashed: Ask\\nthe owner.");
        let page = RequestsShown { requests: vec![shown.line], next: None, more: false };
        let list = list_text(&page);
        assert!(list.lines().count() == 2 && !list.contains('\u{1b}'), "{list}");
        assert!(list.contains("failed: handler-trapped     captured 0.020000"), "{list}");
    }

    #[test]
    fn a_time_can_be_an_age() {
        let now: Timestamp = "2026-11-24T08:00:00Z".parse().unwrap();
        let at = |text: &str| text.parse::<When>().map(|when| when.timestamp(now).to_string());
        assert_eq!(at("2h").as_deref(), Ok("2026-11-24T06:00:00.000Z"));
        assert_eq!(at("2026-11-01T00:00:00Z").as_deref(), Ok("2026-11-01T00:00:00.000Z"));
        assert!(at("yesterday").is_err_and(|error| error.contains("2h")));
    }
}
