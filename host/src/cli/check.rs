//! `ripost check FILE|DIR`

use super::out::{counted, out, outln};
use super::{Common, Exit, Failure, Listening};
use crate::check;
use anyhow::{Context as _, anyhow};
use camino::Utf8PathBuf;
use clap::Args;

/// Say whether a component or a plugin would be served here, without running any of it.
///
/// Goes the host's way up to the link, under the limits of this host's configuration: size, validity, world, imports,
/// memory, compiler. Says what it uses, what of that its manifest does not grant, and how it would run.
///
/// Exits with 0 if it would be served, 1 if it would be refused, 66 if there is no such file.
#[derive(Args)]
pub(super) struct Check {
    /// A component, a plugin's folder, or its plugin.toml
    #[arg(value_name = "FILE|DIR")]
    path: Utf8PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Judge as a gateway in development mode does, which allows plain HTTP to this machine; also with RIPOST_DEV=1
    #[arg(long)]
    dev: bool,
    #[command(flatten)]
    common: Common,
}

impl Check {
    pub(super) fn run(self) -> Result<(), Failure> {
        let config = self.common.load(Listening { dev: self.dev, ..Listening::default() })?;
        let report = check::check(&self.path, &config).map_err(|error| Failure::reading(error, Exit::Failure))?;
        if self.json {
            outln!("{}", serde_json::to_string_pretty(&report).context("writing JSON")?);
        } else {
            out!("{report}");
        }
        match report.errors() {
            0 => Ok(()),
            errors => {
                let reasons = counted(errors, "reason", "reasons");
                Err(anyhow!("{} would be refused, for {reasons}", self.path).into())
            }
        }
    }
}
