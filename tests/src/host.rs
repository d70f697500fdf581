//! The real binary, running on a folder of its own.

mod builder;

pub use builder::HostBuilder;

use crate::{Answer, Consumer, Metrics, Output, cli, until};
use anyhow::{Context as _, Result, bail};
use builder::Folder;
use camino::{Utf8Path, Utf8PathBuf};
use http::Method;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

/// For everything a host does at its start and at its end.
const START_MAX: Duration = Duration::from_secs(15);

/// A running host. Dropping it kills the process; the folder goes with the last host or [`Stopped`] that has it.
pub struct Host {
    process: Process,
    settings: HostBuilder,
    folder: Arc<Folder>,
    url: String,
    admin_url: String,
    /// Where this process's lines begin in the log, which all processes of the folder share.
    log_from: usize,
}

/// Kills by id when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder whose host has ended; another can be started on it.
pub struct Stopped {
    settings: HostBuilder,
    folder: Arc<Folder>,
    /// Where it listened; empty if it never did.
    url: String,
    /// How the process ended.
    pub status: ExitStatus,
}

impl Host {
    /// A host with nothing said about it.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// `http://127.0.0.1:PORT` of the data plane.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same of the admin plane; that of the data plane unless it was moved.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Utf8Path {
        &self.folder.data
    }

    /// The watched folder.
    #[must_use]
    pub fn plugins(&self) -> &Utf8Path {
        &self.folder.plugins
    }

    /// An empty folder on the same disk, for files that are to be renamed into place.
    #[must_use]
    pub fn stage(&self) -> &Utf8Path {
        &self.folder.stage
    }

    /// The consumer of development mode.
    #[must_use]
    pub fn demo(&self) -> Consumer {
        self.consumer(cli::DEMO_KEY)
    }

    /// A consumer with that key.
    #[must_use]
    pub fn consumer(&self, key: &str) -> Consumer {
        Consumer::new(&self.url, Some(key))
    }

    /// Adds a consumer as an operator would, with `ripost consumer add`.
    ///
    /// # Errors
    /// The command failed.
    pub async fn add_consumer(&self, name: &str, credit: &str) -> Result<Consumer> {
        let output = self.cli(&["consumer", "add", name, "--credit", credit, "--json"]).await?.expect(0)?;
        let added = output.json()?;
        Ok(self.consumer(added["key"].as_str().with_context(|| format!("no key in {added}"))?))
    }

    /// Runs `ripost` beside this host, with its data folder.
    ///
    /// # Errors
    /// The program is not there, or did not end in time.
    pub async fn cli(&self, arguments: &[&str]) -> Result<Output> {
        cli::ripost(self.settings.binary()?, arguments, &[("RIPOST_DATA", self.folder.data.as_str())]).await
    }

    /// The same with something on its standard input.
    ///
    /// # Errors
    /// The program is not there, or did not end in time.
    pub async fn cli_with_input(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let environment = [("RIPOST_DATA", self.folder.data.as_str())];
        cli::ripost_with_input(self.settings.binary()?, arguments, &environment, input).await
    }

    /// The operator's `GET` with the token of the data folder.
    ///
    /// # Errors
    /// There is no token, or no answer.
    pub async fn admin(&self, method: Method, path: &str) -> Result<Answer> {
        let token = std::fs::read_to_string(self.folder.data.join("admin-token")).context("reading the admin token")?;
        let operator = Consumer::new(&self.admin_url, None);
        operator.request(method, path).header("authorization", &format!("Bearer {}", token.trim())).send().await
    }

    /// The operator's call with a JSON body.
    ///
    /// # Errors
    /// There is no token, or no answer.
    pub async fn admin_json(&self, method: Method, path: &str, body: &serde_json::Value) -> Result<Answer> {
        let token = std::fs::read_to_string(self.folder.data.join("admin-token")).context("reading the admin token")?;
        let operator = Consumer::new(&self.admin_url, None);
        let call = operator.request(method, path).header("authorization", &format!("Bearer {}", token.trim()));
        call.json(body).send().await
    }

    /// Memory of the process that is in RAM, in KiB.
    ///
    /// # Errors
    /// The process has ended.
    pub fn rss_kib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).context("reading VmRSS")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        line.trim().trim_end_matches(" kB").parse().with_context(|| format!("VmRSS is `{line}`"))
    }

    /// The current metrics.
    ///
    /// # Errors
    /// They are not served.
    pub async fn metrics(&self) -> Result<Metrics> {
        let answer = self.admin(Method::GET, "/metrics").await?.expect(200)?;
        Ok(Metrics::parse(std::str::from_utf8(&answer.body)?))
    }

    /// What this process has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.folder.log().get(self.log_from..).unwrap_or_default().to_owned()
    }

    /// Waits until the log has a certain text.
    ///
    /// # Errors
    /// It did not come within ten seconds.
    pub async fn logged(&self, text: &str) -> Result<()> {
        until(&format!("`{text}` in the log"), Duration::from_secs(10), async || {
            Ok(self.log().contains(text).then_some(()))
        })
        .await
    }

    /// Waits until the process has stopped at a failpoint.
    ///
    /// # Errors
    /// It did not within ten seconds: the scenario does not reach that point.
    pub async fn reached(&self, failpoint: &str) -> Result<()> {
        self.logged(&format!("reached {failpoint}")).await
    }

    /// Waits until an API is served, as its consumers see it: a call that is not the JSON it claims to be is 400 once
    /// there is such an API, and 404 or 503 before; either way nothing is accepted.
    ///
    /// # Errors
    /// It is not within ten seconds.
    pub async fn serves(&self, consumer: &Consumer, api: &str) -> Result<()> {
        until(&format!("{api} is served"), Duration::from_secs(10), async || {
            let answer = consumer.call(api).raw("application/json", "{").send().await?;
            Ok((answer.status == 400).then_some(()))
        })
        .await
    }

    /// SIGKILL, at once.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub fn sigkill(mut self) -> Result<Stopped> {
        self.process.0.kill().context("killing the host")?;
        let status = self.process.0.wait().context("waiting for the killed host")?;
        Ok(self.into_stopped(status))
    }

    /// SIGTERM, without waiting for what it does.
    ///
    /// # Errors
    /// There is no such process any more.
    pub fn signal_term(&self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid()).context("a process id")?);
        kill(pid, Signal::SIGTERM).context("sending SIGTERM")
    }

    /// SIGTERM, and waits for the end, 15 s at most.
    ///
    /// # Errors
    /// It did not end.
    pub async fn sigterm(self) -> Result<Stopped> {
        self.signal_term()?;
        self.ended().await
    }

    /// Waits until the process ends by itself, 15 s at most.
    ///
    /// # Errors
    /// It did not end.
    pub async fn ended(mut self) -> Result<Stopped> {
        let status =
            until("the host ends", START_MAX, async || self.process.0.try_wait().context("waiting for the host"))
                .await?;
        Ok(self.into_stopped(status))
    }

    /// SIGKILL, and another process on the same folder, without the failpoint.
    ///
    /// # Errors
    /// It does not start.
    pub async fn restart(self) -> Result<Host> {
        self.sigkill()?.start().await
    }

    fn into_stopped(self, status: ExitStatus) -> Stopped {
        Stopped { settings: self.settings.without_failpoint(), folder: self.folder, url: self.url, status }
    }

    async fn start(settings: HostBuilder, folder: Arc<Folder>, wait: builder::WaitFor) -> Result<Self> {
        let log_from = folder.log().len();
        if wait == builder::WaitFor::Life {
            return Self::start_alive(settings, folder, log_from).await;
        }
        // Left by an earlier process: its port may be anybody's by now.
        for name in ["address", "admin-address"] {
            let _ = std::fs::remove_file(folder.data.join(name));
        }
        let process = Process(settings.spawn(&folder)?);
        let mut host = Self { process, settings, folder, url: String::new(), admin_url: String::new(), log_from };
        if wait == builder::WaitFor::Nothing {
            return Ok(host);
        }
        host.url = host.address("address").await?;
        host.admin_url = host.address("admin-address").await?;
        if wait == builder::WaitFor::Listening {
            return Ok(host);
        }
        let anybody = Consumer::new(&host.url, None);
        let start_max = host.settings.start_max.unwrap_or(START_MAX);
        until("readiness", start_max, async || {
            host.check_alive()?;
            Ok(anybody.get("/readyz").await.is_ok_and(|answer| answer.status == 200).then_some(()))
        })
        .await?;
        if wait == builder::WaitFor::Plugins {
            let what = "what is in the plugins folder is ready or rejected";
            until(what, start_max, async || {
                host.check_alive()?;
                Ok((!host.is_compiling().await?).then_some(()))
            })
            .await?;
        }
        Ok(host)
    }

    async fn start_alive(settings: HostBuilder, folder: Arc<Folder>, log_from: usize) -> Result<Self> {
        let listen = settings.listen.clone().context("an address that is known before the start")?;
        let (url, process) = (format!("http://{listen}"), Process(settings.spawn(&folder)?));
        let mut host = Self { process, settings, folder, admin_url: url.clone(), url, log_from };
        let anybody = Consumer::new(&host.url, None);
        until("an answer", START_MAX, async || {
            host.check_alive()?;
            Ok(anybody.get("/healthz").await.is_ok().then_some(()))
        })
        .await?;
        Ok(host)
    }

    /// Whether a plugin is being compiled or tried.
    ///
    /// # Errors
    /// The status is not answered.
    pub async fn is_compiling(&self) -> Result<bool> {
        let status = self.admin(Method::GET, "/admin/v1/status").await?.expect(200)?.json()?;
        let plugins = status["plugins"].as_array().context("a status without plugins")?;
        Ok(plugins.iter().any(|plugin| plugin["state"] == "compiling"))
    }

    async fn address(&mut self, name: &str) -> Result<String> {
        let path = self.folder.data.join(name);
        let start_max = self.settings.start_max.unwrap_or(START_MAX);
        until(&format!("an address in {path}"), start_max, async || {
            self.check_alive()?;
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            Ok(text.ends_with('\n').then(|| text.trim().to_owned()))
        })
        .await
    }

    fn check_alive(&mut self) -> Result<()> {
        match self.process.0.try_wait()? {
            Some(status) => bail!("the host ended at its start, {status}:\n{}", self.log()),
            None => Ok(()),
        }
    }
}

