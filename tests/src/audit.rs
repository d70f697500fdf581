//! The stored rows against invariants I1 to I8, in SQL of our own: what the host says of itself is not asked.

use anyhow::{Context as _, Result, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use ripost_domain::id::{ConsumerId, RequestId};
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;

/// The platform's share by default, in basis points.
const FEE_BPS: i64 = 500;

/// Each gives the rows that break its rule.
const RULES: &[(&str, &str)] = &[
    ("I1: the entries of a transfer sum to zero", "SELECT transfer_id FROM entries GROUP BY transfer_id HAVING sum(micros) <> 0"),
    (
        "I1: a transfer has two entries at least",
        "SELECT t.id FROM transfers t LEFT JOIN entries e ON e.transfer_id = t.id GROUP BY t.id HAVING count(e.micros) < 2",
    ),
    ("I1: an entry belongs to a transfer", "SELECT transfer_id FROM entries WHERE transfer_id NOT IN (SELECT id FROM transfers)"),
    (
        "I2: no balance was ever below zero",
        "SELECT DISTINCT name FROM (
           SELECT a.name, sum(e.micros) OVER (PARTITION BY e.account_id ORDER BY e.transfer_id) AS balance
           FROM entries e JOIN accounts a ON a.id = e.account_id WHERE a.name NOT IN ('world', 'platform:fees'))
         WHERE balance < 0",
    ),
    (
        "I3: a kept balance is the sum of its entries",
        "SELECT name FROM accounts a WHERE balance IS NOT NULL
         AND balance <> (SELECT coalesce(sum(micros), 0) FROM entries WHERE account_id = a.id)",
    ),
    (
        "I4: a priced request has one hold, a free one no transfer at all",
        "SELECT hex(id) FROM requests r WHERE (price > 0) <>
           (SELECT count(*) FROM transfers WHERE request_id = r.id AND kind = 'hold')
         OR price = 0 AND EXISTS (SELECT 1 FROM transfers WHERE request_id = r.id)",
    ),
    (
        "I4: a hold ends once when its request does, and not before",
        "SELECT hex(id) || ' ' || state FROM requests r WHERE price > 0 AND
           (state NOT IN ('accepted', 'running', 'awaiting_callback')) <>
           (SELECT count(*) FROM transfers WHERE request_id = r.id AND kind IN ('capture', 'release'))",
    ),
    (
        "I4: hold, capture and release move the price, no more and no less",
        "SELECT hex(r.id) || ' ' || t.kind FROM requests r JOIN transfers t ON t.request_id = r.id
         WHERE price <> (SELECT sum(micros) FROM entries WHERE transfer_id = t.id AND micros > 0)
         OR price <> (SELECT iif(t.kind = 'hold', micros, -micros) FROM entries e JOIN accounts a ON a.id = e.account_id
                      WHERE e.transfer_id = t.id AND a.name LIKE 'consumer:%:held')",
    ),
    (
        "I5: completed is captured unless its answer asked for nothing, everything else that ended is released, and cancelled is one of both",
        "SELECT hex(id) || ' ' || state FROM (SELECT r.id, r.state, r.price, r.captured AS r_captured,
           EXISTS (SELECT 1 FROM transfers WHERE request_id = r.id AND kind = 'capture') AS captured,
           EXISTS (SELECT 1 FROM transfers WHERE request_id = r.id AND kind = 'release') AS released FROM requests r)
         WHERE price > 0 AND CASE
           WHEN state = 'completed' THEN iif(r_captured = 0, captured OR NOT released, NOT captured OR released)
           WHEN state IN ('failed', 'expired') THEN captured OR NOT released
           WHEN state = 'cancelled' THEN captured = released
           ELSE captured OR released END",
    ),
    (
        "I5: the settlement that is shown is the one that happened",
        "SELECT hex(id) || ' ' || state || ' ' || settlement FROM requests r WHERE settlement <> CASE
           WHEN price = 0 THEN 'none'
           WHEN EXISTS (SELECT 1 FROM transfers WHERE request_id = r.id AND kind = 'capture') THEN 'captured'
           WHEN EXISTS (SELECT 1 FROM transfers WHERE request_id = r.id AND kind = 'release') THEN 'released'
           ELSE 'held' END",
    ),
    (
        "I7: of what is captured the platform has the fee and the owner the rest; what is not captured goes back",
        "SELECT hex(id) FROM (SELECT r.id, price, coalesce(captured, price) AS paid, coalesce(captured, price) * fee_bps / 10000 AS due,
           coalesce((SELECT micros FROM entries e JOIN accounts a ON a.id = e.account_id
                     WHERE e.transfer_id = t.id AND a.name = 'platform:fees'), 0) AS fees,
           coalesce((SELECT micros FROM entries e JOIN accounts a ON a.id = e.account_id
                     WHERE e.transfer_id = t.id AND a.name = 'owner:' || r.owner || ':earned'), 0) AS owners,
           coalesce((SELECT micros FROM entries e JOIN accounts a ON a.id = e.account_id
                     WHERE e.transfer_id = t.id AND a.name LIKE 'consumer:%:available'), 0) AS back
           FROM requests r JOIN transfers t ON t.request_id = r.id AND t.kind = 'capture')
         WHERE fees <> due OR owners <> paid - due OR back <> price - paid",
    ),
    (
        "I8: a request that ended and whose end is wanted as a webhook has one delivery of it, and before it has none",
        "SELECT hex(id) || ' ' || state FROM requests r WHERE
           (SELECT count(*) FROM deliveries WHERE request_id = r.id AND event = 'completed' AND copy = 0) <>
           (webhook_url IS NOT NULL AND events & 4 <> 0 AND state IN ('completed', 'failed', 'cancelled', 'expired'))",
    ),
    (
        "I8: a delivery has its request's consumer and its request's URL, and its payload or what could not become one",
        "SELECT hex(d.id) FROM deliveries d LEFT JOIN requests r ON r.id = d.request_id WHERE r.id IS NULL
           OR d.consumer_id <> r.consumer_id OR d.copy = 0 AND d.url <> r.webhook_url
           OR (SELECT count(*) FROM payloads WHERE delivery_id = coalesce(d.copy_of, d.id))
            + (SELECT count(*) FROM unmade WHERE delivery_id = d.id AND d.state = 'exhausted')
            + (SELECT count(*) FROM forgotten_payloads WHERE delivery_id = d.id AND d.state NOT IN ('pending', 'in_flight')
               AND NOT EXISTS (SELECT 1 FROM inputs WHERE request_id = r.id)) <> 1",
    ),
    (
        "a request that completed has its result, one that did not has its problem",
        "SELECT hex(id) || ' ' || state FROM requests r WHERE
           (state = 'completed' AND EXISTS (SELECT 1 FROM inputs WHERE request_id = r.id)) > EXISTS (SELECT 1 FROM results WHERE request_id = r.id) OR
           state IN ('failed', 'cancelled', 'expired') AND NOT EXISTS (SELECT 1 FROM problems WHERE request_id = r.id) OR
           state IN ('accepted', 'running', 'awaiting_callback') AND (EXISTS (SELECT 1 FROM results WHERE request_id = r.id) OR
                                                 EXISTS (SELECT 1 FROM problems WHERE request_id = r.id))",
    ),
    (
        "a request has its input until its contents are forgotten, and then nothing of them",
        "SELECT hex(id) FROM requests WHERE id NOT IN (SELECT request_id FROM inputs) AND (
           state IN ('accepted', 'running', 'awaiting_callback') OR id IN (SELECT request_id FROM results)
           OR id IN (SELECT request_id FROM deliveries JOIN payloads ON delivery_id = deliveries.id)
           OR id IN (SELECT request_id FROM runs WHERE lines IS NOT NULL)
           OR id IN (SELECT request_id FROM steps UNION SELECT request_id FROM journal UNION SELECT request_id FROM times
                     UNION SELECT request_id FROM tapes))",
    ),
    (
        "nothing is left of a request that was removed but its transfers, and those are even",
        "SELECT hex(request_id) FROM (SELECT request_id FROM inputs UNION SELECT request_id FROM originals UNION SELECT request_id FROM results
           UNION SELECT request_id FROM problems UNION SELECT request_id FROM runs UNION SELECT request_id FROM callbacks
           UNION SELECT request_id FROM deliveries UNION SELECT request_id FROM steps UNION SELECT request_id FROM journal
           UNION SELECT request_id FROM times UNION SELECT request_id FROM tapes) WHERE request_id NOT IN (SELECT id FROM requests)
         UNION ALL SELECT hex(delivery_id) FROM (SELECT delivery_id FROM payloads UNION SELECT delivery_id FROM unmade UNION SELECT delivery_id FROM attempts
           UNION SELECT delivery_id FROM forgotten_payloads UNION SELECT delivery_id FROM feed) WHERE delivery_id NOT IN (SELECT id FROM deliveries)
         UNION ALL SELECT hex(request_id) FROM transfers WHERE request_id IS NOT NULL AND request_id NOT IN (SELECT id FROM requests)
           GROUP BY request_id HAVING sum(kind = 'hold') <> 1 OR count(*) <> 2",
    ),
    ("an idempotency key names a request", "SELECT key FROM idempotency WHERE request_id NOT IN (SELECT id FROM requests)"),
    ("one intent is one request", "SELECT hex(request_id) FROM idempotency GROUP BY request_id HAVING count(*) > 1"),
];

