//! `ripost ledger audit`

use super::out::{counted, outln};
use super::{Common, Exit, Failure, Listening};
use anyhow::anyhow;
use clap::Subcommand;
use ripost_store::OpenError;
use ripost_store::sqlite::{self, AuditError, Books};
use std::io::ErrorKind;

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
        let audit = sqlite::audit_folder(&config.data).map_err(refused)?;
        if audit.violations.is_empty() {
            outln!("ok: {}", text(&audit.books));
            return Ok(());
        }
        for violation in &audit.violations {
            outln!("{}: {}", violation.invariant, violation.detail);
        }
        outln!("checked: {}", text(&audit.books));
        Err(Failure::new(Exit::Failure, anyhow!("{} rules do not hold", audit.violations.len())))
    }
}

fn refused(error: AuditError) -> Failure {
    match error {
        AuditError::Unreadable { path, source } => {
            let to_do = match source.kind() {
                ErrorKind::NotFound => " (name the data folder with --data)",
                ErrorKind::PermissionDenied => " (run this as the user that runs the gateway)",
                _ => "",
            };
            Failure::new(Exit::NoInput, anyhow::Error::new(source).context(format!("reading {path}{to_do}")))
        }
        AuditError::Open(OpenError::Newer { .. } | OpenError::DamagedDatabase { .. }) | AuditError::Older { .. } => {
            Failure::new(Exit::Data, error)
        }
        AuditError::Open(_) | AuditError::Sql(_) => Failure::new(Exit::Failure, error),
    }
}

/// What was checked: two lines.
fn text(books: &Books) -> String {
    let Books { requests, open, accounts, transfers, entries, available, held, earned, fees, paid_in } = *books;
    let [available, held, earned, fees, paid_in] = [available, held, earned, fees, paid_in].map(usdc);
    format!(
        "{} ({open} not ended), {}, {}, {}\nUSDC: consumers {available} available and {held} held, owners {earned}, platform {fees}; paid in {paid_in}",
        counted(requests, "request", "requests"),
        counted(accounts, "account", "accounts"),
        counted(transfers, "transfer", "transfers"),
        counted(entries, "entry", "entries"),
    )
}

/// Of books that do not hold, a sum may be below zero.
fn usdc(micros: i64) -> String {
    let (sign, micros) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
    format!("{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_checked_is_told_with_numbers_and_sums() {
        let books = Books {
            requests: 3,
            open: 1,
            accounts: 1,
            transfers: 7,
            entries: 15,
            available: 9_850_000,
            held: 50_000,
            earned: 95_000,
            fees: 5_000,
            paid_in: 10_000_000,
        };
        assert_eq!(
            text(&books),
            "3 requests (1 not ended), 1 account, 7 transfers, 15 entries\nUSDC: consumers 9.850000 available and 0.050000 held, owners 0.095000, platform 0.005000; paid in 10.000000"
        );
        assert_eq!(usdc(-1), "-0.000001");
    }
}
