//! `ripost owners`

use super::out::outln;
use super::{Failure, client};
use crate::admin::OwnerLine;
use anyhow::Context as _;
use clap::Args;
use http::Method;

/// List owners with what each has earned; with an owner's token, that owner
///
/// Earned is the owner's part of every captured request, after the platform's fee (`settlement.fee_bps`).
#[derive(Args)]
pub(super) struct Owners {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    gateway: client::Gateway,
}

impl Owners {
    pub(super) fn run(self) -> Result<(), Failure> {
        let owners: Vec<OwnerLine> = self.gateway.ask(Method::GET, "/admin/v1/owners", None)?;
        if self.json {
            outln!("{}", serde_json::to_string_pretty(&owners).context("writing JSON")?);
            return Ok(());
        }
        outln!("{:<32} {:>4} {:>20}", "OWNER", "APIS", "EARNED USDC");
        for OwnerLine { owner, apis, earned_usdc } in owners {
            outln!("{:<32} {apis:>4} {:>20}", owner.as_str(), earned_usdc.to_string());
        }
        Ok(())
    }
}
