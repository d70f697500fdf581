//! Quantities with their unit, as manifests and configuration write them: `"30 s"`, `"64 MiB"`.

use std::time::Duration;

/// The text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseUnitError {
    /// Not a length of time.
    #[error("`{0}` is not a duration: write a whole number and ms, s, m, h or d, such as \"30 s\"")]
    Duration(String),
    /// Not a size.
    #[error("`{0}` is not a size: write a whole number and B, KiB, MiB or GiB, such as \"64 MiB\"")]
    Size(String),
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim_start_matches(' ')))
}

/// `"250 ms"`, `"30 s"`, `"2 m"`, `"1 h"`, `"7 d"`; the space may be left out.
///
/// # Errors
/// Anything else, signs, fractions and sums of units among them.
pub fn parse_duration(text: &str) -> Result<Duration, ParseUnitError> {
    let parsed = number_and_unit(text).and_then(|(number, unit)| {
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        number.checked_mul(millis).map(Duration::from_millis)
    });
    parsed.ok_or_else(|| ParseUnitError::Duration(text.to_owned()))
}

/// `"512 B"`, `"64 KiB"`, `"64 MiB"`, `"1 GiB"`, in bytes; the space may be left out.
///
/// # Errors
/// Anything else, `"64 MB"` among them: it would mean two things.
pub fn parse_size(text: &str) -> Result<usize, ParseUnitError> {
    let parsed = number_and_unit(text).and_then(|(number, unit)| {
        let shift = match unit {
            "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return None,
        };
        number.checked_mul(1_u64 << shift).and_then(|bytes| usize::try_from(bytes).ok())
    });
    parsed.ok_or_else(|| ParseUnitError::Size(text.to_owned()))
}

/// How many there are of something: `1 case`, `2 cases`.
#[must_use]
pub fn counted(count: impl TryInto<u64>, one: &str, many: &str) -> String {
    match count.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
}

/// The way a person would write it: the largest unit that leaves a whole number.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (size, unit) = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")]
        .into_iter()
        .find(|(size, _)| millis >= *size && millis.is_multiple_of(*size))
        .unwrap_or((1, "ms"));
    format!("{} {unit}", millis / size)
}

/// The way a person would write it: the largest unit that leaves a whole number.
#[must_use]
pub fn format_size(bytes: usize) -> String {
    let (shift, unit) = [(30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|(shift, _)| bytes >= 1 << shift && bytes.is_multiple_of(1 << shift))
        .unwrap_or((0, "B"));
    format!("{} {unit}", bytes >> shift)
}

/// For `#[serde(with = "…")]`: a duration as text.
pub mod duration_text {
    use std::time::Duration;

    /// Reads `"30 s"`.
    ///
    /// # Errors
    /// See [`super::parse_duration`].
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        super::parse_duration(&text).map_err(serde::de::Error::custom)
    }

    /// Writes `"30 s"`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&super::format_duration(*duration))
    }
}

/// For `#[serde(with = "…")]`: a size in bytes as text.
pub mod size_text {
    /// Reads `"64 MiB"`.
    ///
    /// # Errors
    /// See [`super::parse_size`].
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        super::parse_size(&text).map_err(serde::de::Error::custom)
    }

    /// Writes `"64 MiB"`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: serde::Serializer>(bytes: &usize, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&super::format_size(*bytes))
    }
}

/// For `#[serde(with = "…")]`: a size in bytes as text, or nothing.
pub mod size_text_or_none {
    use serde::Deserialize as _;

    /// Reads `"64 MiB"`. What is not there at all is for `#[serde(default)]`.
    ///
    /// # Errors
    /// See [`super::parse_size`].
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| super::parse_size(&text).map_err(serde::de::Error::custom)).transpose()
    }

    /// Writes `"64 MiB"`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: serde::Serializer>(bytes: &Option<usize>, serializer: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => serializer.collect_str(&super::format_size(*bytes)),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_quantity_without_a_clear_unit_is_refused() {
        for bad in ["", "30", "s", "1.5 s", "-1 s", "1 h 30 m", "30 seconds", "99999999999999999999 s"] {
            assert!(parse_duration(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "64", "64 MB", "64 mib", "1.5 GiB", "-1 B"] {
            assert!(parse_size(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn quantities_survive_their_text_form(millis in 0_u64..10_000_000_000, bytes in 0_usize..(1 << 40)) {
            prop_assert_eq!(parse_duration(&format_duration(Duration::from_millis(millis))), Ok(Duration::from_millis(millis)));
            prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }
    }
}
