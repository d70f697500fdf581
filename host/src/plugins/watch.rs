//! The loop that notices changes: an event or a timer, and in both cases the same scan.

use super::pending::Pending;
use super::scan::Look;
use super::watcher::{Hint, Watch};
use super::{Plugins, WatchMode};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Events that wait to be looked at. What does not fit is found by the scan that the others bring about.
const HINTS_MAX: usize = 1024;
/// How often the folder is read when nothing tells of changes, at most.
const POLL: Duration = Duration::from_secs(1);

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
        let mut watch = Watch::new(self.folder.clone(), sender);
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
                let every = if watch.is_up() { self.config.rescan } else { self.config.rescan.min(POLL) };
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
