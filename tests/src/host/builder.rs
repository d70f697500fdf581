//! What a host is started with.

use super::Host;
use crate::{Plugin, places};
use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Everything a process is started with; kept for the next one on the same folder.
#[derive(Clone, Default)]
#[must_use]
pub struct HostBuilder {
    dev: bool,
    config: String,
    failpoint: Option<String>,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    plugins: Vec<Plugin>,
    plugin_dirs: Vec<Utf8PathBuf>,
    other_build: Option<Utf8PathBuf>,
    shows_log: bool,
    pub(super) listen: Option<String>,
    at: Option<Utf8PathBuf>,
    pub(super) start_max: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitFor {
    /// Until it is ready, and no plugin is being compiled or tried.
    Plugins,
    /// Until it says that it is ready.
    Readiness,
    /// Until it answers anything, on the address that it was told: it is not ready.
    Life,
    /// Until it listens.
    Listening,
    Nothing,
}

/// The folder of a host: data, plugins, and where files wait to be renamed into place. Removed with its last holder,
/// unless the caller chose the place.
pub(super) struct Folder {
    pub(super) data: Utf8PathBuf,
    pub(super) plugins: Utf8PathBuf,
    pub(super) stage: Utf8PathBuf,
    log: Utf8PathBuf,
    config: Utf8PathBuf,
    shows_log: bool,
    _temporary: Option<tempfile::TempDir>,
}

impl Folder {
    fn new(at: Option<&Utf8Path>, shows_log: bool) -> Result<Self> {
        let temporary = match at {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("ripost-").tempdir().context("making a folder for a host")?),
        };
        let root = match (&temporary, at) {
            (Some(folder), _) => Utf8PathBuf::from_path_buf(folder.path().to_owned()).ok().context("a UTF-8 path")?,
            (None, at) => at.unwrap_or(Utf8Path::new(".")).to_owned(),
        };
        let folder = Self {
            data: root.join("data"),
            plugins: root.join("plugins"),
            stage: root.join("stage"),
            log: root.join("host.log"),
            config: root.join("ripost.toml"),
            shows_log,
            _temporary: temporary,
        };
        for path in [&folder.data, &folder.plugins, &folder.stage] {
            std::fs::create_dir_all(path).with_context(|| format!("making {path}"))?;
        }
        Ok(folder)
    }

    pub(super) fn log(&self) -> String {
        std::fs::read(&self.log).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        /// Of the log's end.
        const SHOWN_CHARS: usize = 20_000;
        if self.shows_log {
            // The test runner keeps it back unless the test has failed.
            let log = self.log();
            let from = log.char_indices().rev().nth(SHOWN_CHARS).map_or(0, |(index, _)| index);
            eprintln!("--- log of the host ---\n{}", &log[from..]);
        }
    }
}

impl HostBuilder {
    /// Development mode.
    pub fn dev(mut self) -> Self {
        self.dev = true;
        self
    }

    /// Not development mode: for the next process on a folder that was in it.
    pub fn not_dev(mut self) -> Self {
        self.dev = false;
        self
    }

    /// Sections of `ripost.toml`; several calls add up.
    pub fn config(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self.config.push('\n');
        self
    }

    /// In place of everything said before in [`Self::config`].
    pub fn only_config(mut self, toml: &str) -> Self {
        self.config.clear();
        self.config(toml)
    }

    /// A plugin that is in the folder when the host starts.
    pub fn plugin(mut self, plugin: &Plugin) -> Self {
        self.plugins.push(plugin.clone());
        self
    }

    /// A built plugin's folder that is copied into the plugins folder before the host starts.
    pub fn plugin_dir(mut self, path: impl Into<Utf8PathBuf>) -> Self {
        self.plugin_dirs.push(path.into());
        self
    }

    /// Stops the process at a failpoint (`name`, or `name:3` for the third time); takes the binary that has them.
    pub fn failpoint(mut self, name: &str) -> Self {
        self.failpoint = Some(name.to_owned());
        self
    }

    pub(super) fn without_failpoint(mut self) -> Self {
        self.failpoint = None;
        self
    }

    /// An environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another flag of `ripost serve`.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Instead of a free loopback port.
    pub fn listen(mut self, address: &str) -> Self {
        self.listen = Some(address.to_owned());
        self
    }

    /// This folder, which stays, instead of a temporary one.
    pub fn folder(mut self, path: impl Into<Utf8PathBuf>) -> Self {
        self.at = Some(path.into());
        self
    }

    /// For a host that has much to compile before it is ready.
    pub fn start_within(mut self, limit: Duration) -> Self {
        self.start_max = Some(limit);
        self
    }

    /// Prints the end of the log when the folder goes: test runners show it for tests that failed.
    pub fn show_log(mut self) -> Self {
        self.shows_log = true;
        self
    }

    /// Starts it and waits until it is ready and no plugin is being compiled or tried.
    ///
    /// # Errors
    /// The binary or a plugin was not built, or the host ended, or was not ready within 15 s or what was said.
    pub async fn start(self) -> Result<Host> {
        let folder = self.prepare()?;
        Host::start(self, folder, WaitFor::Plugins).await
    }

    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// As [`HostBuilder::start`].
    pub async fn start_listening(self) -> Result<Host> {
        let folder = self.prepare()?;
        Host::start(self, folder, WaitFor::Listening).await
    }

    /// Starts it and waits for nothing: for a host that is to stop, or to fail, on its way.
    ///
    /// # Errors
    /// The binary or a plugin was not built.
    pub async fn start_unready(self) -> Result<Host> {
        let folder = self.prepare()?;
        Host::start(self, folder, WaitFor::Nothing).await
    }

    fn prepare(&self) -> Result<Arc<Folder>> {
        let folder = Folder::new(self.at.as_deref(), self.shows_log)?;
        for plugin in &self.plugins {
            plugin.install(&folder.stage, &folder.plugins)?;
        }
        for path in &self.plugin_dirs {
            super::copy_plugin(path, &folder.stage, &folder.plugins)?;
        }
        Ok(Arc::new(folder))
    }

    /// Another build of the gateway, in place of this workspace's.
    pub fn other_build(mut self, binary: &Utf8Path) -> Self {
        self.other_build = Some(binary.to_owned());
        self
    }

    pub(super) fn binary(&self) -> Result<Utf8PathBuf> {
        match &self.other_build {
            Some(binary) => Ok(binary.clone()),
            None if self.failpoint.is_some() => places::ripost_failpoints(),
            None => places::ripost(),
        }
    }

    pub(super) fn spawn(&self, folder: &Folder) -> Result<Child> {
        let binary = self.binary()?;
        let log =
            std::fs::File::options().create(true).append(true).open(&folder.log).context("opening the host's log")?;
        std::fs::write(&folder.config, &self.config).context("writing the host's configuration")?;
        let mut command = Command::new(&binary);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RIPOST_")) {
            command.env_remove(name);
        }
        command.arg("serve").args(["--config", folder.config.as_str(), "--data", folder.data.as_str()]);
        command.args(["--plugins", folder.plugins.as_str()]);
        command.args(["--listen", self.listen.as_deref().unwrap_or("127.0.0.1:0")]);
        command.args(self.dev.then_some("--dev")).args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.envs(self.failpoint.as_ref().map(|name| ("RIPOST_FAILPOINT", name)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().with_context(|| format!("starting {binary}"))
    }
}
