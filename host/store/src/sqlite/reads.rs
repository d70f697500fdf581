//! What is read without the writer.

use super::rows;
use super::undelivered::{COLUMNS, stored};
use crate::store::{Payload, RequestRecord, ResultMeta, Stats, StoredDelivery};
use bytes::Bytes;
use ripost_domain::api::Digest;
use ripost_domain::id::{ConsumerId, DeliveryId, RequestId};
use ripost_domain::request::{Settlement, State};
use ripost_domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

/// What [`record`] reads besides `problem`.
macro_rules! record_columns {
    () => {
        "requests.id, consumer_id, requests.owner, requests.slug, digest, requests.state, settlement, attempt, run_at, \
         created_at, expires_at, finished_at, price, fee, fee_bps, captured, webhook_url, events, retry_max_age, depth"
    };
}
pub(super) use record_columns;

const REQUEST: &str = concat!(
    "SELECT ",
    record_columns!(),
    ", (SELECT problem FROM problems WHERE request_id = requests.id) AS problem FROM requests WHERE id = ?1"
);

pub(super) fn request(connection: &Connection, id: RequestId) -> rusqlite::Result<Option<RequestRecord>> {
    let found = connection.prepare_cached(REQUEST)?.query_row([id.as_bytes()], record).optional()?;
    let Some(mut record) = found else { return Ok(None) };
    if record.state.is_terminal() {
        record.result = result(connection, id)?.map(|(meta, _)| meta);
        record.delivery = completed(connection, &record)?;
    }
    Ok(Some(record))
}

/// When the youngest request or delivery was made. Ids begin with their time, so this reads two rows.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let last = |sql: &str| -> rusqlite::Result<Option<[u8; 16]>> {
        connection.prepare_cached(sql)?.query_row([], |row| rows::id(row, "id")).optional()
    };
    let request = last("SELECT id FROM requests ORDER BY id DESC LIMIT 1")?.map(RequestId::from_bytes);
    let delivery = last("SELECT id FROM deliveries ORDER BY id DESC LIMIT 1")?.map(DeliveryId::from_bytes);
    Ok(request.map(|id| id.made_at()).max(delivery.map(|id| id.made_at())))
}

/// Why a request has no result, as JSON.
pub(super) fn problem(connection: &Connection, id: RequestId) -> rusqlite::Result<Option<Bytes>> {
    connection
        .prepare_cached("SELECT problem FROM problems WHERE request_id = ?1")?
        .query_row([id.as_bytes()], |row| rows::bytes(row, "problem"))
        .optional()
}

/// Without its result and its delivery.
pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<RequestRecord> {
    let (split, settlement) = (rows::split(row)?, rows::named(row, "settlement", Settlement::from_name)?);
    Ok(RequestRecord {
        id: RequestId::from_bytes(rows::id(row, "id")?),
        consumer: ConsumerId::from_bytes(rows::id(row, "consumer_id")?),
        api: rows::api(row)?,
        digest: rows::digest(row)?,
        state: rows::named(row, "state", State::from_name)?,
        attempt: row.get("attempt")?,
        run_at: rows::timestamp(row, "run_at")?,
        created_at: rows::timestamp(row, "created_at")?,
        expires_at: rows::timestamp(row, "expires_at")?,
        finished_at: row.get::<_, Option<i64>>("finished_at")?.map(Timestamp::from_millis),
        split,
        settlement,
        captured: rows::captured(row, settlement, split.price)?,
        webhook_url: row.get("webhook_url")?,
        wants: rows::wants(row)?,
        result: None,
        problem: row.get::<_, Option<Vec<u8>>>("problem")?.map(Bytes::from),
        delivery: None,
    })
}

/// The delivery of a request's end; none before it.
pub(super) fn completed(connection: &Connection, record: &RequestRecord) -> rusqlite::Result<Option<StoredDelivery>> {
    match record.state.is_terminal() {
        true => delivery(connection, record.id, "completed"),
        false => Ok(None),
    }
}

fn delivery(connection: &Connection, id: RequestId, event: &str) -> rusqlite::Result<Option<StoredDelivery>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM deliveries WHERE request_id = ?1 AND event = ?2 AND copy = 0"))?
        .query_row(params![id.as_bytes(), event], stored)
        .optional()
}

