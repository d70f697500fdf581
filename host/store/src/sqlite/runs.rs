//! Claiming runs, owner by owner, and what each run has used. The cost of a claim is that of the rows it takes and a
//! seek for each owner with something that waits, however long anybody's backlog is.

use super::requests::{CLAIMED_COLUMNS, claimed};
use super::rows;
use super::writer::Work;
use crate::store::{ClaimedRun, RunClaim, RunReceipt};
use ripost_domain::api::Name;
use ripost_domain::id::RequestId;
use ripost_domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::collections::HashSet;

/// The next owner with something that waits, and when the first of it is due. The states are spelled so that the
/// partial index serves it.
pub(super) const NEXT_OWNER: &str = "SELECT owner, run_at FROM requests INDEXED BY requests_unfinished \
    WHERE state IN ('accepted', 'running', 'awaiting_callback') AND state = 'accepted' AND owner > ?1 ORDER BY owner, run_at LIMIT 1";

/// What is due of one owner, oldest first.
pub(super) fn due_sql() -> String {
    format!(
        "SELECT {CLAIMED_COLUMNS} FROM requests INDEXED BY requests_unfinished JOIN inputs ON inputs.request_id = requests.id \
         WHERE state IN ('accepted', 'running', 'awaiting_callback') AND state = 'accepted' AND owner = ?1 AND run_at <= ?2 AND deadline > ?2 \
         ORDER BY run_at LIMIT ?3"
    )
}

/// What a claim has so far.
#[derive(Debug, Default)]
pub(super) struct Claimed {
    pub(super) runs: Vec<ClaimedRun>,
    /// Whose turn was the last: the next claim begins behind it.
    pub(super) served: Option<Name>,
    bytes: usize,
    /// No more fits.
    full: bool,
}

/// An owner with something due.
struct Turn {
    owner: Name,
    taken: u32,
}

/// Who has something due gets an equal share; what some leave of theirs goes to the others.
pub(super) fn claim(work: &mut Work<'_>, asked: &RunClaim, after: Option<&Name>) -> rusqlite::Result<Claimed> {
    let connection = work.connection;
    let mut claimed = Claimed::default();
    let mut turns = due_owners(connection, asked, after.map_or("", Name::as_str))?;
    let (mut left, mut round) = (asked.limit, 1);
    while !turns.is_empty() && left > 0 {
        let share = (left / u32::try_from(turns.len()).unwrap_or(u32::MAX)).max(1);
        let mut hungry = Vec::new();
        for mut turn in turns {
            let wanted = share.min(left).min(asked.per_owner_max - turn.taken);
            let taken = take(connection, asked, &turn.owner, wanted, &mut claimed)?;
            left -= taken;
            turn.taken += taken;
            if round == 1 && taken > 0 {
                claimed.served = Some(turn.owner.clone());
            }
            if claimed.full || left == 0 {
                return Ok(claimed);
            }
            if taken == wanted && turn.taken < asked.per_owner_max {
                hungry.push(turn);
            }
        }
        turns = hungry;
        round += 1;
    }
    Ok(claimed)
}

/// Goes from owner to owner, beginning behind one and ending with it.
fn each_owner(
    connection: &Connection,
    full: &[Name],
    after: &str,
    mut visit: impl FnMut(Name, Timestamp) -> Go,
) -> rusqlite::Result<()> {
    let full: HashSet<&str> = full.iter().map(Name::as_str).collect();
    let mut next = connection.prepare_cached(NEXT_OWNER)?;
    let (mut from, mut wrapped) = (after.to_owned(), after.is_empty());
    loop {
        let found = next
            .query_row([&from], |row| Ok((rows::name(row, "owner")?, rows::timestamp(row, "run_at")?)))
            .optional()?
            .filter(|(owner, _)| !wrapped || after.is_empty() || owner.as_str() <= after);
        let Some((owner, run_at)) = found else {
            if wrapped {
                return Ok(());
            }
            (from, wrapped) = (String::new(), true);
            continue;
        };
        owner.as_str().clone_into(&mut from);
        if !full.contains(owner.as_str()) && matches!(visit(owner, run_at), Go::Stop) {
            return Ok(());
        }
    }
}

/// Whether a walk goes on.
enum Go {
    On,
    Stop,
}

