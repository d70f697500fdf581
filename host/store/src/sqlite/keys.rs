//! Consumers' keys.

use super::rows;
use super::writer::Work;
use crate::store::{AddKey, AddedKey, EndKey, EndedKey, IfLast, Key, KeySummary};
use ripost_domain::id::ConsumerId;
use ripost_domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

/// False if the consumer has a key of that name.
pub(super) fn insert(
    connection: &Connection,
    consumer: ConsumerId,
    key: &Key,
    at: Timestamp,
) -> rusqlite::Result<bool> {
    let added = connection
        .prepare_cached(
            "INSERT INTO keys (hash, consumer_id, public, name, hint, created_at, expires_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (consumer_id, name) DO NOTHING",
        )?
        .execute(params![
            &key.hash[..],
            consumer.as_bytes(),
            key.public,
            key.name,
            key.hint,
            at.as_millis(),
            key.expires_at.map(Timestamp::as_millis),
        ])?;
    Ok(added == 1)
}

pub(super) fn add(work: &mut Work<'_>, add: &AddKey) -> rusqlite::Result<AddedKey> {
    let connection = work.connection;
    let consumer = add.consumer.as_bytes();
    let mut known = connection.prepare_cached("SELECT 1 FROM consumers WHERE id = ?1 AND erased_at IS NULL")?;
    if !known.exists([consumer])? {
        return Ok(AddedKey::Unknown);
    }
    connection
        .prepare_cached("DELETE FROM keys WHERE consumer_id = ?1 AND expires_at <= ?2")?
        .execute(params![consumer, add.at.as_millis()])?;
    let count: u32 = connection
        .prepare_cached("SELECT count(*) FROM keys WHERE consumer_id = ?1")?
        .query_row([consumer], |row| row.get(0))?;
    if count >= add.keys_max {
        return Ok(AddedKey::TooMany);
    }
    Ok(if insert(connection, add.consumer, &add.key, add.at)? { AddedKey::Yes } else { AddedKey::NameTaken })
}

/// Oldest first.
pub(super) fn all(connection: &Connection, consumer: ConsumerId) -> rusqlite::Result<Vec<KeySummary>> {
    connection
        .prepare_cached(
            "SELECT name, hint, public, created_at, expires_at FROM keys WHERE consumer_id = ?1 ORDER BY created_at, name",
        )?
        .query_map([consumer.as_bytes()], summary)?
        .collect()
}

fn summary(row: &Row<'_>) -> rusqlite::Result<KeySummary> {
    Ok(KeySummary {
        name: row.get("name")?,
        hint: row.get("hint")?,
        public: row.get("public")?,
        created_at: rows::timestamp(row, "created_at")?,
        expires_at: rows::some_timestamp(row, "expires_at")?,
    })
}

pub(super) fn end(work: &mut Work<'_>, end: &EndKey) -> rusqlite::Result<EndedKey> {
    let connection = work.connection;
    let consumer = end.consumer.as_bytes();
    let found = connection
        .prepare_cached("SELECT public, expires_at FROM keys WHERE consumer_id = ?1 AND name = ?2")?
        .query_row(params![consumer, end.name], |row| {
            Ok((row.get::<_, bool>("public")?, rows::some_timestamp(row, "expires_at")?))
        })
        .optional()?;
    let Some((public, expires_at)) = found else { return Ok(EndedKey::Unknown) };
    // An end that is set already is never put off.
    let ends_at = expires_at.map_or(end.ends_at, |at| at.min(end.ends_at)).max(end.now);
    let others = "SELECT 1 FROM keys WHERE consumer_id = ?1 AND name <> ?2 AND public <= ?3 \
        AND (expires_at IS NULL OR expires_at > ?4)";
    let has_another =
        || connection.prepare_cached(others)?.exists(params![consumer, end.name, public, ends_at.as_millis()]);
    // One that has expired is nobody's last: it opens nothing.
    let opens = expires_at.is_none_or(|at| at > end.now);
    if end.if_last == IfLast::Refuse && opens && !has_another()? {
        return Ok(EndedKey::IsLast);
    }
    if ends_at > end.now {
        connection
            .prepare_cached("UPDATE keys SET expires_at = ?3 WHERE consumer_id = ?1 AND name = ?2")?
            .execute(params![consumer, end.name, ends_at.as_millis()])?;
    } else {
        connection
            .prepare_cached("DELETE FROM keys WHERE consumer_id = ?1 AND name = ?2")?
            .execute(params![consumer, end.name])?;
    }
    Ok(EndedKey::At(ends_at))
}
