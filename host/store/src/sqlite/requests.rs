//! Requests: accept, put back, finish.

use super::begun::Left;
use super::callbacks;
use super::journal;
use super::ledger::{self, Refused, Subject};
use super::rows;
use super::runs;
use super::writer::Work;
use crate::store::{
    Accept, AcceptError, Accepted, Answer, ClaimedRun, Ending, Finish, Finished, Lease, PinnedRun, RequestInput,
    RunAgain, WriteError,
};
use ripost_domain::api::Name;
use ripost_domain::id::{ConsumerId, RequestId};
use ripost_domain::ledger::Kind;
use ripost_domain::money::{Capture, Split};
use ripost_domain::request::{Settlement, State};
use ripost_domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

pub(super) const CLAIMED_COLUMNS: &str = "requests.id, requests.epoch, requests.attempt, requests.owner, requests.slug, requests.digest, \
    requests.consumer_id, requests.created_at, requests.expires_at, requests.deadline, requests.price, requests.fee, requests.fee_bps, requests.webhook_url, \
    requests.events, requests.retry_max_age, requests.depth, requests.traceparent, requests.callback_epoch, inputs.method, inputs.path, inputs.query, inputs.headers, inputs.body, inputs.attributes";

const INSERT_INPUT: &str = "INSERT INTO inputs (request_id, method, path, query, headers, body, attributes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const INSERT_ORIGINAL: &str = "INSERT INTO originals (request_id, method, path, query, headers, body, attributes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

pub(super) const COUNT_ALL: &str = "UPDATE requests SET attempt = attempt + 1 WHERE state IN ('accepted', 'running', 'awaiting_callback') AND state = 'running'";
pub(super) const RECOVER: &str = "UPDATE requests SET state = 'accepted', run_at = ?1 WHERE state IN ('accepted', 'running', 'awaiting_callback') AND state = 'running'";

/// What may be refused comes first, so that a refusal needs no rollback.
pub(super) fn accept(work: &mut Work<'_>, accept: &Accept) -> rusqlite::Result<Result<Accepted, AcceptError>> {
    let connection = work.connection;
    let (owner, slug) = (accept.api.owner.as_str(), accept.api.slug.as_str());
    if let Some(key) = &accept.idempotency
        && let Some((id, fingerprint)) = idempotent(connection, accept.consumer, owner, slug, &key.key)?
    {
        return Ok(Ok(Accepted::Existing { id, fingerprint }));
    }
    let price = accept.split.price;
    if !price.is_zero() {
        let entries = ripost_domain::ledger::hold(accept.consumer, price);
        if let Err(Refused { available }) =
            ledger::transfer(work, Kind::Hold, Subject::Request(accept.id), accept.created_at, &entries)?
        {
            return Ok(Err(AcceptError::InsufficientBalance { available, price }));
        }
    }
    let settlement = if price.is_zero() { Settlement::None } else { Settlement::Held };
    let (state, epoch) = match accept.lease {
        Lease::ThisProcess => (State::Running, 1),
        Lease::Nobody => (State::Accepted, 0),
    };
    connection
        .prepare_cached(
            "INSERT INTO requests (id, consumer_id, owner, slug, digest, state, settlement, attempt, epoch, run_at, \
             created_at, expires_at, deadline, price, fee, webhook_url, traceparent, events, retry_max_age, depth, fee_bps) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
        )?
        .execute(params![
            accept.id.as_bytes(),
            accept.consumer.as_bytes(),
            owner,
            slug,
            accept.digest.as_bytes(),
            state.as_str(),
            settlement.as_str(),
            epoch,
            accept.due_at.as_millis(),
            accept.created_at.as_millis(),
            accept.expires_at.as_millis(),
            accept.deadline().as_millis(),
            price.as_micros(),
            accept.split.fee.as_micros(),
            accept.webhook_url,
            accept.traceparent,
            rows::events(&accept.wants),
            accept.wants.retry_max_age.map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
            accept.wants.depth,
            accept.split.rate.as_bps(),
        ])?;
    insert_input(connection, INSERT_INPUT, accept.id, &accept.input)?;
    if let Some(original) = &accept.original {
        insert_input(connection, INSERT_ORIGINAL, accept.id, original)?;
    }
    if let Some(key) = &accept.idempotency {
        connection
            .prepare_cached(
                "INSERT INTO idempotency (consumer_id, owner, slug, key, fingerprint, request_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![accept.consumer.as_bytes(), owner, slug, key.key, &key.fingerprint[..], accept.id.as_bytes()])?;
    }
    Ok(Ok(Accepted::New))
}

/// A call with its good end, at once.
pub(super) fn answered(
    work: &mut Work<'_>,
    call: &Accept,
    end: &Finish,
    inline_max: usize,
) -> rusqlite::Result<Result<(), AcceptError>> {
    if let Err(error) = accept(work, call)? {
        return Ok(Err(error));
    }
    match finish(work, end, inline_max)? {
        Ok(_) => Ok(Ok(())),
        // It was accepted just above; what does not fit it must not be committed.
        Err(_) => Err(rusqlite::Error::StatementChangedRows(0)),
    }
}

fn insert_input(connection: &Connection, sql: &str, id: RequestId, input: &RequestInput) -> rusqlite::Result<()> {
    let RequestInput { method, path, query, headers, body, attributes } = input;
    connection.prepare_cached(sql)?.execute(params![
        id.as_bytes(),
        method,
        path,
        query,
        rows::write_headers(headers),
        &body[..],
        rows::write_some_attributes(attributes)
    ])?;
    Ok(())
}

fn input(row: &Row<'_>) -> rusqlite::Result<RequestInput> {
    Ok(RequestInput {
        method: row.get("method")?,
        path: row.get("path")?,
        query: row.get("query")?,
        headers: rows::headers(row, "headers")?,
        body: rows::bytes(row, "body")?,
        attributes: rows::some_attributes(row, "attributes")?,
    })
}

/// What the handler sees.
pub(super) fn seen(connection: &Connection, id: RequestId) -> rusqlite::Result<Option<RequestInput>> {
    one_input(connection, id, "SELECT method, path, query, headers, body, attributes FROM inputs WHERE request_id = ?1")
}

/// What the consumer sent, if that is not what the handler sees.
pub(super) fn original(connection: &Connection, id: RequestId) -> rusqlite::Result<Option<RequestInput>> {
    let sql = "SELECT method, path, query, headers, body, attributes FROM originals WHERE request_id = ?1";
    one_input(connection, id, sql)
}

fn one_input(connection: &Connection, id: RequestId, sql: &str) -> rusqlite::Result<Option<RequestInput>> {
    connection.prepare_cached(sql)?.query_row([id.as_bytes()], input).optional()
}

pub(super) fn idempotent(
    connection: &Connection,
    consumer: ConsumerId,
    owner: &str,
    slug: &str,
    key: &str,
) -> rusqlite::Result<Option<(RequestId, [u8; 32])>> {
    connection
        .prepare_cached(
            "SELECT request_id, fingerprint FROM idempotency WHERE consumer_id = ?1 AND owner = ?2 AND slug = ?3 AND key = ?4",
        )?
        .query_row(params![consumer.as_bytes(), owner, slug, key], |row| {
            Ok((RequestId::from_bytes(row.get(0)?), row.get(1)?))
        })
        .optional()
}

pub(super) fn claimed(row: &Row<'_>) -> rusqlite::Result<ClaimedRun> {
    Ok(ClaimedRun {
        id: RequestId::from_bytes(rows::id(row, "id")?),
        epoch: row.get("epoch")?,
        attempt: row.get("attempt")?,
        callback_epoch: row.get("callback_epoch")?,
        api: rows::api(row)?,
        digest: rows::digest(row)?,
        consumer: ConsumerId::from_bytes(rows::id(row, "consumer_id")?),
        created_at: rows::timestamp(row, "created_at")?,
        expires_at: rows::timestamp(row, "expires_at")?,
        deadline: rows::timestamp(row, "deadline")?,
        split: rows::split(row)?,
        webhook_url: row.get("webhook_url")?,
        wants: rows::wants(row)?,
        input: input(row)?,
        traceparent: row.get("traceparent")?,
    })
}

/// As it stands. A run that is leased is not in the row's count yet, and has a number all the same.
pub(super) fn pinned(row: &Row<'_>) -> rusqlite::Result<PinnedRun> {
    let (state, claimed) = (rows::named(row, "state", State::from_name)?, claimed(row)?);
    let attempt = claimed.attempt + u32::from(state == State::Running);
    Ok(PinnedRun { state, claimed: ClaimedRun { attempt, ..claimed } })
}

/// One that has not ended.
pub(super) fn unfinished(connection: &Connection, id: RequestId) -> rusqlite::Result<Option<PinnedRun>> {
    connection
        .prepare_cached(&format!(
            "SELECT {CLAIMED_COLUMNS}, requests.state FROM requests JOIN inputs ON inputs.request_id = requests.id \
             WHERE requests.id = ?1 AND finished_at IS NULL"
        ))?
        .query_row([id.as_bytes()], pinned)
        .optional()
}

/// Those whose deadline passed before they ran, or before their upstream called back.
pub(super) fn expired_sql() -> String {
    format!(
        "SELECT {CLAIMED_COLUMNS}, requests.state FROM requests INDEXED BY requests_deadline \
         JOIN inputs ON inputs.request_id = requests.id \
         WHERE state IN ('accepted', 'awaiting_callback') AND deadline <= ?1 ORDER BY deadline LIMIT ?2"
    )
}

pub(super) fn expired(connection: &Connection, now: Timestamp, limit: u32) -> rusqlite::Result<Vec<PinnedRun>> {
    connection.prepare_cached(&expired_sql())?.query_map(params![now.as_millis(), limit], pinned)?.collect()
}

pub(super) fn run_again(work: &mut Work<'_>, again: &RunAgain) -> rusqlite::Result<Result<(), WriteError>> {
    let moved = work
        .connection
        .prepare_cached(
            "UPDATE requests SET state = 'accepted', run_at = ?3, attempt = attempt + ?4, callback_epoch = callback_epoch + ?5 \
             WHERE id = ?1 AND epoch = ?2 AND state = 'running'",
        )?
        .execute(params![
            again.id.as_bytes(),
            again.epoch,
            again.run_at.as_millis(),
            u8::from(again.counted),
            u8::from(again.refused),
        ])?;
    if moved != 1 {
        return Ok(Err(WriteError::Fenced));
    }
    if let Some(run) = again.run.as_ref().filter(|_| again.counted) {
        runs::insert_receipt(work.connection, again.id, run)?;
    }
    Ok(Ok(()))
}

/// Everything that the process before had leased is due again; what it had begun counts as a run.
pub(super) fn recover(work: &mut Work<'_>, now: Timestamp, left: &Left) -> rusqlite::Result<u64> {
    match left {
        Left::Unknown => {
            work.connection.prepare_cached(COUNT_ALL)?.execute([])?;
        }
        Left::These(runs) => {
            let mut count = work.connection.prepare_cached(
                "UPDATE requests SET attempt = attempt + 1 WHERE id = ?1 AND epoch = ?2 AND state = 'running'",
            )?;
            for (id, epoch) in runs {
                count.execute(params![id.as_bytes(), epoch])?;
            }
        }
    }
    let moved = work.connection.prepare_cached(RECOVER)?.execute([now.as_millis()])?;
    Ok(moved as u64)
}

/// Whether a request stands as its end says.
pub(super) fn is_current(connection: &Connection, id: RequestId, epoch: u32, from: State) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM requests WHERE id = ?1 AND epoch = ?2 AND state = ?3")?.exists(params![
        id.as_bytes(),
        epoch,
        from.as_str()
    ])
}

