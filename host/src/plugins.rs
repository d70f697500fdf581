//! Plugins: from files in a folder to APIs that can be called, reloaded while calls go on.
//!
//! **watch** what changes ([`Plugins::run`]) → **read** it whole → **manifest** → **admit** and **compile** → **keep**
//! the revision in the data folder → **swap** the whole [`Registry`]. File events are only hints: every way in ends
//! in the same scan, which reads what is there. What has to be compiled or tried goes on by itself, by turns of the owners,
//! and nobody who scans, pushes or decides waits for it. Whatever is wrong on that way leaves the last good revision serving,
//! and is told in the log and in [`Plugins::status`].

mod collect;
mod errand;
mod loaded;
mod manifest;
mod operate;
mod pending;
mod permits;
mod pipeline;
mod plan;
mod probation;
mod push;
mod record;
mod registry;
mod retry;
mod revision;
mod revisions;
mod rollback;
mod scan;
mod shared;
mod smoke;
mod source;
mod state;
mod swap;
mod watch;

#[cfg(test)]
pub(crate) use manifest::tests::generated::manifest as any_manifest;
pub use manifest::{
    Above, Access, Allowance, ApiGrants, ApiManifest, ApiSpec, ApiTarget, ApiTransforms, Bounds, Cancel, DeliveryMode,
    FILE_NAME, Manifest, ManifestError, NearMiss, OnError, PayloadForm, Reply, Upstream, schema,
};
pub use probation::Ran;
pub use push::{PushError, PushKey};
pub use registry::{Absent, ActiveApi, NamedTransform, Registry, Target, Transforms};
pub use revision::RevisionError;
pub use revisions::{Kept, KeptRevision};
pub use rollback::{Pins, RolledBack};
pub(crate) use scan::Look;
pub use scan::{Rejected, ScanReport};
pub(crate) use source::read_files;
pub use source::{Bare, Files, ReadError, read_folder};
pub use state::{ApiStatus, Origin, PluginStatus, Stage, State};

use crate::capability::Granting;
use crate::causes::chain;
use crate::compile::{Budget, Claim, Turns, Urgency};
pub use crate::config::WatchMode;
use arc_swap::{ArcSwap, ArcSwapOption};
use camino::{Utf8Path, Utf8PathBuf};
use loaded::{Assembly, Failure, Loaded, Older};
use permits::Permits;
use pipeline::Obstacle;
use plan::Plan;
use probation::Probation;
use record::Record;
pub use record::{FILE_NAME as RECORD_FILE, RecordError};
use revision::Revisions;
use ripost_domain::address::PlainHttp;
use ripost_domain::api::{ApiName, Digest};
use ripost_domain::time::Clock;
use ripost_runtime::{FairSemaphore, Job, Limits, Runtime};
use rollback::Successors;
use scan::Turn;
use shared::Shared;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch::Sender;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Smoke cases of so many revisions are tried at once, of one owner's of one.
const TRIALS_AT_ONCE: u32 = 2;
/// So many older revisions are read for requests at once, of one owner one.
const RECALLS_AT_ONCE: u32 = 4;

/// How plugins are found, judged and kept.
#[derive(Debug, Clone)]
pub struct PluginsConfig {
    /// Where the plugins are; made if it is not there.
    pub folder: Utf8PathBuf,
    /// Where their revisions are kept, `<data>/revisions`; made if it is not there.
    pub revisions_folder: Utf8PathBuf,
    /// Without a write for so long, a file that is written in place counts as whole.
    pub quiet: Duration,
    /// After a rename into place, the wait for others that belong to it.
    pub rename_settle: Duration,
    /// How often the folder is read without an event.
    pub rescan: Duration,
    /// How long a deleted plugin may take to come back before it counts as missing.
    pub deleted_grace: Duration,
    /// What a component without a manifest is.
    pub bare: Bare,
    /// What an API may use that asks for nothing.
    pub limits: Limits,
    /// The most an API may ask for.
    pub ceiling: Limits,
    /// The memory of all guests, if it is what bounds the memory of one run.
    pub guests_memory: Option<usize>,
    /// What each transform has.
    pub transform: Limits,
    /// Runs at once of an API that asks for nothing.
    pub concurrency: u32,
    /// Where manifests may grant plain http.
    pub plain_http: PlainHttp,
    /// Replaced revisions kept ready in memory for the requests that were accepted under them.
    pub older_max: usize,
    /// How changes are noticed.
    pub watch: WatchMode,
    /// How long a revision is new, and may be put aside for its failures.
    pub probation: Duration,
    /// Failed runs of a new revision after which it is put aside; 0: never.
    pub quarantine_after: u32,
    /// All smoke cases of one revision together.
    pub smoke_wall: Duration,
    /// Pushed plugins of one owner.
    pub pushed_per_owner_max: usize,
    /// Components compiled at once.
    pub compile_workers: usize,
    /// CPU time that compiling what one owner pushes may take in an hour; zero: no bound.
    pub compile_budget: Duration,
}

