//! The ledger's rules: accounts, and the entries that each kind of transfer writes. Entries sum to zero.

use crate::api::Name;
use crate::id::ConsumerId;
use crate::money::{Amount, Split};
use std::fmt;
use std::str::FromStr;

/// Whose money a line is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Account {
    /// What a consumer can still spend; never below zero.
    ConsumerAvailable(ConsumerId),
    /// What is set aside for a consumer's requests; never below zero.
    ConsumerHeld(ConsumerId),
    /// What an owner has earned; never below zero.
    OwnerEarned(Name),
    /// The platform's share; a sum, not a stored balance.
    PlatformFees,
    /// The outside; a sum, not a stored balance.
    World,
}

impl Account {
    /// Whether its balance is kept beside its entries. Those that every request touches are sums, so that no row is hot.
    #[must_use]
    pub const fn has_balance(&self) -> bool {
        !matches!(self, Self::PlatformFees | Self::World)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConsumerAvailable(id) => write!(f, "consumer:{id}:available"),
            Self::ConsumerHeld(id) => write!(f, "consumer:{id}:held"),
            Self::OwnerEarned(owner) => write!(f, "owner:{owner}:earned"),
            Self::PlatformFees => f.write_str("platform:fees"),
            Self::World => f.write_str("world"),
        }
    }
}

/// Why money moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// From outside into a consumer's balance.
    Credit,
    /// From a consumer's balance to the outside.
    Debit,
    /// Set aside at accept.
    Hold,
    /// With the result, to owner and platform.
    Capture,
    /// Back to the consumer.
    Release,
}

impl Kind {
    /// The name in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Debit => "debit",
            Self::Hold => "hold",
            Self::Capture => "capture",
            Self::Release => "release",
        }
    }
}

/// What an operator does to a consumer's balance by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adjustment {
    /// The consumer has paid.
    Credit,
    /// The consumer was paid back.
    Debit,
}

impl Adjustment {
    /// The name in the store and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.kind().as_str()
    }

    /// Back from the name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Credit, Self::Debit].into_iter().find(|adjustment| adjustment.as_str() == name)
    }

    /// Why money moves.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Credit => Kind::Credit,
            Self::Debit => Kind::Debit,
        }
    }

    /// What it writes. The first entry of a debit is the one that can be refused.
    #[must_use]
    pub fn entries(self, consumer: ConsumerId, amount: Amount) -> Vec<Entry> {
        match self {
            Self::Credit => credit(consumer, amount),
            Self::Debit => debit(consumer, amount),
        }
    }
}

/// What the operator calls a credit or a debit by, such as an invoice: each names one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference(String);

/// The text is no reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a reference has 1 to {} characters, no control characters, and no space at its beginning or end",
    Reference::CHARS_MAX
)]
pub struct ParseReferenceError;

impl Reference {
    /// Long enough for what a bank prints.
    pub const CHARS_MAX: usize = 200;

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, ParseReferenceError> {
        let fits = !text.is_empty() && text.chars().count() <= Self::CHARS_MAX;
        let is_plain = text.trim() == text && !text.chars().any(char::is_control);
        if fits && is_plain { Ok(Self(text.to_owned())) } else { Err(ParseReferenceError) }
    }
}

/// One line: so much more (or, negative, less) on one account. Never zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The account.
    pub account: Account,
    /// In micro-USDC, signed.
    pub micros: i64,
}

fn entry(account: Account, micros: i64) -> Option<Entry> {
    (micros != 0).then_some(Entry { account, micros })
}

fn entries(lines: impl IntoIterator<Item = Option<Entry>>) -> Vec<Entry> {
    lines.into_iter().flatten().collect()
}

/// Money comes in for a consumer.
#[must_use]
pub fn credit(consumer: ConsumerId, amount: Amount) -> Vec<Entry> {
    entries([
        entry(Account::World, -amount.as_micros()),
        entry(Account::ConsumerAvailable(consumer), amount.as_micros()),
    ])
}

/// Money of a consumer's goes out. The first entry is the one that can be refused.
#[must_use]
pub fn debit(consumer: ConsumerId, amount: Amount) -> Vec<Entry> {
    entries([
        entry(Account::ConsumerAvailable(consumer), -amount.as_micros()),
        entry(Account::World, amount.as_micros()),
    ])
}

/// The price is set aside. The first entry is the one that can be refused.
#[must_use]
pub fn hold(consumer: ConsumerId, price: Amount) -> Vec<Entry> {
    entries([
        entry(Account::ConsumerAvailable(consumer), -price.as_micros()),
        entry(Account::ConsumerHeld(consumer), price.as_micros()),
    ])
}

