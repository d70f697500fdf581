//! Ids: a prefix that says what they name and a UUIDv7, so that they sort by the time they were made.

use crate::time::Timestamp;
use std::fmt;
use std::str::FromStr;

/// Crockford's alphabet in lower case: no `i`, `l`, `o`, `u`, so an id survives being read aloud.
pub const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 128 bits in groups of five.
const ENCODED_LEN: usize = 26;

/// The text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form {prefix}… with 26 letters and digits")]
pub struct ParseIdError {
    text: String,
    prefix: &'static str,
}

/// UUIDv7 from a time and ten random bytes; six bits of those give way to version and variant.
fn uuid_v7(at: Timestamp, random: [u8; 10]) -> [u8; 16] {
    let millis = at.as_millis().max(0).unsigned_abs().to_be_bytes();
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(&millis[2..]);
    bytes[6..].copy_from_slice(&random);
    bytes[6] = (bytes[6] & 0x0f) | 0x70;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    bytes
}

fn encode(bytes: [u8; 16]) -> [u8; ENCODED_LEN] {
    let mut rest = u128::from_be_bytes(bytes);
    let mut text = [0_u8; ENCODED_LEN];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[usize::try_from(rest & 31).expect("five bits")];
        rest >>= 5;
    }
    text
}

fn decode(text: &str) -> Option<[u8; 16]> {
    if text.len() != ENCODED_LEN {
        return None;
    }
    let mut value = 0_u128;
    for (index, byte) in text.bytes().enumerate() {
        let digit = ALPHABET.iter().position(|letter| *letter == byte)?;
        // 26 × 5 bits are two more than fit: the first digit has only three of its own.
        if index == 0 && digit > 7 {
            return None;
        }
        value = (value << 5) | digit as u128;
    }
    Some(value.to_be_bytes())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// What the text form begins with.
            pub const PREFIX: &'static str = $prefix;

            /// An id made at `at`; the caller brings the randomness.
            #[must_use]
            pub fn new(at: Timestamp, random: [u8; 10]) -> Self {
                Self(uuid_v7(at, random))
            }

            /// When it was made, to the millisecond.
            #[must_use]
            pub fn made_at(&self) -> Timestamp {
                let [a, b, c, d, e, f, ..] = self.0;
                Timestamp::from_millis(i64::from_be_bytes([0, 0, a, b, c, d, e, f]))
            }

            /// The 16 bytes as stored.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Back from the 16 bytes as stored.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let text = encode(self.0);
                f.write_str($prefix)?;
                f.write_str(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.strip_prefix($prefix)
                    .and_then(decode)
                    .map(Self)
                    .ok_or_else(|| ParseIdError { text: text.chars().take(64).collect(), prefix: $prefix })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// One call of an API, from accept to settlement.
    RequestId,
    "req_"
);
id!(
    /// One event for one endpoint; also the `webhook-id`, the same over all attempts.
    DeliveryId,
    "dlv_"
);
id!(
    /// Who calls and pays.
    ConsumerId,
    "con_"
);
id!(
    /// A token of the management API; not the token itself.
    TokenId,
    "tok_"
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_survives_its_text_form(millis in 0_i64..(1 << 47), random: [u8; 10]) {
            let id = RequestId::new(Timestamp::from_millis(millis), random);
            prop_assert_eq!(id.to_string().parse::<RequestId>().unwrap(), id);
            prop_assert_eq!(id.made_at(), Timestamp::from_millis(millis));
        }

        #[test]
        fn later_ids_sort_later(a in 0_i64..(1 << 47), b in 0_i64..(1 << 47), random: [u8; 10]) {
            let (first, second) = (DeliveryId::new(Timestamp::from_millis(a), random), DeliveryId::new(Timestamp::from_millis(b), random));
            prop_assert_eq!(a.cmp(&b), first.cmp(&second));
            prop_assert_eq!(a.cmp(&b), first.to_string().cmp(&second.to_string()));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = text.parse::<RequestId>();
        }
    }

    #[test]
    fn ids_of_another_kind_or_shape_are_refused() {
        let id = RequestId::new(Timestamp::from_millis(1_700_000_000_000), [7; 10]).to_string();
        assert!(id.replace("req_", "dlv_").parse::<RequestId>().is_err());
        assert!(id[..id.len() - 1].parse::<RequestId>().is_err());
        assert!(format!("{id}0").parse::<RequestId>().is_err());
        assert!("req_zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<RequestId>().is_err(), "more than 128 bits");
        assert!(id.to_uppercase().parse::<RequestId>().is_err());
    }
}
