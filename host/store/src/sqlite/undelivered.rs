//! What is not delivered: the feed, the attempt log, URLs that want no more.

use super::rows;
use super::writer::Work;
use crate::store::{
    DeliveryLog, DisabledUrl, StoredAttempt, StoredDelivery, Undelivered, UndeliveredEntry, UndeliveredFilter, Unmade,
};
use ripost_domain::delivery::State;
use ripost_domain::id::{ConsumerId, DeliveryId, RequestId};
use ripost_domain::time::Timestamp;
use rusqlite::{Connection, Row, params};

/// Columns that [`stored`] reads.
pub(super) const COLUMNS: &str = "deliveries.id, deliveries.event, deliveries.url, deliveries.state, deliveries.reason, \
    deliveries.attempts, deliveries.next_at, deliveries.last_status, deliveries.last_error, deliveries.copy_of";
/// Entries that one page looks at, whether they fit its filter or not.
const LOOKED_AT_MAX: u32 = 10_000;

pub(super) fn stored(row: &Row<'_>) -> rusqlite::Result<StoredDelivery> {
    let state = rows::named(row, "state", State::from_name)?;
    let next_at = rows::timestamp(row, "next_at")?;
    Ok(StoredDelivery {
        id: DeliveryId::from_bytes(rows::id(row, "id")?),
        event: row.get("event")?,
        url: row.get("url")?,
        state,
        reason: row.get("reason")?,
        attempts: row.get("attempts")?,
        next_attempt_at: (state == State::Pending).then_some(next_at),
        last_status: row.get("last_status")?,
        last_error: row.get("last_error")?,
        copy_of: row.get::<_, Option<[u8; 16]>>("copy_of")?.map(DeliveryId::from_bytes),
    })
}

