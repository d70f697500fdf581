//! Credits and debits by hand: one for each reference.

use super::consumers::balances;
use super::ledger::{self, Subject};
use super::rows;
use super::writer::Work;
use crate::store::{Adjust, Adjusted, Balances};
use ripost_domain::id::ConsumerId;
use ripost_domain::ledger::{Adjustment, Reference};
use rusqlite::{Connection, OptionalExtension as _};

pub(super) fn adjust(work: &mut Work<'_>, adjust: &Adjust) -> rusqlite::Result<Adjusted> {
    let connection = work.connection;
    if let Some(written) = of_reference(connection, &adjust.reference)? {
        let at = written.at;
        return Ok(match written == (Adjust { at, ..adjust.clone() }) {
            true => Adjusted::Before { at, balances: balances(connection, adjust.consumer)? },
            false => Adjusted::ReferenceTaken { written },
        });
    }
    // What an erased consumer had left can still be booked out.
    let known = match adjust.adjustment {
        Adjustment::Credit => "SELECT 1 FROM consumers WHERE id = ?1 AND erased_at IS NULL",
        Adjustment::Debit => "SELECT 1 FROM consumers WHERE id = ?1",
    };
    if !connection.prepare_cached(known)?.exists([adjust.consumer.as_bytes()])? {
        return Ok(Adjusted::Unknown);
    }
    let entries = adjust.adjustment.entries(adjust.consumer, adjust.amount);
    let cause = Subject::Reference(&adjust.reference);
    match ledger::transfer(work, adjust.adjustment.kind(), cause, adjust.at, &entries)? {
        Ok(()) => Ok(Adjusted::Done(balances(connection, adjust.consumer)?)),
        Err(refused) => {
            let held = balances(connection, adjust.consumer)?.held;
            Ok(Adjusted::Insufficient(Balances { available: refused.available, held }))
        }
    }
}

fn of_reference(connection: &Connection, reference: &Reference) -> rusqlite::Result<Option<Adjust>> {
    connection
        .prepare_cached(
            "SELECT kind, created_at, abs(micros) AS micros, name FROM transfers \
             JOIN entries ON transfer_id = transfers.id JOIN accounts ON accounts.id = account_id \
             WHERE reference = ?1 AND name LIKE 'consumer:%'",
        )?
        .query_row([reference.as_str()], |row| {
            Ok(Adjust {
                consumer: rows::named(row, "name", consumer_of)?,
                adjustment: rows::named(row, "kind", Adjustment::from_name)?,
                amount: rows::amount(row, "micros")?,
                reference: reference.clone(),
                at: rows::timestamp(row, "created_at")?,
            })
        })
        .optional()
}

/// Whose the account is, by its name.
fn consumer_of(account: &str) -> Option<ConsumerId> {
    account.strip_prefix("consumer:")?.strip_suffix(":available")?.parse().ok()
}
