//! Unfinished requests by their revision. No index serves them: one would cost every accept and every end, and whoever
//! asks is an operator or a quarantine.

use super::requests::{CLAIMED_COLUMNS, pinned};
use super::rows;
use super::writer::Work;
use crate::store::{PinnedRun, Repin};
use ripost_domain::api::{ApiName, Digest};
use ripost_domain::id::RequestId;
use rusqlite::{Connection, params};

/// Rows of one step of a re-pinning: some ten milliseconds of the writer's time.
pub(super) const STEP: usize = 1000;

/// The unfinished requests of an API, through its owner's part of the queue.
pub(super) const OF_API: &str = "SELECT id FROM requests INDEXED BY requests_unfinished \
    WHERE state IN ('accepted', 'running', 'awaiting_callback') AND owner = ?1 AND slug = ?2 AND digest = ?3";

pub(super) fn of_api(connection: &Connection, api: &ApiName, digest: Digest) -> rusqlite::Result<Vec<RequestId>> {
    connection
        .prepare_cached(OF_API)?
        .query_map(params![api.owner.as_str(), api.slug.as_str(), digest.as_bytes()], |row| {
            rows::id(row, "id").map(RequestId::from_bytes)
        })?
        .collect()
}

/// One step; those that have ended meanwhile, and those with a committed step, are left as they are.
pub(super) fn repin(work: &mut Work<'_>, repin: &Repin, ids: &[RequestId]) -> rusqlite::Result<u64> {
    let mut update = work.connection.prepare_cached(
        "UPDATE requests SET digest = ?3 WHERE id = ?1 AND digest = ?2 AND state IN ('accepted', 'running', 'awaiting_callback') \
         AND NOT EXISTS (SELECT 1 FROM steps WHERE steps.request_id = requests.id)",
    )?;
    let mut moved = 0;
    for id in ids {
        moved += update.execute(params![id.as_bytes(), repin.from.as_bytes(), repin.to.as_bytes()])? as u64;
    }
    Ok(moved)
}

pub(super) fn page(
    connection: &Connection,
    digest: Digest,
    after: Option<RequestId>,
    limit: u32,
) -> rusqlite::Result<Vec<PinnedRun>> {
    connection
        .prepare_cached(&format!(
            "SELECT {CLAIMED_COLUMNS}, requests.state FROM requests INDEXED BY requests_unfinished \
             JOIN inputs ON inputs.request_id = requests.id \
             WHERE state IN ('accepted', 'running', 'awaiting_callback') AND digest = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
        ))?
        .query_map(
            params![digest.as_bytes(), after.as_ref().map_or(&[][..], |after| after.as_bytes()), limit],
            pinned,
        )?
        .collect()
}
