//! `ripost consumers add | list | credit | debit | keys | limits | subscribe | unsubscribe`

mod keys;

use super::out::outln;
use super::{Failure, client};
use crate::admin::{
    AddConsumer, AddedConsumer, AdjustBalance, AdjustedBalance, ConsumerLine, LimitShown, LimitsShown, SetLimits,
};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use http::Method;
use ripost_domain::api::ApiName;
use ripost_domain::limit::{Count, Rate, Setting};
use ripost_domain::money::Amount;
use serde_json::Value;

/// Those who may call.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Add one and print its key, which is shown this once
    Add {
        /// For people; unique
        name: String,
        /// First balance in USDC
        #[arg(long, default_value = "0", value_name = "USDC")]
        credit: Amount,
        /// The key will be printed where anybody can read it: it gets no secret and no listing
        #[arg(long)]
        public: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// Add to a balance: the consumer has paid
    ///
    /// A reference names one credit or debit. The same command again changes nothing and says so, so it can be repeated
    /// after a failure; the reference with another amount or consumer is an error.
    Credit(Adjust),
    /// Take from what is available of a balance: the consumer was paid back
    ///
    /// What is held for requests that have not ended cannot be taken. A reference names one credit or debit, as with
    /// `credit`.
    Debit(Adjust),
    /// Manage the keys of a consumer: several can be valid at a time
    #[command(subcommand)]
    Keys(keys::Command),
    /// Let one call an API that is not open to all
    Subscribe {
        /// Its name, or its id
        name: String,
        /// Which API
        #[arg(value_name = "OWNER/SLUG")]
        api: ApiName,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// Take that back
    Unsubscribe {
        /// Its name, or its id
        name: String,
        /// Which API
        #[arg(value_name = "OWNER/SLUG")]
        api: ApiName,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// Show what one may do, or change it
    ///
    /// Each limit is `default` (that of [consumers] in the gateway's configuration), `none`, or the consumer's own.
    Limits {
        /// Its name, or its id
        name: String,
        /// Calls with one key: 100/s, 600/min, 1000/h burst 50
        #[arg(long)]
        rate: Option<Setting<Rate>>,
        /// Requests that have not ended
        #[arg(long, value_name = "COUNT")]
        concurrency: Option<Setting<Count>>,
        /// Requests accepted on one day, in UTC
        #[arg(long, value_name = "COUNT")]
        daily: Option<Setting<Count>>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// List all with their balances
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        gateway: client::Gateway,
    },
}

/// A credit or a debit.
#[derive(Args)]
pub(super) struct Adjust {
    /// Name or id of the consumer
    name: String,
    /// USDC, such as 25 or 0.50
    #[arg(allow_negative_numbers = true)]
    amount: Amount,
    /// What names the payment outside, such as an invoice: unique on this gateway
    #[arg(long)]
    reference: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: client::Gateway,
}

impl Adjust {
    fn run(self, kind: &str) -> Result<(), Failure> {
        let Self { name, amount, reference, json, gateway } = self;
        let path = format!("/admin/v1/consumers/{}/{kind}", client::segment(&name));
        let fields = serde_json::to_value(AdjustBalance { amount, reference }).context("writing the request")?;
        let adjusted: AdjustedBalance = gateway.ask(Method::POST, &path, Some(&fields))?;
        if json {
            outln!("{}", serde_json::to_string_pretty(&adjusted).context("writing JSON")?);
            return Ok(());
        }
        let AdjustedBalance { kind, amount, reference, at, repeated, available, held, .. } = adjusted;
        match repeated {
            true => {
                outln!("nothing changed: the {kind} of {amount} USDC with reference {reference} was made at {at}")
            }
            false => outln!("{kind}: {amount} USDC for {name}, reference {reference}"),
        }
        outln!("available: {available} USDC\nheld: {held} USDC");
        Ok(())
    }
}

impl Command {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add { name, credit, public, json, gateway } => {
                let fields =
                    serde_json::to_value(AddConsumer { name, credit, public }).context("writing the request")?;
                let added: AddedConsumer = gateway.ask(Method::POST, "/admin/v1/consumers", Some(&fields))?;
                if json {
                    outln!("{}", serde_json::to_string_pretty(&added).context("writing JSON")?);
                } else {
                    outln!(
                        "consumer: {}\nname: {}\nbalance: {} USDC\nkey: {}",
                        added.consumer,
                        added.name,
                        added.balance,
                        added.key
                    );
                    outln!("\nThe key is not shown again. It goes into the header X-Consumer-Key.");
                }
            }
            Self::Credit(adjust) => adjust.run("credit")?,
            Self::Debit(adjust) => adjust.run("debit")?,
            Self::Keys(command) => command.run()?,
            Self::Subscribe { name, api, gateway } => {
                gateway.ask::<Value>(Method::PUT, &subscription(&name, &api), None)?;
                outln!("subscribed: {name} to {api}");
            }
            Self::Unsubscribe { name, api, gateway } => {
                gateway.ask::<Value>(Method::DELETE, &subscription(&name, &api), None)?;
                outln!("unsubscribed: {name} from {api}");
            }
            Self::Limits { name, rate, concurrency, daily, json, gateway } => {
                let path = format!("/admin/v1/consumers/{}/limits", client::segment(&name));
                let fields = SetLimits { rate, concurrency, daily };
                let limits: LimitsShown = match fields {
                    SetLimits { rate: None, concurrency: None, daily: None } => {
                        gateway.ask(Method::GET, &path, None)?
                    }
                    fields => {
                        let fields = serde_json::to_value(fields).context("writing the request")?;
                        gateway.ask(Method::PATCH, &path, Some(&fields))?
                    }
                };
                if json {
                    outln!("{}", serde_json::to_string_pretty(&limits).context("writing JSON")?);
                    return Ok(());
                }
                let LimitsShown { consumer, rate, concurrency, daily } = limits;
                outln!("consumer: {consumer}");
                for (what, LimitShown { own, holds }) in
                    [("rate", rate), ("concurrency", concurrency), ("daily", daily)]
                {
                    let whose = if own == "default" { "everybody's" } else { "its own" };
                    outln!("{what}: {holds} ({whose})");
                }
            }
            Self::List { json, gateway } => {
                let lines: Vec<ConsumerLine> = gateway.ask(Method::GET, "/admin/v1/consumers", None)?;
                if json {
                    outln!("{}", serde_json::to_string_pretty(&lines).context("writing JSON")?);
                    return Ok(());
                }
                outln!("{:<32} {:<24} {:>20} {:>20}", "CONSUMER", "NAME", "AVAILABLE USDC", "HELD USDC");
                for line in lines {
                    outln!(
                        "{:<32} {:<24} {:>20} {:>20}",
                        line.consumer.to_string(),
                        line.name,
                        line.available.to_string(),
                        line.held.to_string()
                    );
                }
            }
        }
        Ok(())
    }
}

fn subscription(name: &str, api: &ApiName) -> String {
    format!("/admin/v1/apis/{api}/subscribers/{}", client::segment(name))
}
