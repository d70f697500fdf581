//! Copies JSON without some of its fields. Nothing is built in between: a transform is in the way of every result, and the
//! order of fields stays what it was.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::to_writer;

/// The JSON without the fields of these names, however deep they are, and how many there were.
pub(crate) fn without(names: &[&str], json: &[u8]) -> serde_json::Result<(Vec<u8>, usize)> {
    let (mut out, mut removed) = (Vec::with_capacity(json.len()), 0);
    let mut from = serde_json::Deserializer::from_slice(json);
    Copy { names, out: &mut out, removed: &mut removed }.deserialize(&mut from)?;
    from.end()?;
    Ok((out, removed))
}

/// One value on its way.
struct Copy<'a> {
    names: &'a [&'a str],
    out: &'a mut Vec<u8>,
    removed: &'a mut usize,
}

impl Copy<'_> {
    /// The same for a value inside of this one.
    fn inner(&mut self) -> Copy<'_> {
        Copy { names: self.names, out: self.out, removed: self.removed }
    }

    fn scalar<E: Error>(self, value: impl serde::Serialize) -> Result<(), E> {
        to_writer(self.out, &value).map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for Copy<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Copy<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.scalar(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        self.out.push(b'[');
        let first = self.out.len();
        loop {
            let before = self.out.len();
            if before > first {
                self.out.push(b',');
            }
            if items.next_element_seed(self.inner())?.is_none() {
                self.out.truncate(before);
                self.out.push(b']');
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        self.out.push(b'{');
        let first = self.out.len();
        while let Some(Name(name)) = fields.next_key()? {
            if self.names.contains(&&*name) {
                fields.next_value::<IgnoredAny>()?;
                *self.removed += 1;
                continue;
            }
            if self.out.len() > first {
                self.out.push(b',');
            }
            to_writer(&mut *self.out, &*name).map_err(A::Error::custom)?;
            self.out.push(b':');
            fields.next_value_seed(self.inner())?;
        }
        self.out.push(b'}');
        Ok(())
    }
}

/// A field's name, borrowed where it has nothing escaped.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::without;

    fn left(json: &str) -> (String, usize) {
        let (out, removed) = without(&["b", "ü\n"], json.as_bytes()).unwrap();
        (String::from_utf8(out).unwrap(), removed)
    }

    #[test]
    fn values_and_the_order_of_fields_stay() {
        let json = r#"{"z":[1,-2,1.5,18446744073709551615,true,false,null,"a\"\n世",[],{}],"a":{"c":""}}"#;
        assert_eq!(left(json), (json.to_owned(), 0));
        for scalar in ["null", "7", "\"b\"", "[]", "[null]"] {
            assert_eq!(left(scalar), (scalar.to_owned(), 0));
        }
    }

    #[test]
    fn a_field_goes_wherever_it_stands_with_all_that_is_in_it() {
        for (json, expected, removed) in [
            (r#"{"b":1}"#, "{}", 1),
            (r#"{"b":{"b":2},"a":1}"#, r#"{"a":1}"#, 1),
            (r#"{"a":1,"b":[1]}"#, r#"{"a":1}"#, 1),
            (r#"[{"b":1},{"a":{"\u0062":1,"c":[{"b":1}]}}]"#, r#"[{},{"a":{"c":[{}]}}]"#, 3),
            (r#"{"ü\n":1}"#, "{}", 1),
        ] {
            assert_eq!(left(json), (expected.to_owned(), removed), "{json}");
        }
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        for json in ["", "{", "[1,]", "{} {}", "{\"a\":}"] {
            assert!(without(&[], json.as_bytes()).is_err(), "{json}");
        }
    }
}