impl PluginsConfig {
    /// What the operator allows a manifest.
    pub(crate) fn bounds(&self, above: Above) -> Bounds {
        let Self { limits, ceiling, guests_memory, transform, concurrency, plain_http, .. } = self;
        Bounds {
            default: limits.clone(),
            ceiling: ceiling.clone(),
            guests_memory: *guests_memory,
            transform: transform.clone(),
            concurrency: *concurrency,
            plain_http: *plain_http,
            above,
        }
    }

    /// The defaults, for these two folders.
    #[must_use]
    pub fn new(folder: impl Into<Utf8PathBuf>, revisions_folder: impl Into<Utf8PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            revisions_folder: revisions_folder.into(),
            quiet: Duration::from_millis(250),
            rename_settle: Duration::from_millis(20),
            rescan: Duration::from_secs(5),
            deleted_grace: Duration::from_secs(5),
            bare: Bare::Refuse,
            limits: Limits::default(),
            ceiling: Limits::ceiling(),
            guests_memory: None,
            transform: Limits::transform(),
            concurrency: 16,
            plain_http: PlainHttp::Refused,
            older_max: 8,
            watch: WatchMode::Auto,
            probation: Duration::from_mins(10),
            quarantine_after: 5,
            smoke_wall: Duration::from_secs(30),
            pushed_per_owner_max: 100,
            compile_workers: 2,
            compile_budget: Duration::from_mins(10),
        }
    }
}

/// The folders cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The plugins folder cannot be made or read.
    #[error("the plugins folder {path} cannot be used")]
    Folder {
        /// The folder.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The revisions folder in the data folder cannot be made, read or cleared.
    #[error("the revisions folder cannot be used")]
    Revisions(#[from] RevisionError),
    /// What served last cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// An API of a revision cannot be had, or a plugin not be removed. Split by what the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The revision is not there, or damaged.
    #[error("{}", chain(.0))]
    Revision(RevisionError),
    /// The revision is there and cannot be made ready.
    #[error("revision {} cannot be made ready: {reason}", .digest.short())]
    Load {
        /// The revision.
        digest: Digest,
        /// Why not.
        reason: String,
    },
    /// The revision is there and cannot be made ready now: the compiler cannot be started, or the gateway stops.
    #[error("revision {} cannot be made ready now: {reason}", .digest.short())]
    NotNow {
        /// The revision.
        digest: Digest,
        /// Why not.
        reason: String,
    },
    /// The revision offers other APIs.
    #[error("revision {} does not offer {api}", .digest.short())]
    NoSuchApi {
        /// The revision.
        digest: Digest,
        /// What was asked for.
        api: ApiName,
    },
    /// No plugin of this key is or was there.
    #[error("there is no plugin `{0}`; `ripost plugins list` lists them")]
    Unknown(String),
    /// No plugin serves this API.
    #[error("no plugin serves {0}; `ripost status` lists what is served")]
    NotServed(ApiName),
    /// The operator stopped the plugin, and its requests with it.
    #[error("the operator stopped the plugin of revision {}", .0.short())]
    Stopped(Digest),
    /// An owner would start what the operator stopped.
    #[error("the operator stopped `{0}`, and only the operator starts it again")]
    OperatorsStop(String),
    /// Its plugin, or the revision before, has APIs of other owners, who would be rolled back with it.
    #[error("the plugin that offers {0} has APIs of other owners too, now or in the revision before; ask the operator")]
    Shared(ApiName),
    /// There is no revision before the one that serves.
    #[error(
        "there is no revision of `{0}` before the one that serves; put the older files in place, or stop it with `ripost plugins stop {0}`"
    )]
    NoPrevious(String),
    /// Something else came into service meanwhile.
    #[error(
        "another revision of `{0}` came into service meanwhile; look at `ripost status`, and try again if it is still wanted"
    )]
    Changed(String),
    /// The revision before offers what somebody else does by now.
    #[error("the revision before offers {api}, which the plugin `{by}` offers by now; remove that one first")]
    Taken {
        /// The API.
        api: ApiName,
        /// Who offers it.
        by: String,
    },
    /// Its folder is there: the next scan would only bring it back.
    #[error("the folder `{0}` is still there; delete it first")]
    StillThere(String),
    /// Which requests there are could not be read.
    #[error("reading which requests name which revision: {0}")]
    Requests(String),
    /// What serves could not be written down.
    #[error("writing down what serves: {0}")]
    Record(io::Error),
    /// The thread that did the work broke down.
    #[error("the work on a plugin was lost; try again")]
    Lost,
}

