//! `ripost config check | show`

use super::out::{note, out, outln};
use super::{Common, Failure, Listening, serve};
use crate::app;
use crate::config::WallMode;
use anyhow::Context as _;
use clap::Subcommand;

/// The configuration.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Say whether `ripost serve` would take the configuration, and what of it is hardly meant
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
                let config = common.load(listening)?;
                app::preflight::check(&config).map_err(serve::refused)?;
                app::check_plugins(&config).map_err(serve::refused)?;
                if config.wall.mode == WallMode::Required {
                    let wall = app::preflight::try_wall(&config).context("trying the wall broke down")?;
                    app::preflight::check_wall(&config, &wall).map_err(serve::refused)?;
                }
                config.doubts().iter().for_each(|doubt| note!("warning: {doubt}"));
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
