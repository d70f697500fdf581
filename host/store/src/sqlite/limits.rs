//! Limits of single consumers, and what is counted against limits: only what the requests' own rows and indices say, so
//! that no accept writes a row for it.

use super::listing::first_id_of;
use super::rows;
use super::writer::Work;
use crate::store::{ConsumerLimits, UnfinishedCount};
use ripost_domain::api::ApiName;
use ripost_domain::id::ConsumerId;
use ripost_domain::limit::Setting;
use ripost_domain::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use std::fmt::Display;
use std::str::FromStr;

/// False if there is no such consumer.
pub(super) fn set(work: &mut Work<'_>, id: ConsumerId, limits: &ConsumerLimits) -> rusqlite::Result<bool> {
    let connection = work.connection;
    if !connection.prepare_cached("SELECT 1 FROM consumers WHERE id = ?1")?.exists([id.as_bytes()])? {
        return Ok(false);
    }
    if *limits == ConsumerLimits::default() {
        connection.prepare_cached("DELETE FROM consumer_limits WHERE consumer_id = ?1")?.execute([id.as_bytes()])?;
        return Ok(true);
    }
    let ConsumerLimits { rate, concurrency, daily } = limits;
    connection
        .prepare_cached(
            "INSERT INTO consumer_limits (consumer_id, rate, concurrency, daily) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (consumer_id) DO UPDATE SET rate = ?2, concurrency = ?3, daily = ?4",
        )?
        .execute(params![id.as_bytes(), text(rate), text(concurrency), text(daily)])?;
    Ok(true)
}

/// `None` for everybody's.
fn text<T: Display>(setting: &Setting<T>) -> Option<String> {
    (!matches!(setting, Setting::Default)).then(|| setting.to_string())
}

fn setting<T: FromStr>(row: &Row<'_>, column: &str) -> rusqlite::Result<Setting<T>>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let Some(text) = row.get::<_, Option<String>>(column)? else { return Ok(Setting::Default) };
    text.parse().map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))
}

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<(ConsumerId, ConsumerLimits)>> {
    connection
        .prepare_cached("SELECT consumer_id, rate, concurrency, daily FROM consumer_limits")?
        .query_map([], |row| {
            let limits = ConsumerLimits {
                rate: setting(row, "rate")?,
                concurrency: setting(row, "concurrency")?,
                daily: setting(row, "daily")?,
            };
            Ok((ConsumerId::from_bytes(rows::id(row, "consumer_id")?), limits))
        })?
        .collect()
}

/// Its cost is that of the unfinished requests; for a start.
pub(super) const UNFINISHED: &str = "SELECT consumer_id, owner, slug, count(*) AS count FROM requests \
    WHERE state IN ('accepted', 'running', 'awaiting_callback') GROUP BY consumer_id, owner, slug";

pub(super) fn unfinished(connection: &Connection) -> rusqlite::Result<Vec<UnfinishedCount>> {
    connection
        .prepare_cached(UNFINISHED)?
        .query_map([], |row| {
            Ok(UnfinishedCount {
                consumer: ConsumerId::from_bytes(rows::id(row, "consumer_id")?),
                api: rows::api(row)?,
                count: row.get("count")?,
            })
        })?
        .collect()
}

/// From the index alone: ids sort by the time at which they were made.
pub(super) const ACCEPTED: &str = "SELECT count(*) FROM requests INDEXED BY requests_consumer \
    WHERE consumer_id = ?1 AND id >= ?2 AND id < ?3";
/// The same of one API, which has to look at each row.
pub(super) const ACCEPTED_OF_API: &str = "SELECT count(*) FROM requests INDEXED BY requests_consumer \
    WHERE consumer_id = ?1 AND id >= ?2 AND id < ?3 AND owner = ?4 AND slug = ?5";

pub(super) fn accepted(
    connection: &Connection,
    consumer: ConsumerId,
    api: Option<&ApiName>,
    from: Timestamp,
    until: Timestamp,
) -> rusqlite::Result<u64> {
    let (first, end) = (first_id_of(from), first_id_of(until));
    let count: i64 = match api {
        None => connection
            .prepare_cached(ACCEPTED)?
            .query_row(params![consumer.as_bytes(), first, end], |row| row.get(0))?,
        Some(api) => connection
            .prepare_cached(ACCEPTED_OF_API)?
            .query_row(params![consumer.as_bytes(), first, end, api.owner.as_str(), api.slug.as_str()], |row| {
                row.get(0)
            })?,
    };
    Ok(u64::try_from(count).unwrap_or(0))
}
