//! Section `[consumers]` of the configuration.

use ripost_domain::limit::{Count, Rate};
use serde::{Deserialize, Serialize};

/// Section `[consumers]`: what each consumer may do, unless `ripost consumers limits` says otherwise of one. An API can
/// have limits of its own besides (`[api.limits]` in its manifest). Each may be `"none"`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Consumers {
    /// Calls with one key, over all APIs: `"100/s"`, `"600/min"`, `"1000/h burst 50"`; more is 429. Default none.
    #[serde(with = "none_or")]
    pub rate: Option<Rate>,
    /// Everything else that is done with one key, such as asking for the state of a request. Default 1000/s with a
    /// burst of 10 000: a batch can be read at once, and a loop that never ends takes little from others.
    #[serde(with = "none_or")]
    pub polls: Option<Rate>,
    /// Requests of one consumer that have not ended; one more is 429. Default none.
    #[serde(with = "none_or")]
    pub concurrency: Option<Count>,
    /// Requests of one consumer that are accepted on one day, in UTC; one more is 429. Default none.
    #[serde(with = "none_or")]
    pub daily: Option<Count>,
}

impl Default for Consumers {
    fn default() -> Self {
        Self { rate: None, polls: "1000/s burst 10000".parse().ok(), concurrency: None, daily: None }
    }
}

/// A limit, or `"none"`.
mod none_or {
    use ripost_domain::limit::Setting;
    use serde::Deserialize as _;
    use std::fmt::Display;
    use std::str::FromStr;

    pub(super) fn serialize<T: Display, S: serde::Serializer>(
        limit: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match limit {
            Some(limit) => serializer.collect_str(limit),
            None => serializer.serialize_str("none"),
        }
    }

    pub(super) fn deserialize<'de, T: FromStr<Err: Display>, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        match Setting::<T>::deserialize(deserializer)? {
            Setting::Own(limit) => Ok(Some(limit)),
            Setting::None => Ok(None),
            Setting::Default => {
                Err(serde::de::Error::custom("leave it out for the default, or write \"none\" or a limit"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_text_a_number_or_none() {
        let read = |text: &str| toml::from_str::<Consumers>(text);
        let all = read("rate = \"600/min burst 20\"\npolls = \"none\"\nconcurrency = 10\ndaily = \"1000\"").unwrap();
        assert_eq!(all.rate.unwrap().to_string(), "600/min burst 20");
        assert_eq!((all.polls, all.concurrency, all.daily), (None, Count::new(10), Count::new(1000)));
        for wrong in ["rate = 5", "rate = \"fast\"", "concurrency = 0", "concurrency = \"default\"", "daily = -1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Consumers::default().polls.unwrap().requests(), 1000);
    }
}
