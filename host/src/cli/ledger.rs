//! `ripost ledger audit`

use super::out::outln;
use super::{Common, Exit, Failure, Listening};
use anyhow::{Context as _, anyhow};
use clap::Subcommand;
use ripost_store::sqlite;

/// The books.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Re-check every rule of the ledger and the state machines on a data folder (a copy, or that of a stopped gateway)
    Audit {
        #[command(flatten)]
        common: Common,
    },
}

impl Command {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self::Audit { common } = self;
        let config = common.load(Listening::default())?;
        let violations = sqlite::audit_folder(&config.data).with_context(|| format!("auditing {}", config.data))?;
        if violations.is_empty() {
            outln!("ok");
            return Ok(());
        }
        for violation in &violations {
            outln!("{}: {}", violation.invariant, violation.detail);
        }
        Err(Failure::new(Exit::Failure, anyhow!("{} rules do not hold", violations.len())))
    }
}
