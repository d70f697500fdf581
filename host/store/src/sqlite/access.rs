//! Subscriptions and paused APIs.

use super::rows;
use super::writer::Work;
use crate::store::{PausedApi, Subscription};
use ripost_domain::api::ApiName;
use ripost_domain::id::ConsumerId;
use ripost_domain::time::Timestamp;
use rusqlite::{Connection, params};

pub(super) fn subscribe(
    work: &mut Work<'_>,
    consumer: ConsumerId,
    api: &ApiName,
    at: Timestamp,
) -> rusqlite::Result<bool> {
    let added = work
        .connection
        .prepare_cached(
            "INSERT INTO subscriptions (consumer_id, owner, slug, created_at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (owner, slug, consumer_id) DO NOTHING",
        )?
        .execute(params![consumer.as_bytes(), api.owner.as_str(), api.slug.as_str(), at.as_millis()])?;
    Ok(added == 1)
}

pub(super) fn unsubscribe(work: &mut Work<'_>, consumer: ConsumerId, api: &ApiName) -> rusqlite::Result<bool> {
    let removed = work
        .connection
        .prepare_cached("DELETE FROM subscriptions WHERE consumer_id = ?1 AND owner = ?2 AND slug = ?3")?
        .execute(params![consumer.as_bytes(), api.owner.as_str(), api.slug.as_str()])?;
    Ok(removed == 1)
}

pub(super) fn subscriptions(connection: &Connection) -> rusqlite::Result<Vec<Subscription>> {
    connection
        .prepare_cached(
            "SELECT consumer_id, owner, slug, created_at FROM subscriptions ORDER BY owner, slug, consumer_id",
        )?
        .query_map([], |row| {
            Ok(Subscription {
                consumer: ConsumerId::from_bytes(rows::id(row, "consumer_id")?),
                api: rows::api(row)?,
                created_at: rows::timestamp(row, "created_at")?,
            })
        })?
        .collect()
}

pub(super) fn pause(work: &mut Work<'_>, api: &ApiName, reason: &str, at: Timestamp) -> rusqlite::Result<()> {
    work.connection
        .prepare_cached(
            "INSERT INTO paused_apis (owner, slug, reason, paused_at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (owner, slug) DO UPDATE SET reason = ?3",
        )?
        .execute(params![api.owner.as_str(), api.slug.as_str(), reason, at.as_millis()])?;
    Ok(())
}

pub(super) fn resume(work: &mut Work<'_>, api: &ApiName) -> rusqlite::Result<bool> {
    let removed = work
        .connection
        .prepare_cached("DELETE FROM paused_apis WHERE owner = ?1 AND slug = ?2")?
        .execute(params![api.owner.as_str(), api.slug.as_str()])?;
    Ok(removed == 1)
}

pub(super) fn paused(connection: &Connection) -> rusqlite::Result<Vec<PausedApi>> {
    connection
        .prepare_cached("SELECT owner, slug, reason, paused_at FROM paused_apis ORDER BY owner, slug")?
        .query_map([], |row| {
            Ok(PausedApi {
                api: rows::api(row)?,
                reason: row.get("reason")?,
                paused_at: rows::timestamp(row, "paused_at")?,
            })
        })?
        .collect()
}
