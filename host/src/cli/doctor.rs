//! `ripost doctor`

use super::out::outln;
use super::{Common, Exit, Failure, Listening};
use crate::doctor::{self, Level};
use anyhow::{Context as _, anyhow};
use clap::Args;

/// Check this machine and this configuration, beside a running gateway or before one is started
#[derive(Args)]
pub(super) struct Doctor {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    listening: Listening,
}

impl Doctor {
    pub(super) fn run(self) -> Result<(), Failure> {
        let config = self.common.load(self.listening)?;
        let lines = doctor::examine(&config);
        if self.json {
            outln!("{}", serde_json::to_string_pretty(&lines).context("writing JSON")?);
        } else {
            lines.iter().for_each(|line| outln!("{line}"));
        }
        match lines.iter().filter(|line| line.level == Level::Fail).count() {
            0 => Ok(()),
            1 => Err(Failure::new(Exit::Failure, anyhow!("one check failed"))),
            failed => Err(Failure::new(Exit::Failure, anyhow!("{failed} checks failed"))),
        }
    }
}
