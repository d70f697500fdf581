//! Steps and calls of runs. Written by the run that has its request and by no other, in one transaction for all that a
//! run has to write down at the time.

use super::rows;
use super::writer::Work;
use crate::store::{
    Answer, JournalCall, JournalCallState, JournalEntries, JournalKind, JournalStep, JournalTimes, JournalWrite,
    StepReceipt, WriteError,
};
use bytes::Bytes;
use ripost_domain::id::RequestId;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

pub(super) const STEPS: &str = "SELECT name, input, value FROM steps WHERE request_id = ?1 ORDER BY rowid";
pub(super) const CALLS: &str =
    "SELECT scope, input, digest, nth, state, status, headers, body FROM journal WHERE request_id = ?1 ORDER BY rowid";
pub(super) const TIMES: &str =
    "SELECT scope, first, millis FROM times WHERE request_id = ?1 ORDER BY request_id, scope, first";
pub(super) const RECEIPTS: &str =
    "SELECT name, length(value) AS bytes, attempt, committed_at FROM steps WHERE request_id = ?1 ORDER BY rowid";
pub(super) const TAPE: &str = "SELECT tape FROM tapes WHERE request_id = ?1";

/// Before and after the commit.
pub(super) const fn points(kind: JournalKind) -> (&'static str, &'static str) {
    match kind {
        JournalKind::Intent => ("journal.before_intent_commit", "journal.after_intent_commit"),
        JournalKind::Done => ("journal.before_done_commit", "journal.after_done_commit"),
        JournalKind::Commit => ("step.before_commit", "step.after_commit"),
    }
}

