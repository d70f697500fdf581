//! A consumer's own requests, newest first.

use super::reads;
use crate::store::{RequestFilter, RequestPage};
use ripost_domain::time::Timestamp;
use rusqlite::{Connection, params};

/// Rows that one page looks at, whether they fit its filter or not.
const LOOKED_AT_MAX: u32 = 10_000;

/// A range of the index, read backwards: no sorting, and nothing outside the time that is asked for.
pub(super) const PAGE: &str = "SELECT id, consumer_id, owner, slug, digest, state, settlement, attempt, created_at, expires_at, finished_at, \
    price, fee, webhook_url, events, retry_max_age, depth, NULL AS problem FROM requests INDEXED BY requests_consumer \
    WHERE consumer_id = ?1 AND id < ?2 AND id >= ?3 ORDER BY id DESC LIMIT ?4";

/// What does not fit the filter is passed over, up to a bound: a page may be short and still not be the last.
pub(super) fn page(connection: &Connection, filter: &RequestFilter) -> rusqlite::Result<RequestPage> {
    let before = filter.before.map_or([u8::MAX; 16], |id| *id.as_bytes());
    let upper = filter.until.map_or(before, |until| before.min(first_id_of(until)));
    let lower = filter.since.map_or([0; 16], first_id_of);
    let mut query = connection.prepare_cached(PAGE)?;
    let mut rows = query.query(params![filter.consumer.as_bytes(), upper, lower, LOOKED_AT_MAX])?;
    let mut page = RequestPage { next: filter.before, ..RequestPage::default() };
    let mut looked_at = 0;
    while let Some(row) = rows.next()? {
        if page.requests.len() == filter.limit as usize {
            page.more = true;
            break;
        }
        looked_at += 1;
        let mut record = reads::record(row)?;
        page.next = Some(record.id);
        let fits = filter.state.is_none_or(|state| state == record.state)
            && filter.api.as_ref().is_none_or(|api| *api == record.api);
        if fits {
            record.delivery = reads::completed(connection, &record)?;
            page.requests.push(record);
        }
    }
    page.more |= looked_at == LOOKED_AT_MAX;
    Ok(page)
}

/// Below every id that was made from then on.
pub(super) fn first_id_of(at: Timestamp) -> [u8; 16] {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&at.as_millis().max(0).to_be_bytes()[2..]);
    id
}
