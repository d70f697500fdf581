//! A table of limits: any subset of [`LINES`], laid over what is built in.

use crate::limits::{Written, read};
use crate::nearest::nearest;
use ripost_runtime::{LINES, Limits, Line, Value};
use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize as _, Deserializer, Serializer};
use std::fmt;

macro_rules! table {
    ($name:ident, $base:expr) => {
        pub(super) mod $name {
            use super::*;

            pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Limits, D::Error> {
                deserializer.deserialize_map(Table { limits: $base })
            }

            pub(in super::super) use super::serialize;
        }
    };
}

table!(handler, Limits::default());
table!(transform, Limits::transform());
table!(ceiling, Limits::ceiling());

pub(super) fn serialize<S: Serializer>(limits: &Limits, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(LINES.len()))?;
    for line in LINES {
        match line.get(limits) {
            Value::Count(count) => map.serialize_entry(line.key, &count)?,
            value => map.serialize_entry(line.key, &value.to_string())?,
        }
    }
    map.end()
}

struct Table {
    limits: Limits,
}

impl<'de> Visitor<'de> for Table {
    type Value = Limits;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of limits, such as { memory = \"64 MiB\" }")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Limits, A::Error> {
        while let Some(line) = map.next_key_seed(Key)? {
            let value = map.next_value_seed(Of { line, unit: line.get(&self.limits) })?;
            let set = line.set(&mut self.limits, value);
            debug_assert!(set, "it was read in the limit's own unit");
        }
        Ok(self.limits)
    }
}

/// A limit's name.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = &'static Line;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'static Line, D::Error> {
        let key = String::deserialize(deserializer)?;
        let keys = || LINES.iter().map(|line| line.key);
        Line::named(&key).ok_or_else(|| {
            D::Error::custom(match nearest(&key, keys()) {
                Some(meant) => format!("unknown limit `{key}`; did you mean `{meant}`?"),
                None => format!("unknown limit `{key}`; they are {}", keys().collect::<Vec<_>>().join(", ")),
            })
        })
    }
}

/// A limit's value.
struct Of {
    line: &'static Line,
    unit: Value,
}

impl<'de> DeserializeSeed<'de> for Of {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let written = Written::deserialize(deserializer)?;
        read(self.line, &written, self.unit).map_err(D::Error::custom)
    }
}