pub(super) fn write(work: &mut Work<'_>, write: &JournalWrite) -> rusqlite::Result<Result<(), WriteError>> {
    let connection = work.connection;
    let JournalEntries { steps, calls, times } = &write.entries;
    if !is_current(connection, write)? {
        return Ok(Err(WriteError::Fenced));
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO steps (request_id, name, input, value, attempt, committed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for JournalStep { name, input, value } in steps {
        let at = write.at.as_millis();
        insert.execute(params![write.id.as_bytes(), name, &input[..], &value[..], write.attempt, at])?;
    }
    for call in calls {
        insert_call(connection, write.id, call)?;
    }
    for chunk in times {
        insert_times(connection, write.id, chunk)?;
    }
    Ok(Ok(()))
}

/// Whether the run that writes still has its request. A step binds the request to the revision that committed it: the
/// next run, which goes on behind the step, must be of the same code.
fn is_current(connection: &Connection, write: &JournalWrite) -> rusqlite::Result<bool> {
    let JournalWrite { id, epoch, digest, .. } = write;
    if write.entries.steps.is_empty() {
        return connection
            .prepare_cached("SELECT 1 FROM requests WHERE id = ?1 AND epoch = ?2 AND state = 'running'")?
            .exists(params![id.as_bytes(), epoch]);
    }
    let bound = connection
        .prepare_cached("UPDATE requests SET digest = ?3 WHERE id = ?1 AND epoch = ?2 AND state = 'running'")?
        .execute(params![id.as_bytes(), epoch, digest.as_bytes()])?;
    Ok(bound == 1)
}

fn insert_call(connection: &Connection, id: RequestId, call: &JournalCall) -> rusqlite::Result<()> {
    let JournalCall { scope, input, digest, nth, state } = call;
    let (state, status, headers, body) = match state {
        JournalCallState::Intent => ("intent", None, None, None),
        JournalCallState::Failed => ("failed", None, None, None),
        JournalCallState::Refused(text) => ("refused", None, None, Some(text.as_bytes())),
        JournalCallState::Done(Answer { status, headers, body }) => {
            ("done", Some(*status), Some(rows::write_headers(headers)), Some(&body[..]))
        }
    };
    connection
        .prepare_cached(
            "INSERT INTO journal (request_id, scope, digest, nth, input, state, status, headers, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
             ON CONFLICT (request_id, scope, digest, nth) DO UPDATE SET input = ?5, state = ?6, status = ?7, headers = ?8, body = ?9",
        )?
        .execute(params![
            id.as_bytes(),
            scope,
            &digest[..],
            nth,
            input.as_ref().map(|input| &input[..]),
            state,
            status,
            headers,
            body
        ])?;
    Ok(())
}

fn insert_times(connection: &Connection, id: RequestId, chunk: &JournalTimes) -> rusqlite::Result<()> {
    let JournalTimes { scope, first, millis } = chunk;
    let millis: Vec<u8> = millis.iter().flat_map(|millis| millis.to_be_bytes()).collect();
    connection
        .prepare_cached("INSERT OR REPLACE INTO times (request_id, scope, first, millis) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![id.as_bytes(), scope, first, millis])?;
    Ok(())
}

pub(super) fn insert_tape(connection: &Connection, id: RequestId, tape: &Bytes) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO tapes (request_id, tape) VALUES (?1, ?2)")?
        .execute(params![id.as_bytes(), &tape[..]])?;
    Ok(())
}

/// All that the runs before have left.
pub(super) fn of(connection: &Connection, id: RequestId) -> rusqlite::Result<JournalEntries> {
    let id = id.as_bytes();
    let steps = connection
        .prepare_cached(STEPS)?
        .query_map([id], |row| {
            Ok(JournalStep { name: row.get("name")?, input: row.get("input")?, value: rows::bytes(row, "value")? })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let calls = connection.prepare_cached(CALLS)?.query_map([id], call)?.collect::<rusqlite::Result<_>>()?;
    let times = connection
        .prepare_cached(TIMES)?
        .query_map([id], |row| {
            let millis: Vec<u8> = row.get("millis")?;
            let millis = millis.as_chunks().0.iter().map(|bytes| u64::from_be_bytes(*bytes)).collect();
            Ok(JournalTimes { scope: row.get("scope")?, first: row.get("first")?, millis })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(JournalEntries { steps, calls, times })
}

fn call(row: &Row<'_>) -> rusqlite::Result<JournalCall> {
    let body = || row.get::<_, Option<Vec<u8>>>("body").map(Option::unwrap_or_default);
    let state: String = row.get("state")?;
    let state = match state.as_str() {
        "done" => {
            let (status, headers) = (row.get("status")?, rows::some_headers(row, "headers")?);
            JournalCallState::Done(Answer { status, headers, body: body()?.into() })
        }
        "refused" => JournalCallState::Refused(String::from_utf8_lossy(&body()?).into_owned()),
        "failed" => JournalCallState::Failed,
        // What is not known may have been sent.
        _ => JournalCallState::Intent,
    };
    let (scope, input, digest, nth) = (row.get("scope")?, row.get("input")?, row.get("digest")?, row.get("nth")?);
    Ok(JournalCall { scope, input, digest, nth, state })
}

/// In the order of their commits.
pub(super) fn receipts(connection: &Connection, id: RequestId) -> rusqlite::Result<Vec<StepReceipt>> {
    connection
        .prepare_cached(RECEIPTS)?
        .query_map([id.as_bytes()], |row| {
            let bytes: i64 = row.get("bytes")?;
            Ok(StepReceipt {
                name: row.get("name")?,
                bytes: u64::try_from(bytes).unwrap_or(0),
                attempt: row.get("attempt")?,
                committed_at: rows::timestamp(row, "committed_at")?,
            })
        })?
        .collect()
}

pub(super) fn tape(connection: &Connection, id: RequestId) -> rusqlite::Result<Option<Bytes>> {
    connection.prepare_cached(TAPE)?.query_row([id.as_bytes()], |row| rows::bytes(row, "tape")).optional()
}

/// Takes away all that runs of a request have left, with the contents of the request.
pub(super) fn erase(connection: &Connection, id: RequestId) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM steps WHERE request_id = ?1",
        "DELETE FROM journal WHERE request_id = ?1",
        "DELETE FROM times WHERE request_id = ?1",
        "DELETE FROM tapes WHERE request_id = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([id.as_bytes()])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema;
    use camino::Utf8PathBuf;

    #[test]
    fn what_runs_have_left_goes_with_its_request_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().join("ripost.sqlite3")).unwrap();
        let connection = schema::open_writer(&path).unwrap();
        let (one, two) = (RequestId::from_bytes([1; 16]), RequestId::from_bytes([2; 16]));
        for id in [one, two] {
            let insert = "INSERT INTO steps VALUES (?1, 'a', x'00', x'00', 1, 1)";
            connection.execute(insert, [id.as_bytes()]).unwrap();
            let call = JournalCall {
                scope: "a".to_owned(),
                input: None,
                digest: [3; 32],
                nth: 0,
                state: JournalCallState::Failed,
            };
            insert_call(&connection, id, &call).unwrap();
            insert_times(&connection, id, &JournalTimes { scope: String::new(), first: 0, millis: vec![7] }).unwrap();
            insert_tape(&connection, id, &Bytes::from_static(b"{}")).unwrap();
        }
        erase(&connection, one).unwrap();
        let count = |table: &str, id: RequestId| -> i64 {
            let sql = format!("SELECT count(*) FROM {table} WHERE request_id = ?1");
            connection.query_row(&sql, [id.as_bytes()], |row| row.get(0)).unwrap()
        };
        for table in ["steps", "journal", "times", "tapes"] {
            assert_eq!((count(table, one), count(table, two)), (0, 1), "{table}");
        }
    }
}
