//! Credits and debits by hand. What moved outside is named by its reference, so the same one again does nothing.

use super::Admin;
use super::consumers::consumer_of;
use crate::problem::{Kind, Problem};
use ripost_domain::id::ConsumerId;
use ripost_domain::ledger::{Adjustment, Reference};
use ripost_domain::money::Amount;
use ripost_domain::time::Timestamp;
use ripost_store::{Adjust, Adjusted, Balances};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most that one credit or debit moves: a thousand million USDC. Sums over thousands of such still fit.
pub(super) const AMOUNT_MAX: Amount = Amount::from_micros(1_000_000_000_000_000).expect("it is positive");

/// A credit or a debit.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdjustBalance {
    /// USDC, more than zero.
    #[schemars(with = "String")]
    pub amount: Amount,
    /// What names the movement outside, such as an invoice or a transfer: 1 to 200 characters, unique on this gateway.
    pub reference: String,
}

/// A credit or debit that is in the ledger.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AdjustedBalance {
    /// Whose balance.
    #[schemars(with = "String")]
    pub consumer: ConsumerId,
    /// `credit` or `debit`.
    pub kind: String,
    /// How much.
    #[schemars(with = "String")]
    pub amount: Amount,
    /// As it was given.
    pub reference: String,
    /// When it was written.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// It was written by an earlier call, and nothing by this one.
    pub repeated: bool,
    /// Can be spent now.
    #[schemars(with = "String")]
    pub available: Amount,
    /// Set aside now for requests that have not ended.
    #[schemars(with = "String")]
    pub held: Amount,
}

pub(super) async fn adjust(
    admin: &Admin,
    name: &str,
    adjustment: Adjustment,
    fields: AdjustBalance,
) -> Result<AdjustedBalance, Problem> {
    let AdjustBalance { amount, reference } = fields;
    let reference: Reference =
        reference.parse().map_err(|error| Problem::new(Kind::InvalidValue, format!("`reference`: {error}.")))?;
    within(amount)?;
    if amount.is_zero() {
        return Err(Problem::new(Kind::InvalidValue, "`amount` must be more than zero."));
    }
    let consumer = consumer_of(admin, name).await?;
    let at = admin.clock.now();
    let asked = Adjust { consumer, adjustment, amount, reference: reference.clone(), at };
    let (at, repeated, balances) = match admin.store.adjust(asked).await? {
        Adjusted::Done(balances) => {
            tracing::info!(consumer.id = %consumer, kind = adjustment.as_str(), %amount, reference = reference.as_str(), "Adjusted a balance");
            (at, false, balances)
        }
        Adjusted::Before { at, balances } => (at, true, balances),
        Adjusted::ReferenceTaken { written } => return Err(taken(&written)),
        Adjusted::Insufficient(balances) => return Err(too_low(amount, balances)),
        Adjusted::Unknown => return Err(Problem::new(Kind::NotFound, format!("`{name}` was erased."))),
    };
    let Balances { available, held } = balances;
    let (kind, reference) = (adjustment.as_str().to_owned(), reference.as_str().to_owned());
    Ok(AdjustedBalance { consumer, kind, amount, reference, at, repeated, available, held })
}

/// # Errors
/// Sums of such amounts might not fit.
pub(super) fn within(amount: Amount) -> Result<(), Problem> {
    match amount > AMOUNT_MAX {
        true => Err(Problem::new(Kind::InvalidValue, format!("An amount is at most {AMOUNT_MAX} USDC at once."))),
        false => Ok(()),
    }
}

fn taken(written: &Adjust) -> Problem {
    let Adjust { consumer, adjustment, amount, reference, at } = written;
    let (kind, reference) = (adjustment.as_str(), reference.as_str());
    let detail = format!(
        "The reference `{reference}` is that of a {kind} of {amount} USDC for {consumer} at {at}. Nothing was changed. Use a reference of its own for each payment."
    );
    Problem::new(Kind::ReferenceTaken, detail)
        .with("kind", kind)
        .with("amount_usdc", amount.to_string())
        .with("consumer", consumer.to_string())
        .with("at", at.to_string())
}

fn too_low(amount: Amount, balances: Balances) -> Problem {
    let Balances { available, held } = balances;
    let detail = format!(
        "The debit is {amount} USDC and {available} USDC are available; {held} USDC more are held for requests that have not ended. Nothing was changed. Debit {available} USDC at most, or wait until those requests have ended."
    );
    Problem::new(Kind::BalanceTooLow, detail)
        .with("amount_usdc", amount.to_string())
        .with("available_usdc", available.to_string())
        .with("held_usdc", held.to_string())
}
