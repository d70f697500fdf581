//! `ripost tokens add | list | remove`

use super::out::outln;
use super::{Failure, client};
use crate::admin::{AddToken, AddedToken, RoleName, TokenLine};
use anyhow::Context as _;
use clap::Subcommand;
use http::Method;
use ripost_domain::api::Name;
use serde_json::Value;

/// Tokens of the management API. Only their hashes are kept.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Add one and print it, which is shown this once
    Add {
        /// For people; unique
        name: String,
        /// What its bearer may do: everything, or what concerns one owner
        #[arg(long, value_enum)]
        role: RoleName,
        /// Whose, with --role owner
        #[arg(long, value_name = "OWNER", required_if_eq("role", "owner"))]
        owner: Option<Name>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// List all, without the tokens themselves
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// Remove one; it opens nothing from then on
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        gateway: client::Gateway,
    },
}

impl Command {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add { name, role, owner, json, gateway } => {
                let fields = serde_json::to_value(AddToken { name, role, owner }).context("writing the request")?;
                let added: AddedToken = gateway.ask(Method::POST, "/admin/v1/tokens", Some(&fields))?;
                if json {
                    outln!("{}", serde_json::to_string_pretty(&added).context("writing JSON")?);
                    return Ok(());
                }
                outln!("name: {}\nrole: {}\ntoken: {}", added.line.name, role_of(&added.line), added.token);
                outln!("\nThe token is not shown again. Give it to commands in RIPOST_TOKEN, with RIPOST_TO.");
            }
            Self::List { json, gateway } => {
                let lines: Vec<TokenLine> = gateway.ask(Method::GET, "/admin/v1/tokens", None)?;
                if json {
                    outln!("{}", serde_json::to_string_pretty(&lines).context("writing JSON")?);
                    return Ok(());
                }
                outln!("{:<24} {:<24} ADDED", "NAME", "ROLE");
                for line in lines {
                    outln!("{:<24} {:<24} {}", line.name, role_of(&line), line.created_at);
                }
            }
            Self::Remove { name, gateway } => {
                let path = format!("/admin/v1/tokens/{}", client::segment(&name));
                gateway.ask::<Value>(Method::DELETE, &path, None)?;
                outln!("removed: {name}");
            }
        }
        Ok(())
    }
}

fn role_of(line: &TokenLine) -> String {
    match (line.role, &line.owner) {
        (RoleName::Operator, _) => "operator".to_owned(),
        (RoleName::Owner, Some(owner)) => format!("owner of {owner}"),
        (RoleName::Owner, None) => "owner".to_owned(),
    }
}
