//! Re-checks the invariants on the rows, trusting none of the code that wrote them.

use super::{DATABASE_FILE, schema};
use crate::store::{OpenError, Violation};
use camino::{Utf8Path, Utf8PathBuf};
use rusqlite::Connection;
use std::fs::File;
use std::io;

/// Each query returns one line of text per row that breaks the rule.
const RULES: &[(&str, &str)] = &[
    (
        "I1",
        "SELECT 'the entries of transfer ' || transfer_id || ' sum to ' || sum(micros) FROM entries GROUP BY transfer_id HAVING sum(micros) <> 0 \
         UNION ALL SELECT 'transfer ' || id || ' has no entries' FROM transfers WHERE id NOT IN (SELECT transfer_id FROM entries) \
         UNION ALL SELECT 'an entry of transfer ' || transfer_id || ' has no transfer or no account' FROM entries \
         WHERE transfer_id NOT IN (SELECT id FROM transfers) OR account_id NOT IN (SELECT id FROM accounts)",
    ),
    (
        "I2",
        "SELECT 'account ' || name || ' stands at ' || sum(micros) FROM accounts JOIN entries ON account_id = accounts.id \
         WHERE balance IS NOT NULL GROUP BY accounts.id HAVING sum(micros) < 0",
    ),
    (
        "I3",
        "SELECT 'account ' || name || ' keeps ' || balance || ', its entries sum to ' || coalesce(sum(micros), 0) \
         FROM accounts LEFT JOIN entries ON account_id = accounts.id WHERE balance IS NOT NULL \
         GROUP BY accounts.id HAVING balance <> coalesce(sum(micros), 0)",
    ),
    (
        "I4",
        "SELECT 'request ' || hex(id) || ' (' || state || ') has ' || holds || ' holds and ' || ends || ' ends' FROM (\
           SELECT id, state, price, (SELECT count(*) FROM transfers WHERE request_id = requests.id AND kind = 'hold') AS holds, \
           (SELECT count(*) FROM transfers WHERE request_id = requests.id AND kind IN ('capture', 'release')) AS ends FROM requests) \
         WHERE holds <> (price > 0) OR ends <> (price > 0 AND state IN ('completed', 'failed', 'cancelled', 'expired')) \
         UNION ALL SELECT 'request ' || hex(request_id) || ', no longer kept, has ' || sum(kind = 'hold') || ' holds and ' || sum(kind <> 'hold') || ' ends' \
         FROM transfers WHERE request_id IS NOT NULL AND request_id NOT IN (SELECT id FROM requests) \
         GROUP BY request_id HAVING sum(kind = 'hold') <> 1 OR sum(kind <> 'hold') <> 1",
    ),
    (
        "I5",
        "SELECT 'request ' || hex(id) || ' is ' || state || ' and ' || settlement FROM requests WHERE settlement <> CASE \
           WHEN price = 0 THEN 'none' \
           WHEN state = 'completed' THEN iif(captured = 0, 'released', 'captured') \
           WHEN state IN ('failed', 'expired') THEN 'released' \
           WHEN state = 'cancelled' THEN (SELECT kind || 'd' FROM transfers WHERE request_id = requests.id AND kind <> 'hold') \
           ELSE 'held' END \
         UNION ALL SELECT 'request ' || hex(requests.id) || ' is ' || state || ' and has a ' || kind FROM requests JOIN transfers ON request_id = requests.id \
         WHERE (kind = 'capture' AND state NOT IN ('completed', 'cancelled')) OR (kind = 'release' AND state NOT IN ('completed', 'failed', 'cancelled', 'expired'))",
    ),
    (
        "I6",
        "SELECT 'consumer ' || hex(c.id) || ' has ' || c.held || ' held, its open requests cost ' || c.open FROM (\
           SELECT consumers.id AS id, \
             (SELECT coalesce(sum(price), 0) FROM requests WHERE consumer_id = consumers.id \
               AND state IN ('accepted', 'running', 'awaiting_callback')) AS open, \
             (SELECT coalesce(sum(CASE kind WHEN 'hold' THEN price ELSE -price END), 0) FROM transfers \
               JOIN requests ON requests.id = request_id WHERE consumer_id = consumers.id) AS held FROM consumers) c \
         WHERE c.held <> c.open",
    ),
    (
        "I7",
        // floor(paid × bps / 10 000), taken apart because the product can be more than an integer of SQLite's holds.
        "SELECT 'capture ' || c.id || ' of request ' || hex(c.request_id) || ' does not split what it captures into fee and owner''s part' FROM (\
           SELECT transfers.id, request_id, price, fee, fee_bps, coalesce(captured, price) AS paid, \
             (SELECT coalesce(sum(micros), 0) FROM entries JOIN accounts ON accounts.id = account_id \
               WHERE transfer_id = transfers.id AND name = 'platform:fees') AS fees, \
             (SELECT coalesce(sum(micros), 0) FROM entries JOIN accounts ON accounts.id = account_id \
               WHERE transfer_id = transfers.id AND name LIKE 'owner:%') AS owners, \
             (SELECT coalesce(sum(micros), 0) FROM entries JOIN accounts ON accounts.id = account_id \
               WHERE transfer_id = transfers.id AND name LIKE 'consumer:%:held') AS held \
           FROM transfers JOIN requests ON requests.id = request_id WHERE kind = 'capture') c \
         WHERE fees + owners <> paid OR paid = 0 OR held <> -price OR (paid = price AND fees <> fee) \
           OR fees <> CASE WHEN fee_bps IS NULL THEN fees ELSE paid / 10000 * fee_bps + paid % 10000 * fee_bps / 10000 END \
         UNION ALL SELECT 'request ' || hex(id) || ' is ' || state || ' and says that ' || captured || ' were captured' FROM requests \
         WHERE captured IS NOT NULL AND state <> 'completed'",
    ),
    (
        "I8",
        "SELECT 'request ' || hex(id) || ' (' || state || ') has ' || rows || ' deliveries' FROM (\
           SELECT id, state, webhook_url IS NOT NULL AND events & 4 AS wanted, (SELECT count(*) FROM deliveries WHERE request_id = requests.id AND event = 'completed' AND copy = 0) AS rows FROM requests) \
         WHERE rows <> (wanted AND state IN ('completed', 'failed', 'cancelled', 'expired')) \
         UNION ALL SELECT 'delivery ' || hex(id) || ' has no payload' FROM deliveries \
         WHERE coalesce(copy_of, id) NOT IN (SELECT delivery_id FROM payloads) AND id NOT IN (SELECT delivery_id FROM unmade) \
         AND id NOT IN (SELECT delivery_id FROM forgotten_payloads) \
         UNION ALL SELECT 'delivery ' || hex(id) || ' is ' || state || ' and its payload is forgotten' FROM deliveries \
         WHERE id IN (SELECT delivery_id FROM forgotten_payloads) AND (state IN ('pending', 'in_flight') \
         OR id IN (SELECT delivery_id FROM payloads) OR id IN (SELECT delivery_id FROM unmade)) \
         UNION ALL SELECT 'delivery ' || hex(id) || ' is ' || state || ' and its payload is still to be made' FROM deliveries \
         WHERE id IN (SELECT delivery_id FROM unmade) AND (state <> 'exhausted' OR id IN (SELECT delivery_id FROM payloads)) \
         UNION ALL SELECT 'delivery ' || hex(id) || ' is pending and its endpoint is not queued' FROM deliveries \
         WHERE state = 'pending' AND lane NOT IN (SELECT id FROM lanes) \
         UNION ALL SELECT 'delivery ' || hex(id) || ' is ' || state || ' and not in the feed' FROM deliveries \
         WHERE state IN ('pending', 'exhausted', 'abandoned') AND id NOT IN (SELECT delivery_id FROM feed) \
         AND id NOT IN (SELECT delivery_id FROM forgotten_payloads) \
         UNION ALL SELECT 'delivery ' || hex(id) || ' is delivered and in the feed' FROM deliveries \
         WHERE state = 'delivered' AND id IN (SELECT delivery_id FROM feed) \
         UNION ALL SELECT 'request ' || hex(id) || ' is completed and has no result' FROM requests \
         WHERE state = 'completed' AND id IN (SELECT request_id FROM inputs) AND id NOT IN (SELECT request_id FROM results) \
         UNION ALL SELECT 'request ' || hex(id) || ' is ' || state || ' and has no input' FROM requests \
         WHERE state IN ('accepted', 'running', 'awaiting_callback') AND id NOT IN (SELECT request_id FROM inputs)",
    ),
    (
        "I10",
        "SELECT 'an idempotency key of ' || owner || '/' || slug || ' names request ' || hex(request_id) || ', which there is not' FROM idempotency \
         WHERE request_id NOT IN (SELECT id FROM requests) \
         UNION ALL SELECT 'request ' || hex(request_id) || ' has ' || count(*) || ' idempotency keys' FROM idempotency \
         GROUP BY request_id HAVING count(*) > 1",
    ),
];

