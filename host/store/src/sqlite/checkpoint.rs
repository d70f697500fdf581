//! Moves the log into the file while the writer goes on, so that no commit has to.

use super::schema;
use super::writer::Counts;
use crate::store::OpenError;
use camino::Utf8Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

const EVERY: Duration = Duration::from_millis(250);

pub(super) struct Checkpoints {
    thread: Mutex<Option<(mpsc::Sender<()>, JoinHandle<()>)>>,
}

impl Checkpoints {
    pub(super) fn start(path: &Utf8Path, counts: Arc<Counts>) -> Result<Self, OpenError> {
        let failed = |message: String| OpenError::Database { path: path.to_string(), message };
        let connection = schema::open_checkpointer(path)?;
        let (stop, stopped) = mpsc::channel::<()>();
        let run = move || {
            let mut seen = 0;
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(EVERY) {
                let now = counts.commits.load(Ordering::Relaxed);
                if now == seen {
                    continue;
                }
                seen = now;
                // A reader in the way only delays it.
                if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
                    tracing::warn!(%error, "A checkpoint failed");
                }
            }
            // Nobody writes any more: the log is emptied.
            let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        };
        let thread = std::thread::Builder::new().name("store-checkpoint".to_owned()).spawn(run);
        let thread = thread.map_err(|error| failed(error.to_string()))?;
        Ok(Self { thread: Mutex::new(Some((stop, thread))) })
    }

    /// Ends the thread after a last checkpoint. Blocks.
    pub(super) fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, thread)) = thread {
            drop(stop);
            let _ = thread.join();
        }
    }
}
