//! Amounts of money.

use std::fmt;
use std::str::FromStr;

const MICROS: u64 = 1_000_000;

/// An amount of USDC in whole millionths, as prices have it.
///
/// ```
/// use ripost_sdk::Usdc;
///
/// let per_page = Usdc::from_micros(1_500);
/// let cost = per_page.times(12).min("0.02".parse()?);
/// assert_eq!(cost.to_string(), "0.018000");
/// # Ok::<(), ripost_sdk::ParseUsdcError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Usdc(u64);

impl Usdc {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From millionths: 20 000 is 0.02 USDC.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// In millionths.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The sum; at most what the type can hold.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// This for each of so many; at most what the type can hold.
    #[must_use]
    pub const fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count))
    }
}

impl fmt::Display for Usdc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / MICROS, self.0 % MICROS)
    }
}

/// The text is no amount of USDC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseUsdcError;

impl fmt::Display for ParseUsdcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount is written as digits with at most six decimals, such as \"0.050000\"")
    }
}

impl std::error::Error for ParseUsdcError {}

impl FromStr for Usdc {
    type Err = ParseUsdcError;

    /// Digits with at most one point between them: no sign, no exponent, no spaces.
    fn from_str(text: &str) -> Result<Self, ParseUsdcError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > 6 {
            return Err(ParseUsdcError);
        }
        let micros: u64 = format!("{fraction:0<6}").parse().map_err(|_| ParseUsdcError)?;
        let whole: u64 = whole.parse().map_err(|_| ParseUsdcError)?;
        let amount = whole.checked_mul(MICROS).and_then(|whole| whole.checked_add(micros));
        amount.map(Self).ok_or(ParseUsdcError)
    }
}

#[cfg(test)]
mod tests {
    use super::Usdc;

    #[test]
    fn an_amount_survives_its_text_form() {
        for micros in [0, 1, 999_999, 1_000_000, 50_000, u64::MAX] {
            assert_eq!(Usdc::from_micros(micros).to_string().parse(), Ok(Usdc::from_micros(micros)));
        }
        assert_eq!("0.05".parse(), Ok(Usdc::from_micros(50_000)));
        assert_eq!("12".parse(), Ok(Usdc::from_micros(12_000_000)));
    }

    #[test]
    fn only_plain_decimals_are_amounts() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,0", " 1", "0.0000001", "18446744073709.551616"] {
            assert!(text.parse::<Usdc>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn arithmetic_stays_at_the_largest_amount() {
        assert_eq!(Usdc::from_micros(u64::MAX).plus(Usdc::from_micros(1)).as_micros(), u64::MAX);
        assert_eq!(Usdc::from_micros(u64::MAX).times(2).as_micros(), u64::MAX);
        assert_eq!(Usdc::from_micros(3).times(4), Usdc::from_micros(12));
    }
}