/// All deliveries of a request with their attempts.
pub(super) fn logs(connection: &Connection, request: RequestId) -> rusqlite::Result<Vec<DeliveryLog>> {
    let mut deliveries = connection.prepare_cached(&format!(
        "SELECT {COLUMNS}, coalesce(payloads.bytes, forgotten_payloads.bytes, 0) AS bytes, sha256, unmade.reason AS unmade FROM deliveries \
         LEFT JOIN payloads ON payloads.delivery_id = coalesce(deliveries.copy_of, deliveries.id) LEFT JOIN unmade ON unmade.delivery_id = deliveries.id \
         LEFT JOIN forgotten_payloads ON forgotten_payloads.delivery_id = deliveries.id \
         WHERE request_id = ?1 ORDER BY deliveries.id"
    ))?;
    let mut attempts = connection.prepare_cached(
        "SELECT attempt, started_at, duration_ms, status, error_class, error_detail, excerpt, url, facts, hash FROM attempts \
         WHERE delivery_id = ?1 ORDER BY id",
    )?;
    let mut logs = deliveries
        .query_map([request.as_bytes()], |row| {
            let bytes: i64 = row.get("bytes")?;
            let payload_bytes = u64::try_from(bytes).unwrap_or(0);
            let unmade = row.get::<_, Option<String>>("unmade")?.map(|reason| Unmade { reason });
            let forgotten_sha256 = row.get("sha256")?;
            Ok(DeliveryLog { delivery: stored(row)?, payload_bytes, forgotten_sha256, unmade, attempts: Vec::new() })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for log in &mut logs {
        let found = attempts.query_map([log.delivery.id.as_bytes()], attempt)?;
        log.attempts = found.collect::<rusqlite::Result<_>>()?;
    }
    Ok(logs)
}

fn attempt(row: &Row<'_>) -> rusqlite::Result<StoredAttempt> {
    Ok(StoredAttempt {
        attempt: row.get("attempt")?,
        started_at: rows::timestamp(row, "started_at")?,
        duration_ms: row.get("duration_ms")?,
        status: row.get("status")?,
        error_class: row.get("error_class")?,
        error_detail: row.get("error_detail")?,
        excerpt: rows::bytes(row, "excerpt")?,
        url: row.get("url")?,
        facts: rows::bytes(row, "facts")?,
        hash: row.get("hash")?,
    })
}

/// A page of the feed. What does not fit the filter is passed over, up to a bound: a page may be short and still not
/// be the last.
pub(super) fn page(connection: &Connection, filter: &UndeliveredFilter) -> rusqlite::Result<Undelivered> {
    let of_consumer = if filter.consumer.is_some() { "feed.consumer_id = ?1 AND" } else { "?1 IS NULL AND" };
    let mut query = connection.prepare_cached(&format!(
        "SELECT {COLUMNS}, feed.seq, feed.consumer_id, request_id, owner, slug, created_at \
         FROM feed JOIN deliveries ON deliveries.id = feed.delivery_id JOIN requests ON requests.id = request_id \
         WHERE {of_consumer} feed.seq > ?2 ORDER BY feed.seq LIMIT ?3"
    ))?;
    let consumer = filter.consumer.as_ref().map(ConsumerId::as_bytes);
    let after = i64::try_from(filter.after).unwrap_or(i64::MAX);
    let mut rows = query.query(params![consumer, after, LOOKED_AT_MAX])?;
    let mut page = Undelivered { next: filter.after, ..Undelivered::default() };
    let mut looked_at = 0;
    while let Some(row) = rows.next()? {
        if page.entries.len() == filter.limit as usize {
            page.more = true;
            return Ok(page);
        }
        looked_at += 1;
        let entry = entry(row)?;
        page.next = entry.seq;
        let created_at = rows::timestamp(row, "created_at")?;
        if fits(filter, &entry, created_at) {
            page.entries.push(entry);
        }
    }
    page.more = looked_at == LOOKED_AT_MAX;
    Ok(page)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<UndeliveredEntry> {
    let seq: i64 = row.get("seq")?;
    Ok(UndeliveredEntry {
        seq: u64::try_from(seq).unwrap_or(0),
        request: RequestId::from_bytes(rows::id(row, "request_id")?),
        consumer: ConsumerId::from_bytes(rows::id(row, "consumer_id")?),
        api: rows::api(row)?,
        delivery: stored(row)?,
    })
}

fn fits(filter: &UndeliveredFilter, entry: &UndeliveredEntry, created_at: Timestamp) -> bool {
    filter.state.is_none_or(|state| state == entry.delivery.state)
        && filter.event.as_ref().is_none_or(|event| *event == entry.delivery.event)
        && filter.owner.as_ref().is_none_or(|owner| *owner == entry.api.owner)
        && filter.api.as_ref().is_none_or(|api| *api == entry.api)
        && filter.since.is_none_or(|since| created_at >= since)
        && filter.until.is_none_or(|until| created_at < until)
}

pub(super) fn disabled(connection: &Connection, consumer: Option<ConsumerId>) -> rusqlite::Result<Vec<DisabledUrl>> {
    connection
        .prepare_cached(
            "SELECT consumer_id, url, reason, created_at FROM disabled_urls WHERE ?1 IS NULL OR consumer_id = ?1 ORDER BY consumer_id, url",
        )?
        .query_map([consumer.as_ref().map(ConsumerId::as_bytes)], |row| {
            Ok(DisabledUrl {
                consumer: ConsumerId::from_bytes(rows::id(row, "consumer_id")?),
                url: row.get("url")?,
                reason: row.get("reason")?,
                at: rows::timestamp(row, "created_at")?,
            })
        })?
        .collect()
}

pub(super) fn enable(work: &mut Work<'_>, consumer: ConsumerId, url: &str) -> rusqlite::Result<bool> {
    let removed = work
        .connection
        .prepare_cached("DELETE FROM disabled_urls WHERE consumer_id = ?1 AND url = ?2")?
        .execute(params![consumer.as_bytes(), url])?;
    Ok(removed == 1)
}