impl Stopped {
    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Utf8Path {
        &self.folder.data
    }

    /// The watched folder.
    #[must_use]
    pub fn plugins(&self) -> &Utf8Path {
        &self.folder.plugins
    }

    /// An empty folder on the same disk, for files that are to be renamed into place.
    #[must_use]
    pub fn stage(&self) -> &Utf8Path {
        &self.folder.stage
    }

    /// What all processes of this folder have logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.folder.log()
    }

    /// Changes what the next process is started with.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(HostBuilder) -> HostBuilder) -> Self {
        self.settings = change(self.settings);
        self
    }

    /// Runs `ripost` with the data folder of the host that has ended.
    ///
    /// # Errors
    /// The program is not there, or did not end in time.
    pub async fn cli(&self, arguments: &[&str]) -> Result<Output> {
        cli::ripost(self.settings.binary()?, arguments, &[("RIPOST_DATA", self.folder.data.as_str())]).await
    }

    /// Another process on the same folder.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(self) -> Result<Host> {
        Host::start(self.settings, self.folder, builder::WaitFor::Plugins).await
    }

    /// Another process on the same folder, waiting until it says that it is ready.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_ready(self) -> Result<Host> {
        Host::start(self.settings, self.folder, builder::WaitFor::Readiness).await
    }

    /// Another process on the same folder and address, without waiting for more than an answer: for one that cannot be
    /// ready, and may not be able to say where it listens.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_on_the_same_address(self) -> Result<Host> {
        let address = self.url.strip_prefix("http://").context("it never listened")?;
        let settings = self.settings.listen(address);
        Host::start(settings, self.folder, builder::WaitFor::Life).await
    }

    /// Another process on the same folder, waiting until it listens.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_listening(self) -> Result<Host> {
        Host::start(self.settings, self.folder, builder::WaitFor::Listening).await
    }

    /// Another process on the same folder, without waiting until it is ready.
    ///
    /// # Errors
    /// The program is not there.
    pub async fn start_unready(self) -> Result<Host> {
        Host::start(self.settings, self.folder, builder::WaitFor::Nothing).await
    }
}

/// Copies a built plugin (manifest, components and cases) into a folder, by rename.
///
/// # Errors
/// Reading or writing.
pub fn copy_plugin(from: &Utf8Path, stage: &Utf8Path, plugins: &Utf8Path) -> Result<Utf8PathBuf> {
    let name = from.file_name().context("a plugin's folder has a name")?;
    let (draft, place) = (stage.join(name), plugins.join(name));
    copy_folder(from, &draft)?;
    std::fs::rename(&draft, &place).with_context(|| format!("renaming {draft} to {place}"))?;
    Ok(place)
}

fn copy_folder(from: &Utf8Path, to: &Utf8Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in from.read_dir_utf8()? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(entry.path(), &place)?;
        } else {
            std::fs::copy(entry.path(), place).with_context(|| format!("copying {}", entry.path()))?;
        }
    }
    Ok(())
}
