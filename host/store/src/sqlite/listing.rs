//! Requests, newest first: a consumer's own, an owner's, or all.
//!
//! A consumer's are a range of an index, and so are an owner's that ended without a result (their problems have one) and
//! those that have not ended. The rest of an owner's is looked for among everybody's, back through the primary key, which
//! is their time: an index of them would be a write of every request, for a list that people read now and then. Also a
//! partial one of `requests` alone: each update of `state` looks at it, which took a sixth of what a row's two writes do.

use super::reads::{self, record_columns};
use super::rows;
use crate::store::{Failures, RequestFilter, RequestPage, Whose};
use ripost_domain::api::{ApiName, Name};
use ripost_domain::id::RequestId;
use ripost_domain::request::State;
use ripost_domain::time::Timestamp;
use rusqlite::types::Null;
use rusqlite::{Connection, Row, params};
use std::collections::BTreeMap;

/// Rows that one page looks at, whether they fit its filter or not.
const LOOKED_AT_MAX: u32 = 10_000;
/// Of one owner's failures of one kind, so many are counted.
const COUNTED_MAX: u32 = 10_000;

macro_rules! columns {
    () => {
        concat!(record_columns!(), ", NULL AS problem")
    };
}

/// A range of the index, read backwards: no sorting, and nothing outside the time that is asked for.
pub(super) const OF_CONSUMER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM requests INDEXED BY requests_consumer WHERE consumer_id = ?1 AND id < ?2 AND id >= ?3 ORDER BY id DESC LIMIT ?4"
);
/// The same of an owner, in a state that has a problem.
pub(super) const UNSUCCESSFUL: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM problems INDEXED BY problems_owner JOIN requests ON requests.id = request_id WHERE problems.owner = ?1 \
     AND problems.state = ?5 AND request_id < ?2 AND request_id >= ?3 ORDER BY request_id DESC LIMIT ?4"
);
/// What has not ended is no more than the backlog may be, and is sorted.
pub(super) const UNFINISHED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM requests WHERE id IN (SELECT id FROM requests INDEXED BY requests_unfinished \
     WHERE state IN ('accepted', 'running', 'awaiting_callback') AND state IN (?5, ?6) AND owner = ?1 AND id < ?2 AND id >= ?3 \
     ORDER BY id DESC LIMIT ?4) ORDER BY id DESC"
);
/// Everybody's.
pub(super) const ALL: &str =
    concat!("SELECT ", columns!(), " FROM requests WHERE id < ?2 AND id >= ?3 ORDER BY id DESC LIMIT ?4");
/// Nothing but index entries, a bounded number of them.
pub(super) const COUNT_UNSUCCESSFUL: &str = "SELECT slug, count(*) AS count FROM (SELECT slug FROM problems INDEXED BY \
    problems_owner WHERE owner = ?1 AND state = ?2 AND request_id >= ?3 ORDER BY request_id DESC LIMIT ?4) GROUP BY slug";

/// What does not fit the filter is passed over, up to a bound: a page may be short and still not be the last.
pub(super) fn page(connection: &Connection, filter: &RequestFilter) -> rusqlite::Result<RequestPage> {
    let before = filter.before.map_or([u8::MAX; 16], |id| *id.as_bytes());
    let upper = filter.until.map_or(before, |until| before.min(first_id_of(until)));
    let lower = filter.since.map_or([0; 16], first_id_of);
    let (state, or_state) =
        (filter.states.first().map(|state| state.as_str()), filter.states.last().map(|state| state.as_str()));
    let mut query = connection.prepare_cached(statement(filter))?;
    let mut rows = match (&filter.whose, query.parameter_count()) {
        (Whose::Consumer(consumer), _) => query.query(params![consumer.as_bytes(), upper, lower, LOOKED_AT_MAX])?,
        (Whose::Owner(owner), 5) => query.query(params![owner.as_str(), upper, lower, LOOKED_AT_MAX, state])?,
        (Whose::Owner(owner), 6) => {
            query.query(params![owner.as_str(), upper, lower, LOOKED_AT_MAX, state, or_state])?
        }
        (Whose::Owner(_) | Whose::Everybody, _) => query.query(params![Null, upper, lower, LOOKED_AT_MAX])?,
    };
    let mut page = RequestPage { next: filter.before, ..RequestPage::default() };
    let mut looked_at = 0;
    while let Some(row) = rows.next()? {
        if page.requests.len() == filter.limit as usize {
            page.more = true;
            break;
        }
        looked_at += 1;
        page.next = Some(RequestId::from_bytes(rows::id(row, "id")?));
        if !fits(row, filter)? {
            continue;
        }
        let mut record = reads::record(row)?;
        record.delivery = reads::completed(connection, &record)?;
        if !matches!(filter.whose, Whose::Consumer(_)) {
            record.problem = reads::problem(connection, record.id)?;
        }
        page.requests.push(record);
    }
    page.more |= looked_at == LOOKED_AT_MAX;
    Ok(page)
}

/// The one that passes over the fewest.
fn statement(filter: &RequestFilter) -> &'static str {
    match (&filter.whose, &filter.states[..]) {
        (Whose::Consumer(_), _) => OF_CONSUMER,
        (Whose::Owner(_), [State::Failed | State::Expired | State::Cancelled]) => UNSUCCESSFUL,
        (Whose::Owner(_), [_] | [_, _]) if filter.states.iter().all(|state| !state.is_terminal()) => UNFINISHED,
        (Whose::Owner(_) | Whose::Everybody, _) => ALL,
    }
}

/// Looked at before the rest of the row is read: of others' rows there may be thousands.
fn fits(row: &Row<'_>, filter: &RequestFilter) -> rusqlite::Result<bool> {
    let is = |column: &str, wanted: Option<&str>| match wanted {
        Some(wanted) => Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str()? == wanted),
        None => Ok(true),
    };
    let owner = match &filter.whose {
        Whose::Owner(owner) => Some(owner.as_str()),
        Whose::Consumer(_) | Whose::Everybody => None,
    };
    let api = filter.api.as_ref();
    let state = row.get_ref("state")?.as_str()?;
    Ok(is("owner", owner)?
        && (filter.states.is_empty() || filter.states.iter().any(|wanted| wanted.as_str() == state))
        && is("owner", api.map(|api| api.owner.as_str()))?
        && is("slug", api.map(|api| api.slug.as_str()))?)
}

/// How many of an owner's requests failed or expired of those that were accepted from then on, by API; of each kind the
/// newest [`COUNTED_MAX`] are counted.
pub(super) fn failures(connection: &Connection, owner: &Name, since: Timestamp) -> rusqlite::Result<Vec<Failures>> {
    let mut counts: BTreeMap<Name, (u64, u64)> = BTreeMap::new();
    let mut query = connection.prepare_cached(COUNT_UNSUCCESSFUL)?;
    for state in [State::Failed, State::Expired] {
        let mut rows = query.query(params![owner.as_str(), state.as_str(), first_id_of(since), COUNTED_MAX])?;
        while let Some(row) = rows.next()? {
            let count: i64 = row.get("count")?;
            let (failed, expired) = counts.entry(rows::name(row, "slug")?).or_default();
            *if state == State::Failed { failed } else { expired } = u64::try_from(count).unwrap_or(0);
        }
    }
    let of = |(slug, (failed, expired))| Failures { api: ApiName { owner: owner.clone(), slug }, failed, expired };
    Ok(counts.into_iter().map(of).collect())
}

/// Below every id that was made from then on.
pub(super) fn first_id_of(at: Timestamp) -> [u8; 16] {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&at.as_millis().max(0).to_be_bytes()[2..]);
    id
}
