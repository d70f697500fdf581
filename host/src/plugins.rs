//! Plugins: from files in a folder to APIs that can be called, reloaded while calls go on.
//!
//! **watch** what changes ([`Plugins::run`]) → **read** it whole → **manifest** → **admit** and **compile** → **keep**
//! the revision in the data folder → **swap** the whole [`Registry`]. File events are only hints: every way in ends
//! in the same scan, which reads what is there. What has to be compiled or tried goes on by itself, by turns of the owners,
//! and nobody who scans, pushes or decides waits for it. Whatever is wrong on that way leaves the last good revision serving,
//! and is told in the log and in [`Plugins::status`].

mod collect;
mod errand;
mod error;
mod folder;
mod loaded;
mod manifest;
mod operate;
mod pending;
mod permits;
mod pipeline;
mod plan;
mod probation;
mod push;
mod recall;
mod record;
mod registry;
mod retry;
mod revision;
mod revisions;
mod rollback;
mod scan;
mod settings;
mod shared;
mod smoke;
mod source;
mod state;
mod swap;
mod watch;
mod watcher;

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
use crate::compile::{Budget, Turns};
pub use crate::config::WatchMode;
use arc_swap::{ArcSwap, ArcSwapOption};
use camino::Utf8Path;
pub use error::{OpenError, PluginError};
use folder::Folder;
use loaded::Older;
use permits::Permits;
use plan::Plan;
use probation::Probation;
use record::Record;
pub use record::{FILE_NAME as RECORD_FILE, RecordError};
use revision::Revisions;
use ripost_domain::api::Digest;
use ripost_domain::time::Clock;
use ripost_runtime::{FairSemaphore, Runtime};
use rollback::Successors;
use scan::Turn;
pub use settings::PluginsConfig;
use shared::Shared;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;
use tokio::sync::watch::Sender;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Smoke cases of so many revisions are tried at once, of one owner's of one.
const TRIALS_AT_ONCE: u32 = 2;
/// So many older revisions are read for requests at once, of one owner one.
const RECALLS_AT_ONCE: u32 = 4;

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
    folder: Folder,
    runtime: Arc<Runtime>,
    granting: Arc<dyn Granting>,
    clock: Arc<dyn Clock>,
    revisions: Revisions,
    registry: ArcSwap<Registry>,
    status: ArcSwap<Vec<Arc<PluginStatus>>>,
    /// Why the folder cannot be read.
    folder_error: ArcSwapOption<String>,
    /// What is in the folder and is no plugin, by name.
    strays: ArcSwap<Vec<String>>,
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

    /// Whether this program can read the record of a folder of revisions, if there is one.
    ///
    /// # Errors
    /// A newer version wrote it, or it cannot be read. One that is damaged is put aside by a start, and is no error here.
    pub fn check_record(folder: &Utf8Path) -> Result<(), RecordError> {
        match Record::read(folder) {
            Ok(_) | Err(RecordError::Damaged { .. }) => Ok(()),
            Err(error) => Err(error),
        }
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
        config: PluginsConfig,
        runtime: Arc<Runtime>,
        granting: Arc<dyn Granting>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, OpenError> {
        let usable = Folder::open(&config.folder);
        let folder = usable.map_err(|source| OpenError::Folder { path: config.folder.clone(), source })?;
        let revisions = Revisions::open(config.revisions_folder.clone())?;
        let record = Record::read_or_set_aside(revisions.folder())?;
        let older_max = config.older_max;
        let (turns, recalls) = (Turns::new(config.compile_workers), Turns::new(1));
        let budget = Budget::new(config.compile_budget);
        let no_transforms = Arc::new(Transforms::none(Arc::new(config.transform.clone())));
        let plugins = Self {
            config,
            folder,
            runtime,
            granting,
            clock,
            revisions,
            registry: ArcSwap::from_pointee(Registry::default()),
            status: ArcSwap::default(),
            folder_error: ArcSwapOption::empty(),
            strays: ArcSwap::default(),
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

    /// Folders in the plugins folder that are no plugins and never were: they have neither a manifest nor a component.
    #[must_use]
    pub fn strays(&self) -> Arc<Vec<String>> {
        self.strays.load_full()
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
}

impl std::fmt::Debug for Plugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugins")
            .field("config", &self.config)
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

/// What a thread left behind that panicked is whole: every step is applied at once, at its end.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod again;
#[cfg(test)]
pub(crate) mod tests;
