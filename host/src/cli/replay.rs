//! `ripost replay REQUEST`

use super::failure::is_there;
use super::out::{counted, outln};
use super::{Exit, Failure, client};
use crate::archive;
use crate::check;
use crate::plugins::Files;
use crate::replay::{self, Record, Replayed, Steps};
use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::Utf8PathBuf;
use clap::Args;
use http::Method;
use ripost_domain::id::RequestId;

/// Run a stored request once more, here and offline, and show what differs
///
/// The gateway gives what the request's runs have left; the handler is run in the sandbox of this program. Steps that
/// were committed and calls to the outside that were answered are answered from that, the clock and randomness are the
/// same, and nothing outside is called. With --plugin another version of the handler is asked instead.
///
/// Exits with 0 if the results are the same, 1 if they differ, 2 if they cannot be compared: they differ, and something
/// that the run asked for was not recorded, such as values of the key-value store.
#[derive(Args)]
pub(super) struct Replay {
    /// Which one
    request: RequestId,
    /// The plugin's folder to run, in place of the revision that the request names
    #[arg(long, value_name = "DIR")]
    plugin: Option<Utf8PathBuf>,
    /// Do the work of committed steps again, in place of taking their values
    #[arg(long)]
    redo_steps: bool,
    /// Print what the handler wrote to its log
    #[arg(long)]
    logs: bool,
    #[command(flatten)]
    gateway: client::Gateway,
}

impl Replay {
    pub(super) fn run(self) -> Result<(), Failure> {
        let config = self.gateway.config()?;
        let query = if self.plugin.is_none() { "?plugin=true" } else { "" };
        let path = format!("/admin/v1/requests/{}/replay{query}", self.request);
        let record: Record = self.gateway.ask(Method::GET, &path, None)?;
        let files = match &self.plugin {
            Some(folder) => {
                is_there(folder)?;
                check::read_plugin(folder, &config).with_context(|| format!("reading the plugin {folder}"))?
            }
            None => unpacked(&record, &config)?,
        };
        let steps = if self.redo_steps { Steps::Redone } else { Steps::Given };
        let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting threads")?;
        let revision = files.digest();
        let replayed = threads.block_on(replay::run(&record, &files, steps, &config))?;
        let stored = &record.revision[..record.revision.len().min(12)];
        outln!(
            "{} of {}, run {}, revision {stored}; replayed with {}",
            record.id,
            record.api,
            record.attempt,
            revision.short()
        );
        show(replayed, self.logs)
    }
}

fn unpacked(record: &Record, config: &crate::config::Config) -> anyhow::Result<Files> {
    let plugin = record.plugin.as_ref().context("the gateway sent no plugin; name a folder with --plugin")?;
    let archive = STANDARD.decode(plugin).context("unpacking the plugin")?;
    let files = archive::unpack(&archive).context("unpacking the plugin")?;
    check::of_files(files, config).context("the revision that the request names")
}

fn show(replayed: Replayed, logs: bool) -> Result<(), Failure> {
    let Replayed { differences, unanswered, lossy, usage, logs: lines } = replayed;
    for entry in lines.iter().filter(|_| logs) {
        outln!("  {} {}", entry.level.as_str(), entry.message.escape_debug());
    }
    for call in &unanswered {
        outln!("not recorded, so it cannot be replayed: {}", call.escape_debug());
    }
    if lossy {
        outln!("note: not all answers that the stored run had were kept; this run may have had others");
    }
    let (cpu_ms, calls) = (usage.cpu.as_secs_f64() * 1000.0, usage.host_calls);
    outln!("cpu {cpu_ms:.2} ms, {}", counted(calls, "host call", "host calls"));
    if differences.is_empty() {
        outln!("the same");
        return Ok(());
    }
    for line in &differences {
        outln!("different: {line}");
    }
    if lossy || !unanswered.is_empty() {
        let text = "the replay cannot be compared with the stored result: not all that it asked for was recorded";
        return Err(Failure::new(Exit::Undecided, anyhow!(text)));
    }
    Err(anyhow!("the replay differs from the stored result").into())
}
