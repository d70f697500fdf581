//! Deliveries: insert with the end of a request, claim, record.

use super::files::{self, Kind};
use super::rows;
use super::writer::Work;
use crate::store::{ClaimedDelivery, Lease, NewDelivery, Record, WriteError};
use bytes::Bytes;
use camino::Utf8Path;
use ripost_domain::delivery::{Next, State};
use ripost_domain::id::{ConsumerId, DeliveryId, RequestId};
use ripost_domain::time::Timestamp;
use rusqlite::{Connection, params};

/// The row and its frozen payload.
pub(super) fn insert(
    connection: &Connection,
    request: RequestId,
    consumer: ConsumerId,
    delivery: &NewDelivery,
    at: Timestamp,
    inline_max: usize,
) -> rusqlite::Result<()> {
    let (state, attempts) = match delivery.lease {
        Lease::ThisProcess => (State::InFlight, 1),
        Lease::Nobody => (State::Pending, 0),
    };
    connection
        .prepare_cached(
            "INSERT INTO deliveries (id, request_id, consumer_id, event, url, state, attempts, epoch, next_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8)",
        )?
        .execute(params![
            delivery.id.as_bytes(),
            request.as_bytes(),
            consumer.as_bytes(),
            delivery.event,
            delivery.url,
            state.as_str(),
            attempts,
            at.as_millis()
        ])?;
    let body = (delivery.payload.len() <= inline_max).then_some(&delivery.payload[..]);
    connection
        .prepare_cached(
            "INSERT INTO payloads (delivery_id, content_type, traceparent, bytes, body) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            delivery.id.as_bytes(),
            delivery.content_type,
            delivery.traceparent,
            i64::try_from(delivery.payload.len()).unwrap_or(i64::MAX),
            body
        ])?;
    Ok(())
}

/// The due ones, longest due first; counted before they are sent.
pub(super) fn claim(
    work: &mut Work<'_>,
    folder: &Utf8Path,
    now: Timestamp,
    limit: u32,
    bytes_max: usize,
) -> rusqlite::Result<Vec<ClaimedDelivery>> {
    let connection = work.connection;
    let mut due = connection.prepare_cached(
        "SELECT deliveries.id, request_id, consumer_id, epoch, attempts, event, url, content_type, traceparent, bytes, body \
         FROM deliveries INDEXED BY deliveries_open JOIN payloads ON payloads.delivery_id = deliveries.id \
         WHERE state IN ('pending', 'in_flight') AND state = 'pending' AND next_at <= ?1 ORDER BY next_at LIMIT ?2",
    )?;
    let mut rows = due.query(params![now.as_millis(), limit])?;
    let (mut claimed, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let size: i64 = row.get("bytes")?;
        bytes += usize::try_from(size).unwrap_or(usize::MAX);
        if bytes > bytes_max && !claimed.is_empty() {
            break;
        }
        let request_id = RequestId::from_bytes(rows::id(row, "request_id")?);
        let payload = match row.get::<_, Option<Vec<u8>>>("body")? {
            Some(body) => Bytes::from(body),
            None => files::read(folder, request_id, Kind::Webhook).map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, error.to_string().into())
            })?,
        };
        claimed.push(ClaimedDelivery {
            id: DeliveryId::from_bytes(rows::id(row, "id")?),
            request_id,
            consumer: ConsumerId::from_bytes(rows::id(row, "consumer_id")?),
            epoch: row.get::<_, u32>("epoch")? + 1,
            attempt: row.get::<_, u32>("attempts")? + 1,
            event: row.get("event")?,
            url: row.get("url")?,
            payload,
            content_type: row.get("content_type")?,
            traceparent: row.get("traceparent")?,
        });
    }
    drop(rows);
    let mut update = connection.prepare_cached(
        "UPDATE deliveries SET state = 'in_flight', epoch = ?2, attempts = ?3 WHERE id = ?1 AND state = 'pending' AND epoch = ?2 - 1",
    )?;
    for delivery in &claimed {
        if update.execute(params![delivery.id.as_bytes(), delivery.epoch, delivery.attempt])? != 1 {
            return Err(rusqlite::Error::StatementChangedRows(0));
        }
    }
    Ok(claimed)
}

pub(super) fn record(work: &mut Work<'_>, record: &Record) -> rusqlite::Result<Result<(), WriteError>> {
    let connection = work.connection;
    let next_at = match record.next {
        Next::RetryAt(at) => at,
        Next::Delivered | Next::Exhausted | Next::Abandoned => record.started_at,
    };
    let moved = connection
        .prepare_cached(
            "UPDATE deliveries SET state = ?3, next_at = ?4, last_status = ?5, last_error = ?6, attempts = attempts - ?7 \
             WHERE id = ?1 AND epoch = ?2 AND state = 'in_flight'",
        )?
        .execute(params![
            record.id.as_bytes(),
            record.epoch,
            record.next.state().as_str(),
            next_at.as_millis(),
            record.status,
            record.error_class,
            i64::from(!record.counted)
        ])?;
    if moved != 1 {
        return Ok(Err(WriteError::Fenced));
    }
    connection
        .prepare_cached(
            "INSERT INTO attempts (delivery_id, attempt, started_at, duration_ms, status, error_class, error_detail, excerpt) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            record.id.as_bytes(),
            record.attempt,
            record.started_at.as_millis(),
            record.duration_ms,
            record.status,
            record.error_class,
            record.error_detail,
            &record.excerpt[..]
        ])?;
    Ok(Ok(()))
}

/// Every attempt that the process before had under way is due again; it stays counted.
pub(super) fn recover(work: &mut Work<'_>, now: Timestamp) -> rusqlite::Result<u64> {
    let moved = work
        .connection
        .prepare_cached(
            "UPDATE deliveries SET state = 'pending', next_at = ?1 WHERE state IN ('pending', 'in_flight') AND state = 'in_flight'",
        )?
        .execute([now.as_millis()])?;
    Ok(moved as u64)
}
