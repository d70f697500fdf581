//! The files beside the database without which the next start would be refused: a running gateway misses them, before
//! anybody restarts it.

use crate::keyring::Keyring;
use crate::keyring::master_key::{Fit, Place};
use crate::plugins::{Plugins, RECORD_FILE};
use camino::Utf8PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The master key, or another one is in its place.
    MasterKey,
    /// The folder of revisions, or its record.
    Revisions,
}

/// Looks at them now and then.
pub struct Beside {
    place: Place,
    check: [u8; 32],
    revisions: Utf8PathBuf,
    lost: Mutex<Vec<(Lost, String)>>,
}

impl Beside {
    /// All are there until somebody has looked.
    #[must_use]
    pub fn new(data: &camino::Utf8Path, keyring: &Keyring, revisions: Utf8PathBuf) -> Self {
        Self { place: Place::of(data), check: keyring.check(), revisions, lost: Mutex::default() }
    }

    /// What is lost, and what to do about each.
    #[must_use]
    pub fn lost(&self) -> Vec<(Lost, String)> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Until the host stops.
    pub async fn watch(self: Arc<Self>, stopping: CancellationToken) {
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let this = self.clone();
            let Ok(lost) = tokio::task::spawn_blocking(move || this.look()).await else { continue };
            let before =
                std::mem::replace(&mut *self.lost.lock().unwrap_or_else(PoisonError::into_inner), lost.clone());
            for (what, detail) in lost {
                if before.iter().all(|(before, _)| *before != what) {
                    tracing::error!(
                        detail,
                        "A file of the data folder is lost; the gateway goes on with what it has read"
                    );
                }
            }
        }
    }

    fn look(&self) -> Vec<(Lost, String)> {
        let fit = match self.place.read() {
            Ok(key) => Fit::of(key.as_ref(), Some(&self.check), None),
            // What is there is no key, or not to be read.
            Err(_) => Fit::Other,
        };
        let mut lost = Vec::new();
        if fit != Fit::Fits {
            let detail =
                format!("{}; put it back before the next start, which is refused without it", fit.says(&self.place));
            lost.push((Lost::MasterKey, detail));
        }
        if !Plugins::has_record(&self.revisions) {
            let detail = format!(
                "{} has no {RECORD_FILE} any more; restore the folder before the next start, which is refused without it",
                self.revisions
            );
            lost.push((Lost::Revisions, detail));
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8Path;

    #[test]
    fn what_is_missed_is_named_and_is_not_missed_once_it_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let data = Utf8Path::from_path(folder.path()).unwrap();
        let keyring = Place::of(data).read_or_create().unwrap();
        let revisions = data.join("revisions");
        std::fs::create_dir(&revisions).unwrap();
        let beside = Beside::new(data, &keyring, revisions.clone());
        let lost = || beside.look().into_iter().map(|(what, _)| what).collect::<Vec<_>>();
        assert_eq!(lost(), [Lost::Revisions]);
        std::fs::write(revisions.join(RECORD_FILE), "{}").unwrap();
        assert_eq!(lost(), []);
        let (key, aside) = (data.join("master.key"), data.join("aside"));
        std::fs::rename(&key, &aside).unwrap();
        assert_eq!(lost(), [Lost::MasterKey]);
        for other in ["", "bm8="] {
            std::fs::write(&key, other).unwrap();
            assert_eq!(lost(), [Lost::MasterKey], "{other:?}");
        }
        std::fs::rename(&aside, &key).unwrap();
        assert_eq!(lost(), []);
    }
}
