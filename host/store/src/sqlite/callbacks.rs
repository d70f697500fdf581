//! Requests whose upstream answers later.

use super::runs;
use super::writer::Work;
use crate::store::{AwaitCallback, Callback, WriteError};
use ripost_domain::id::RequestId;
use rusqlite::{Connection, OptionalExtension as _, params};

pub(super) fn wait_for(work: &mut Work<'_>, wait: &AwaitCallback) -> rusqlite::Result<Result<(), WriteError>> {
    let moved = work
        .connection
        .prepare_cached(
            "UPDATE requests SET state = 'awaiting_callback', attempt = attempt + 1 WHERE id = ?1 AND epoch = ?2 AND state = 'running'",
        )?
        .execute(params![wait.id.as_bytes(), wait.epoch])?;
    if moved != 1 {
        return Ok(Err(WriteError::Fenced));
    }
    runs::insert_receipt(work.connection, wait.id, &wait.run)?;
    Ok(Ok(()))
}

pub(super) fn insert(connection: &Connection, id: RequestId, callback: &Callback) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO callbacks (request_id, epoch, digest) VALUES (?1, ?2, ?3)")?
        .execute(params![id.as_bytes(), callback.epoch, &callback.digest[..]])?;
    Ok(())
}

pub(super) fn find(connection: &Connection, id: RequestId) -> rusqlite::Result<Option<Callback>> {
    connection
        .prepare_cached("SELECT epoch, digest FROM callbacks WHERE request_id = ?1")?
        .query_row([id.as_bytes()], |row| Ok(Callback { epoch: row.get("epoch")?, digest: row.get("digest")? }))
        .optional()
}
