//! Whether writes are refused, and why: noted where one fails, ended by a trial that succeeds.

use crate::store::{Cause, Refusal, StoreError};
use camino::Utf8Path;
use rusqlite::ErrorCode;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What a trial writes: as much as the largest body that is accepted by default.
const TRIAL_BYTES: usize = 1 << 20;
const TRIAL_FILE: &str = "trial";

/// What the writer and the files have met.
#[derive(Clone, Default)]
pub(super) struct Refusing(Arc<Inner>);

#[derive(Default)]
struct Inner {
    last: Mutex<Option<Refusal>>,
    counts: [AtomicU64; Cause::ALL.len()],
}

impl Refusing {
    pub(super) fn last(&self) -> Option<Refusal> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn counts(&self) -> [(Cause, u64); Cause::ALL.len()] {
        Cause::ALL.map(|cause| (cause, self.0.counts[cause as usize].load(Ordering::Relaxed)))
    }

    fn note(&self, cause: Cause, message: String) {
        self.0.counts[cause as usize].fetch_add(1, Ordering::Relaxed);
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Refusal { cause, message });
    }

    pub(super) fn note_sql(&self, error: &rusqlite::Error) {
        self.note(cause_of(error).unwrap_or(Cause::Other), error.to_string());
    }

    /// Notes it, and is what the caller is told.
    pub(super) fn note_io(&self, path: &Utf8Path, error: &io::Error) -> StoreError {
        let cause = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Cause::DiskFull,
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => Cause::ReadOnly,
            _ => Cause::Other,
        };
        let message = format!("{path}: {error}");
        self.note(cause, message.clone());
        StoreError::CommitFailed(message)
    }

    pub(super) fn end(&self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Why the surroundings refuse a statement; `None`: it is the statement that is refused.
pub(super) fn cause_of(error: &rusqlite::Error) -> Option<Cause> {
    Some(match error.sqlite_error_code()? {
        ErrorCode::DiskFull => Cause::DiskFull,
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => Cause::ReadOnly,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => Cause::Locked,
        ErrorCode::CannotOpen | ErrorCode::OutOfMemory | ErrorCode::SystemIoFailure => Cause::Other,
        _ => return None,
    })
}

/// Whether a file of some size can be written. Blocks.
pub(super) fn try_file(folder: &Utf8Path) -> io::Result<()> {
    let path = folder.join(TRIAL_FILE);
    let written = File::create(&path).and_then(|mut file| file.write_all(&vec![0; TRIAL_BYTES]));
    let removed = fs::remove_file(&path);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8PathBuf;

    #[test]
    fn a_refusal_says_the_cause_and_what_to_do_until_it_ends() {
        let refusing = Refusing::default();
        assert_eq!(refusing.last(), None);
        let told = refusing.note_io(Utf8Path::new("/d/x"), &io::Error::from_raw_os_error(28));
        assert!(matches!(told, StoreError::CommitFailed(message) if message.starts_with("/d/x: ")));
        let last = refusing.last().unwrap();
        assert_eq!(last.cause, Cause::DiskFull);
        assert!(last.to_string().contains("make room"), "{last}");
        let read_only = refusing.note_io(Utf8Path::new("/d/y"), &io::Error::from_raw_os_error(30));
        assert!(matches!(read_only, StoreError::CommitFailed(_)));
        assert_eq!(refusing.last().unwrap().cause, Cause::ReadOnly);
        assert_eq!(refusing.counts()[..2], [(Cause::DiskFull, 1), (Cause::ReadOnly, 1)]);
        refusing.end();
        assert_eq!(refusing.last(), None);
    }

    #[test]
    fn only_what_the_surroundings_refuse_is_a_refusal() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (a INTEGER NOT NULL) STRICT").unwrap();
        let own = connection.execute("INSERT INTO t VALUES (NULL)", []).unwrap_err();
        assert_eq!(cause_of(&own), None);
        connection.pragma_update(None, "max_page_count", 2).unwrap();
        let full = connection.execute("INSERT INTO t SELECT 1 FROM generate_series(1, 100000)", []);
        let full = full.or_else(|_| {
            connection
                .execute_batch("CREATE TABLE b (a BLOB) STRICT; INSERT INTO b VALUES (zeroblob(100000))")
                .map(|()| 0)
        });
        assert_eq!(cause_of(&full.unwrap_err()), Some(Cause::DiskFull));
        connection.pragma_update(None, "query_only", true).unwrap();
        let read_only = connection.execute("INSERT INTO t VALUES (1)", []).unwrap_err();
        assert_eq!(cause_of(&read_only), Some(Cause::ReadOnly));
    }

    #[test]
    fn a_trial_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        try_file(&path).unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        assert!(try_file(&path.join("absent")).is_err());
    }
}
