//! The ledger's rows: transfers with their entries, and the balances that are kept beside them.

use super::rows;
use super::writer::Work;
use crate::store::{Reservation, Reservations};
use ripost_domain::api::Name;
use ripost_domain::id::{ConsumerId, RequestId};
use ripost_domain::ledger::{Account, Entry, Kind, Reference};
use ripost_domain::money::Amount;
use ripost_domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::collections::HashMap;

/// Row ids of accounts that were used lately; bounded.
#[derive(Default)]
pub(super) struct Accounts {
    ids: HashMap<Account, i64>,
    /// What holds must leave.
    pub(super) reserved: Reservations,
}

const ACCOUNTS_MAX: usize = 50_000;

impl Accounts {
    /// After a rollback: an account that was made in it is gone.
    pub(super) fn forget(&mut self) {
        self.ids.clear();
    }

    fn id(&mut self, connection: &Connection, account: &Account) -> rusqlite::Result<i64> {
        if let Some(id) = self.ids.get(account) {
            return Ok(*id);
        }
        let name = account.to_string();
        let mut found = connection.prepare_cached("SELECT id FROM accounts WHERE name = ?1")?;
        let id = match found.query_row([&name], |row| row.get(0)).optional()? {
            Some(id) => id,
            None => {
                let balance = account.has_balance().then_some(0_i64);
                connection
                    .prepare_cached("INSERT INTO accounts (name, balance) VALUES (?1, ?2)")?
                    .execute(params![name, balance])?;
                connection.last_insert_rowid()
            }
        };
        if self.ids.len() >= ACCOUNTS_MAX {
            self.ids.clear();
        }
        self.ids.insert(account.clone(), id);
        Ok(id)
    }
}

/// The balance does not allow it; nothing was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) available: Amount,
}

/// What a transfer belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject<'a> {
    /// A request that is paid for.
    Request(RequestId),
    /// What the operator calls it by.
    Reference(&'a Reference),
    /// The first balance of a consumer.
    Beginning,
}

/// Writes one transfer. The balance condition is part of the first write: if it refuses, nothing was written.
pub(super) fn transfer(
    work: &mut Work<'_>,
    kind: Kind,
    cause: Subject<'_>,
    at: Timestamp,
    entries: &[Entry],
) -> rusqlite::Result<Result<(), Refused>> {
    let connection = work.connection;
    let mut ids = Vec::with_capacity(entries.len());
    for entry in entries {
        let id = work.accounts.id(connection, &entry.account)?;
        if entry.account.has_balance() {
            let least = match entry.account {
                Account::ConsumerAvailable(consumer) if entry.micros < 0 => work.accounts.reserved.of(consumer),
                _ => 0,
            };
            let mut update = connection
                .prepare_cached("UPDATE accounts SET balance = balance + ?2 WHERE id = ?1 AND balance + ?2 >= ?3")?;
            if update.execute(params![id, entry.micros, least])? != 1 {
                if ids.is_empty() {
                    let left = balance(connection, &entry.account)?.as_micros() - least;
                    return Ok(Err(Refused { available: Amount::from_micros(left).unwrap_or(Amount::ZERO) }));
                }
                // A hold that is not there: our own books are wrong, and the operation must not go on.
                return Err(rusqlite::Error::StatementChangedRows(0));
            }
        }
        ids.push(id);
    }
    let (request, reference) = match &cause {
        Subject::Request(id) => (Some(id.as_bytes()), None),
        Subject::Reference(reference) => (None, Some(reference.as_str())),
        Subject::Beginning => (None, None),
    };
    connection
        .prepare_cached("INSERT INTO transfers (kind, request_id, created_at, reference) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![kind.as_str(), request, at.as_millis(), reference])?;
    let transfer = connection.last_insert_rowid();
    let mut insert =
        connection.prepare_cached("INSERT INTO entries (transfer_id, account_id, micros) VALUES (?1, ?2, ?3)")?;
    for (entry, account) in entries.iter().zip(ids) {
        insert.execute(params![transfer, account, entry.micros])?;
    }
    Ok(Ok(()))
}

/// Sets a part of a consumer's balance aside, if there is as much that is not set aside already.
pub(super) fn reserve(
    work: &mut Work<'_>,
    consumer: ConsumerId,
    amount: Amount,
) -> rusqlite::Result<Result<Reservation, Refused>> {
    let reserved = &work.accounts.reserved;
    let balance = balance(work.connection, &Account::ConsumerAvailable(consumer))?;
    let left = balance.as_micros() - reserved.of(consumer);
    if left < amount.as_micros() {
        return Ok(Err(Refused { available: Amount::from_micros(left).unwrap_or(Amount::ZERO) }));
    }
    Ok(Ok(reserved.add(consumer, amount)))
}

/// The kept balance of an account; zero if there is no such account.
pub(super) fn balance(connection: &Connection, account: &Account) -> rusqlite::Result<Amount> {
    let mut query = connection.prepare_cached("SELECT balance FROM accounts WHERE name = ?1")?;
    let micros: Option<Option<i64>> = query.query_row([account.to_string()], |row| row.get(0)).optional()?;
    Ok(micros.flatten().and_then(Amount::from_micros).unwrap_or(Amount::ZERO))
}

/// A range of the names' index.
pub(super) const EARNINGS: &str =
    "SELECT name, balance FROM accounts WHERE name >= 'owner:' AND name < 'owner;' ORDER BY name";

/// The kept balances of all owners.
pub(super) fn earnings(connection: &Connection) -> rusqlite::Result<Vec<(Name, Amount)>> {
    let mut query = connection.prepare_cached(EARNINGS)?;
    let mut rows = query.query([])?;
    let mut earnings = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get("name")?;
        let owner = name.strip_prefix("owner:").and_then(|rest| rest.strip_suffix(":earned"));
        if let Some(owner) = owner.and_then(|owner| owner.parse().ok()) {
            earnings.push((owner, rows::amount(row, "balance")?));
        }
    }
    Ok(earnings)
}
