//! Marks, and what is sealed with the master key.

use super::owner_secrets;
use super::reads;
use super::rows;
use super::writer::Work;
use crate::store::{Mark, Resealed, Sealed, SealedSample};
use bytes::Bytes;
use ripost_domain::id::ConsumerId;
use rusqlite::{Connection, OptionalExtension as _, params};

pub(super) fn mark(connection: &Connection, mark: Mark) -> rusqlite::Result<Option<Bytes>> {
    connection
        .prepare_cached("SELECT value FROM marks WHERE name = ?1")?
        .query_row([mark.as_str()], |row| rows::bytes(row, "value"))
        .optional()
}

pub(super) fn set_mark(connection: &Connection, mark: Mark, value: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO marks (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2")?
        .execute(params![mark.as_str(), value])?;
    Ok(())
}

/// `None`: nothing is sealed.
pub(super) fn sample(connection: &Connection) -> rusqlite::Result<Option<SealedSample>> {
    let webhook = connection
        .prepare_cached("SELECT id, sealed_secret FROM consumers LIMIT 1")?
        .query_row([], |row| {
            let consumer = ConsumerId::from_bytes(rows::id(row, "id")?);
            Ok(SealedSample::Webhook { consumer, sealed: rows::bytes(row, "sealed_secret")? })
        })
        .optional()?;
    match webhook {
        Some(sample) => Ok(Some(sample)),
        None => Ok(owner_secrets::all(connection)?.into_iter().next().map(SealedSample::Owner)),
    }
}

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Sealed> {
    let consumers = connection
        .prepare_cached("SELECT id, name FROM consumers ORDER BY name")?
        .query_map([], |row| Ok((ConsumerId::from_bytes(rows::id(row, "id")?), row.get("name")?)))?
        .collect::<rusqlite::Result<_>>()?;
    let owner_secrets = owner_secrets::all(connection)?.into_iter().map(|secret| (secret.owner, secret.name));
    Ok(Sealed {
        consumers,
        owner_secrets: owner_secrets.collect(),
        requests_awaiting: reads::count(connection, reads::COUNT_AWAITING)?,
    })
}

pub(super) fn reseal(work: &mut Work<'_>, resealed: &Resealed) -> rusqlite::Result<()> {
    let connection = work.connection;
    set_mark(connection, Mark::MasterKey, &resealed.check)?;
    let mut update =
        connection.prepare_cached("UPDATE consumers SET sealed_secret = ?2, secret_created_at = ?3 WHERE id = ?1")?;
    for (consumer, sealed) in &resealed.webhook_secrets {
        update.execute(params![consumer.as_bytes(), &sealed[..], resealed.at.as_millis()])?;
    }
    connection.execute_batch("DELETE FROM old_secrets; DELETE FROM owner_secrets")
}
