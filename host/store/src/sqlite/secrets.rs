//! What consumers' webhooks are signed with, sealed by the host.

use super::rows;
use super::writer::Work;
use crate::store::{RotateSecret, Rotated, SealedSecrets};
use ripost_domain::id::ConsumerId;
use ripost_domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

pub(super) fn of(connection: &Connection, id: ConsumerId, now: Timestamp) -> rusqlite::Result<Option<SealedSecrets>> {
    let found = connection
        .prepare_cached("SELECT sealed_secret, secret_created_at, v1a FROM consumers WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| {
            Ok(SealedSecrets {
                current: rows::bytes(row, "sealed_secret")?,
                created_at: rows::timestamp(row, "secret_created_at")?,
                old: Vec::new(),
                v1a: row.get("v1a")?,
            })
        })
        .optional()?;
    let Some(mut secrets) = found else { return Ok(None) };
    secrets.old = connection
        .prepare_cached(
            "SELECT sealed, expires_at FROM old_secrets WHERE consumer_id = ?1 AND expires_at > ?2 ORDER BY created_at DESC, expires_at DESC",
        )?
        .query_map(params![id.as_bytes(), now.as_millis()], |row| {
            Ok((rows::bytes(row, "sealed")?, rows::timestamp(row, "expires_at")?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(secrets))
}

pub(super) fn rotate(work: &mut Work<'_>, rotate: &RotateSecret) -> rusqlite::Result<Rotated> {
    let connection = work.connection;
    let Some(current) = of(connection, rotate.consumer, rotate.at)? else { return Ok(Rotated::Unknown) };
    let keeps = rotate.overlap_until > rotate.at;
    if keeps && current.old.len() >= rotate.old_max as usize {
        return Ok(Rotated::TooMany);
    }
    let id = rotate.consumer;
    // What signs no more is not kept.
    connection
        .prepare_cached("DELETE FROM old_secrets WHERE consumer_id = ?1 AND expires_at <= ?2")?
        .execute(params![id.as_bytes(), rotate.at.as_millis()])?;
    if keeps {
        connection
            .prepare_cached(
                "INSERT INTO old_secrets (consumer_id, created_at, expires_at, sealed) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                id.as_bytes(),
                current.created_at.as_millis(),
                rotate.overlap_until.as_millis(),
                &current.current[..]
            ])?;
    }
    // Old secrets are told apart by when they were made: two rotations within a millisecond, or on a clock that was set
    // back, must not take each other's place.
    let created_at = rotate.at.as_millis().max(current.created_at.as_millis() + 1);
    connection
        .prepare_cached("UPDATE consumers SET sealed_secret = ?2, secret_created_at = ?3 WHERE id = ?1")?
        .execute(params![id.as_bytes(), &rotate.sealed[..], created_at])?;
    Ok(Rotated::Yes)
}

pub(super) fn set_v1a(work: &mut Work<'_>, consumer: ConsumerId, v1a: bool) -> rusqlite::Result<bool> {
    let changed = work
        .connection
        .prepare_cached("UPDATE consumers SET v1a = ?2 WHERE id = ?1")?
        .execute(params![consumer.as_bytes(), v1a])?;
    Ok(changed == 1)
}
