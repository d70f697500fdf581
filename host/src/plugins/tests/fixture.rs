//! Folders, a runtime, and what a test asks of them.

use crate::capability::NoGrants;
use crate::plugins::{ActiveApi, PluginStatus, Plugins, PluginsConfig, State};
use camino::{Utf8Path, Utf8PathBuf};
use ripost_domain::api::{ApiName, Digest};
use ripost_domain::time::SystemClock;
use ripost_runtime::{CompileError, Compiler, InProcess, Job, Key, Runtime, RuntimeConfig};
use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

fn runtime() -> Arc<Runtime> {
    static RUNTIME: OnceLock<Arc<Runtime>> = OnceLock::new();
    let start = || Runtime::start(RuntimeConfig { instances_max: 4, pooling: false, ..RuntimeConfig::default() });
    RUNTIME.get_or_init(|| Arc::new(start().unwrap())).clone()
}

/// A plugins folder, a data folder and a place to prepare files.
pub(super) struct Folders {
    _root: tempfile::TempDir,
    pub(super) plugins: Utf8PathBuf,
    pub(super) revisions: Utf8PathBuf,
    pub(super) stage: Utf8PathBuf,
}

impl Folders {
    pub(super) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(root.path().canonicalize().unwrap()).unwrap();
        let folders = Self {
            _root: root,
            plugins: path.join("plugins"),
            revisions: path.join("data/revisions"),
            stage: path.join("stage"),
        };
        fs::create_dir(&folders.plugins).unwrap();
        fs::create_dir(&folders.stage).unwrap();
        folders
    }

    /// A quiet time that no slow machine mistakes for a rename's, and no rescan that could be mistaken for an event.
    pub(super) fn config(&self) -> PluginsConfig {
        PluginsConfig {
            quiet: Duration::from_secs(1),
            rescan: Duration::from_secs(60),
            deleted_grace: Duration::from_millis(200),
            ..PluginsConfig::new(&self.plugins, &self.revisions)
        }
    }

    pub(super) fn open(&self) -> Arc<Plugins> {
        Plugins::open(self.config(), runtime(), Arc::new(NoGrants), Arc::new(SystemClock::start())).unwrap()
    }

    pub(super) fn open_with(&self, config: PluginsConfig) -> Arc<Plugins> {
        Plugins::open(config, runtime(), Arc::new(NoGrants), Arc::new(SystemClock::start())).unwrap()
    }

    /// With a compiler that the test holds up.
    pub(super) fn open_gated(&self, config: PluginsConfig, gate: &Arc<Gate>) -> Arc<Plugins> {
        let config_of_runtime = RuntimeConfig { instances_max: 4, pooling: false, ..RuntimeConfig::default() };
        let runtime = Arc::new(Runtime::start_with(config_of_runtime, gate.clone()).unwrap());
        Plugins::open(config, runtime, Arc::new(NoGrants), Arc::new(SystemClock::start())).unwrap()
    }

    /// Opened, scanned, and watching until the guard goes.
    pub(super) async fn watching(&self) -> Watching {
        Watching::start(self.open()).await
    }

    /// A plugin written straight into the plugins folder.
    pub(super) fn write(&self, folder: &str, manifest: &str, files: &[(&str, &[u8])]) -> Utf8PathBuf {
        write(&self.plugins.join(folder), manifest, files)
    }

    /// A plugin with one API, `demo/{folder}`.
    pub(super) fn write_one(&self, folder: &str, wasm: &[u8]) -> Utf8PathBuf {
        self.write(folder, &manifest(folder, folder), &[("a.wasm", wasm)])
    }

    /// A file renamed into place.
    pub(super) fn rename_into(&self, path: &Utf8Path, bytes: &[u8]) {
        let draft = self.stage.join("draft");
        fs::write(&draft, bytes).unwrap();
        fs::rename(draft, path).unwrap();
    }
}

pub(super) fn write(folder: &Utf8Path, manifest: &str, files: &[(&str, &[u8])]) -> Utf8PathBuf {
    fs::create_dir_all(folder).unwrap();
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
    fs::write(folder.join("plugin.toml"), manifest).unwrap();
    folder.to_owned()
}

/// A manifest with one API, `demo/{slug}`, whose handler is `a.wasm`.
pub(super) fn manifest(plugin: &str, slug: &str) -> String {
    format!(
        "[plugin]\nname = \"{plugin}\"\nversion = \"1\"\n\n[[api]]\nowner = \"demo\"\nslug = \"{slug}\"\nhandler = \"a.wasm\"\n"
    )
}

pub(super) fn name(slug: &str) -> ApiName {
    ApiName { owner: "demo".parse().unwrap(), slug: slug.parse().unwrap() }
}

