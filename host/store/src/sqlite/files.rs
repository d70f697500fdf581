//! Bodies that are too large for a row: one file each, synced with its folder before the row that names it.

use super::refusing::Refusing;
use crate::store::{Finish, StoreError, StoredBody};
use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use ripost_domain::id::{ALPHABET, RequestId};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Which of a request's bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Result,
    Webhook,
    /// What should have become the webhook: a name of its own, so that neither is ever read as the other.
    Unmade,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Result, Self::Webhook, Self::Unmade];

    const fn suffix(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::Webhook => "completed",
            Self::Unmade => "unmade",
        }
    }
}

const RESULTS: &str = "results";
/// Folders of files: the last two letters of an id, which are random.
pub(super) const SHARDS: u32 = 1024;

fn path(folder: &Utf8Path, id: RequestId, kind: Kind) -> Utf8PathBuf {
    let name = id.to_string();
    let shard = &name[name.len() - 2..];
    folder.join(RESULTS).join(shard).join(format!("{name}.{}", kind.suffix()))
}

/// The bytes of all files, counted along.
#[derive(Clone, Default)]
pub(super) struct FilesBytes(Arc<AtomicI64>);

impl FilesBytes {
    /// Counts what is there, on a thread of its own: there may be many.
    pub(super) fn count(folder: &Utf8Path) -> Self {
        let this = Self::default();
        let (counted, folder) = (this.clone(), folder.to_owned());
        let count = move || {
            for shard in 0..SHARDS {
                for file in list(&folder, shard) {
                    counted.more(file.path.metadata().map_or(0, |metadata| metadata.len()));
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("store-count".to_owned()).spawn(count) {
            tracing::warn!(%error, "The files of large results could not be counted; their size is not known");
        }
        this
    }

    pub(super) fn more(&self, bytes: u64) {
        self.0.fetch_add(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    pub(super) fn less(&self, bytes: u64) {
        self.0.fetch_sub(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        u64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(0)
    }
}

/// A file, and of what it is; `None`: a draft, or nothing of ours.
pub(super) struct Listed {
    pub(super) path: Utf8PathBuf,
    pub(super) owner: Option<(RequestId, Kind)>,
}

/// The files of one of the folders. Blocks.
pub(super) fn list(folder: &Utf8Path, shard: u32) -> Vec<Listed> {
    let letter = |index: u32| char::from(ALPHABET[(index % 32) as usize]);
    let name: String = [letter(shard / 32), letter(shard)].iter().collect();
    let Ok(entries) = folder.join(RESULTS).join(name).read_dir_utf8() else { return Vec::new() };
    let files = entries.filter_map(|entry| {
        let path = entry.ok()?.into_path();
        let kind = path.extension().and_then(|suffix| Kind::ALL.into_iter().find(|kind| kind.suffix() == suffix));
        let owner = path.file_stem().and_then(|stem| stem.parse().ok()).zip(kind);
        Some(Listed { path, owner })
    });
    files.collect()
}

pub(super) fn failed(path: &Utf8Path, error: &io::Error) -> StoreError {
    StoreError::File { path: path.to_string(), message: error.to_string() }
}

/// Writes what of a finish does not fit into rows. Blocks.
pub(super) fn write_large(
    folder: &Utf8Path,
    finish: &Finish,
    inline_max: usize,
    kept: &FilesBytes,
    refusing: &Refusing,
) -> Result<(), StoreError> {
    use crate::store::Ending;
    let answer = match &finish.ending {
        Ending::Completed { answer, .. } => Some(answer),
        Ending::Failed { answer, .. } => answer.as_ref(),
        Ending::Cancelled { .. } | Ending::Expired { .. } => None,
    };
    let result = answer.map(|answer| (&answer.body, Kind::Result));
    let webhook = finish.delivery.as_ref().map(|delivery| {
        let kind = if delivery.unmade.is_some() { Kind::Unmade } else { Kind::Webhook };
        (&delivery.payload, kind)
    });
    for (body, kind) in result.into_iter().chain(webhook).filter(|(body, _)| body.len() > inline_max) {
        write_one(folder, finish.id, kind, body, kept, refusing)?;
    }
    Ok(())
}

/// Writes one body, and counts it in the place of one that was there. Blocks.
pub(super) fn write_one(
    folder: &Utf8Path,
    id: RequestId,
    kind: Kind,
    body: &[u8],
    kept: &FilesBytes,
    refusing: &Refusing,
) -> Result<(), StoreError> {
    let path = path(folder, id, kind);
    let before = path.metadata().map_or(0, |metadata| metadata.len());
    write(&path, body).map_err(|error| refusing.note_io(&path, &error))?;
    kept.more(body.len() as u64);
    kept.less(before);
    Ok(())
}

/// Removes one that no row names any more; how many bytes it had. One that stays is found by the next sweep. Blocks.
pub(super) fn remove(folder: &Utf8Path, id: RequestId, kind: Kind) -> u64 {
    remove_path(&path(folder, id, kind))
}

/// The same by its path.
pub(super) fn remove_path(path: &Utf8Path) -> u64 {
    let bytes = path.metadata().map_or(0, |metadata| metadata.len());
    fs::remove_file(path).map_or(0, |()| bytes)
}

fn write(path: &Utf8Path, body: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    if !folder.exists() {
        fs::create_dir_all(folder)?;
        folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())?;
    }
    let draft = path.with_extension("new");
    let drafted = File::create(&draft).and_then(|mut file| {
        file.write_all(body)?;
        file.sync_all()
    });
    if let Err(error) = drafted {
        // What there was room for is room that others need.
        let _ = fs::remove_file(&draft);
        return Err(error);
    }
    fs::rename(&draft, path)?;
    File::open(folder)?.sync_all()
}

/// Reads a body back. Blocks.
pub(super) fn read(folder: &Utf8Path, id: RequestId, kind: Kind) -> Result<Bytes, StoreError> {
    let path = path(folder, id, kind);
    fs::read(&path).map(Bytes::from).map_err(|error| failed(&path, &error))
}

/// Opens a body that is to be read piece by piece. Blocks.
pub(super) fn open(folder: &Utf8Path, id: RequestId, kind: Kind) -> Result<StoredBody, StoreError> {
    let path = path(folder, id, kind);
    let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (bytes, file) = opened.map_err(|error| failed(&path, &error))?;
    Ok(StoredBody::File { file, bytes })
}
