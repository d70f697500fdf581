//! Deliveries: insert with the end of a request, record, give up. `lanes` and `feed` are kept in step with them here.

use super::rows;
use super::unmade;
use super::writer::Work;
use crate::store::{Lease, NewDelivery, Record, Undeliverable, Unmade, WriteError};
use ripost_domain::delivery::{LaneId, Next, Reason, State};
use ripost_domain::id::{ConsumerId, DeliveryId, RequestId};
use ripost_domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::time::Duration;

/// The row and its frozen payload, or what should have become one.
pub(super) fn insert(
    connection: &Connection,
    request: RequestId,
    consumer: ConsumerId,
    delivery: &NewDelivery,
    inline_max: usize,
) -> rusqlite::Result<()> {
    let (state, attempts) = match (&delivery.unmade, delivery.lease) {
        (Some(_), _) => (State::Exhausted, 0),
        (None, Lease::ThisProcess) => (State::InFlight, 1),
        (None, Lease::Nobody) => (State::Pending, 0),
    };
    connection
        .prepare_cached(
            "INSERT INTO deliveries (id, request_id, consumer_id, event, url, state, attempts, epoch, next_at, lane, waits, \
             give_up_at, depth, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            delivery.id.as_bytes(),
            request.as_bytes(),
            consumer.as_bytes(),
            delivery.event.subscription(),
            delivery.url,
            state.as_str(),
            attempts,
            delivery.due_at.as_millis(),
            delivery.lane.as_bytes(),
            delivery.retry.waits.as_deref().map(write_waits),
            delivery.retry.give_up_at.as_millis(),
            delivery.depth,
            delivery.unmade.as_ref().map(|_| Reason::TransformFailed.as_str()),
        ])?;
    if let Some(Unmade { reason }) = &delivery.unmade {
        unmade::insert(connection, delivery, reason, inline_max)?;
        return feed(connection, consumer, delivery.id);
    }
    let body = (delivery.payload.len() <= inline_max).then_some(&delivery.payload[..]);
    connection
        .prepare_cached(
            "INSERT INTO payloads (delivery_id, content_type, headers, traceparent, bytes, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            delivery.id.as_bytes(),
            delivery.content_type,
            rows::write_some_headers(&delivery.headers),
            delivery.traceparent,
            i64::try_from(delivery.payload.len()).unwrap_or(i64::MAX),
            body
        ])?;
    if delivery.lease == Lease::Nobody {
        ready(connection, delivery.lane, delivery.due_at)?;
        feed(connection, consumer, delivery.id)?;
    }
    Ok(())
}

/// A delivery of a request under way; false if it has one for that event, or has ended.
pub(super) fn add(work: &mut Work<'_>, request: RequestId, delivery: &NewDelivery) -> rusqlite::Result<bool> {
    let connection = work.connection;
    let consumer: Option<[u8; 16]> = connection
        .prepare_cached(
            "SELECT consumer_id FROM requests WHERE id = ?1 AND finished_at IS NULL \
             AND NOT EXISTS (SELECT 1 FROM deliveries WHERE request_id = ?1 AND event = ?2)",
        )?
        .query_row(params![request.as_bytes(), delivery.event.subscription()], |row| row.get(0))
        .optional()?;
    let Some(consumer) = consumer else { return Ok(false) };
    insert(connection, request, ConsumerId::from_bytes(consumer), delivery, usize::MAX)?;
    Ok(true)
}

/// The lane has something due at `at`.
pub(super) fn ready(connection: &Connection, lane: LaneId, at: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO lanes (id, ready_at) VALUES (?1, ?2) \
             ON CONFLICT (id) DO UPDATE SET ready_at = excluded.ready_at WHERE excluded.ready_at < ready_at",
        )?
        .execute(params![lane.as_bytes(), at.as_millis()])?;
    Ok(())
}

/// The delivery is undelivered, for now.
pub(super) fn feed(connection: &Connection, consumer: ConsumerId, delivery: DeliveryId) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO feed (consumer_id, delivery_id) VALUES (?1, ?2) ON CONFLICT (delivery_id) DO NOTHING",
        )?
        .execute(params![consumer.as_bytes(), delivery.as_bytes()])?;
    Ok(())
}

