//! The limits of runs as manifests and the configuration write them: one grammar for both, with the same words for what
//! is wrong. What there is to limit is listed in [`ripost_runtime::LINES`].

use ripost_domain::units;
use ripost_runtime::{Line, Value};
use serde::Deserialize;
use std::time::Duration;

/// Most memory that a component can address.
const MEMORY_BYTES_MAX: usize = 4 << 30;
/// A file of a revision has at most this.
const COMPONENT_BYTES_MAX: usize = 1 << 30;
/// Nothing here runs longer.
const TIME_MAX: Duration = Duration::from_hours(7 * 24);
/// More of anything is a slip of the finger.
const COUNT_MAX: usize = 1_000_000;

/// A limit's value as it stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Written {
    /// `"64 MiB"`
    Text(String),
    /// `32`
    Number(i64),
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Written;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a quantity in quotes or a whole number")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Written, E> {
                Ok(Written::Text(text.to_owned()))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Written, E> {
                Ok(Written::Number(number))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Reads a value in the unit of this limit. `unit` is any value of it.
///
/// # Errors
/// What is wrong with it, for whoever wrote the file.
pub(crate) fn read(line: &Line, written: &Written, unit: Value) -> Result<Value, String> {
    let (key, value, most) = (line.key, read_wish(line, written, unit)?, most(line.key, unit));
    if value.exceeds(most) {
        return Err(format!("`{key}` is {value} and can be {most} at most"));
    }
    Ok(value)
}

/// The same of a value that is held against a ceiling afterwards, which is lower than what is possible: that is what whoever
/// asks for too much is to be told.
///
/// # Errors
/// What is wrong with it, for whoever wrote the file.
pub(crate) fn read_wish(line: &Line, written: &Written, unit: Value) -> Result<Value, String> {
    let key = line.key;
    let value = match (unit, written) {
        (Value::Bytes(_), Written::Text(text)) => units::parse_size(text).map(Value::Bytes),
        (Value::Time(_), Written::Text(text)) => units::parse_duration(text).map(Value::Time),
        (Value::Count(_), Written::Number(number)) => match usize::try_from(*number) {
            Ok(count) => Ok(Value::Count(count)),
            Err(_) => return Err(format!("`{key}` is {number} and must be more than nothing")),
        },
        (Value::Bytes(_), Written::Number(number)) => {
            return Err(format!(
                "`{key}` is a size; write a whole number and a unit in quotes, such as \"{number} MiB\""
            ));
        }
        (Value::Time(_), Written::Number(number)) => {
            return Err(format!(
                "`{key}` is a time; write a whole number and a unit in quotes, such as \"{number} s\""
            ));
        }
        (Value::Count(_), Written::Text(text)) => {
            return Err(format!("`{key}` is a number; write {key} = {unit} without quotes in place of \"{text}\""));
        }
    };
    let value = value.map_err(|error| format!("`{key}`: {error}"))?;
    if value.is_nothing() && !may_be_nothing(key) {
        return Err(format!("`{key}` must be more than nothing"));
    }
    Ok(value)
}

/// No log and no calls are something that one can want; no memory is not.
pub(crate) fn may_be_nothing(key: &str) -> bool {
    key == "log" || key.starts_with("outbound_")
}

/// What no ceiling can pass.
pub(crate) fn most(key: &str, unit: Value) -> Value {
    match unit {
        Value::Bytes(_) if key == "component" => Value::Bytes(COMPONENT_BYTES_MAX),
        Value::Bytes(_) => Value::Bytes(MEMORY_BYTES_MAX),
        Value::Time(_) => Value::Time(TIME_MAX),
        Value::Count(_) => Value::Count(COUNT_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripost_runtime::{LINES, Limits};

    #[test]
    fn every_limit_is_read_as_it_is_shown() {
        for limits in [Limits::default(), Limits::transform(), Limits::ceiling()] {
            for line in LINES {
                let value = line.get(&limits);
                let written = match value {
                    Value::Count(count) => Written::Number(i64::try_from(count).unwrap()),
                    value => Written::Text(value.to_string()),
                };
                assert_eq!(read(line, &written, value), Ok(value), "{}", line.key);
            }
        }
    }

    #[test]
    fn a_value_of_another_unit_is_refused_with_an_example() {
        let read = |key: &str, written: Written| {
            let line = Line::named(key).unwrap();
            read(line, &written, line.get(&Limits::default())).unwrap_err()
        };
        let text = |text: &str| Written::Text(text.to_owned());
        for (key, written, error) in [
            (
                "memory",
                Written::Number(64),
                "`memory` is a size; write a whole number and a unit in quotes, such as \"64 MiB\"",
            ),
            ("cpu", Written::Number(2), "`cpu` is a time; write a whole number and a unit in quotes, such as \"2 s\""),
            ("handles", text("9"), "`handles` is a number; write handles = 2000 without quotes in place of \"9\""),
            ("handles", Written::Number(-1), "`handles` is -1 and must be more than nothing"),
            ("handles", Written::Number(0), "`handles` must be more than nothing"),
            ("cpu", text("0 s"), "`cpu` must be more than nothing"),
            ("memory", text("5 GiB"), "`memory` is 5 GiB and can be 4 GiB at most"),
        ] {
            assert_eq!(read(key, written,), error);
        }
        assert_eq!(super::read(Line::named("log").unwrap(), &text("0 B"), Value::Bytes(1)), Ok(Value::Bytes(0)));
    }
}
