//! `ripost webhook-test URL`

use super::out::outln;
use super::{Exit, Failure, client};
use anyhow::anyhow;
use clap::{ArgGroup, Args};
use http::Method;
use serde_json::{Value, json};

/// Send a signed test webhook by the whole path of a real one, and show what came of it
#[derive(Args)]
#[command(group(ArgGroup::new("who").required(true)))]
pub(super) struct WebhookTest {
    /// Where to
    url: String,
    /// As which consumer, by its key; the key goes to the gateway named by --to
    #[arg(long, env = "RIPOST_KEY", value_name = "KEY", group = "who", hide_env_values = true)]
    key: Option<String>,
    /// As which consumer, by its name: with the admin token of the data folder
    #[arg(long, value_name = "NAME", group = "who")]
    consumer: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: client::Gateway,
}

impl WebhookTest {
    pub(super) fn run(self) -> Result<(), Failure> {
        let tested: Value = match (&self.key, &self.consumer) {
            (Some(key), _) => self.gateway.ask_as(key, Method::POST, "/webhooks/test", &json!({ "url": self.url }))?,
            (None, consumer) => {
                let fields = json!({ "url": self.url, "consumer": consumer });
                self.gateway.ask(Method::POST, "/admin/v1/webhooks/test", Some(&fields))?
            }
        };
        if self.json {
            outln!("{tested:#}");
        } else {
            show(&self.url, &tested);
        }
        if tested["delivered"] == true {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Failure,
            anyhow!("the endpoint did not answer 2xx, so the webhook does not count as delivered"),
        ))
    }
}

fn show(url: &str, tested: &Value) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    outln!("endpoint    {url}");
    outln!("delivered   {}", if tested["delivered"] == true { "yes" } else { "no" });
    for (name, key) in
        [("status", "status"), ("class", "errorClass"), ("why", "detail"), ("address", "peer"), ("TLS", "tls")]
    {
        if !tested[key].is_null() {
            outln!("{name:<11} {}", text(&tested[key]));
        }
    }
    let phases = [
        ("look-up", "dnsMs"),
        ("connect", "connectMs"),
        ("TLS", "tlsMs"),
        ("first byte", "firstByteMs"),
        ("body", "bodyMs"),
    ];
    let times: Vec<String> = phases
        .iter()
        .filter_map(|(name, key)| Some(format!("{name} {:.1} ms", tested["phases"][key].as_f64()?)))
        .collect();
    outln!("took        {} ms ({})", tested["durationMs"], times.join(", "));
    outln!(
        "\nwebhook-id: {}\nwebhook-timestamp: {}\nwebhook-signature: {}\n",
        text(&tested["webhookId"]),
        tested["timestamp"],
        text(&tested["signature"])
    );
    outln!("{}", text(&tested["body"]));
    outln!("\n{}", text(&tested["verify"]));
}
