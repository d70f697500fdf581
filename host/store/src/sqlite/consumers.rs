//! Consumers and their keys.

use super::keys;
use super::ledger::{self, Subject};
use super::rows;
use super::writer::Work;
use crate::store::{Balances, Consumer, ConsumerSummary, NewConsumer};
use ripost_domain::id::ConsumerId;
use ripost_domain::ledger::{Account, Kind};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

/// False if the name is taken.
pub(super) fn add(work: &mut Work<'_>, consumer: &NewConsumer) -> rusqlite::Result<bool> {
    let connection = work.connection;
    let added = connection
        .prepare_cached("INSERT INTO consumers (id, name, sealed_secret, created_at, secret_created_at) VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT (name) DO NOTHING")?
        .execute(params![consumer.id.as_bytes(), consumer.name, &consumer.sealed_secret[..], consumer.created_at.as_millis()])?;
    if added == 0 {
        return Ok(false);
    }
    keys::insert(connection, consumer.id, &consumer.key, consumer.created_at)?;
    if !consumer.credit.is_zero() {
        let entries = ripost_domain::ledger::credit(consumer.id, consumer.credit);
        // Nothing refuses what comes in.
        let credited = ledger::transfer(work, Kind::Credit, Subject::Beginning, consumer.created_at, &entries)?;
        credited.map_err(|_| rusqlite::Error::StatementChangedRows(0))?;
    }
    Ok(true)
}

pub(super) fn balances(connection: &Connection, id: ConsumerId) -> rusqlite::Result<Balances> {
    Ok(Balances {
        available: ledger::balance(connection, &Account::ConsumerAvailable(id))?,
        held: ledger::balance(connection, &Account::ConsumerHeld(id))?,
    })
}

fn consumer(row: &Row<'_>) -> rusqlite::Result<Consumer> {
    Ok(Consumer {
        id: ConsumerId::from_bytes(rows::id(row, "id")?),
        name: row.get("name")?,
        key_is_public: row.get("public")?,
        key_expires_at: rows::some_timestamp(row, "expires_at")?,
        sealed_secret: rows::bytes(row, "sealed_secret")?,
        created_at: rows::timestamp(row, "created_at")?,
    })
}

pub(super) fn by_key(connection: &Connection, hash: &[u8; 32]) -> rusqlite::Result<Option<Consumer>> {
    connection
        .prepare_cached(
            "SELECT consumers.id, consumers.name, public, keys.expires_at, sealed_secret, consumers.created_at FROM keys JOIN consumers ON consumers.id = consumer_id WHERE hash = ?1",
        )?
        .query_row([&hash[..]], consumer)
        .optional()
}

pub(super) fn by_id(connection: &Connection, id: ConsumerId) -> rusqlite::Result<Option<Consumer>> {
    connection
        .prepare_cached("SELECT id, name, FALSE AS public, NULL AS expires_at, sealed_secret, created_at FROM consumers WHERE id = ?1")?
        .query_row([id.as_bytes()], consumer)
        .optional()
}

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<ConsumerSummary>> {
    let mut query = connection.prepare_cached("SELECT id, name, created_at FROM consumers ORDER BY name")?;
    let mut rows = query.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let id = ConsumerId::from_bytes(rows::id(row, "id")?);
        all.push(ConsumerSummary {
            id,
            name: row.get("name")?,
            balances: balances(connection, id)?,
            created_at: rows::timestamp(row, "created_at")?,
        });
    }
    Ok(all)
}
