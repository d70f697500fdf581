//! What owners' components keep. Sums and the counter of revisions stand in a row of the owner's, so that the cost of
//! a write is that of its key, however much is kept.

use super::rows;
use super::writer::Work;
use crate::store::{Expect, KV_LIST_MAX, KvEntry, KvPage, KvUsage, KvWrite, KvWritten};
use ripost_domain::api::Name;
use ripost_domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

/// Expired keys that a write takes away in passing.
const SWEPT_BY_WRITE: u32 = 4;
/// Expired keys that a write takes away at most when it needs their room; the next write goes on.
const SWEPT_FOR_ROOM: u32 = 1024;

pub(super) const GET: &str =
    "SELECT value, revision FROM kv WHERE owner = ?1 AND key = ?2 AND (expires_at IS NULL OR expires_at > ?3)";
pub(super) const LIST_FROM: &str = "SELECT key, expires_at FROM kv WHERE owner = ?1 AND key >= ?2 ORDER BY key";
pub(super) const LIST_AFTER: &str = "SELECT key, expires_at FROM kv WHERE owner = ?1 AND key > ?2 ORDER BY key";
pub(super) const EXPIRED: &str = "SELECT key, length(CAST(key AS BLOB)) + length(value) FROM kv INDEXED BY kv_expiring \
    WHERE owner = ?1 AND expires_at IS NOT NULL AND expires_at <= ?2 ORDER BY expires_at LIMIT ?3";
pub(super) const NEXT_EXPIRING_OWNER: &str =
    "SELECT owner FROM kv INDEXED BY kv_expiring WHERE expires_at IS NOT NULL AND owner > ?1 ORDER BY owner LIMIT 1";
pub(super) const FIND: &str =
    "SELECT length(value), revision, expires_at IS NOT NULL AND expires_at <= ?3 FROM kv WHERE owner = ?1 AND key = ?2";

/// An owner's row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Kept {
    revision: i64,
    bytes: i64,
    keys: i64,
}

/// What stands under a key, expired or not.
struct Found {
    bytes: i64,
    revision: i64,
    expired: bool,
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn size(key: &str, value_bytes: i64) -> i64 {
    signed(key.len() as u64).saturating_add(value_bytes)
}

impl Kept {
    fn of(connection: &Connection, owner: &Name) -> rusqlite::Result<Self> {
        let kept = connection
            .prepare_cached("SELECT revision, bytes, keys FROM kv_owners WHERE owner = ?1")?
            .query_row([owner.as_str()], |row| {
                Ok(Self { revision: row.get(0)?, bytes: row.get(1)?, keys: row.get(2)? })
            })
            .optional()?;
        Ok(kept.unwrap_or_default())
    }

    fn write(self, connection: &Connection, owner: &Name) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO kv_owners (owner, revision, bytes, keys) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (owner) DO UPDATE SET revision = ?2, bytes = ?3, keys = ?4",
            )?
            .execute(params![owner.as_str(), self.revision, self.bytes, self.keys])?;
        Ok(())
    }

    fn remove(&mut self, connection: &Connection, owner: &Name, key: &str, bytes: i64) -> rusqlite::Result<()> {
        connection
            .prepare_cached("DELETE FROM kv WHERE owner = ?1 AND key = ?2")?
            .execute(params![owner.as_str(), key])?;
        self.bytes -= bytes;
        self.keys -= 1;
        Ok(())
    }

    /// Takes away up to `limit` keys that have expired, longest expired first; how many it found.
    fn sweep(&mut self, connection: &Connection, owner: &Name, now: Timestamp, limit: u32) -> rusqlite::Result<u32> {
        let expired: Vec<(String, i64)> = connection
            .prepare_cached(EXPIRED)?
            .query_map(params![owner.as_str(), now.as_millis(), limit], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (key, bytes) in &expired {
            self.remove(connection, owner, key, *bytes)?;
        }
        Ok(u32::try_from(expired.len()).unwrap_or(u32::MAX))
    }
}

fn find(connection: &Connection, owner: &Name, key: &str, now: Timestamp) -> rusqlite::Result<Option<Found>> {
    connection
        .prepare_cached(FIND)?
        .query_row(params![owner.as_str(), key, now.as_millis()], |row| {
            Ok(Found { bytes: row.get(0)?, revision: row.get(1)?, expired: row.get(2)? })
        })
        .optional()
}

pub(super) fn get(
    connection: &Connection,
    owner: &Name,
    key: &str,
    now: Timestamp,
) -> rusqlite::Result<Option<KvEntry>> {
    connection
        .prepare_cached(GET)?
        .query_row(params![owner.as_str(), key, now.as_millis()], |row| {
            Ok(KvEntry { value: rows::bytes(row, "value")?, revision: unsigned(row.get("revision")?) })
        })
        .optional()
}

