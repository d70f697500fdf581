//! How values stand in columns.

use crate::store::Wants;
use bytes::Bytes;
use ripost_domain::api::{ApiName, Digest, Name};
use ripost_domain::money::{Amount, FeeRate, Split};
use ripost_domain::request::Settlement;
use ripost_domain::time::Timestamp;
use rusqlite::Row;
use rusqlite::types::Type;
use std::time::Duration;

/// A column that holds what we never write.
fn unreadable(what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, what.into())
}

pub(super) fn id(row: &Row<'_>, column: &str) -> rusqlite::Result<[u8; 16]> {
    row.get(column)
}

pub(super) fn timestamp(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

/// A column that is null for none.
pub(super) fn some_timestamp(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}

pub(super) fn amount(row: &Row<'_>, column: &str) -> rusqlite::Result<Amount> {
    Amount::from_micros(row.get(column)?).ok_or_else(|| unreadable("a negative amount"))
}

pub(super) fn split(row: &Row<'_>) -> rusqlite::Result<Split> {
    let (price, fee) = (amount(row, "price")?, amount(row, "fee")?);
    let owner = price.checked_sub(fee).ok_or_else(|| unreadable("a fee above its price"))?;
    let rate = match row.get::<_, Option<u16>>("fee_bps")? {
        Some(bps) => FeeRate::from_bps(bps),
        // Accepted by a version that did not keep it.
        None => FeeRate::of(fee, price),
    };
    Ok(Split { price, fee, owner, rate: rate.ok_or_else(|| unreadable("a fee that no rate takes"))? })
}

/// What the consumer has paid of a price; `None`: that is not decided yet, or the request is free.
pub(super) fn captured(row: &Row<'_>, settlement: Settlement, price: Amount) -> rusqlite::Result<Option<Amount>> {
    Ok(match settlement {
        Settlement::None | Settlement::Held => None,
        Settlement::Released => Some(Amount::ZERO),
        Settlement::Captured => match row.get::<_, Option<i64>>("captured")? {
            Some(_) => Some(amount(row, "captured")?),
            None => Some(price),
        },
    })
}

pub(super) fn api(row: &Row<'_>) -> rusqlite::Result<ApiName> {
    Ok(ApiName { owner: name(row, "owner")?, slug: name(row, "slug")? })
}

pub(super) fn name(row: &Row<'_>, column: &str) -> rusqlite::Result<Name> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| unreadable("a name"))
}

const STARTED: u8 = 1;
const PROGRESS: u8 = 2;
const COMPLETED: u8 = 4;

/// The bits of a request's events.
pub(super) fn events(wants: &Wants) -> u8 {
    let bit = |wanted: bool, bit: u8| if wanted { bit } else { 0 };
    bit(wants.started, STARTED) | bit(wants.progress, PROGRESS) | bit(wants.completed, COMPLETED)
}

pub(super) fn wants(row: &Row<'_>) -> rusqlite::Result<Wants> {
    let events: u8 = row.get("events")?;
    let max_age: Option<i64> = row.get("retry_max_age")?;
    Ok(Wants {
        started: events & STARTED != 0,
        progress: events & PROGRESS != 0,
        completed: events & COMPLETED != 0,
        retry_max_age: max_age.and_then(|millis| u64::try_from(millis).ok()).map(Duration::from_millis),
        depth: row.get("depth")?,
    })
}

pub(super) fn digest(row: &Row<'_>) -> rusqlite::Result<Digest> {
    row.get("digest").map(Digest::from_bytes)
}

pub(super) fn named<T>(row: &Row<'_>, column: &str, parse: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    parse(&text).ok_or_else(|| unreadable("a state"))
}

pub(super) fn bytes(row: &Row<'_>, column: &str) -> rusqlite::Result<Bytes> {
    row.get::<_, Vec<u8>>(column).map(Bytes::from)
}

/// Headers as one blob: for each, length and name, length and value, lengths as `u32` big-endian.
pub(super) fn write_headers(headers: &[(String, Bytes)]) -> Vec<u8> {
    let mut blob = Vec::with_capacity(headers.iter().map(|(name, value)| 8 + name.len() + value.len()).sum());
    for (name, value) in headers {
        for part in [name.as_bytes(), value] {
            blob.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            blob.extend_from_slice(part);
        }
    }
    blob
}

pub(super) fn headers(row: &Row<'_>, column: &str) -> rusqlite::Result<Vec<(String, Bytes)>> {
    read_headers(&bytes(row, column)?).ok_or_else(|| unreadable("headers"))
}

/// A column that is null for none.
pub(super) fn some_headers(row: &Row<'_>, column: &str) -> rusqlite::Result<Vec<(String, Bytes)>> {
    match row.get::<_, Option<Vec<u8>>>(column)? {
        Some(blob) => read_headers(&blob).ok_or_else(|| unreadable("headers")),
        None => Ok(Vec::new()),
    }
}

/// Names and values that are text, in the form that headers have; a column that is null for none.
pub(super) fn some_attributes(row: &Row<'_>, column: &str) -> rusqlite::Result<Vec<(String, String)>> {
    let text = |(name, value): (String, Bytes)| {
        String::from_utf8(value.into()).map(|value| (name, value)).map_err(|_| unreadable("attributes"))
    };
    some_headers(row, column)?.into_iter().map(text).collect()
}

/// What such a column holds.
pub(super) fn write_some_attributes(attributes: &[(String, String)]) -> Option<Vec<u8>> {
    let pairs = attributes.iter().map(|(name, value)| (name.clone(), Bytes::copy_from_slice(value.as_bytes())));
    write_some_headers(&pairs.collect::<Vec<_>>())
}

/// What such a column holds.
pub(super) fn write_some_headers(headers: &[(String, Bytes)]) -> Option<Vec<u8>> {
    (!headers.is_empty()).then(|| write_headers(headers))
}

fn read_headers(mut blob: &[u8]) -> Option<Vec<(String, Bytes)>> {
    let mut part = || {
        let (length, rest) = blob.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        blob = rest;
        Some(part)
    };
    let mut headers = Vec::new();
    while let Some(name) = part() {
        headers.push((String::from_utf8(name.to_vec()).ok()?, Bytes::copy_from_slice(part()?)));
    }
    blob.is_empty().then_some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn headers_survive_their_blob(headers: Vec<(String, Vec<u8>)>) {
            let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name, Bytes::from(value))).collect();
            proptest::prop_assert_eq!(read_headers(&write_headers(&headers)), Some(headers));
        }

        #[test]
        fn no_blob_makes_the_reader_panic(blob: Vec<u8>) {
            let _ = read_headers(&blob);
        }
    }
}
