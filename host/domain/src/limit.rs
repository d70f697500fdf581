//! What a consumer may do in a time: rates, and who says them.
//!
//! A rate is kept by the generic cell rate algorithm (GCRA): all that is remembered of a key is the moment at which its
//! whole burst is there again.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// Most requests in a window; more is no limit.
pub const REQUESTS_MAX: u32 = 1_000_000;

/// The text is not a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseLimitError {
    /// Not a rate.
    #[error(
        "`{0}` is not a rate: write how many in a second, minute or hour, such as \"100/s\", \"600/min\" or \"1000/h burst 50\" (1 to {REQUESTS_MAX})"
    )]
    Rate(String),
    /// Not a count.
    #[error("`{0}` is not a count: write a whole number from 1 to {max}", max = u32::MAX)]
    Count(String),
}

/// So many in a window, and so many at once: `100/s`, `600/min`, `1000/h burst 50`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    requests: u32,
    window: Window,
    burst: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Window {
    Second,
    Minute,
    Hour,
}

impl Window {
    const ALL: [(Self, &'static str, u64); 3] =
        [(Self::Second, "s", 1), (Self::Minute, "min", 60), (Self::Hour, "h", 3600)];

    const fn line(self) -> (Self, &'static str, u64) {
        match self {
            Self::Second => Self::ALL[0],
            Self::Minute => Self::ALL[1],
            Self::Hour => Self::ALL[2],
        }
    }
}

/// When a key's whole burst is there again, in nanoseconds on a steady clock of the caller's. Zero for a new key.
pub type FullAt = u64;

impl Rate {
    /// Requests in a window.
    #[must_use]
    pub const fn requests(&self) -> u32 {
        self.requests
    }

    /// The window, in seconds.
    #[must_use]
    pub const fn window_s(&self) -> u64 {
        self.window.line().2
    }

    /// Requests at once after a rest.
    #[must_use]
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// Nanoseconds from one request to the next at the full rate; rounded up, so that a window never has one more.
    const fn interval(&self) -> u64 {
        (self.window_s() * 1_000_000_000).div_ceil(self.requests as u64)
    }

    /// From nothing left to a whole burst. At most an hour times `REQUESTS_MAX`, which fits.
    const fn refill(&self) -> u64 {
        self.interval() * self.burst as u64
    }

    /// Takes one request at `now`; what is to be remembered.
    ///
    /// # Errors
    /// None is left; how long until one is.
    pub fn take(&self, full_at: FullAt, now: u64) -> Result<FullAt, Duration> {
        let next = full_at.max(now) + self.interval();
        match next.checked_sub(now + self.refill()) {
            None | Some(0) => Ok(next),
            Some(early) => Err(Duration::from_nanos(early)),
        }
    }

    /// Requests that may be made at `now`.
    #[must_use]
    pub fn left(&self, full_at: FullAt, now: u64) -> u32 {
        let owed = full_at.saturating_sub(now).div_ceil(self.interval());
        self.burst.saturating_sub(u32::try_from(owed).unwrap_or(u32::MAX))
    }
}

impl FromStr for Rate {
    type Err = ParseLimitError;
    fn from_str(text: &str) -> Result<Self, ParseLimitError> {
        let parse = || {
            let count = |text: &str| {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let count = digits.then(|| text.parse::<u32>().ok()).flatten();
                count.filter(|count| (1..=REQUESTS_MAX).contains(count))
            };
            let (rate, burst) = match text.split_once(" burst ") {
                Some((rate, burst)) => (rate, Some(count(burst.trim())?)),
                None => (text, None),
            };
            let (requests, unit) = rate.trim().split_once('/')?;
            let (requests, unit) = (count(requests.trim_end())?, unit.trim_start());
            let (window, ..) =
                Window::ALL.into_iter().find(|(_, name, _)| *name == unit || (unit == "m" && *name == "min"))?;
            Some(Self { requests, window, burst: burst.unwrap_or(requests) })
        };
        parse().ok_or_else(|| ParseLimitError::Rate(text.chars().take(64).collect()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.requests, self.window.line().1)?;
        if self.burst == self.requests { Ok(()) } else { write!(f, " burst {}", self.burst) }
    }
}

impl serde::Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Rate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// So many of something; never none, which would be no consumer at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(NonZeroU32);

impl Count {
    /// `None` for zero.
    #[must_use]
    pub fn new(count: u32) -> Option<Self> {
        NonZeroU32::new(count).map(Self)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl FromStr for Count {
    type Err = ParseLimitError;
    fn from_str(text: &str) -> Result<Self, ParseLimitError> {
        text.parse().map(Self).map_err(|_| ParseLimitError::Count(text.chars().take(64).collect()))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an operator says of one consumer's limit; written `default`, `none`, or the limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Setting<T> {
    /// That of everybody.
    #[default]
    Default,
    /// There is none.
    None,
    /// This.
    Own(T),
}

impl<T: Copy> Setting<T> {
    /// The limit that holds, where everybody's is `default`.
    #[must_use]
    pub fn over(self, default: Option<T>) -> Option<T> {
        match self {
            Self::Default => default,
            Self::None => None,
            Self::Own(own) => Some(own),
        }
    }
}

impl<T: FromStr> FromStr for Setting<T> {
    type Err = T::Err;
    fn from_str(text: &str) -> Result<Self, T::Err> {
        match text.trim() {
            "default" => Ok(Self::Default),
            "none" => Ok(Self::None),
            own => own.parse().map(Self::Own),
        }
    }
}

impl<T: fmt::Display> fmt::Display for Setting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::None => f.write_str("none"),
            Self::Own(own) => own.fmt(f),
        }
    }
}

impl<T: fmt::Display> serde::Serialize for Setting<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> serde::Deserialize<'de> for Setting<T> {
    /// A text; a count may be a number too.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(std::marker::PhantomData<T>);
        impl<T: FromStr<Err: fmt::Display>> serde::de::Visitor<'_> for Visitor<T> {
            type Value = Setting<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a limit, \"none\" or \"default\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Self::Value, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Visitor(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    #[test]
    fn a_rate_is_read_as_people_write_it_and_nothing_else_is() {
        for (text, shown) in [
            ("100/s", "100/s"),
            ("600 / min", "600/min"),
            ("600/m", "600/min"),
            ("7/h burst 3", "7/h burst 3"),
            ("5/s burst 5", "5/s"),
        ] {
            assert_eq!(rate(text).to_string(), shown);
        }
        for bad in ["", "100", "0/s", "1/d", "-1/s", "+1/s", "1000001/s", "1/s burst 0", "1/s burst", "1.5/s", "none"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_burst_is_there_at_once_and_comes_back_evenly() {
        const MS: u64 = 1_000_000;
        let rate = rate("10/s burst 3");
        let (mut full_at, now) = (0, 5000 * MS);
        for left in [2, 1, 0] {
            full_at = rate.take(full_at, now).unwrap();
            assert_eq!(rate.left(full_at, now), left);
        }
        assert_eq!(rate.take(full_at, now), Err(Duration::from_millis(100)));
        assert_eq!(rate.take(full_at, now + 60 * MS), Err(Duration::from_millis(40)));
        assert!(rate.take(full_at, now + 100 * MS).is_ok());
        assert_eq!(rate.left(full_at, now + 299 * MS), 2);
        assert_eq!(rate.left(full_at, now + 300 * MS), 3);
    }

    #[test]
    fn what_holds_is_ones_own_none_or_everybodys() {
        let of = |text: &str| text.parse::<Setting<Count>>().unwrap().over(Count::new(5)).map(Count::get);
        assert_eq!([of("default"), of("none"), of("7")], [Some(5), None, Some(7)]);
        for bad in ["0", "-1", "many", ""] {
            assert!(bad.parse::<Setting<Count>>().is_err(), "{bad:?}");
        }
        assert_eq!(serde_json::from_str::<Setting<Count>>("7").unwrap().to_string(), "7");
        assert_eq!(serde_json::to_string(&Setting::<Count>::None).unwrap(), "\"none\"");
    }

    proptest! {
        #[test]
        fn a_rate_survives_its_text_form(requests in 1..=REQUESTS_MAX, burst in 1..=REQUESTS_MAX, unit in 0..3_usize) {
            let text = format!("{requests}/{} burst {burst}", Window::ALL[unit].1);
            prop_assert_eq!(rate(&rate(&text).to_string()), rate(&text));
        }

        /// A bucket that is filled drop by drop, which is what the one number stands for.
        #[test]
        fn one_number_does_what_a_bucket_does(
            requests in 1_u32..50, burst in 1_u32..20, gaps in proptest::collection::vec(0_u64..300_000_000, 1..200),
        ) {
            let rate = rate(&format!("{requests}/s burst {burst}"));
            let (mut full_at, mut now) = (0, 1);
            let full = u128::from(rate.refill());
            let mut tank = full;
            for gap in gaps {
                now += gap;
                tank = full.min(tank + u128::from(gap));
                prop_assert_eq!(u128::from(rate.left(full_at, now)), tank / u128::from(rate.interval()));
                let taken = rate.take(full_at, now);
                prop_assert_eq!(taken.is_ok(), tank >= u128::from(rate.interval()));
                if let Ok(next) = taken {
                    full_at = next;
                    tank -= u128::from(rate.interval());
                }
            }
        }

        /// Whatever the gaps: in no window are there more than a burst and what has come back.
        #[test]
        fn no_window_has_more_than_a_burst_and_its_rate(
            requests in 1_u32..30, gaps in proptest::collection::vec(0_u64..200_000_000, 1..300),
        ) {
            let rate = rate(&format!("{requests}/s"));
            let (mut full_at, mut now, mut taken) = (0, 0, Vec::new());
            for gap in gaps {
                now += gap;
                if let Ok(next) = rate.take(full_at, now) {
                    full_at = next;
                    taken.push(now);
                }
            }
            for (index, from) in taken.iter().enumerate() {
                let inside = taken[index..].iter().take_while(|at| **at < from + 1_000_000_000).count();
                prop_assert!(inside <= 2 * requests as usize, "{inside}");
            }
        }
    }
}
