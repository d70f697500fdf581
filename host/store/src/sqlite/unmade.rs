//! Payloads that are still to be made.

use super::rows;
use super::writer::Work;
use crate::store::{MakePayload, NewDelivery, StoredUnmade};
use bytes::Bytes;
use ripost_domain::id::{ConsumerId, DeliveryId, RequestId};
use rusqlite::{Connection, OptionalExtension as _, params};

pub(super) fn insert(
    connection: &Connection,
    delivery: &NewDelivery,
    reason: &str,
    inline_max: usize,
) -> rusqlite::Result<()> {
    let body = (delivery.payload.len() <= inline_max).then_some(&delivery.payload[..]);
    connection
        .prepare_cached(
            "INSERT INTO unmade (delivery_id, content_type, traceparent, bytes, body, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            delivery.id.as_bytes(),
            delivery.content_type,
            delivery.traceparent,
            i64::try_from(delivery.payload.len()).unwrap_or(i64::MAX),
            body,
            reason,
        ])?;
    Ok(())
}

pub(super) fn exists(connection: &Connection, delivery: DeliveryId) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM unmade WHERE delivery_id = ?1")?.exists([delivery.as_bytes()])
}

/// The body is empty if it is a file (the flag says so).
pub(super) fn find(
    connection: &Connection,
    request: RequestId,
    event: &str,
) -> rusqlite::Result<Option<(StoredUnmade, bool)>> {
    connection
        .prepare_cached(
            "SELECT deliveries.id, deliveries.consumer_id, owner, slug, digest, created_at, url, content_type, body, unmade.reason \
             FROM deliveries JOIN unmade ON unmade.delivery_id = deliveries.id JOIN requests ON requests.id = request_id \
             WHERE request_id = ?1 AND event = ?2",
        )?
        .query_row(params![request.as_bytes(), event], |row| {
            let body = row.get::<_, Option<Vec<u8>>>("body")?;
            let in_file = body.is_none();
            let found = StoredUnmade {
                delivery: DeliveryId::from_bytes(rows::id(row, "id")?),
                request,
                consumer: ConsumerId::from_bytes(rows::id(row, "consumer_id")?),
                api: rows::api(row)?,
                digest: rows::digest(row)?,
                created_at: rows::timestamp(row, "created_at")?,
                event: event.to_owned(),
                url: row.get("url")?,
                content_type: row.get("content_type")?,
                body: body.map(Bytes::from).unwrap_or_default(),
                reason: row.get("reason")?,
            };
            Ok((found, in_file))
        })
        .optional()
}

/// Of which request the delivery is and of which event; `None`: its payload is made.
pub(super) fn of(connection: &Connection, delivery: DeliveryId) -> rusqlite::Result<Option<(RequestId, String)>> {
    connection
        .prepare_cached(
            "SELECT request_id, event FROM deliveries JOIN unmade ON unmade.delivery_id = deliveries.id WHERE deliveries.id = ?1",
        )?
        .query_row([delivery.as_bytes()], |row| {
            Ok((RequestId::from_bytes(rows::id(row, "request_id")?), row.get("event")?))
        })
        .optional()
}

/// False if somebody was first. A payload over `inline_max` is on the disk already.
pub(super) fn make(work: &mut Work<'_>, made: &MakePayload, inline_max: usize) -> rusqlite::Result<bool> {
    let body = (made.payload.len() <= inline_max).then_some(&made.payload[..]);
    let inserted = work
        .connection
        .prepare_cached(
            "INSERT INTO payloads (delivery_id, content_type, headers, traceparent, bytes, body) \
             SELECT delivery_id, ?2, ?3, traceparent, ?4, ?5 FROM unmade WHERE delivery_id = ?1",
        )?
        .execute(params![
            made.delivery.as_bytes(),
            made.content_type,
            rows::write_some_headers(&made.headers),
            i64::try_from(made.payload.len()).unwrap_or(i64::MAX),
            body,
        ])?;
    work.connection.prepare_cached("DELETE FROM unmade WHERE delivery_id = ?1")?.execute([made.delivery.as_bytes()])?;
    Ok(inserted == 1)
}
