//! `ripost serve`

use super::out::outln;
use super::{Common, Exit, Failure, Listening};
use crate::app::{self, App, GivenUp, StartError};
use crate::keyring::ADMIN_TOKEN_FILE;
use crate::telemetry;
use anyhow::Context as _;
use clap::Args;
use std::io::{self, IsTerminal as _};

/// Start the gateway.
#[derive(Args)]
pub(super) struct Serve {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    listening: Listening,
    /// Once, after the master key was lost: go on with a new one, and lose what the old one sealed
    #[arg(long)]
    new_master_key: bool,
    /// Once, after the folder of revisions was lost: go on with what is in the plugins folder
    #[arg(long)]
    new_revisions: bool,
}

impl Serve {
    /// `remarks` go to the log.
    pub(super) fn run(self, remarks: &[String]) -> Result<(), Failure> {
        let config = self.common.load(self.listening)?;
        let given_up = GivenUp { new_master_key: self.new_master_key, new_revisions: self.new_revisions };
        app::preflight::check(&config).map_err(refused)?;
        telemetry::start(&config.log).map_err(StartError::Configuration).map_err(refused)?;
        remarks.iter().for_each(|remark| tracing::warn!("{remark}"));
        config.doubts().iter().for_each(|doubt| tracing::warn!("{doubt}"));
        app::enclose(&config).map_err(refused)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting threads")?;
        runtime.block_on(async {
            let data = config.data.clone();
            let app = App::start(config, given_up).await.map_err(refused)?;
            // Never into a journal or a file: logs travel.
            if let Some(token) = app.new_token()
                && io::stdout().is_terminal()
            {
                outln!("admin token (also in {}): {}", data.join(ADMIN_TOKEN_FILE), token.reveal());
            }
            app.run_until_stopped().await;
            Ok(())
        })
    }
}

pub(super) fn refused(error: StartError) -> Failure {
    let exit = match &error {
        StartError::Configuration(_)
        | StartError::MayNotListen { .. }
        | StartError::NoPluginsFolder(_)
        | StartError::PluginsFolder { .. } => Exit::Configuration,
        StartError::NewerData(_)
        | StartError::NewerPlugins(_)
        | StartError::MasterKey { .. }
        | StartError::DamagedKey(_)
        | StartError::DamagedData(_)
        | StartError::RevisionsLost { .. } => Exit::Data,
        StartError::CannotListen { .. } | StartError::DataInUse(_) => Exit::Unavailable,
        StartError::CannotWrite { .. } | StartError::KeyFile(_) | StartError::Data(_) => Exit::CannotWrite,
        StartError::Other(_) => Exit::Failure,
    };
    Failure::new(exit, anyhow::Error::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_does_not_start_again_what_only_the_operator_can_put_right() {
        let unit = include_str!("../../../contrib/ripost.service");
        let line = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus=")).unwrap();
        let ends_for_good: Vec<&str> = line.split_whitespace().collect();
        let expected = [Exit::Configuration, Exit::Data, Exit::CannotWrite].map(|exit| (exit as u8).to_string());
        assert_eq!(ends_for_good, expected);
    }
}
