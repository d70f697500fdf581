//! Bodies that are too large for a row: one file each, synced with its folder before the row that names it.

use crate::store::{Finish, StoreError};
use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use ripost_domain::id::RequestId;
use std::fs::{self, File};
use std::io::{self, Write as _};

/// Which of a request's bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Result,
    Webhook,
    /// What should have become the webhook: a name of its own, so that neither is ever read as the other.
    Unmade,
}

fn path(folder: &Utf8Path, id: RequestId, kind: Kind) -> Utf8PathBuf {
    let name = id.to_string();
    // The end of an id is random: 1024 folders of equal size.
    let shard = &name[name.len() - 2..];
    let suffix = match kind {
        Kind::Result => "result",
        Kind::Webhook => "completed",
        Kind::Unmade => "unmade",
    };
    folder.join("results").join(shard).join(format!("{name}.{suffix}"))
}

fn failed(path: &Utf8Path, error: &io::Error) -> StoreError {
    StoreError::File { path: path.to_string(), message: error.to_string() }
}

/// Writes what of a finish does not fit into rows; returns whether there was anything. Blocks.
pub(super) fn write_large(folder: &Utf8Path, finish: &Finish, inline_max: usize) -> Result<bool, StoreError> {
    use crate::store::Ending;
    let answer = match &finish.ending {
        Ending::Completed { answer } => Some(answer),
        Ending::Failed { answer, .. } => answer.as_ref(),
        Ending::Cancelled { .. } | Ending::Expired { .. } => None,
    };
    let result = answer.map(|answer| (&answer.body, Kind::Result));
    let webhook = finish.delivery.as_ref().map(|delivery| {
        let kind = if delivery.unmade.is_some() { Kind::Unmade } else { Kind::Webhook };
        (&delivery.payload, kind)
    });
    let mut written = false;
    for (body, kind) in result.into_iter().chain(webhook).filter(|(body, _)| body.len() > inline_max) {
        write_one(folder, finish.id, kind, body)?;
        written = true;
    }
    Ok(written)
}

/// Writes one body. Blocks.
pub(super) fn write_one(folder: &Utf8Path, id: RequestId, kind: Kind, body: &[u8]) -> Result<(), StoreError> {
    let path = path(folder, id, kind);
    write(&path, body).map_err(|error| failed(&path, &error))
}

/// Removes one that no row names any more; one that stays does no harm. Blocks.
pub(super) fn remove(folder: &Utf8Path, id: RequestId, kind: Kind) {
    let _ = fs::remove_file(path(folder, id, kind));
}

fn write(path: &Utf8Path, body: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    if !folder.exists() {
        fs::create_dir_all(folder)?;
        folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())?;
    }
    let draft = path.with_extension("new");
    let mut file = File::create(&draft)?;
    file.write_all(body)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(folder)?.sync_all()
}

/// Reads a body back. Blocks.
pub(super) fn read(folder: &Utf8Path, id: RequestId, kind: Kind) -> Result<Bytes, StoreError> {
    let path = path(folder, id, kind);
    fs::read(&path).map(Bytes::from).map_err(|error| failed(&path, &error))
}
