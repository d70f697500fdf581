//! Opening a database file, and bringing its tables to this version.

use crate::store::OpenError;
use camino::Utf8Path;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs::File;
use std::io::ErrorKind;
use std::time::Duration;

/// One script a version; `user_version` counts those that have run.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_delivery.sql"),
    include_str!("migrations/0003_sandbox.sql"),
    include_str!("migrations/0004_plugins.sql"),
    include_str!("migrations/0005_callbacks.sql"),
    include_str!("migrations/0006_listing.sql"),
    include_str!("migrations/0007_steps.sql"),
    include_str!("migrations/0008_limits.sql"),
    include_str!("migrations/0009_retention.sql"),
    include_str!("migrations/0010_unsuccessful.sql"),
    include_str!("migrations/0011_even_deadlines.sql"),
    include_str!("migrations/0012_marks.sql"),
    include_str!("migrations/0013_capture.sql"),
    include_str!("migrations/0014_balances_and_keys.sql"),
    include_str!("migrations/0015_redelivered.sql"),
];

/// For others that look into the file while the gateway runs.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements that are kept prepared.
const STATEMENTS_MAX: usize = 128;
/// Pages of the log after which the writer itself moves them into the file, if the checkpoint thread did not.
const CHECKPOINT_PAGES: u32 = 16_384;
/// Page cache of the writer and of each reader, in KiB.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
const READER_CACHE_KIB: i64 = 2 * 1024;
/// Where sorts and statement journals spill to: never into a temporary folder, which a walled gateway cannot write.
const TEMPORARY: &str = "MEMORY";

fn failed(path: &Utf8Path, error: &rusqlite::Error) -> OpenError {
    let (path, message) = (path.to_string(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OpenError::DamagedDatabase { path, message },
        _ => OpenError::Database { path, message },
    }
}

/// The same of a start, which says in the system's words which file it cannot write: SQLite names neither. A start ends
/// with that, so that it does no harm that closing a database's file gives up the locks of all connections to it.
fn failed_to_write(path: &Utf8Path, error: &rusqlite::Error) -> OpenError {
    let is_about_files = matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly));
    let files = ["", "-wal", "-shm"].map(|end| format!("{path}{end}"));
    let mut refused = files.into_iter().filter(|_| is_about_files).filter_map(|path| {
        let source = File::options().read(true).write(true).open(&path).err()?;
        (source.kind() != ErrorKind::NotFound).then_some(OpenError::NotWritable { path, source })
    });
    refused.next().unwrap_or_else(|| failed(path, error))
}

/// The version that this program reads and writes.
pub(super) fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// The version of a database, which is not newer than this program.
pub(super) fn version(connection: &Connection, path: &Utf8Path) -> Result<i64, OpenError> {
    not_newer(version_of(connection).map_err(|error| failed(path, &error))?, path)
}

fn version_of(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn not_newer(found: i64, path: &Utf8Path) -> Result<i64, OpenError> {
    if found > known() {
        let path = path.parent().unwrap_or(path).to_string();
        return Err(OpenError::Newer { path, found, known: known() });
    }
    Ok(found)
}

/// The writer's connection, with all migrations run. Data of a newer version is refused before anything is written.
pub(super) fn open_writer(path: &Utf8Path) -> Result<Connection, OpenError> {
    let failed = |error: rusqlite::Error| failed_to_write(path, &error);
    let mut connection = Connection::open(path).map_err(failed)?;
    let found = not_newer(version_of(&connection).map_err(failed)?, path)?;
    if found == 0 {
        // Before the first table: it cannot be changed afterwards.
        connection.pragma_update(None, "page_size", 4096).map_err(failed)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES).map_err(failed)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB).map_err(failed)?;
    connection.pragma_update(None, "temp_store", TEMPORARY).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    for (version, script) in (1..).zip(MIGRATIONS).skip(usize::try_from(found).unwrap_or(0)) {
        let migration = connection.transaction().map_err(failed)?;
        migration.execute_batch(script).map_err(failed)?;
        migration.pragma_update(None, "user_version", version).map_err(failed)?;
        migration.commit().map_err(failed)?;
    }
    Ok(connection)
}