impl From<RevisionError> for PluginError {
    fn from(error: RevisionError) -> Self {
        Self::Revision(error)
    }
}

/// How many there are of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Plugins.
    pub plugins: u64,
    /// APIs.
    pub apis: u64,
}

/// Revisions swapped in and rejected since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reloads {
    /// Swapped in, those of the start included.
    pub ok: u64,
    /// Rejected; the same again is not counted again.
    pub rejected: u64,
}

/// The owner of the registry.
pub struct Plugins {
    config: PluginsConfig,
    runtime: Arc<Runtime>,
    granting: Arc<dyn Granting>,
    clock: Arc<dyn Clock>,
    revisions: Revisions,
    registry: ArcSwap<Registry>,
    status: ArcSwap<Vec<Arc<PluginStatus>>>,
    /// Why the folder cannot be read.
    folder_error: ArcSwapOption<String>,
    /// Held for a whole scan, on blocking threads only.
    scanning: Mutex<()>,
    /// Held while what is known is looked at or changed, for a moment, and never while one compiles.
    turn: Mutex<Turn>,
    /// What is on its way. Locked after the turn, never before it.
    plan: Mutex<Plan>,
    /// Whose component is compiled next.
    turns: Turns,
    /// The same for what somebody waits for: the revision before, or an older one that a request names. It has a worker of
    /// its own, so that taking something back waits for nobody's new component.
    recalls: Turns,
    recalling: FairSemaphore,
    budget: Budget,
    trials: FairSemaphore,
    /// How much is being made ready.
    errands: Sender<usize>,
    /// Grows with each pass.
    changes: Sender<u64>,
    tasks: TaskTracker,
    /// The host stops: nothing more is begun.
    stopping: CancellationToken,
    pass_is_due: AtomicBool,
    passed_at: Mutex<Option<Instant>>,
    older: Mutex<Older>,
    /// Held while an older revision is made ready: whoever else wants that one waits here, and not on a thread.
    older_turns: Mutex<HashMap<Digest, Weak<tokio::sync::Mutex<()>>>>,
    permits: Mutex<Permits>,
    shared: Shared,
    no_transforms: Arc<Transforms>,
    probations: ArcSwap<HashMap<Digest, Arc<Probation>>>,
    successors: ArcSwap<Successors>,
    /// Revisions of stopped plugins.
    stopped: ArcSwap<HashSet<Digest>>,
    pins: OnceLock<Arc<dyn Pins>>,
    /// Held while requests are moved.
    moving: tokio::sync::Mutex<()>,
    /// A move for late requests is to begin: those that come meanwhile go along.
    moves_late: AtomicBool,
    quarantines: AtomicU64,
    reloads_ok: AtomicU64,
    reloads_rejected: AtomicU64,
}

impl Plugins {
    /// Whether a folder of revisions has its record; one that was put out of the way is there to be mended.
    #[must_use]
    pub fn has_record(folder: &Utf8Path) -> bool {
        folder.join(record::FILE_NAME).exists() || Record::is_set_aside(folder)
    }

