//! Sending again. What is undelivered becomes due; what was delivered stays so, and what is sent again of it is a copy:
//! a delivery of its own, with the same id for its receiver and the same bytes.

use super::deliveries::{feed, ready, write_waits};
use super::rows;
use super::undelivered::{COLUMNS, stored};
use super::unmade;
use super::writer::Work;
use crate::store::{Redeliver, Redelivered, StoredDelivery, Tries, Which};
use ripost_domain::delivery::{LaneId, State};
use ripost_domain::id::{ConsumerId, DeliveryId};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};
use std::time::Duration;

/// A delivery and what is needed to send it.
struct Found {
    delivery: StoredDelivery,
    consumer: ConsumerId,
    lane: LaneId,
}

impl Found {
    /// Whose `webhook-id` and payload it has.
    fn original(&self) -> DeliveryId {
        self.delivery.copy_of.unwrap_or(self.delivery.id)
    }
}

/// Where it is to go.
struct Target<'r> {
    url: &'r str,
    lane: LaneId,
}

pub(super) fn redeliver(work: &mut Work<'_>, redeliver: &Redeliver) -> rusqlite::Result<Redelivered> {
    let connection = work.connection;
    let found = match &redeliver.which {
        // Of an event there is one that is no copy.
        Which::Event(request, event) => {
            find(connection, "request_id = ?1 AND event = ?2 AND copy = 0", params![request.as_bytes(), event])?
        }
        Which::Delivery(id) => by_id(connection, *id)?,
    };
    let Some(named) = found else { return Ok(Redelivered::Unknown) };
    let (url, lane) = match &redeliver.to {
        Some((url, lane)) => (url.clone(), *lane),
        None => (named.delivery.url.clone(), named.lane),
    };
    let target = Target { url: &url, lane };
    if named.delivery.state != State::Delivered {
        return again(connection, named, &target, redeliver);
    }
    if is_forgotten(connection, named.original())? {
        return Ok(Redelivered::Forgotten(named.delivery));
    }
    // Whoever asks twice has one copy, as long as that is not delivered.
    let undelivered = "copy_of = ?1 AND request_id = (SELECT request_id FROM deliveries WHERE id = ?1) AND url = ?2 \
                       AND state <> 'delivered'";
    match find(connection, undelivered, params![named.original().as_bytes(), target.url])? {
        Some(copy) => again(connection, copy, &target, redeliver),
        None => copy(connection, &named, &target, redeliver),
    }
}

/// Makes one that is not delivered due, unless it is already.
fn again(
    connection: &Connection,
    found: Found,
    target: &Target<'_>,
    redeliver: &Redeliver,
) -> rusqlite::Result<Redelivered> {
    let Found { delivery, consumer, .. } = found;
    let due_already = delivery.state == State::Pending && delivery.next_attempt_at.is_some_and(|at| at <= redeliver.at);
    if delivery.state == State::InFlight || (due_already && delivery.url == target.url) {
        return Ok(Redelivered::UnderWay(delivery));
    }
    if unmade::exists(connection, delivery.id)? {
        return Ok(Redelivered::Unmade(delivery));
    }
    if is_forgotten(connection, delivery.id)? {
        return Ok(Redelivered::Forgotten(delivery));
    }
    if delivery.url != target.url {
        // What was tried before went elsewhere.
        connection
            .prepare_cached("UPDATE attempts SET url = ?2 WHERE delivery_id = ?1 AND url IS NULL")?
            .execute(params![delivery.id.as_bytes(), delivery.url])?;
    }
    connection
        .prepare_cached(
            "UPDATE deliveries SET state = 'pending', next_at = ?2, give_up_at = ?3, url = ?4, lane = ?5, base = attempts, \
             reason = NULL, waits = CASE copy WHEN 0 THEN waits ELSE \
             coalesce(?6, (SELECT original.waits FROM deliveries AS original WHERE original.id = deliveries.copy_of)) END \
             WHERE id = ?1",
        )?
        .execute(params![
            delivery.id.as_bytes(),
            redeliver.at.as_millis(),
            redeliver.give_up_at.as_millis(),
            target.url,
            target.lane.as_bytes(),
            waits(redeliver.tries),
        ])?;
    due(connection, delivery.id, consumer, target, redeliver)
}

/// Makes a delivery of its own of one that is delivered.
fn copy(
    connection: &Connection,
    named: &Found,
    target: &Target<'_>,
    redeliver: &Redeliver,
) -> rusqlite::Result<Redelivered> {
    let id = redeliver.copy;
    connection
        .prepare_cached(
            "INSERT INTO deliveries (id, request_id, consumer_id, event, url, state, attempts, epoch, next_at, lane, waits, \
             give_up_at, depth, copy, copy_of) \
             SELECT ?2, request_id, consumer_id, event, ?3, 'pending', 0, 0, ?4, ?5, coalesce(?6, waits), ?7, depth, \
             (SELECT max(copy) + 1 FROM deliveries AS other WHERE other.request_id = original.request_id \
              AND other.event = original.event), original.id \
             FROM deliveries AS original WHERE original.id = ?1",
        )?
        .execute(params![
            named.original().as_bytes(),
            id.as_bytes(),
            target.url,
            redeliver.at.as_millis(),
            target.lane.as_bytes(),
            waits(redeliver.tries),
            redeliver.give_up_at.as_millis(),
        ])?;
    due(connection, id, named.consumer, target, redeliver)
}

fn due(
    connection: &Connection,
    id: DeliveryId,
    consumer: ConsumerId,
    target: &Target<'_>,
    redeliver: &Redeliver,
) -> rusqlite::Result<Redelivered> {
    ready(connection, target.lane, redeliver.at)?;
    feed(connection, consumer, id)?;
    Ok(by_id(connection, id)?.map_or(Redelivered::Unknown, |found| Redelivered::Due(found.delivery)))
}

/// The schedule of a copy; none: that of the delivery that it is a copy of.
fn waits(tries: Tries) -> Option<String> {
    match tries {
        Tries::Once => Some(write_waits(&[Duration::ZERO])),
        Tries::BySchedule => None,
    }
}

fn by_id(connection: &Connection, id: DeliveryId) -> rusqlite::Result<Option<Found>> {
    find(connection, "id = ?1", params![id.as_bytes()])
}

fn find(connection: &Connection, condition: &str, parameters: impl Params) -> rusqlite::Result<Option<Found>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS}, consumer_id, lane FROM deliveries WHERE {condition} LIMIT 1"))?
        .query_row(parameters, found)
        .optional()
}

fn found(row: &Row<'_>) -> rusqlite::Result<Found> {
    Ok(Found {
        delivery: stored(row)?,
        consumer: ConsumerId::from_bytes(rows::id(row, "consumer_id")?),
        lane: LaneId::from_bytes(rows::id(row, "lane")?),
    })
}

fn is_forgotten(connection: &Connection, delivery: DeliveryId) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM forgotten_payloads WHERE delivery_id = ?1")?.exists([delivery.as_bytes()])
}