/// A hold of `held` ends: what is captured of it goes to owner and platform, the rest back to the consumer. `None` if
/// more would be captured than is held.
#[must_use]
pub fn capture(consumer: ConsumerId, owner: &Name, held: Amount, captured: Split) -> Option<Vec<Entry>> {
    let rest = held.checked_sub(captured.price)?;
    Some(entries([
        entry(Account::ConsumerHeld(consumer), -held.as_micros()),
        entry(Account::OwnerEarned(owner.clone()), captured.owner.as_micros()),
        entry(Account::PlatformFees, captured.fee.as_micros()),
        entry(Account::ConsumerAvailable(consumer), rest.as_micros()),
    ]))
}

/// A hold goes back.
#[must_use]
pub fn release(consumer: ConsumerId, price: Amount) -> Vec<Entry> {
    entries([
        entry(Account::ConsumerHeld(consumer), -price.as_micros()),
        entry(Account::ConsumerAvailable(consumer), price.as_micros()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::FeeRate;
    use crate::time::Timestamp;
    use proptest::prelude::*;

    #[test]
    fn a_reference_is_a_line_that_can_be_read_aloud() {
        let long = "é".repeat(200);
        for good in ["inv-1", "2026/11 Blue Bottle", "é", long.as_str()] {
            assert_eq!(good.parse::<Reference>().unwrap().as_str(), good);
        }
        for bad in ["", " ", " a", "a ", "a\n", "a\tb", "\u{1b}[31m", &"é".repeat(201)] {
            assert_eq!(bad.parse::<Reference>(), Err(ParseReferenceError), "{bad:?}");
        }
    }

    #[test]
    fn an_adjustment_has_a_name_and_a_kind() {
        for adjustment in [Adjustment::Credit, Adjustment::Debit] {
            assert_eq!(Adjustment::from_name(adjustment.as_str()), Some(adjustment));
        }
        assert_eq!(Adjustment::from_name("hold"), None);
    }

    proptest! {
        #[test]
        fn the_entries_of_a_transfer_sum_to_zero_and_none_is_zero(micros in 0_i64..i64::MAX, bps in 0_u16..=10_000) {
            let consumer = ConsumerId::new(Timestamp::from_millis(1), [3; 10]);
            let price = Amount::from_micros(micros).unwrap();
            let owner: Name = "demo".parse().unwrap();
            let split = FeeRate::from_bps(bps).unwrap().split(price);
            let captured = capture(consumer, &owner, price, split).unwrap();
            for lines in [credit(consumer, price), debit(consumer, price), hold(consumer, price), captured, release(consumer, price)] {
                prop_assert_eq!(lines.iter().map(|line| i128::from(line.micros)).sum::<i128>(), 0);
                prop_assert!(lines.iter().all(|line| line.micros != 0));
                prop_assert_eq!(lines.is_empty(), micros == 0);
            }
        }

        #[test]
        fn a_part_of_a_hold_is_captured_and_the_rest_goes_back_but_never_more_than_the_hold(
            held in 0_i64..i64::MAX, part in 0_i64..i64::MAX, bps in 0_u16..=10_000,
        ) {
            let consumer = ConsumerId::new(Timestamp::from_millis(1), [3; 10]);
            let owner: Name = "demo".parse().unwrap();
            let split = FeeRate::from_bps(bps).unwrap().split(Amount::from_micros(part).unwrap());
            let lines = capture(consumer, &owner, Amount::from_micros(held).unwrap(), split);
            prop_assert_eq!(lines.is_some(), part <= held);
            let Some(lines) = lines else { return Ok(()) };
            let of = |account: &Account| lines.iter().filter(|line| line.account == *account).map(|line| line.micros).sum::<i64>();
            prop_assert_eq!(lines.iter().map(|line| i128::from(line.micros)).sum::<i128>(), 0);
            prop_assert!(lines.iter().all(|line| line.micros != 0));
            prop_assert_eq!(of(&Account::ConsumerHeld(consumer)), -held);
            prop_assert_eq!(of(&Account::ConsumerAvailable(consumer)), held - part);
            prop_assert_eq!(of(&Account::OwnerEarned(owner)), split.owner.as_micros());
            prop_assert_eq!(of(&Account::PlatformFees), split.fee.as_micros());
            // What may refuse comes first: what is held, unless nothing is.
            prop_assert!(lines.first().is_none_or(|line| line.account == Account::ConsumerHeld(consumer)));
        }
    }
}