/// Outcome, money and delivery; the files of large bodies are on the disk already.
pub(super) fn finish(
    work: &mut Work<'_>,
    finish: &Finish,
    inline_max: usize,
) -> rusqlite::Result<Result<Finished, WriteError>> {
    let (state, ends) = (finish.ending.state(), finish.ending.settlement());
    if !finish.from.may_become(state) {
        return Ok(Err(WriteError::Fenced));
    }
    let connection = work.connection;
    let ended = connection
        .prepare_cached(
            "UPDATE requests SET state = ?4, finished_at = ?5, attempt = ?8, settlement = \
             CASE settlement WHEN 'held' THEN ?6 ELSE settlement END, captured = ?9 \
             WHERE id = ?1 AND epoch = ?2 AND state = ?3 AND callback_epoch = coalesce(?7, callback_epoch) \
             RETURNING consumer_id, owner, slug, price, fee, fee_bps",
        )?
        .query_row(
            params![
                finish.id.as_bytes(),
                finish.epoch,
                finish.from.as_str(),
                state.as_str(),
                finish.finished_at.as_millis(),
                ends.as_str(),
                finish.callback.map(|callback| callback.epoch),
                finish.attempt,
                match finish.ending {
                    Ending::Completed { capture: Capture::Part(amount), .. } => Some(amount.as_micros()),
                    _ => None,
                },
            ],
            |row| {
                let consumer = ConsumerId::from_bytes(rows::id(row, "consumer_id")?);
                Ok((consumer, rows::api(row)?.owner, rows::split(row)?))
            },
        )
        .optional()?;
    let Some((consumer, owner, split)) = ended else { return Ok(Err(WriteError::Fenced)) };
    let settlement = settle(work, finish, consumer, &owner, split)?;
    match &finish.ending {
        Ending::Completed { answer, .. } => insert_answer(connection, finish.id, answer, inline_max)?,
        Ending::Failed { problem, answer } => {
            insert_problem(connection, finish.id, problem)?;
            if let Some(answer) = answer {
                insert_answer(connection, finish.id, answer, inline_max)?;
            }
        }
        Ending::Cancelled { problem, .. } | Ending::Expired { problem } => {
            insert_problem(connection, finish.id, problem)?
        }
    }
    if let Some(run) = &finish.run {
        runs::insert_receipt(connection, finish.id, run)?;
    }
    if let Some(tape) = &finish.tape {
        journal::insert_tape(connection, finish.id, tape)?;
    }
    if let Some(callback) = &finish.callback {
        callbacks::insert(connection, finish.id, callback)?;
    }
    if let Some(delivery) = &finish.delivery {
        super::deliveries::insert(connection, finish.id, consumer, delivery, inline_max)?;
    }
    Ok(Ok(Finished { settlement }))
}