/// A data folder's books, re-checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// What was checked.
    pub books: Books,
    /// What does not hold; empty: all of it does.
    pub violations: Vec<Violation>,
}

/// What there is to check. Sums are of entries, in micro-USDC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Books {
    /// Requests that are kept.
    pub requests: u64,
    /// Of those, the ones that have not ended.
    pub open: u64,
    /// Accounts of consumers, owners, the platform and the outside.
    pub accounts: u64,
    /// Transfers.
    pub transfers: u64,
    /// Their entries.
    pub entries: u64,
    /// What consumers can spend.
    pub available: i64,
    /// What is held for requests that have not ended.
    pub held: i64,
    /// What owners have earned.
    pub earned: i64,
    /// The platform's share.
    pub fees: i64,
    /// What was paid in, less what was paid out.
    pub paid_in: i64,
}

/// The books cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// There is no database, or this user may not read it.
    #[error("reading {path}")]
    Unreadable {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is damaged, or of a newer version.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its rules are those of an older version.
    #[error(
        "the data folder {path} is of an older version (schema {found}, this program knows {known}): audit it with that version, or start this one on it once, which brings it up to date"
    )]
    Older {
        /// The folder.
        path: Utf8PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The database could not answer.
    #[error("reading the database: {0}")]
    Sql(String),
}