/// The real compiler, which waits at a gate with components that have [`Gate::HELD`] in them, and a cache in memory.
#[derive(Default)]
pub(super) struct Gate {
    open: AtomicBool,
    /// Components at the gate.
    pub(super) waiting: AtomicU64,
    pub(super) compiled: AtomicU64,
    pub(super) interrupted: AtomicU64,
    /// CPU time of each, in seconds, as far as the budget knows.
    pub(super) costs_s: AtomicU64,
    /// There is no compiler to be had.
    pub(super) is_missing: AtomicBool,
    cache: Mutex<HashMap<Key, Vec<u8>>>,
}

impl Gate {
    pub(super) const HELD: &str = "held-at-the-gate";

    pub(super) fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }

    /// As if the folder of the cache had been deleted.
    pub(super) fn forget(&self) {
        self.cache.lock().unwrap().clear();
    }

    /// Waits until so many components are at the gate.
    pub(super) async fn holds(&self, count: u64) {
        let start = Instant::now();
        while self.waiting.load(Ordering::SeqCst) != count {
            assert!(start.elapsed() < Duration::from_secs(10), "{:?} are held", self.waiting);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Compiler for Gate {
    fn find(&self, key: &Key) -> Option<Vec<u8>> {
        self.cache.lock().unwrap().get(key).cloned()
    }

    fn keep(&self, key: &Key, artefact: &[u8]) {
        self.cache.lock().unwrap().insert(*key, artefact.to_vec());
    }

    fn compile(&self, key: &Key, wasm: &[u8], job: &Job) -> Result<Vec<u8>, CompileError> {
        if self.is_missing.load(Ordering::SeqCst) {
            return Err(CompileError::Unavailable("it is missing".to_owned()));
        }
        job.add_cpu(Duration::from_secs(self.costs_s.load(Ordering::SeqCst)));
        if wasm.windows(Self::HELD.len()).any(|part| part == Self::HELD.as_bytes()) {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            while !self.open.load(Ordering::SeqCst) && !job.is_interrupted() {
                std::thread::sleep(Duration::from_millis(1));
            }
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            if job.is_interrupted() {
                self.interrupted.fetch_add(1, Ordering::SeqCst);
                return Err(CompileError::Interrupted);
            }
        }
        self.compiled.fetch_add(1, Ordering::SeqCst);
        InProcess.compile(key, wasm, &Job::default())
    }
}

/// What a test sees of the plugins.
pub(super) trait View {
    fn plugins(&self) -> &Arc<Plugins>;

    fn api(&self, slug: &str) -> Arc<ActiveApi> {
        self.find(slug).unwrap_or_else(|| panic!("demo/{slug} is not served: {:#?}", self.plugins().status()))
    }

    fn find(&self, slug: &str) -> Option<Arc<ActiveApi>> {
        self.plugins().registry().api("demo", slug).cloned()
    }

    fn digest(&self, slug: &str) -> Digest {
        self.api(slug).digest
    }

    fn about(&self, folder: &str) -> PluginStatus {
        let status = self.plugins().status();
        status.into_iter().find(|status| status.key == folder).unwrap_or_else(|| panic!("no plugin {folder}"))
    }

    fn state(&self, folder: &str) -> Option<State> {
        self.plugins().status().into_iter().find(|status| status.key == folder).map(|status| status.state)
    }

    fn reason(&self, folder: &str) -> String {
        self.about(folder).reason.unwrap_or_default()
    }
}

impl View for Arc<Plugins> {
    fn plugins(&self) -> &Arc<Plugins> {
        self
    }
}

/// Plugins with their loop.
pub(super) struct Watching {
    plugins: Arc<Plugins>,
    token: CancellationToken,
}

impl Watching {
    pub(super) async fn start(plugins: Arc<Plugins>) -> Self {
        plugins.scan().await;
        let token = CancellationToken::new();
        TaskTracker::new().spawn(plugins.clone().run(token.clone()));
        let (hidden, probe) = (plugins.config.folder.join(".probe"), plugins.config.folder.join("probe"));
        fs::create_dir(&hidden).unwrap();
        let watching = Self { plugins, token };
        // Until the event of a rename comes through, which is when the watcher is there.
        let is_there = |plugins: &Plugins| plugins.strays().contains(&"probe".to_owned());
        while !is_there(&watching.plugins) {
            fs::rename(&hidden, &probe).unwrap();
            tokio::time::sleep(Duration::from_millis(60)).await;
            if !is_there(&watching.plugins) {
                fs::rename(&probe, &hidden).unwrap();
            }
        }
        fs::rename(&probe, &hidden).unwrap();
        watching.until("the probe is gone", |plugins| !is_there(plugins)).await;
        fs::remove_dir(&hidden).unwrap();
        watching
    }

    /// Waits for a condition, ten seconds at most; how long it took.
    pub(super) async fn until(&self, what: &str, condition: impl Fn(&Arc<Plugins>) -> bool) -> Duration {
        let start = Instant::now();
        while !condition(&self.plugins) {
            assert!(start.elapsed() < Duration::from_secs(10), "not {what} in time: {:#?}", self.plugins.status());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        start.elapsed()
    }
}

impl View for Watching {
    fn plugins(&self) -> &Arc<Plugins> {
        &self.plugins
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.token.cancel();
    }
}
