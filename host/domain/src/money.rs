//! Money: whole micro-USDC in an `i64`, written as a decimal string with exactly six places.

use std::fmt;
use std::iter::Sum;
use std::str::FromStr;

const MICROS: i64 = 1_000_000;
const BPS: i64 = 10_000;

/// The text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseAmountError {
    /// Anything but digits with at most one point between them: no sign, no exponent, no spaces.
    #[error("an amount is written as digits with at most six decimals, such as \"0.050000\"")]
    Malformed,
    /// Finer than a micro-USDC.
    #[error("an amount has at most six decimals")]
    TooFine,
    /// Above nine million million.
    #[error("the amount is too large")]
    TooLarge,
}

/// A sum of money, zero or more, in micro-USDC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(i64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The most that can be written.
    pub const MAX: Self = Self(i64::MAX);

    /// From micro-USDC; `None` if negative.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Option<Self> {
        if micros < 0 { None } else { Some(Self(micros)) }
    }

    /// In micro-USDC.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, unless it does not fit.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, unless it would be negative.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        if other.0 > self.0 { None } else { Some(Self(self.0 - other.0)) }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / MICROS, self.0 % MICROS)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} USDC")
    }
}

impl FromStr for Amount {
    type Err = ParseAmountError;

    fn from_str(text: &str) -> Result<Self, ParseAmountError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(ParseAmountError::Malformed);
        }
        if fraction.len() > 6 {
            return Err(ParseAmountError::TooFine);
        }
        let micros: i64 = format!("{fraction:0<6}").parse().map_err(|_| ParseAmountError::Malformed)?;
        let whole: i64 = whole.parse().map_err(|_| ParseAmountError::TooLarge)?;
        whole
            .checked_mul(MICROS)
            .and_then(|value| value.checked_add(micros))
            .map(Self)
            .ok_or(ParseAmountError::TooLarge)
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, |sum, amount| Self(sum.0 + amount.0))
    }
}

impl serde::Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The platform's share in basis points, at most the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeeRate(u16);

impl FeeRate {
    /// Five per cent.
    pub const DEFAULT: Self = Self(500);

    /// From basis points; `None` above 10 000.
    #[must_use]
    pub const fn from_bps(bps: u16) -> Option<Self> {
        if bps as i64 > BPS { None } else { Some(Self(bps)) }
    }

    /// In basis points.
    #[must_use]
    pub const fn as_bps(self) -> u16 {
        self.0
    }

    /// The lowest rate that takes this fee from this price; `None` if no rate does. For a price of 0.01 USDC or more it
    /// is the only one.
    #[must_use]
    pub fn of(fee: Amount, price: Amount) -> Option<Self> {
        if price.is_zero() {
            return fee.is_zero().then_some(Self(0));
        }
        let price_micros = i128::from(price.0);
        let bps = (i128::from(fee.0) * i128::from(BPS) + price_micros - 1) / price_micros;
        let rate = Self::from_bps(u16::try_from(bps).ok()?)?;
        (rate.split(price).fee == fee).then_some(rate)
    }

    /// `fee = floor(price × bps / 10 000)`, the rest to the owner: the platform never over-takes and the sum is exact.
    #[must_use]
    pub fn split(self, price: Amount) -> Split {
        let fee = i128::from(price.0) * i128::from(self.0) / i128::from(BPS);
        let fee = Amount(i64::try_from(fee).expect("a share is at most the price"));
        Split { price, fee, owner: Amount(price.0 - fee.0), rate: self }
    }
}

/// A price and who gets what of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// What the consumer pays.
    pub price: Amount,
    /// The platform's part.
    pub fee: Amount,
    /// The owner's part; with `fee` exactly `price`.
    pub owner: Amount,
    /// What the fee was computed with, and is for a part of the price.
    pub rate: FeeRate,
}

/// How much of a hold is captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Capture {
    /// All of it: the price.
    #[default]
    Whole,
    /// This much; the rest goes back to the consumer.
    Part(Amount),
}

impl Capture {
    /// `None` for a part that is nothing: such a hold is released.
    #[must_use]
    pub const fn unless_nothing(self) -> Option<Self> {
        match self {
            Self::Part(Amount::ZERO) => None,
            capture => Some(capture),
        }
    }

    /// What the consumer pays of this price, and who gets what of that; `None` if it is more than the price.
    #[must_use]
    pub fn of(self, split: Split) -> Option<Split> {
        match self {
            Self::Whole => Some(split),
            Self::Part(amount) if amount > split.price => None,
            Self::Part(amount) => Some(split.rate.split(amount)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_fee_is_rounded_down_and_the_owner_has_the_rest() {
        for (price, fee, owner) in
            [(1000, 50, 950), (10_000, 500, 9500), (200, 10, 190), (19, 0, 19), (20, 1, 19), (1, 0, 1), (0, 0, 0)]
        {
            let split = FeeRate::DEFAULT.split(Amount(price));
            assert_eq!((split.fee.0, split.owner.0), (fee, owner), "price {price}");
        }
    }

    #[test]
    fn only_plain_decimals_are_amounts() {
        assert_eq!("0.050000".parse::<Amount>(), Ok(Amount(50_000)));
        assert_eq!("10".parse::<Amount>(), Ok(Amount(10_000_000)));
        assert_eq!("0.05".parse::<Amount>(), Ok(Amount(50_000)));
        assert_eq!("0.0000001".parse::<Amount>(), Err(ParseAmountError::TooFine));
        for bad in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,0", " 1", "NaN", "1.2.3", "٣"] {
            assert_eq!(bad.parse::<Amount>(), Err(ParseAmountError::Malformed), "{bad:?}");
        }
        assert_eq!("9223372036854.775808".parse::<Amount>(), Err(ParseAmountError::TooLarge));
        assert_eq!("99999999999999999999".parse::<Amount>(), Err(ParseAmountError::TooLarge));
    }

    proptest! {
        #[test]
        fn an_amount_survives_its_text_form(micros in 0..=i64::MAX) {
            prop_assert_eq!(Amount(micros).to_string().parse(), Ok(Amount(micros)));
        }

        #[test]
        fn a_split_is_exact_and_never_above_the_rate(micros in 0..=i64::MAX, bps in 0_u16..=10_000) {
            let split = FeeRate(bps).split(Amount(micros));
            prop_assert_eq!(split.fee.checked_add(split.owner), Some(split.price));
            prop_assert!(i128::from(split.fee.0) * 10_000 <= i128::from(micros) * i128::from(bps));
        }

        #[test]
        fn a_rate_is_known_by_what_it_takes(micros in 0..=i64::MAX, bps in 0_u16..=10_000) {
            let split = FeeRate(bps).split(Amount(micros));
            let found = FeeRate::of(split.fee, split.price);
            prop_assert_eq!(found.map(|rate| rate.split(split.price).fee), Some(split.fee));
            if micros >= 10_000 {
                prop_assert_eq!(found, Some(FeeRate(bps)));
            }
        }

        #[test]
        fn what_is_captured_is_shared_by_the_rate_of_the_whole_and_is_never_more(
            micros in 0..=i64::MAX, part in 0..=i64::MAX, bps in 0_u16..=10_000,
        ) {
            let split = FeeRate(bps).split(Amount(micros));
            prop_assert_eq!(Capture::Whole.of(split), Some(split));
            let captured = Capture::Part(Amount(part)).of(split);
            prop_assert_eq!(captured, (part <= micros).then(|| FeeRate(bps).split(Amount(part))));
            if let Some(captured) = captured {
                prop_assert!(captured.fee <= split.fee);
            }
        }
    }
}
