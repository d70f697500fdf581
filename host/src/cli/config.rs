//! `ripost config check | show`

use super::out::{out, outln};
use super::{Common, Failure, Listening};
use anyhow::Context as _;
use clap::Subcommand;

/// The configuration.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Say whether the configuration can be used
    Check {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        listening: Listening,
    },
    /// Print the configuration as it takes effect
    Show {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        listening: Listening,
    },
}

impl Command {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Check { common, listening } => {
                common.load(listening)?;
                outln!("ok");
            }
            Self::Show { common, listening } => {
                let config = common.load(listening)?;
                out!("{}", toml::to_string(&config).context("writing TOML")?);
            }
        }
        Ok(())
    }
}