/// As many as can get a turn.
fn due_owners(connection: &Connection, asked: &RunClaim, after: &str) -> rusqlite::Result<Vec<Turn>> {
    let mut turns = Vec::new();
    if asked.limit == 0 || asked.per_owner_max == 0 {
        return Ok(turns);
    }
    each_owner(connection, &asked.full, after, |owner, run_at| {
        if run_at <= asked.now {
            turns.push(Turn { owner, taken: 0 });
        }
        if turns.len() < asked.limit as usize { Go::On } else { Go::Stop }
    })?;
    Ok(turns)
}

/// Claims up to `wanted` of one owner; how many it were.
fn take(
    connection: &Connection,
    asked: &RunClaim,
    owner: &Name,
    wanted: u32,
    into: &mut Claimed,
) -> rusqlite::Result<u32> {
    let before = into.runs.len();
    let mut due = connection.prepare_cached(&due_sql())?;
    let mut rows = due.query(params![owner.as_str(), asked.now.as_millis(), wanted])?;
    while let Some(row) = rows.next()? {
        let run = claimed(row)?;
        into.bytes += run.input.body.len();
        if into.bytes > asked.bytes_max && !into.runs.is_empty() {
            into.full = true;
            break;
        }
        into.runs.push(ClaimedRun { epoch: run.epoch + 1, attempt: run.attempt + 1, ..run });
    }
    drop(rows);
    let mut update = connection.prepare_cached(
        "UPDATE requests SET state = 'running', epoch = ?2 WHERE id = ?1 AND state = 'accepted' AND epoch = ?2 - 1",
    )?;
    for run in &into.runs[before..] {
        if update.execute(params![run.id.as_bytes(), run.epoch])? != 1 {
            return Err(rusqlite::Error::StatementChangedRows(0));
        }
    }
    Ok(u32::try_from(into.runs.len() - before).unwrap_or(u32::MAX))
}

/// When the next run is due of those whose owners are not full.
pub(super) fn next(connection: &Connection, full: &[Name]) -> rusqlite::Result<Option<Timestamp>> {
    let mut first: Option<Timestamp> = None;
    each_owner(connection, full, "", |_, run_at| {
        first = Some(first.map_or(run_at, |first| first.min(run_at)));
        Go::On
    })?;
    Ok(first)
}

/// Whether there is anything to claim.
pub(super) fn is_due(connection: &Connection, now: Timestamp, full: &[Name]) -> rusqlite::Result<bool> {
    let mut due = false;
    each_owner(connection, full, "", |_, run_at| {
        due = run_at <= now;
        if due { Go::Stop } else { Go::On }
    })?;
    Ok(due)
}

pub(super) fn insert_receipt(connection: &Connection, id: RequestId, run: &RunReceipt) -> rusqlite::Result<()> {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let lines = (!run.lines.is_empty()).then_some(&run.lines[..]);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO runs (request_id, attempt, started_at, outcome, cpu_us, wall_us, memory_bytes, \
             host_calls, outbound_calls, outbound_bytes, log_bytes, lines) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            id.as_bytes(),
            run.attempt,
            run.started_at.as_millis(),
            run.outcome,
            signed(run.cpu_us),
            signed(run.wall_us),
            signed(run.memory_bytes),
            signed(run.host_calls),
            signed(run.outbound_calls),
            signed(run.outbound_bytes),
            signed(run.log_bytes),
            lines,
        ])?;
    Ok(())
}

/// In the order in which they ran.
pub(super) fn receipts(connection: &Connection, id: RequestId) -> rusqlite::Result<Vec<RunReceipt>> {
    connection
        .prepare_cached(
            "SELECT attempt, started_at, outcome, cpu_us, wall_us, memory_bytes, host_calls, outbound_calls, outbound_bytes, \
             log_bytes, lines FROM runs WHERE request_id = ?1 ORDER BY attempt",
        )?
        .query_map([id.as_bytes()], receipt)?
        .collect()
}

fn receipt(row: &Row<'_>) -> rusqlite::Result<RunReceipt> {
    let count = |column: &str| row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or(0));
    Ok(RunReceipt {
        attempt: row.get("attempt")?,
        started_at: rows::timestamp(row, "started_at")?,
        outcome: row.get("outcome")?,
        cpu_us: count("cpu_us")?,
        wall_us: count("wall_us")?,
        memory_bytes: count("memory_bytes")?,
        host_calls: count("host_calls")?,
        outbound_calls: count("outbound_calls")?,
        outbound_bytes: count("outbound_bytes")?,
        log_bytes: count("log_bytes")?,
        lines: row.get::<_, Option<Vec<u8>>>("lines")?.unwrap_or_default().into(),
    })
}
