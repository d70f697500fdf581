//! How much of an API its consumers may have: keys of `[api.limits]` beside those of a run.
//!
//! They have no ceiling: the operator's own limits (`[consumers]`) are over all APIs and hold besides, so a manifest can
//! only ask for less.

use super::{ManifestError, Reader, keys};
use crate::limits::Written;
use ripost_domain::limit::Rate;
use std::ops::RangeInclusive;
use toml::Spanned;

/// Limits of an API's consumers; `None`: none of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Calls by all consumers together.
    pub rate: Option<Rate>,
    /// Calls by each consumer.
    pub rate_per_consumer: Option<Rate>,
    /// Requests of each consumer that have not ended.
    pub concurrency_per_consumer: Option<u32>,
    /// Requests of each consumer that are accepted on one day.
    pub daily_per_consumer: Option<u32>,
}

/// What a key's value looks like.
#[derive(Debug)]
pub(super) enum Form {
    Rate,
    Count,
}

/// One of the keys.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) form: Form,
    /// For whoever writes a manifest.
    pub(super) about: &'static str,
}

const RATE: &str = "rate";
const RATE_PER_CONSUMER: &str = "rate_per_consumer";
const CONCURRENCY_PER_CONSUMER: &str = "concurrency_per_consumer";
const DAILY_PER_CONSUMER: &str = "daily_per_consumer";

pub(super) static KEYS: &[Key] = &[
    Key {
        name: RATE,
        form: Form::Rate,
        about: "calls of this API by all consumers together, such as \"600/min\"; default none",
    },
    Key {
        name: RATE_PER_CONSUMER,
        form: Form::Rate,
        about: "calls of this API by each consumer, such as \"10/s burst 20\"; default none",
    },
    Key {
        name: CONCURRENCY_PER_CONSUMER,
        form: Form::Count,
        about: "requests of each consumer that have not ended; default none",
    },
    Key {
        name: DAILY_PER_CONSUMER,
        form: Form::Count,
        about: "requests of each consumer that are accepted on one day (UTC); default none",
    },
];

/// More is no limit.
pub(super) const COUNTS: RangeInclusive<u32> = 1..=1_000_000;

/// Whether it is one of these keys.
pub(super) fn is_key(name: &str) -> bool {
    KEYS.iter().any(|key| key.name == name)
}

impl Reader<'_> {
    /// Reads one of these keys.
    pub(super) fn allow(
        &self,
        allowance: &mut Allowance,
        key: &str,
        written: &Spanned<Written>,
    ) -> Result<(), ManifestError> {
        match key {
            RATE => allowance.rate = Some(self.rate(key, written)?),
            RATE_PER_CONSUMER => allowance.rate_per_consumer = Some(self.rate(key, written)?),
            CONCURRENCY_PER_CONSUMER => allowance.concurrency_per_consumer = Some(self.allowed(key, written)?),
            DAILY_PER_CONSUMER => allowance.daily_per_consumer = Some(self.allowed(key, written)?),
            other => return Err(self.error(written.span().start, format!("`{other}` is no key of {}", keys::LIMITS))),
        }
        Ok(())
    }

    fn rate(&self, key: &str, written: &Spanned<Written>) -> Result<Rate, ManifestError> {
        let at = written.span().start;
        match written.get_ref() {
            Written::Text(text) => text.parse().map_err(|error| self.error(at, format!("`{key}`: {error}"))),
            Written::Number(number) => {
                let message =
                    format!("`{key}` is a rate; write how many in which time, such as {key} = \"{number}/s\"");
                Err(self.error(at, message))
            }
        }
    }

    fn allowed(&self, key: &str, written: &Spanned<Written>) -> Result<u32, ManifestError> {
        let at = written.span().start;
        match written.get_ref() {
            Written::Number(number) => self.within(key, at, *number, &COUNTS),
            Written::Text(_) => Err(self.error(at, format!("`{key}` is a number; write {key} = 16 without quotes"))),
        }
    }
}