/// Re-checks the invariants on a data folder that no process is using; see [`crate::Store::audit`].
///
/// # Errors
/// [`AuditError`].
pub fn audit_folder(folder: &Utf8Path) -> Result<Audit, AuditError> {
    let path = folder.join(DATABASE_FILE);
    // SQLite does not say why it cannot open a file.
    File::open(&path).map_err(|source| AuditError::Unreadable { path: path.clone(), source })?;
    let connection = schema::open_reader(&path)?;
    let (found, known) = (schema::version(&connection, &path)?, schema::known());
    if found < known {
        return Err(AuditError::Older { path: folder.to_owned(), found, known });
    }
    let failed = |error: rusqlite::Error| AuditError::Sql(error.to_string());
    let violations = audit(&connection).map_err(failed)?;
    Ok(Audit { books: books(&connection).map_err(failed)?, violations })
}

fn books(connection: &Connection) -> rusqlite::Result<Books> {
    let count = |table: &str| -> rusqlite::Result<u64> {
        let number: i64 = connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
        Ok(number.cast_unsigned())
    };
    let sum = |names: &str| -> rusqlite::Result<i64> {
        let sql =
            "SELECT coalesce(sum(micros), 0) FROM entries JOIN accounts ON accounts.id = account_id WHERE name LIKE ?1";
        connection.prepare_cached(sql)?.query_row([names], |row| row.get(0))
    };
    Ok(Books {
        requests: count("requests")?,
        open: count("requests WHERE state IN ('accepted', 'running', 'awaiting_callback')")?,
        accounts: count("accounts")?,
        transfers: count("transfers")?,
        entries: count("entries")?,
        available: sum("consumer:%:available")?,
        held: sum("consumer:%:held")?,
        earned: sum("owner:%:earned")?,
        fees: sum("platform:fees")?,
        paid_in: -sum("world")?,
    })
}

/// Lines of one rule; more say nothing new.
const LINES_MAX: usize = 20;

pub(super) fn audit(connection: &Connection) -> rusqlite::Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for (invariant, sql) in RULES {
        let mut query = connection.prepare(sql)?;
        let lines = query.query_map([], |row| row.get::<_, String>(0))?;
        for line in lines.take(LINES_MAX) {
            violations.push(Violation { invariant, detail: line? });
        }
    }
    Ok(violations)
}
