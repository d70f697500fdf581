//! Claiming deliveries, endpoint by endpoint: the cost is that of the rows claimed, however long the backlog is.

use super::deliveries::read_waits;
use super::files::{self, Kind};
use super::rows;
use super::writer::Work;
use crate::store::{ClaimedDeliveries, ClaimedDelivery, DeliveryClaim, Retry};
use bytes::Bytes;
use camino::Utf8Path;
use ripost_domain::delivery::LaneId;
use ripost_domain::event::Event;
use ripost_domain::id::{ConsumerId, DeliveryId, RequestId};
use ripost_domain::request::State;
use ripost_domain::time::Timestamp;
use rusqlite::{Connection, Row, params};
use std::time::Duration;

/// A delivery whose payload cannot be read is looked at again after this.
const UNREADABLE_WAIT: Duration = Duration::from_secs(60);

pub(super) fn due_lanes(connection: &Connection, now: Timestamp, limit: u32) -> rusqlite::Result<Vec<LaneId>> {
    connection
        .prepare_cached("SELECT id FROM lanes INDEXED BY lanes_ready WHERE ready_at <= ?1 ORDER BY ready_at LIMIT ?2")?
        .query_map(params![now.as_millis(), limit], |row| rows::id(row, "id").map(LaneId::from_bytes))?
        .collect()
}

/// Counted before they are sent.
pub(super) fn claim(
    work: &mut Work<'_>,
    folder: &Utf8Path,
    claim: &DeliveryClaim,
) -> rusqlite::Result<ClaimedDeliveries> {
    let connection = work.connection;
    let mut claimed = ClaimedDeliveries::default();
    let mut bytes = 0_usize;
    let mut park = connection.prepare_cached("UPDATE lanes SET ready_at = ?2 WHERE id = ?1 AND ready_at < ?2")?;
    for (lane, until) in &claim.parked {
        park.execute(params![lane.as_bytes(), until.as_millis()])?;
    }
    for (lane, limit) in &claim.lanes {
        let before = claimed.deliveries.len();
        if bytes < claim.bytes_max || claimed.deliveries.is_empty() {
            let rows = due(connection, *lane, claim.now, *limit)?;
            for (delivery, file, size) in rows {
                bytes += size;
                if bytes > claim.bytes_max && !claimed.deliveries.is_empty() {
                    break;
                }
                match file.then(|| files::read(folder, delivery.request_id, Kind::Webhook)).transpose() {
                    Ok(None) => claimed.deliveries.push(delivery),
                    Ok(Some(payload)) => claimed.deliveries.push(ClaimedDelivery { payload, ..delivery }),
                    Err(error) => {
                        put_back(connection, delivery.id, claim.now.after(UNREADABLE_WAIT))?;
                        claimed.unreadable.push((delivery.id, error.to_string()));
                    }
                }
            }
        }
        take(connection, &claimed.deliveries[before..])?;
        if settle(connection, *lane, claim.now, claim.offered_again_at)? {
            claimed.more.push(*lane);
        }
    }
    Ok(claimed)
}

/// Due deliveries of a lane; whether the payload is a file, and its size.
fn due(
    connection: &Connection,
    lane: LaneId,
    now: Timestamp,
    limit: u32,
) -> rusqlite::Result<Vec<(ClaimedDelivery, bool, usize)>> {
    connection
        .prepare_cached(
            "SELECT deliveries.id, copy_of, request_id, consumer_id, epoch, attempts, event, url, lane, waits, give_up_at, base, depth, \
             (SELECT state FROM requests WHERE requests.id = request_id) AS request_state, \
             (SELECT hash FROM attempts WHERE delivery_id = deliveries.id ORDER BY attempts.id DESC LIMIT 1) AS chain, \
             content_type, headers, traceparent, bytes, body \
             FROM deliveries INDEXED BY deliveries_pending JOIN payloads ON payloads.delivery_id = coalesce(copy_of, deliveries.id) \
             WHERE state = 'pending' AND lane = ?1 AND next_at <= ?2 ORDER BY next_at LIMIT ?3",
        )?
        .query_map(params![lane.as_bytes(), now.as_millis(), limit], delivery)?
        .collect()
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<(ClaimedDelivery, bool, usize)> {
    let body: Option<Vec<u8>> = row.get("body")?;
    let waits: Option<String> = row.get("waits")?;
    let size: i64 = row.get("bytes")?;
    let in_file = body.is_none();
    let id = DeliveryId::from_bytes(rows::id(row, "id")?);
    let claimed = ClaimedDelivery {
        id,
        webhook_id: row.get::<_, Option<[u8; 16]>>("copy_of")?.map_or(id, DeliveryId::from_bytes),
        request_id: RequestId::from_bytes(rows::id(row, "request_id")?),
        consumer: ConsumerId::from_bytes(rows::id(row, "consumer_id")?),
        epoch: row.get::<_, u32>("epoch")? + 1,
        attempt: row.get::<_, u32>("attempts")? + 1,
        event: event(row)?,
        url: row.get("url")?,
        lane: LaneId::from_bytes(rows::id(row, "lane")?),
        payload: body.map(Bytes::from).unwrap_or_default(),
        content_type: row.get("content_type")?,
        headers: rows::some_headers(row, "headers")?,
        traceparent: row.get("traceparent")?,
        retry: Retry {
            waits: waits.as_deref().and_then(read_waits),
            give_up_at: rows::timestamp(row, "give_up_at")?,
            base: row.get("base")?,
        },
        depth: row.get("depth")?,
        chain: row.get("chain")?,
        waited: true,
    };
    Ok((claimed, in_file, usize::try_from(size).unwrap_or(usize::MAX)))
}

/// The row has the word that was asked for, and its request how it ended.
fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let state = rows::named(row, "request_state", State::from_name)?;
    rows::named(row, "event", |word| Event::of_subscription(word, state))
}

fn take(connection: &Connection, deliveries: &[ClaimedDelivery]) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached(
        "UPDATE deliveries SET state = 'in_flight', epoch = ?2, attempts = ?3 WHERE id = ?1 AND state = 'pending' AND epoch = ?2 - 1",
    )?;
    for delivery in deliveries {
        if update.execute(params![delivery.id.as_bytes(), delivery.epoch, delivery.attempt])? != 1 {
            return Err(rusqlite::Error::StatementChangedRows(0));
        }
    }
    Ok(())
}

fn put_back(connection: &Connection, id: DeliveryId, at: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE deliveries SET next_at = ?2, last_error = 'payload-unreadable' WHERE id = ?1")?
        .execute(params![id.as_bytes(), at.as_millis()])?;
    Ok(())
}

/// When the lane is next looked at; whether it has more that is due now.
fn settle(
    connection: &Connection,
    lane: LaneId,
    now: Timestamp,
    offered_again_at: Timestamp,
) -> rusqlite::Result<bool> {
    let next: Option<i64> = connection
        .prepare_cached(
            "SELECT min(next_at) FROM deliveries INDEXED BY deliveries_pending WHERE state = 'pending' AND lane = ?1",
        )?
        .query_row([lane.as_bytes()], |row| row.get(0))?;
    let Some(next) = next.map(Timestamp::from_millis) else {
        connection.prepare_cached("DELETE FROM lanes WHERE id = ?1")?.execute([lane.as_bytes()])?;
        return Ok(false);
    };
    let more = next <= now;
    let ready_at = if more { offered_again_at } else { next };
    connection
        .prepare_cached("UPDATE lanes SET ready_at = ?2 WHERE id = ?1")?
        .execute(params![lane.as_bytes(), ready_at.as_millis()])?;
    Ok(more)
}