/// A connection that cannot write.
pub(super) fn open_reader(path: &Utf8Path) -> Result<Connection, OpenError> {
    let failed = |error: rusqlite::Error| failed(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.pragma_update(None, "temp_store", TEMPORARY).map_err(failed)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// The connection of the checkpoint thread: it moves pages and changes no row.
pub(super) fn open_checkpointer(path: &Utf8Path) -> Result<Connection, OpenError> {
    let failed = |error: rusqlite::Error| failed(path, &error);
    let connection = Connection::open(path).map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB).map_err(failed)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{journal, kv, limits, listing, pinned, reads, requests, runs};
    use camino::Utf8PathBuf;

    fn path(folder: &tempfile::TempDir) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(folder.path().join("ripost.sqlite3")).unwrap()
    }

    /// The lines of a statement's plan.
    fn plan(connection: &Connection, sql: &str) -> Vec<String> {
        let mut explained = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let values = vec![rusqlite::types::Value::Null; explained.parameter_count()];
        let lines = explained.query_map(rusqlite::params_from_iter(values), |row| row.get("detail")).unwrap();
        lines.collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn no_query_of_the_queue_or_of_the_keys_that_owners_keep_reads_more_than_it_gives() {
        let folder = tempfile::tempdir().unwrap();
        let connection = open_writer(&path(&folder)).unwrap();
        let (due, expired) = (runs::due_sql(), requests::expired_sql());
        // Those that go through in order need no sorting either.
        let ordered = [
            runs::NEXT_OWNER,
            &due,
            listing::OF_CONSUMER,
            listing::UNSUCCESSFUL,
            kv::LIST_FROM,
            kv::LIST_AFTER,
            kv::EXPIRED,
            kv::NEXT_EXPIRING_OWNER,
        ];
        let others = [
            requests::RECOVER,
            requests::COUNT_ALL,
            reads::REVISIONS_IN_USE,
            reads::COUNT_ACCEPTED,
            reads::COUNT_RUNNING,
            reads::COUNT_AWAITING,
            &expired,
            kv::GET,
            kv::FIND,
            pinned::OF_API,
            limits::UNFINISHED,
            limits::ACCEPTED,
            limits::ACCEPTED_OF_API,
            journal::STEPS,
            journal::CALLS,
            journal::TIMES,
            journal::RECEIPTS,
            journal::TAPE,
            listing::UNFINISHED,
            listing::COUNT_UNSUCCESSFUL,
        ];
        for sql in ordered.iter().chain(&others) {
            for line in plan(&connection, sql) {
                // What a query inside has bounded may be gone through whole.
                assert!(!line.contains("SCAN") || line.starts_with("SCAN (subquery"), "{sql}: {line}");
                assert!(!ordered.contains(sql) || !line.contains("TEMP B-TREE"), "{sql}: {line}");
            }
        }
        for sql in [runs::NEXT_OWNER, &due, requests::RECOVER, reads::REVISIONS_IN_USE, reads::COUNT_ACCEPTED] {
            let lines = plan(&connection, sql).join("\n");
            assert!(lines.contains("requests_unfinished (state="), "{sql}: {lines}");
        }
        // Straight to one consumer's time, and backwards from there.
        let page = plan(&connection, listing::OF_CONSUMER).join("\n");
        assert!(page.contains("requests_consumer (consumer_id=? AND id>? AND id<?)"), "{page}");
        // To one owner's failures as well, and all that is counted of them is in the index.
        let page = plan(&connection, listing::UNSUCCESSFUL).join("\n");
        assert!(page.contains("problems_owner (owner=? AND state=? AND request_id>? AND request_id<?)"), "{page}");
        let count = plan(&connection, listing::COUNT_UNSUCCESSFUL).join("\n");
        assert!(count.contains("COVERING INDEX problems_owner (owner=? AND state=? AND request_id>?)"), "{count}");
        // Back from where the page before ended, with nothing sorted.
        assert_eq!(plan(&connection, listing::ALL), ["SEARCH requests USING PRIMARY KEY (id>? AND id<?)"]);
        // What is counted of a day is in the index.
        let day = plan(&connection, limits::ACCEPTED).join("\n");
        assert!(day.contains("COVERING INDEX requests_consumer (consumer_id=? AND id>? AND id<?)"), "{day}");
        // One seek: behind an owner, and straight to what is due of one.
        assert!(plan(&connection, runs::NEXT_OWNER)[0].contains("(state=? AND owner>?)"));
        assert!(plan(&connection, &due)[0].contains("(state=? AND owner=? AND run_at<?)"));
    }

    #[test]
    fn a_claim_costs_the_same_whatever_the_backlog_is() {
        let folder = tempfile::tempdir().unwrap();
        let connection = open_writer(&path(&folder)).unwrap();
        let fill = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 20003)
            INSERT INTO requests (id, consumer_id, owner, slug, digest, state, settlement, attempt, epoch, run_at, created_at, expires_at, deadline, price, fee)
            SELECT CAST(i AS BLOB), x'', CASE WHEN i > 20000 THEN 'zulu' ELSE 'heavy' END, 'a', x'', 'accepted', 'none', 0, 0, i, i, 99999, 99999, 0, 0 FROM n";
        connection.execute_batch(fill).unwrap();
        connection
            .execute_batch("INSERT INTO inputs SELECT id, 'POST', '', NULL, x'', x'', NULL FROM requests")
            .unwrap();
        let steps = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
            let mut statement = connection.prepare(sql).unwrap();
            let rows =
                statement.query_map(values, |row| row.get::<_, rusqlite::types::Value>("owner")).unwrap().count();
            (rows, statement.get_status(rusqlite::StatementStatus::VmStep))
        };
        for (sql, values) in [
            (runs::NEXT_OWNER, &[&"" as &dyn rusqlite::ToSql][..]),
            (runs::NEXT_OWNER, &[&"heavy"]),
            (&runs::due_sql(), &[&"heavy", &30_000, &1]),
        ] {
            let (rows, steps) = steps(sql, values);
            assert!(rows == 1 && steps < 200, "{steps} steps for {rows} rows: {sql}");
        }
        assert!(
            steps("SELECT owner FROM requests WHERE attempt = 0 AND owner = 'zulu'", &[]).1 > 20_000,
            "a scan shows"
        );
    }

    #[test]
    fn the_logs_of_earlier_runs_are_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder);
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(MIGRATIONS[0]).unwrap();
        connection.execute_batch(MIGRATIONS[1]).unwrap();
        connection.pragma_update(None, "user_version", 2).unwrap();
        connection.execute("INSERT INTO run_logs VALUES (x'01', 2, x'7b7d0a')", []).unwrap();
        drop(connection);
        let connection = open_writer(&path).unwrap();
        let row = connection
            .query_row("SELECT attempt, outcome, log_bytes, lines FROM runs WHERE request_id = x'01'", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .unwrap();
        assert_eq!(row, (2, "unknown".to_owned(), 3, b"{}\n".to_vec()));
    }

    #[test]
    fn ledger_and_keys_of_earlier_versions_are_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder);
        let connection = Connection::open(&path).unwrap();
        for script in &MIGRATIONS[..9] {
            connection.execute_batch(script).unwrap();
        }
        connection.pragma_update(None, "user_version", 9).unwrap();
        connection
            .execute_batch(
                "INSERT INTO consumers (id, name, sealed_secret, created_at) VALUES (x'01', 'acme', x'00', 77);
                 INSERT INTO keys VALUES (x'aa', x'01', 1);
                 INSERT INTO transfers VALUES (1, 'credit', NULL, 5), (4, 'hold', x'02', 6), (9, 'capture', x'02', 7)",
            )
            .unwrap();
        drop(connection);
        let connection = open_writer(&path).unwrap();
        let transfers: Vec<String> = connection
            .prepare("SELECT id || ' ' || kind || ' ' || coalesce(nullif(hex(request_id), ''), '-') || ' ' || created_at || ' ' || coalesce(reference, '-') FROM transfers ORDER BY id")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        assert_eq!(transfers, ["1 credit - 5 -", "4 hold 02 6 -", "9 capture 02 7 -"]);
        for sql in ["UPDATE transfers SET kind = 'hold'", "DELETE FROM transfers"] {
            let error = connection.execute_batch(sql).unwrap_err().to_string();
            assert!(error.contains("append-only"), "{sql}: {error}");
        }
        let twice = connection.execute_batch("INSERT INTO transfers VALUES (NULL, 'capture', x'02', 8, NULL)");
        assert!(twice.is_err(), "a hold is captured once");
        let sql = "SELECT name || ' ' || coalesce(hint, '-') || ' ' || public || ' ' || created_at || ' ' || coalesce(expires_at, '-') FROM keys";
        let key: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(key, "key-1 - 1 77 -");
    }
}
