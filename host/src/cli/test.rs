//! `ripost test DIR`

use super::out::{counted, note, out, outln};
use super::{Common, Exit, Failure, Listening};
use crate::check::{self, Trial};
use anyhow::{Context as _, anyhow};
use camino::Utf8PathBuf;
use clap::Args;
use ripost_domain::units::format_duration;

/// Try a plugin's smoke cases, as the host does before it serves a revision
///
/// In the real sandbox, under the limits of this host's configuration. Nothing outside is touched: secrets, the store and
/// the outside answer from the case.
///
/// Exits with 0 if all pass, 1 if one fails or the plugin would be refused, 66 if there is no such folder.
#[derive(Args)]
pub(super) struct Test {
    /// A plugin's folder
    #[arg(value_name = "DIR")]
    path: Utf8PathBuf,
    /// Print what guests wrote to their logs
    #[arg(long)]
    logs: bool,
    /// Judge as a gateway in development mode does, which allows plain HTTP to this machine; also with RIPOST_DEV=1
    #[arg(long)]
    dev: bool,
    #[command(flatten)]
    common: Common,
}

impl Test {
    pub(super) fn run(self) -> Result<(), Failure> {
        let config = self.common.load(Listening { dev: self.dev, ..Listening::default() })?;
        let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting threads")?;
        let Trial { lines, beyond } = threads
            .block_on(check::test(&self.path, &config))
            .map_err(|error| Failure::reading(error, Exit::Failure))?;
        if let Some(wall) = beyond {
            let wall = format_duration(wall);
            note!("note: the host gives all cases {wall} together (plugins.smoke_wall), and here it was more");
        }
        let failed = lines.iter().filter(|line| !line.differences.is_empty()).count();
        for line in &lines {
            out!("{line}");
            for entry in line.logs.iter().filter(|_| self.logs) {
                outln!("      {} {}", entry.level.as_str(), entry.message.escape_debug());
            }
        }
        match (lines.len(), failed) {
            (0, _) => outln!("no cases: name a folder of them with `cases` in plugin.toml"),
            (all, 0) => outln!("{all} passed"),
            (all, failed) => {
                return Err(anyhow!("{failed} of {} failed", counted(all, "case", "cases")).into());
            }
        }
        Ok(())
    }
}