/// Expectation and quota are conditions of the write: nobody comes in between.
pub(super) fn set(work: &mut Work<'_>, write: &KvWrite) -> rusqlite::Result<KvWritten> {
    let (connection, owner, key) = (work.connection, &write.owner, write.key.as_str());
    let found = find(connection, owner, key, write.now)?;
    let live = found.as_ref().filter(|found| !found.expired).map(|found| unsigned(found.revision));
    let expected = match write.expect {
        Expect::Any => true,
        Expect::Absent => live.is_none(),
        Expect::Revision(revision) => live == Some(revision),
    };
    if !expected {
        return Ok(KvWritten::Unexpected);
    }
    let before = Kept::of(connection, owner)?;
    let mut kept = before;
    let (old_bytes, old_keys) = match found {
        Some(found) if found.expired => {
            kept.remove(connection, owner, key, size(key, found.bytes))?;
            (0, 0)
        }
        Some(found) => (size(key, found.bytes), 1),
        None => (0, 0),
    };
    let more_bytes = size(key, signed(write.value.len() as u64)) - old_bytes;
    let more_keys = 1 - old_keys;
    let over = |kept: &Kept| {
        (more_bytes > 0 && unsigned(kept.bytes + more_bytes) > write.quota.bytes)
            || (more_keys > 0 && unsigned(kept.keys + more_keys) > write.quota.keys)
    };
    let mut swept = kept.sweep(connection, owner, write.now, SWEPT_BY_WRITE)?;
    // What has expired takes nobody's room.
    while over(&kept) && (1..SWEPT_FOR_ROOM).contains(&swept) {
        match kept.sweep(connection, owner, write.now, SWEPT_BY_WRITE)? {
            0 => break,
            more => swept += more,
        }
    }
    if over(&kept) {
        if kept != before {
            kept.write(connection, owner)?;
        }
        return Ok(KvWritten::QuotaExceeded { used_bytes: unsigned(kept.bytes), used_keys: unsigned(kept.keys) });
    }
    kept.revision += 1;
    kept.bytes += more_bytes;
    kept.keys += more_keys;
    connection
        .prepare_cached(
            "INSERT INTO kv (owner, key, value, revision, expires_at) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (owner, key) DO UPDATE SET value = ?3, revision = ?4, expires_at = ?5",
        )?
        .execute(params![
            owner.as_str(),
            key,
            &write.value[..],
            kept.revision,
            write.expires_at.map(Timestamp::as_millis)
        ])?;
    kept.write(connection, owner)?;
    Ok(KvWritten::Written(unsigned(kept.revision)))
}

/// Whether there was one.
pub(super) fn delete(work: &mut Work<'_>, owner: &Name, key: &str, now: Timestamp) -> rusqlite::Result<bool> {
    let connection = work.connection;
    let Some(found) = find(connection, owner, key, now)? else { return Ok(false) };
    let mut kept = Kept::of(connection, owner)?;
    kept.remove(connection, owner, key, size(key, found.bytes))?;
    kept.write(connection, owner)?;
    Ok(!found.expired)
}

pub(super) fn list(connection: &Connection, page: &KvPage) -> rusqlite::Result<Vec<String>> {
    let after = page.after.as_deref().filter(|after| *after >= page.prefix.as_str());
    let (sql, start) = after.map_or((LIST_FROM, page.prefix.as_str()), |after| (LIST_AFTER, after));
    let mut query = connection.prepare_cached(sql)?;
    let mut rows = query.query(params![page.owner.as_str(), start])?;
    let limit = page.limit.min(KV_LIST_MAX) as usize;
    let mut keys = Vec::new();
    while keys.len() < limit
        && let Some(row) = rows.next()?
    {
        let key: String = row.get("key")?;
        if !key.starts_with(&page.prefix) {
            break;
        }
        let expires_at: Option<i64> = row.get("expires_at")?;
        if expires_at.is_none_or(|at| at > page.now.as_millis()) {
            keys.push(key);
        }
    }
    Ok(keys)
}

pub(super) fn usage(connection: &Connection, owner: &Name) -> rusqlite::Result<KvUsage> {
    let kept = Kept::of(connection, owner)?;
    Ok(KvUsage { bytes: unsigned(kept.bytes), keys: unsigned(kept.keys) })
}

/// Whether anything has expired, of whomever.
pub(super) fn has_expired(connection: &Connection, now: Timestamp) -> rusqlite::Result<bool> {
    let mut owner = None;
    while let Some(next) = next_expiring_owner(connection, owner.as_ref())? {
        let mut expired = connection.prepare_cached(EXPIRED)?;
        if expired.exists(params![next.as_str(), now.as_millis(), 1])? {
            return Ok(true);
        }
        owner = Some(next);
    }
    Ok(false)
}

fn next_expiring_owner(connection: &Connection, after: Option<&Name>) -> rusqlite::Result<Option<Name>> {
    connection
        .prepare_cached(NEXT_EXPIRING_OWNER)?
        .query_row([after.map_or("", Name::as_str)], |row| rows::name(row, "owner"))
        .optional()
}

/// Takes away what has expired, of all owners together up to `limit` keys; how many it found.
pub(super) fn sweep(work: &mut Work<'_>, now: Timestamp, limit: u32) -> rusqlite::Result<u32> {
    let connection = work.connection;
    let (mut owner, mut left) = (None, limit);
    while left > 0
        && let Some(next) = next_expiring_owner(connection, owner.as_ref())?
    {
        let mut kept = Kept::of(connection, &next)?;
        let swept = kept.sweep(connection, &next, now, left)?;
        if swept > 0 {
            kept.write(connection, &next)?;
        }
        left -= swept;
        owner = Some(next);
    }
    Ok(limit - left)
}
