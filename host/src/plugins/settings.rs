//! How plugins are found, judged and kept, and the bounds of manifests that follow from it.

use super::manifest::{Above, Bounds};
use super::source::Bare;
use crate::config::WatchMode;
use camino::Utf8PathBuf;
use ripost_domain::address::PlainHttp;
use ripost_runtime::Limits;
use std::time::Duration;

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
}
