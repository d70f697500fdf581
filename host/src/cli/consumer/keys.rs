//! `ripost consumers keys add | list | revoke`

use crate::admin::{AddConsumerKey, AddedConsumerKey, KeyLine, RevokeKey, RevokedKey};
use crate::cli::out::outln;
use crate::cli::{Failure, client};
use anyhow::Context as _;
use clap::Subcommand;
use http::Method;

/// Manage the keys of a consumer: several can be valid at a time
#[derive(Subcommand)]
pub(in crate::cli) enum Command {
    /// Add a key and print it, which is shown this once
    ///
    /// The keys that the consumer has stay valid: revoke the old one when the new one is in use.
    Add {
        /// Name or id of the consumer
        consumer: String,
        /// Name of the key, unique for the consumer [default: key-2 and so on]
        #[arg(long, value_name = "KEY")]
        name: Option<String>,
        /// When the key expires, counted from now: 90 d [default: never]
        #[arg(long, value_name = "TIME")]
        expires_in: Option<String>,
        /// The key will be printed where anybody can read it: it gets no secret and no listing
        #[arg(long)]
        public: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// List the keys of a consumer, without the keys themselves
    List {
        /// Name or id of the consumer
        consumer: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// Revoke a key: calls with it are 401 from then on
    Revoke {
        /// Name or id of the consumer
        consumer: String,
        /// Name of the key
        key: String,
        /// Keep it valid for a while: 24 h [default: it ends at once]
        #[arg(long = "in", value_name = "TIME")]
        after: Option<String>,
        /// Revoke it even if it is the consumer's last key
        #[arg(long)]
        last: bool,
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
            Self::Add { consumer, name, expires_in, public, json, gateway } => {
                let fields = serde_json::to_value(AddConsumerKey { name, public, expires_in });
                let fields = fields.context("writing the request")?;
                let added: AddedConsumerKey = gateway.ask(Method::POST, &path(&consumer), Some(&fields))?;
                if json {
                    outln!("{}", serde_json::to_string_pretty(&added).context("writing JSON")?);
                    return Ok(());
                }
                outln!("consumer: {consumer}\nname: {}\nexpires: {}", added.line.name, expires(&added.line));
                outln!("key: {}", added.key);
                outln!("\nThe key is not shown again. It goes into the header X-Consumer-Key.");
            }
            Self::List { consumer, json, gateway } => {
                let lines: Vec<KeyLine> = gateway.ask(Method::GET, &path(&consumer), None)?;
                if json {
                    outln!("{}", serde_json::to_string_pretty(&lines).context("writing JSON")?);
                    return Ok(());
                }
                outln!("{:<20} {:<14} {:<8} {:<26} EXPIRES", "NAME", "KEY", "KIND", "CREATED");
                for line in &lines {
                    let hint = line.hint.as_deref().unwrap_or("-");
                    let kind = if line.public { "public" } else { "private" };
                    let created = line.created_at.to_string();
                    outln!("{:<20} {hint:<14} {kind:<8} {created:<26} {}", line.name, expires(line));
                }
            }
            Self::Revoke { consumer, key, after, last, json, gateway } => {
                let path = format!("{}/{}", path(&consumer), client::segment(&key));
                let fields = serde_json::to_value(RevokeKey { after, last }).context("writing the request")?;
                let revoked: RevokedKey = gateway.ask(Method::DELETE, &path, Some(&fields))?;
                if json {
                    outln!("{}", serde_json::to_string_pretty(&revoked).context("writing JSON")?);
                    return Ok(());
                }
                outln!("revoked: {key} of {consumer}, from {} on", revoked.ends_at);
            }
        }
        Ok(())
    }
}

fn path(consumer: &str) -> String {
    format!("/admin/v1/consumers/{}/keys", client::segment(consumer))
}

fn expires(line: &KeyLine) -> String {
    match line.expires_at {
        None => "never".to_owned(),
        Some(at) if line.expired => format!("{at} (expired)"),
        Some(at) => at.to_string(),
    }
}
