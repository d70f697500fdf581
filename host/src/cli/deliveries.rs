//! `ripost deliveries list | show | redeliver | enable-url`

use super::out::{counted, out, outln};
use super::requests::word;
use super::{Failure, client};
use crate::delivery::webhooks::{RedeliverMany, RedeliveredMany};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use http::Method;
use ripost_domain::id::{DeliveryId, RequestId};
use ripost_domain::time::Timestamp;
use serde_json::Value;
use url::form_urlencoded::Serializer;

/// Webhooks that were not delivered.
#[derive(Subcommand)]
pub(super) enum Command {
    /// List what is not delivered, oldest first
    List {
        #[command(flatten)]
        which: Which,
        /// After this place in the list
        #[arg(long, value_name = "CURSOR")]
        after: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// Show the deliveries of a request with every attempt
    Show {
        /// The request
        request: RequestId,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// Send again: one, or all that fit (exhausted ones unless --state says otherwise)
    Redeliver {
        /// Only this delivery
        #[arg(long, value_name = "DELIVERY")]
        id: Option<DeliveryId>,
        #[command(flatten)]
        which: Which,
        /// To this URL instead
        #[arg(long, value_name = "URL")]
        url: Option<String>,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// Let a URL get deliveries again that said it wanted no more
    EnableUrl {
        /// Exactly as it was
        url: String,
        /// Whose, by name
        #[arg(long, value_name = "NAME")]
        consumer: String,
        #[command(flatten)]
        gateway: client::Gateway,
    },
}

/// Which deliveries.
#[derive(Args)]
pub(super) struct Which {
    /// pending, in_flight, exhausted or abandoned
    #[arg(long)]
    state: Option<String>,
    /// Of this consumer, by name
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
    /// Of this API
    #[arg(long, value_name = "OWNER/SLUG")]
    api: Option<String>,
    /// Of this event: started or completed
    #[arg(long)]
    event: Option<String>,
    /// Accepted from then on (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Accepted before then (RFC 3339)
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// At most so many
    #[arg(long)]
    limit: Option<u32>,
}

impl Which {
    fn query(&self, after: Option<&str>) -> String {
        let mut query = Serializer::new(String::new());
        let texts = [
            ("state", self.state.clone()),
            ("consumer", self.consumer.clone()),
            ("api", self.api.clone()),
            ("event", self.event.clone()),
            ("since", self.since.map(|time| time.to_string())),
            ("until", self.until.map(|time| time.to_string())),
            ("limit", self.limit.map(|limit| limit.to_string())),
            ("after", after.map(str::to_owned)),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                query.append_pair(name, &text);
            }
        }
        query.finish()
    }
}

impl Command {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List { which, after, json, gateway } => {
                let path = format!("/admin/v1/deliveries?{}", which.query(after.as_deref()));
                let page: Value = gateway.ask(Method::GET, &path, None)?;
                if json {
                    outln!("{page:#}");
                } else {
                    list(&page);
                }
            }
            Self::Show { request, json, gateway } => {
                let path = format!("/admin/v1/requests/{request}/deliveries");
                let shown: Value = gateway.ask(Method::GET, &path, None)?;
                let deliveries = shown["deliveries"].as_array().map(Vec::as_slice).unwrap_or_default();
                if json {
                    outln!("{shown:#}");
                } else if deliveries.is_empty() {
                    outln!("no webhooks");
                }
                deliveries.iter().filter(|_| !json).for_each(|delivery| out!("{}", delivery_text(delivery)));
            }
            Self::Redeliver { id, which, url, gateway } => {
                let asked = RedeliverMany {
                    id,
                    consumer: which.consumer,
                    state: which.state,
                    event: which.event,
                    api: which.api,
                    since: which.since,
                    until: which.until,
                    url,
                    limit: which.limit,
                };
                let fields = serde_json::to_value(asked).context("writing the request")?;
                let done: RedeliveredMany =
                    gateway.ask(Method::POST, "/admin/v1/deliveries/redeliver", Some(&fields))?;
                outln!(
                    "{} to be sent again{}",
                    done.redelivered,
                    if done.more { "; there are more: run this again" } else { "" }
                );
            }
            Self::EnableUrl { url, consumer, gateway } => {
                let mut query = Serializer::new(String::new());
                query.append_pair("consumer", &consumer).append_pair("url", &url);
                let path = format!("/admin/v1/disabled-urls?{}", query.finish());
                gateway.ask::<Value>(Method::DELETE, &path, None)?;
                outln!("enabled: {url}");
            }
        }
        Ok(())
    }
}

fn list(page: &Value) {
    let events = page["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    for event in events {
        let delivery = &event["delivery"];
        let next = next_text(delivery);
        outln!(
            "{}  {:<9}  {:<9}  {:>11}  {:<12}  {}  {}{next}",
            word(&delivery["id"]),
            word(&delivery["state"]),
            word(&delivery["reason"]),
            counted(delivery["attempts"].as_u64().unwrap_or_default(), "attempt", "attempts"),
            word(&delivery["lastError"]),
            word(&event["consumer"]),
            place(delivery),
        );
    }
    if events.is_empty() {
        outln!("nothing is undelivered");
    }
    if page["more"] == true {
        outln!("more: --after {}", word(&page["next"]));
    }
}

/// When it is tried again, if it is.
fn next_text(delivery: &Value) -> String {
    delivery["nextAttemptAt"].as_str().map(|at| format!("  next {}", word(&at.into()))).unwrap_or_default()
}

/// A line for a delivery and one for each attempt. What endpoints and owners said cannot steer the terminal.
pub(super) fn delivery_text(delivery: &Value) -> String {
    let mut text = format!(
        "{}  {}  {}{}  {}{}\n",
        word(&delivery["id"]),
        word(&delivery["event"]),
        word(&delivery["state"]),
        delivery["reason"].as_str().map(|reason| format!(" ({})", word(&reason.into()))).unwrap_or_default(),
        place(delivery),
        next_text(delivery),
    );
    if let Some(why) = delivery["unmade"].as_str() {
        text.push_str(&format!("  {}\n", word(&why.into())));
    }
    for attempt in delivery["log"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let line = format!(
            "  {:>2}  {}  {:>6} ms  {}  {}  {}{}",
            word(&attempt["attempt"]),
            word(&attempt["at"]),
            word(&attempt["durationMs"]),
            word(&attempt["status"]),
            word(&attempt["errorClass"]),
            word(&attempt["errorDetail"]),
            if attempt["resent"] == true { "  (sent again: the kept connection had ended)" } else { "" },
        );
        text.push_str(&format!("{}\n", line.trim_end()));
    }
    text
}

/// Where a delivery goes; for an owner the hash of it.
fn place(delivery: &Value) -> String {
    match delivery["url_commitment"].as_str() {
        Some(hash) => format!("url hash {}", word(&hash.into())),
        None => word(&delivery["url"]),
    }
}
