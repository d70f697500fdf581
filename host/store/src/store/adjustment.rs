//! Credits and debits by hand.

use super::Balances;
use ripost_domain::id::ConsumerId;
use ripost_domain::ledger::{Adjustment, Reference};
use ripost_domain::money::Amount;
use ripost_domain::time::Timestamp;

/// A credit or a debit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjust {
    /// Whose balance.
    pub consumer: ConsumerId,
    /// Which way.
    pub adjustment: Adjustment,
    /// How much; more than zero.
    pub amount: Amount,
    /// What the operator calls it by: there is one for each.
    pub reference: Reference,
    /// When.
    pub at: Timestamp,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adjusted {
    /// It is written.
    Done(Balances),
    /// The same was written before; nothing was written now.
    Before {
        /// When it was.
        at: Timestamp,
        /// As they are.
        balances: Balances,
    },
    /// The reference is that of another one.
    ReferenceTaken {
        /// The one that was written.
        written: Adjust,
    },
    /// A debit: less is available. Nothing was written.
    Insufficient(Balances),
    /// There is no such consumer, or it was erased and is to be credited.
    Unknown,
}