/// What became of an attempt. The healthy first attempt is one update and one row; all else only follows a failure.
pub(super) fn record(work: &mut Work<'_>, record: &Record) -> rusqlite::Result<Result<(), WriteError>> {
    let connection = work.connection;
    let next_at = match record.next {
        Next::RetryAt(at) => at,
        Next::Delivered | Next::Exhausted | Next::Abandoned => record.started_at,
    };
    let moved = if record.logged {
        connection
            .prepare_cached(
                "UPDATE deliveries SET state = ?3, next_at = ?4, last_status = ?5, last_error = ?6, attempts = attempts - ?7, \
                 reason = ?8 WHERE id = ?1 AND epoch = ?2 AND state = 'in_flight'",
            )?
            .execute(params![
                record.id.as_bytes(),
                record.epoch,
                record.next.state().as_str(),
                next_at.as_millis(),
                record.status,
                record.error_class,
                i64::from(!record.counted),
                record.reason,
            ])?
    } else {
        connection
            .prepare_cached(
                "UPDATE deliveries SET state = ?3, next_at = ?4, attempts = attempts - ?5, reason = ?6 \
                 WHERE id = ?1 AND epoch = ?2 AND state = 'in_flight'",
            )?
            .execute(params![
                record.id.as_bytes(),
                record.epoch,
                record.next.state().as_str(),
                next_at.as_millis(),
                i64::from(!record.counted),
                record.reason,
            ])?
    };
    if moved != 1 {
        return Ok(Err(WriteError::Fenced));
    }
    let (consumer, lane, url) = (record.consumer, record.lane, &record.url);
    if record.logged {
        connection
            .prepare_cached(
                "INSERT INTO attempts (delivery_id, attempt, started_at, duration_ms, status, error_class, error_detail, excerpt, facts, hash) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                record.id.as_bytes(),
                record.attempt,
                record.started_at.as_millis(),
                record.duration_ms,
                record.status,
                record.error_class,
                record.error_detail,
                &record.excerpt[..],
                &record.facts[..],
                &record.chain[..],
            ])?;
    }
    match record.next {
        Next::Delivered if record.waited => {
            connection.prepare_cached("DELETE FROM feed WHERE delivery_id = ?1")?.execute([record.id.as_bytes()])?;
        }
        Next::Delivered => {}
        Next::RetryAt(at) => {
            ready(connection, lane, at)?;
            feed(connection, consumer, record.id)?;
        }
        Next::Exhausted | Next::Abandoned => feed(connection, consumer, record.id)?,
    }
    if let Some(reason) = record.disable {
        connection
            .prepare_cached(
                "INSERT INTO disabled_urls (consumer_id, url, reason, created_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            )?
            .execute(params![consumer.as_bytes(), url, reason, record.started_at.as_millis()])?;
    }
    Ok(Ok(()))
}

/// Every attempt that the process before had under way is due again; it stays counted.
pub(super) fn recover(work: &mut Work<'_>, now: Timestamp) -> rusqlite::Result<u64> {
    let connection = work.connection;
    connection.execute_batch(
        "INSERT INTO feed (consumer_id, delivery_id) SELECT consumer_id, id FROM deliveries WHERE state = 'in_flight' \
         ORDER BY id ON CONFLICT (delivery_id) DO NOTHING",
    )?;
    let moved = connection
        .prepare_cached("UPDATE deliveries SET state = 'pending', next_at = ?1 WHERE state = 'in_flight'")?
        .execute([now.as_millis()])?;
    // Whatever the process before knew of its lanes is gone with it: all of them are looked at.
    connection
        .prepare_cached(
            "INSERT INTO lanes (id, ready_at) SELECT lane, min(next_at) FROM deliveries WHERE state = 'pending' GROUP BY lane \
             ON CONFLICT (id) DO UPDATE SET ready_at = excluded.ready_at",
        )?
        .execute([])?;
    Ok(moved as u64)
}

/// Those whose time is over while their endpoint is not tried.
pub(super) fn give_up(work: &mut Work<'_>, now: Timestamp, limit: u32) -> rusqlite::Result<Vec<Undeliverable>> {
    work.connection
        .prepare_cached(
            "UPDATE deliveries SET state = 'exhausted', reason = 'max-age' WHERE id IN \
             (SELECT id FROM deliveries INDEXED BY deliveries_overdue WHERE state = 'pending' AND give_up_at <= ?1 LIMIT ?2) \
             RETURNING id, request_id, consumer_id, url",
        )?
        .query_map(params![now.as_millis(), limit], |row| {
            Ok(Undeliverable {
                id: DeliveryId::from_bytes(rows::id(row, "id")?),
                request: RequestId::from_bytes(rows::id(row, "request_id")?),
                consumer: ConsumerId::from_bytes(rows::id(row, "consumer_id")?),
                url: row.get("url")?,
            })
        })?
        .collect()
}

pub(super) fn write_waits(waits: &[Duration]) -> String {
    let millis: Vec<String> = waits.iter().map(|wait| wait.as_millis().to_string()).collect();
    millis.join(",")
}

pub(super) fn read_waits(text: &str) -> Option<Vec<Duration>> {
    text.split(',').map(|millis| millis.parse().ok().map(Duration::from_millis)).collect()
}