fn settle(
    work: &mut Work<'_>,
    finish: &Finish,
    consumer: ConsumerId,
    owner: &Name,
    split: Split,
) -> rusqlite::Result<Settlement> {
    if split.price.is_zero() {
        return Ok(Settlement::None);
    }
    let (kind, entries) = match finish.ending.capture() {
        Some(capture) => {
            let captured = capture.of(split);
            let entries = captured.and_then(|part| ripost_domain::ledger::capture(consumer, owner, split.price, part));
            // Whoever asks for more than the price is refused long before; it must not be written.
            (Kind::Capture, entries.ok_or(rusqlite::Error::StatementChangedRows(0))?)
        }
        None => (Kind::Release, ripost_domain::ledger::release(consumer, split.price)),
    };
    match ledger::transfer(work, kind, Subject::Request(finish.id), finish.finished_at, &entries)? {
        Ok(()) => Ok(finish.ending.settlement()),
        // Less is held than this request's own hold: our books are wrong, and the operation must not go on.
        Err(Refused { .. }) => Err(rusqlite::Error::StatementChangedRows(0)),
    }
}

fn insert_answer(connection: &Connection, id: RequestId, answer: &Answer, inline_max: usize) -> rusqlite::Result<()> {
    let body = (answer.body.len() <= inline_max).then_some(&answer.body[..]);
    connection
        .prepare_cached("INSERT INTO results (request_id, status, headers, bytes, body) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            id.as_bytes(),
            answer.status,
            rows::write_headers(&answer.headers),
            i64::try_from(answer.body.len()).unwrap_or(i64::MAX),
            body
        ])?;
    Ok(())
}

/// With what an owner looks for it by; the request is in that state already.
fn insert_problem(connection: &Connection, id: RequestId, problem: &[u8]) -> rusqlite::Result<()> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO problems (request_id, problem, owner, slug, state) \
             SELECT id, ?2, owner, slug, state FROM requests WHERE id = ?1",
        )?
        .execute(params![id.as_bytes(), problem])?;
    if inserted == 1 { Ok(()) } else { Err(rusqlite::Error::StatementChangedRows(inserted)) }
}
