//! Secrets that owners' components use, sealed by the host.

use super::rows;
use super::writer::Work;
use crate::store::SealedOwnerSecret;
use ripost_domain::api::Name;
use ripost_domain::time::Timestamp;
use rusqlite::{Connection, params};

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<SealedOwnerSecret>> {
    connection
        .prepare_cached("SELECT owner, name, sealed, updated_at FROM owner_secrets ORDER BY owner, name")?
        .query_map([], |row| {
            Ok(SealedOwnerSecret {
                owner: rows::name(row, "owner")?,
                name: row.get("name")?,
                sealed: rows::bytes(row, "sealed")?,
                updated_at: rows::timestamp(row, "updated_at")?,
            })
        })?
        .collect()
}

pub(super) fn set(
    work: &mut Work<'_>,
    owner: &Name,
    name: &str,
    sealed: &[u8],
    now: Timestamp,
) -> rusqlite::Result<()> {
    work.connection
        .prepare_cached(
            "INSERT INTO owner_secrets (owner, name, sealed, updated_at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (owner, name) DO UPDATE SET sealed = ?3, updated_at = ?4",
        )?
        .execute(params![owner.as_str(), name, sealed, now.as_millis()])?;
    Ok(())
}

/// Whether there was one.
pub(super) fn delete(work: &mut Work<'_>, owner: &Name, name: &str) -> rusqlite::Result<bool> {
    let deleted = work
        .connection
        .prepare_cached("DELETE FROM owner_secrets WHERE owner = ?1 AND name = ?2")?
        .execute(params![owner.as_str(), name])?;
    Ok(deleted == 1)
}
