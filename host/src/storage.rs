//! Whether there is room on the disk for more requests. Looked at beside the calls, never by one.

mod beside;
mod refusals;

pub use beside::{Beside, Lost};
pub use refusals::tell_of_refusals;

use crate::config;
use crate::problem::{Kind, Problem};
use crate::telemetry::metrics::Metrics;
use camino::Utf8PathBuf;
use ripost_domain::units::format_size;
use ripost_store::{DiskUsage, Store, StoreError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the disk is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// What is refused may be sent again after this.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Room on the disk, as it was a second ago.
pub struct Room {
    folder: Utf8PathBuf,
    config: config::Storage,
    full: AtomicBool,
    /// In words for the operator.
    why: Mutex<Option<String>>,
}

impl Room {
    /// There is room until somebody has looked.
    #[must_use]
    pub fn new(folder: Utf8PathBuf, config: config::Storage) -> Self {
        Self { folder, config, full: AtomicBool::new(false), why: Mutex::default() }
    }

    /// # Errors
    /// 503: nothing more is accepted.
    pub fn check(&self) -> Result<(), Problem> {
        if !self.full.load(Ordering::Relaxed) {
            return Ok(());
        }
        let detail = "Nothing was accepted. Send the request again after the time in Retry-After; the operator finds what is full in `ripost status`.";
        Err(Problem::new(Kind::StorageFull, detail).retry_after(RETRY_AFTER))
    }

    /// Why there is no room; `None`: there is.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks every second.
    pub async fn watch(self: Arc<Self>, store: Arc<dyn Store>, metrics: Arc<Metrics>, stopping: CancellationToken) {
        loop {
            match store.disk_usage().await {
                Ok(usage) => self.look(usage, &metrics).await,
                Err(StoreError::Closed) => return,
                Err(error) => tracing::warn!(%error, "What the store takes on the disk is not known"),
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn look(&self, usage: DiskUsage, metrics: &Metrics) {
        let folder = self.folder.clone();
        let free = tokio::task::spawn_blocking(move || {
            let disk = nix::sys::statvfs::statvfs(folder.as_std_path())?;
            Ok::<_, nix::Error>(disk.blocks_available() * disk.fragment_size())
        });
        let free = match free.await {
            Ok(Ok(free)) => Some(free),
            Ok(Err(error)) => {
                tracing::warn!(%error, "The room on the disk is not known");
                None
            }
            Err(_) => None,
        };
        let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        metrics.storage_database_bytes.set(gauge(usage.database));
        metrics.storage_files_bytes.set(gauge(usage.files));
        if let Some(free) = free {
            metrics.storage_free_bytes.set(gauge(free));
        }
        let why = too_full(&self.config, usage, free);
        let was_full = self.full.swap(why.is_some(), Ordering::Relaxed);
        match &why {
            Some(why) if !was_full => tracing::error!(why, "No room for more requests; new calls are answered 503"),
            None if was_full => tracing::info!("There is room again"),
            _ => {}
        }
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

fn too_full(config: &config::Storage, usage: DiskUsage, free: Option<u64>) -> Option<String> {
    let size = |bytes: u64| format_size(usize::try_from(bytes >> 20).unwrap_or(usize::MAX >> 20) << 20);
    let taken = usage.database.saturating_sub(usage.reusable) + usage.files;
    if config.size_max > 0 && taken > config.size_max as u64 {
        let (taken, most) = (size(taken), format_size(config.size_max));
        return Some(format!(
            "the store takes {taken} and may take {most} (storage.size_max); `ripost erase`, a shorter [retention], or a larger limit makes room"
        ));
    }
    let free = free.filter(|free| *free < config.free_min as u64)?;
    let (free, least) = (size(free), format_size(config.free_min));
    Some(format!("the disk of the data folder has {free} left and must have {least} (storage.free_min)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_is_what_either_limit_says() {
        let config = config::Storage { free_min: 100 << 20, size_max: 10 << 20 };
        let usage = |database, files| DiskUsage { database, reusable: 0, files };
        let enough = Some(200 << 20);
        assert_eq!(too_full(&config, usage(5 << 20, 5 << 20), enough), None);
        let why = too_full(&config, usage(5 << 20, (5 << 20) + 1), enough).unwrap();
        assert!(why.contains("takes 10 MiB") && why.contains("storage.size_max"), "{why}");
        let why = too_full(&config, usage(0, 0), Some((100 << 20) - 1)).unwrap();
        assert!(why.contains("has 99 MiB left") && why.contains("storage.free_min"), "{why}");
        let erased = DiskUsage { reusable: 1 << 20, ..usage(11 << 20, 0) };
        assert_eq!(too_full(&config, erased, enough), None, "what has gone makes room");
        assert_eq!(too_full(&config, usage(0, 0), None), None, "not known is not full");
        let unlimited = config::Storage { size_max: 0, ..config };
        assert_eq!(too_full(&unlimited, usage(u64::MAX / 2, 0), enough), None);
    }
}
