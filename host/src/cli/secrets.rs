//! `ripost secrets set | list | remove`

use super::out::{note, outln};
use super::{Exit, Failure, client};
use crate::admin::SetSecret;
use crate::capability::secrets::VALUE_BYTES_MAX;
use crate::capability::{SecretLine, SecretName};
use anyhow::{Context as _, anyhow};
use camino::Utf8PathBuf;
use clap::Subcommand;
use http::Method;
use ripost_domain::api::Name;
use serde_json::Value;
use std::io::{self, IsTerminal as _, Read};

/// Secrets that owners' components may use. They are encrypted at rest and never shown again.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Set a secret; its value is read from standard input, less one new line at its end
    Set {
        /// Whose
        owner: Name,
        /// Its name: A-Z, 0-9 and _
        name: SecretName,
        /// Read the value from this file instead
        #[arg(long, value_name = "FILE")]
        value_file: Option<Utf8PathBuf>,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// List names and when they were set, never values
    List {
        /// Only this owner's
        owner: Option<Name>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// Remove a secret
    Remove {
        /// Whose
        owner: Name,
        /// Its name
        name: SecretName,
        #[command(flatten)]
        gateway: client::Gateway,
    },
}

impl Command {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Set { owner, name, value_file, gateway } => {
                let value = match value_file {
                    Some(path) => {
                        let file = std::fs::File::open(&path).with_context(|| format!("opening {path}"));
                        let file = file.map_err(|error| Failure::reading(error, Exit::Failure))?;
                        value(file).with_context(|| format!("reading {path}"))?
                    }
                    None => {
                        if io::stdin().is_terminal() {
                            note!("Type or paste the value, then press Ctrl-D on a line of its own.");
                        }
                        value(io::stdin().lock()).context("reading the value from standard input")?
                    }
                };
                let fields = serde_json::to_value(SetSecret { value }).context("writing the request")?;
                gateway.ask::<Value>(Method::PUT, &path(&owner, &name), Some(&fields))?;
                outln!("set: {owner} {name}");
            }
            Self::List { owner, json, gateway } => {
                let path =
                    owner.map_or("/admin/v1/secrets".to_owned(), |owner| format!("/admin/v1/owners/{owner}/secrets"));
                let lines: Vec<SecretLine> = gateway.ask(Method::GET, &path, None)?;
                if json {
                    outln!("{}", serde_json::to_string_pretty(&lines).context("writing JSON")?);
                } else {
                    list(&lines);
                }
            }
            Self::Remove { owner, name, gateway } => {
                gateway.ask::<Value>(Method::DELETE, &path(&owner, &name), None)?;
                outln!("removed: {owner} {name}");
            }
        }
        Ok(())
    }
}

fn path(owner: &Name, name: &SecretName) -> String {
    format!("/admin/v1/owners/{owner}/secrets/{name}")
}

fn list(lines: &[SecretLine]) {
    outln!("{:<24} {:<32} SET", "OWNER", "NAME");
    for line in lines {
        let note = if line.readable { "" } else { "  (sealed with another master key)" };
        outln!("{:<24} {:<32} {}{note}", line.owner.as_str(), line.name, line.updated_at);
    }
}

/// All of it, less one new line at its end; not much more than a secret may have is read.
fn value(from: impl Read) -> anyhow::Result<String> {
    let mut text = String::new();
    from.take(VALUE_BYTES_MAX as u64 + 3).read_to_string(&mut text).context("a secret is text in UTF-8")?;
    let cut = text.strip_suffix('\n').map(|cut| cut.strip_suffix('\r').unwrap_or(cut)).unwrap_or(&text).len();
    text.truncate(cut);
    if text.is_empty() || text.len() > VALUE_BYTES_MAX {
        return Err(anyhow!("a secret has 1 to {VALUE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_new_line_at_the_end_is_not_part_of_the_value() {
        for (given, kept) in
            [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("\na ", "\na "), ("a\r", "a\r")]
        {
            assert_eq!(value(given.as_bytes()).unwrap(), kept, "{given:?}");
        }
        let most = "x".repeat(VALUE_BYTES_MAX);
        assert_eq!(value(format!("{most}\r\n").as_bytes()).unwrap(), most);
        for bad in [String::new(), "\n".to_owned(), format!("{most}x"), format!("{most}\n\n")] {
            assert!(value(bad.as_bytes()).is_err(), "{} bytes", bad.len());
        }
        assert!(value(&b"\xff"[..]).is_err());
    }
}