/// The database of a data folder.
#[must_use]
pub fn database(data: &Utf8Path) -> Utf8PathBuf {
    data.join("ripost.sqlite3")
}

fn open(data: &Utf8Path) -> Result<Connection> {
    let path = database(data);
    Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).with_context(|| format!("opening {path}"))
}

/// How many rows a table has.
///
/// # Errors
/// There is no such database or table.
pub fn count(data: &Utf8Path, table: &str) -> Result<u64> {
    let count: i64 = open(data)?.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

/// Checks everything, at any moment: beside a running host, after a crash, after a stop.
///
/// # Errors
/// What does not hold, with the rows.
pub fn check(data: &Utf8Path) -> Result<()> {
    let mut connection = open(data)?;
    // One moment for all rules.
    let snapshot = connection.transaction()?;
    let whole: String = snapshot.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    ensure!(whole == "ok", "the database is damaged: {whole}");
    for (rule, sql) in RULES {
        let mut query = snapshot.prepare(sql).with_context(|| (*rule).to_owned())?;
        let broken: Vec<String> = query
            .query_map([], |row| {
                let value: rusqlite::types::Value = row.get(0)?;
                Ok(format!("{value:?}"))
            })?
            .take(10)
            .collect::<rusqlite::Result<_>>()?;
        ensure!(broken.is_empty(), "{rule}; broken by {broken:?}");
    }
    holds_are_those_of_open_requests(&snapshot)?;
    fees_follow_the_floor_rule(&snapshot)?;
    large_bodies_are_there(&snapshot, data)
}

/// I6, for each consumer.
fn holds_are_those_of_open_requests(connection: &Connection) -> Result<()> {
    let mut open = BTreeMap::new();
    let mut query = connection.prepare(
        "SELECT consumer_id, sum(price) FROM requests WHERE state IN ('accepted', 'running', 'awaiting_callback') AND price > 0 GROUP BY 1",
    )?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let id = ConsumerId::from_bytes(row.get(0)?);
        open.insert(format!("consumer:{id}:held"), row.get::<_, i64>(1)?);
    }
    let mut held = BTreeMap::new();
    let mut query =
        connection.prepare("SELECT name, balance FROM accounts WHERE name LIKE 'consumer:%:held' AND balance <> 0")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        held.insert(row.get::<_, String>(0)?, row.get::<_, i64>(1)?);
    }
    ensure!(open == held, "I6: what is held is the price of what is open; open {open:?}, held {held:?}");
    Ok(())
}

/// I7, for each price that was ever accepted.
fn fees_follow_the_floor_rule(connection: &Connection) -> Result<()> {
    let mut query = connection.prepare("SELECT DISTINCT price, fee FROM requests")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (price, fee): (i64, i64) = (row.get(0)?, row.get(1)?);
        ensure!(fee == price * FEE_BPS / 10_000, "I7: the fee of {price} is {fee}");
    }
    Ok(())
}

/// A result whose row says that it is a file has that file, whole.
fn large_bodies_are_there(connection: &Connection, data: &Utf8Path) -> Result<()> {
    let mut query = connection.prepare("SELECT request_id, bytes FROM results WHERE body IS NULL")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (id, bytes) = (RequestId::from_bytes(row.get(0)?).to_string(), row.get::<_, i64>(1)?);
        let path = data.join("results").join(&id[id.len() - 2..]).join(format!("{id}.result"));
        let found = std::fs::metadata(&path).with_context(|| format!("the result {path}"))?.len();
        ensure!(found == bytes.unsigned_abs(), "{path} has {found} bytes, its row says {bytes}");
    }
    Ok(())
}