    /// Writes a record into a folder that has none, so that its loss can be told from a first start.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn make_record(&self) -> std::io::Result<()> {
        let folder = self.revisions.folder();
        if Self::has_record(folder) { Ok(()) } else { Record::default().write(folder) }
    }

    /// Opens both folders and reads which revisions served last; nothing serves before the first [`Plugins::scan`].
    /// Blocking, shortly. Once in a process, and one process for each revisions folder.
    ///
    /// # Errors
    /// A folder that cannot be made, read or written.
    pub fn open(
        mut config: PluginsConfig,
        runtime: Arc<Runtime>,
        granting: Arc<dyn Granting>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, OpenError> {
        let usable = std::fs::create_dir_all(&config.folder).and_then(|()| config.folder.canonicalize_utf8());
        // File events carry the real path.
        config.folder = usable.map_err(|source| OpenError::Folder { path: config.folder.clone(), source })?;
        let revisions = Revisions::open(config.revisions_folder.clone())?;
        let record = Record::read_or_set_aside(revisions.folder())?;
        let older_max = config.older_max;
        let (turns, recalls) = (Turns::new(config.compile_workers), Turns::new(1));
        let budget = Budget::new(config.compile_budget);
        let no_transforms = Arc::new(Transforms::none(Arc::new(config.transform.clone())));
        let plugins = Self {
            config,
            runtime,
            granting,
            clock,
            revisions,
            registry: ArcSwap::from_pointee(Registry::default()),
            status: ArcSwap::default(),
            folder_error: ArcSwapOption::empty(),
            scanning: Mutex::default(),
            turn: Mutex::default(),
            plan: Mutex::default(),
            turns,
            recalls,
            recalling: FairSemaphore::new(RECALLS_AT_ONCE, 1),
            budget,
            trials: FairSemaphore::new(TRIALS_AT_ONCE, 1),
            errands: Sender::new(0),
            changes: Sender::new(0),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            pass_is_due: AtomicBool::new(false),
            passed_at: Mutex::default(),
            older: Mutex::new(Older::new(older_max)),
            older_turns: Mutex::default(),
            permits: Mutex::default(),
            shared: Shared::default(),
            no_transforms,
            probations: ArcSwap::default(),
            successors: ArcSwap::default(),
            stopped: ArcSwap::default(),
            pins: OnceLock::new(),
            moving: tokio::sync::Mutex::default(),
            moves_late: AtomicBool::new(false),
            quarantines: AtomicU64::new(0),
            reloads_ok: AtomicU64::new(0),
            reloads_rejected: AtomicU64::new(0),
        };
        let turn = plugins.turn_from(record.unwrap_or_default());
        let asides =
            turn.entries.values().filter_map(|entry| Some((entry.aside.as_ref()?.digest, entry.held.as_ref()?.digest)));
        plugins.successors.store(Arc::new(asides.collect()));
        // Nothing serves yet; what is stopped is.
        plugins.renew_registry(&turn);
        *lock(&plugins.turn) = turn;
        Ok(Arc::new(plugins))
    }

    /// What serves now. Once for each call; no lock.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.load_full()
    }

    /// How each plugin is, in the order of their keys.
    #[must_use]
    pub fn status(&self) -> Vec<PluginStatus> {
        self.status.load().iter().map(|status| PluginStatus::clone(status)).collect()
    }

    /// Why the plugins folder could not be read the last time; none: it could.
    #[must_use]
    pub fn folder_error(&self) -> Option<String> {
        self.folder_error.load().as_deref().cloned()
    }

    /// How one plugin is: a folder's name, or `owner/name` of a pushed one.
    #[must_use]
    pub fn plugin_status(&self, key: &str) -> Option<PluginStatus> {
        let status = self.status.load();
        let place = status.binary_search_by(|status| status.key.as_str().cmp(key)).ok()?;
        Some(PluginStatus::clone(&status[place]))
    }

    /// How many plugins and APIs there are in each state.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<State, Counts> {
        let mut counts: BTreeMap<State, Counts> =
            State::ALL.into_iter().map(|state| (state, Counts::default())).collect();
        for status in self.status.load().iter() {
            counts.entry(status.state).or_default().plugins += 1;
            for api in &status.apis {
                counts.entry(api.state).or_default().apis += 1;
            }
        }
        counts
    }

    /// Revisions that were put aside for their failures since the start.
    #[must_use]
    pub fn quarantines(&self) -> u64 {
        self.quarantines.load(Ordering::Relaxed)
    }

    /// How many revisions were swapped in and rejected.
    #[must_use]
    pub fn reloads(&self) -> Reloads {
        Reloads { ok: self.reloads_ok.load(Ordering::Relaxed), rejected: self.reloads_rejected.load(Ordering::Relaxed) }
    }

    /// Reads the folder and puts into service what is new and good, and returns when nothing is on its way any more. A
    /// folder that cannot be read, a bad plugin and a missing one leave what served before; at the start that is what
    /// served when the host was stopped.
    pub async fn scan(self: &Arc<Self>) -> ScanReport {
        self.look_until_settled(Look::settled()).await
    }

    /// Like [`Plugins::scan`], and judges again what was rejected before.
    pub async fn reload(self: &Arc<Self>) -> ScanReport {
        self.look_until_settled(Look::again()).await
    }

    async fn look_until_settled(self: &Arc<Self>, look: Look) -> ScanReport {
        let report = self.look(look).await;
        self.settled().await;
        ScanReport { rejected: self.rejected(), ..report }
    }

    /// An API as it was in a revision: the active one, or one that a request was accepted under. If that one was put aside
    /// since, its successor answers.
    ///
    /// # Errors
    /// The revision is not in the data folder, is damaged, cannot be made ready, never had that API, or is of a plugin that
    /// the operator stopped.
    pub async fn api_at(self: &Arc<Self>, digest: Digest, api: &ApiName) -> Result<Arc<ActiveApi>, PluginError> {
        if let Some(active) = self.active(digest, api) {
            return Ok(active);
        }
        if self.stopped.load().contains(&digest) {
            return Err(PluginError::Stopped(digest));
        }
        self.api_of(digest, api).await
    }

    /// The same for a request with a committed step: it stays with the revision that committed it, put aside or not.
    ///
    /// # Errors
    /// As [`Plugins::api_at`].
    pub async fn api_bound(self: &Arc<Self>, digest: Digest, api: &ApiName) -> Result<Arc<ActiveApi>, PluginError> {
        if self.stopped.load().contains(&digest) {
            return Err(PluginError::Stopped(digest));
        }
        self.loaded_at(digest, api).await
    }

    /// The same, and of a stopped plugin too: for what there is to say of its requests.
    ///
    /// # Errors
    /// As [`Plugins::api_at`].
    pub async fn api_of(self: &Arc<Self>, digest: Digest, api: &ApiName) -> Result<Arc<ActiveApi>, PluginError> {
        let successor = self.successor(digest);
        if successor != digest {
            match self.loaded_at(successor, api).await {
                // What it does not offer, or cannot, the one that was put aside still does.
                Err(PluginError::NoSuchApi { .. } | PluginError::Revision(_) | PluginError::Load { .. }) => {}
                answered => return answered,
            }
        }
        self.loaded_at(digest, api).await
    }

    async fn loaded_at(self: &Arc<Self>, digest: Digest, api: &ApiName) -> Result<Arc<ActiveApi>, PluginError> {
        if let Some(found) = self.ready(digest, api) {
            return found;
        }
        let one = self.older_turn(digest);
        let _turn = one.lock().await;
        if let Some(found) = self.ready(digest, api) {
            return found;
        }
        // What served before the start is being made ready anyway.
        let mut changes = self.changes.subscribe();
        while self.is_underway(digest) {
            tokio::select! {
                changed = changes.changed() => changed.expect("the sender lives in `self`"),
                () = self.stopping.cancelled() => return Err(stopping(digest)),
            }
        }
        if let Some(found) = self.ready(digest, api) {
            return found;
        }
        // Each holds its revision in memory.
        let _place = self.recalling.acquire(&Arc::from(api.owner.as_str()), 1).await;
        let loaded = Arc::new(self.recall(digest).await?);
        lock(&self.older).insert(loaded.clone());
        find(&loaded, api)
    }

    fn older_turn(&self, digest: Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = lock(&self.older_turns);
        if let Some(turn) = turns.get(&digest).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(digest, Arc::downgrade(&turn));
        turn
    }

    fn is_underway(&self, digest: Digest) -> bool {
        lock(&self.plan).is_underway(digest)
    }

    /// Whether a revision was put aside, or its plugin stopped, since somebody was given it. Once for each run; no lock.
    #[must_use]
    pub fn is_out_of_service(&self, digest: Digest) -> bool {
        self.successors.load().contains_key(&digest) || self.stopped.load().contains(&digest)
    }

    fn active(&self, digest: Digest, api: &ApiName) -> Option<Arc<ActiveApi>> {
        let registry = self.registry.load();
        registry.api(api.owner.as_str(), api.slug.as_str()).filter(|active| active.digest == digest).cloned()
    }

    fn ready(&self, digest: Digest, api: &ApiName) -> Option<Result<Arc<ActiveApi>, PluginError>> {
        if let Some(active) = self.active(digest, api) {
            return Some(Ok(active));
        }
        let loaded = lock(&self.older).get(digest)?;
        Some(find(&loaded, api))
    }

    /// Makes a revision ready from the data folder, under the ceiling of today.
    async fn recall(self: &Arc<Self>, digest: Digest) -> Result<Loaded, PluginError> {
        let failed = |Failure { reason, obstacle, .. }: Failure| match obstacle {
            Obstacle::Bad | Obstacle::Others => PluginError::Load { digest, reason },
            Obstacle::Passing | Obstacle::For(_) | Obstacle::Interrupted => PluginError::NotNow { digest, reason },
        };
        let plugins = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let revision = plugins.revisions.load(&digest)?;
            let failed = |reason: String| PluginError::Load { digest, reason };
            let text = revision.manifest().ok_or_else(|| failed(format!("it has no {FILE_NAME}")))?;
            let manifest = Manifest::parse(FILE_NAME, text, &plugins.bounds(Above::Lower));
            let manifest = manifest.map_err(|error| failed(error.to_string()))?;
            Ok::<_, PluginError>((Arc::new(revision), Arc::new(manifest)))
        });
        let (revision, manifest) = reading.await.map_err(|_| PluginError::Lost)??;
        let owner: Arc<str> = manifest.apis.first().map_or("", |api| api.name.owner.as_str()).into();
        let mut made = Vec::new();
        loop {
            let (of, manifest, there) = (revision.clone(), manifest.clone(), made.clone());
            let assembly = self.blocking(move |plugins| plugins.assemble(&of, &manifest, &there)).await;
            let lacks = match assembly.map_err(failed)? {
                Assembly::Whole(loaded) => return Ok(loaded),
                Assembly::Lacks(lacks) => lacks,
            };
            for want in lacks {
                let (owner, component) = (owner.clone(), *want.digest.as_bytes());
                let claim = Claim { owner, urgency: Urgency::Missed, bytes: want.bytes, component };
                let _worker = tokio::select! {
                    worker = self.recalls.worker(claim) => worker,
                    () = self.stopping.cancelled() => return Err(stopping(digest)),
                };
                let of = revision.clone();
                let making = self.blocking(move |plugins| plugins.make(&of, &want, &Job::default()));
                made.push(making.await.map_err(failed)?);
            }
        }
    }

    fn bounds(&self, above: Above) -> Bounds {
        self.config.bounds(above)
    }
}

impl std::fmt::Debug for Plugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugins")
            .field("config", &self.config)
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

fn stopping(digest: Digest) -> PluginError {
    PluginError::NotNow { digest, reason: "the gateway is stopping".to_owned() }
}

fn find(loaded: &Loaded, api: &ApiName) -> Result<Arc<ActiveApi>, PluginError> {
    let found = loaded.api(api).cloned();
    found.ok_or_else(|| PluginError::NoSuchApi { digest: loaded.digest, api: api.clone() })
}

/// What a thread left behind that panicked is whole: every step is applied at once, at its end.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod again;
#[cfg(test)]
pub(crate) mod tests;
