//! The loop that notices changes: an event or a timer, and in both cases the same scan.

use super::pending::{Change, Pending};
use super::scan::Look;
use super::{Plugins, WatchMode};
use camino::{Utf8Path, Utf8PathBuf};
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Events that wait to be looked at. What does not fit is found by the scan that the others bring about.
const HINTS_MAX: usize = 1024;
/// How often the folder is read when nothing tells of changes, at most.
const POLL: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum Hint {
    Changed(PathBuf, Change),
    /// Events were lost: look at everything.
    Lost,
}

impl Plugins {
    /// Watches the plugins folder until `token` is cancelled, as the configuration has it. Nothing more is made ready
    /// then.
    pub async fn run(self: Arc<Self>, token: CancellationToken) {
        if self.config.watch != WatchMode::Off {
            self.watch(&token).await;
        }
        token.cancelled().await;
        self.stopping.cancel();
    }

    async fn watch(self: &Arc<Self>, token: &CancellationToken) {
        let (sender, mut hints) = mpsc::channel(HINTS_MAX);
        let mut watch = Watch { folder: self.config.folder.clone(), hints: sender, watcher: None, told: false };
        let wait_max = self.config.rescan.max(self.config.quiet * 4);
        let mut pending = Pending::new(self.config.quiet, self.config.rename_settle, wait_max);
        let (mut rescan_at, mut again_at) = (Instant::now(), None);
        loop {
            let wake_at = [pending.due(), again_at].into_iter().flatten().fold(rescan_at, Instant::min);
            tokio::select! {
                () = token.cancelled() => return,
                hint = hints.recv() => {
                    let now = Instant::now();
                    match hint {
                        Some(Hint::Changed(path, change)) => pending.add(&path, change, now),
                        Some(Hint::Lost) => rescan_at = rescan_at.min(now + self.config.quiet),
                        None => {}
                    }
                    continue;
                }
                () = tokio::time::sleep_until(wake_at) => {}
            }
            let now = Instant::now();
            if rescan_at <= now {
                if self.config.watch == WatchMode::Auto {
                    watch = watch.renewed().await;
                }
                let every = if watch.watcher.is_some() { self.config.rescan } else { self.config.rescan.min(POLL) };
                rescan_at = now + every;
            }
            let (at_rest, moving) = pending.take(now);
            let report = tokio::select! {
                () = token.cancelled() => return,
                report = self.look(Look::by_events(at_rest, moving)) => report,
            };
            again_at = report.again_in.map(|wait| Instant::now() + wait);
        }
    }
}

/// The watcher, and which folder it watches: one that was deleted and made again is another.
struct Watch {
    folder: Utf8PathBuf,
    hints: mpsc::Sender<Hint>,
    watcher: Option<((u64, u64), RecommendedWatcher)>,
    /// That there is no watching was logged.
    told: bool,
}

impl Watch {
    /// Watches the folder that is there now, if it does not already. It walks the folder, hence the thread.
    async fn renewed(self) -> Self {
        let (folder, hints) = (self.folder.clone(), self.hints.clone());
        match tokio::task::spawn_blocking(move || self.renew()).await {
            Ok(watch) => watch,
            Err(_) => Self { folder, hints, watcher: None, told: false },
        }
    }

    fn renew(mut self) -> Self {
        let identity = self.folder.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()));
        if identity.is_some() && self.watcher.as_ref().map(|(watched, _)| *watched) == identity {
            return self;
        }
        self.watcher = None;
        let watching = identity.ok_or_else(notify::Error::path_not_found).and_then(|identity| {
            let mut watcher = notify::recommended_watcher(handler(self.folder.clone(), self.hints.clone()))?;
            watcher.watch(self.folder.as_std_path(), RecursiveMode::Recursive)?;
            Ok((identity, watcher))
        });
        match watching {
            Ok(watcher) => {
                self.watcher = Some(watcher);
                if std::mem::take(&mut self.told) {
                    tracing::info!(folder = %self.folder, "The plugins folder is watched again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.told, true) {
                    tracing::warn!(folder = %self.folder, %error, "The plugins folder cannot be watched; it is read every second at least");
                }
            }
        }
        self
    }
}

/// Called on the watcher's own thread.
fn handler(folder: Utf8PathBuf, hints: mpsc::Sender<Hint>) -> impl Fn(notify::Result<Event>) + Send + 'static {
    move |event| {
        let found = match event {
            Ok(event) => hints_of(&folder, &event),
            Err(error) => {
                tracing::warn!(folder = %folder, %error, "Watching the plugins folder failed for a part of it; the regular rescan covers it");
                vec![Hint::Lost]
            }
        };
        for hint in found {
            // Full: those before it bring about the scan.
            let _ = hints.try_send(hint);
        }
    }
}

fn hints_of(folder: &Utf8Path, event: &Event) -> Vec<Hint> {
    let change = match event.kind {
        _ if event.need_rescan() => return vec![Hint::Lost],
        EventKind::Modify(ModifyKind::Name(_)) => Change::Renamed,
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Change::Written,
        // Our own reading.
        EventKind::Access(_) => return Vec::new(),
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => {
            Change::Written
        }
    };
    let inside = event.paths.iter().filter_map(|path| path.strip_prefix(folder).ok());
    inside.map(|path| Hint::Changed(path.to_owned(), change)).collect()
}