/// Status, headers and length; the body unless it is a file.
pub(super) fn result(connection: &Connection, id: RequestId) -> rusqlite::Result<Option<(ResultMeta, Option<Bytes>)>> {
    connection
        .prepare_cached("SELECT status, headers, bytes, body FROM results WHERE request_id = ?1")?
        .query_row([id.as_bytes()], |row| {
            let bytes: i64 = row.get("bytes")?;
            let meta = ResultMeta {
                status: row.get("status")?,
                headers: rows::headers(row, "headers")?,
                bytes: u64::try_from(bytes).unwrap_or(0),
            };
            Ok((meta, body(row)?))
        })
        .optional()
}

fn body(row: &Row<'_>) -> rusqlite::Result<Option<Bytes>> {
    Ok(row.get::<_, Option<Vec<u8>>>("body")?.map(Bytes::from))
}

/// The payload; its body is empty if it is a file (the flag says so).
pub(super) fn payload(
    connection: &Connection,
    id: RequestId,
    event: &str,
) -> rusqlite::Result<Option<(Payload, bool)>> {
    connection
        .prepare_cached(
            "SELECT deliveries.id, content_type, headers, body FROM deliveries JOIN payloads ON payloads.delivery_id = deliveries.id \
             WHERE request_id = ?1 AND event = ?2 AND copy = 0",
        )?
        .query_row(params![id.as_bytes(), event], |row| {
            let inline = body(row)?;
            let in_file = inline.is_none();
            let payload = Payload {
                delivery_id: DeliveryId::from_bytes(rows::id(row, "id")?),
                body: inline.unwrap_or_default(),
                content_type: row.get("content_type")?,
                headers: rows::some_headers(row, "headers")?,
            };
            Ok((payload, in_file))
        })
        .optional()
}

pub(super) const REVISIONS_IN_USE: &str =
    "SELECT DISTINCT digest FROM requests WHERE state IN ('accepted', 'running', 'awaiting_callback')";

pub(super) fn revisions_in_use(connection: &Connection) -> rusqlite::Result<Vec<Digest>> {
    connection.prepare_cached(REVISIONS_IN_USE)?.query_map([], rows::digest)?.collect()
}

pub(super) fn next_delivery(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let millis: Option<i64> =
        connection.prepare_cached("SELECT min(ready_at) FROM lanes")?.query_row([], |row| row.get(0))?;
    Ok(millis.map(Timestamp::from_millis))
}

/// Spelled so that the partial index serves it.
fn dead(state: &str) -> String {
    format!("SELECT count(*) FROM deliveries WHERE state IN ('exhausted', 'abandoned') AND state = '{state}'")
}

pub(super) const COUNT_ACCEPTED: &str =
    "SELECT count(*) FROM requests WHERE state IN ('accepted', 'running', 'awaiting_callback') AND state = 'accepted'";
pub(super) const COUNT_RUNNING: &str =
    "SELECT count(*) FROM requests WHERE state IN ('accepted', 'running', 'awaiting_callback') AND state = 'running'";

pub(super) const COUNT_AWAITING: &str = "SELECT count(*) FROM requests WHERE state IN ('accepted', 'running', 'awaiting_callback') AND state = 'awaiting_callback'";

pub(super) fn count(connection: &Connection, sql: &str) -> rusqlite::Result<u64> {
    let count: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

pub(super) fn stats(connection: &Connection) -> rusqlite::Result<Stats> {
    let count = |sql: &str| count(connection, sql);
    Ok(Stats {
        requests_accepted: count(COUNT_ACCEPTED)?,
        requests_running: count(COUNT_RUNNING)?,
        requests_awaiting: count(COUNT_AWAITING)?,
        deliveries_pending: count("SELECT count(*) FROM deliveries WHERE state = 'pending'")?,
        deliveries_in_flight: count("SELECT count(*) FROM deliveries WHERE state = 'in_flight'")?,
        deliveries_exhausted: count(&dead("exhausted"))?,
        deliveries_abandoned: count(&dead("abandoned"))?,
        lanes_waiting: count("SELECT count(*) FROM lanes")?,
        ..Stats::default()
    })
}

pub(super) fn has_overdue(connection: &Connection, now: Timestamp) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM deliveries INDEXED BY deliveries_overdue WHERE state = 'pending' AND give_up_at <= ?1 LIMIT 1")?
        .exists([now.as_millis()])
}

/// Bytes of the database's pages that nothing is on.
pub(super) fn free_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let bytes = number("freelist_count")?.saturating_mul(number("page_size")?);
    Ok(u64::try_from(bytes).unwrap_or(0))
}
