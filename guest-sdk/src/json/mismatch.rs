//! What a consumer reads of a body that does not fit: words of JSON. Serde words its errors for Rust programmers, with
//! the names of the owner's types in them, and it calls a value of the wrong kind in the place of an enum a syntax error.

use serde::de::IgnoredAny;
use serde_json::error::{Category, Error};

/// Whether a body is JSON (RFC 8259), whatever this API takes.
///
/// # Errors
/// Why it is not, for the consumer.
pub(super) fn check_syntax(body: &[u8]) -> Result<(), String> {
    if body.trim_ascii().is_empty() {
        return Err("the body is empty".to_owned());
    }
    let text = str::from_utf8(body).map_err(|error| format!("byte {} is not UTF-8", error.valid_up_to()))?;
    serde_json::from_str::<IgnoredAny>(text)
        .map(|_| ())
        .map_err(|error| error.to_string().replacen("EOF while parsing", "the body ends inside", 1))
}

/// What is wrong with a body that is JSON, and where.
pub(super) fn describe(error: &Error) -> String {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let whole = error.to_string();
    let text = whole.strip_suffix(&place).unwrap_or(&whole);
    let place = if error.line() == 0 { String::new() } else { place };
    format!("{}{place}", reworded(text, error.classify()))
}

fn reworded(text: &str, category: Category) -> String {
    // The reader met something else than it looked for. As the text is JSON, it is a value of another kind.
    if category != Category::Data && (category == Category::Eof || text.starts_with("expected ")) {
        return "this API takes another kind of value here".to_owned();
    }
    if text.starts_with("data did not match any variant of ") {
        return "this value has none of the forms that this API takes here".to_owned();
    }
    let Some((found, expected)) = text.rsplit_once(", expected ") else { return text.to_owned() };
    let (kind, found) = match found.split_once(": ") {
        Some((kind @ ("invalid type" | "invalid value"), found)) => (kind, json_value(found)),
        // `invalid length 1`, `unknown variant …`: what is named is the consumer's own, or the API's in JSON.
        _ => return format!("{found}, expected {}", json_kind(expected)),
    };
    format!("{kind}: {found}, expected {}", json_kind(expected))
}

/// What serde found, by its name in JSON.
fn json_value(found: &str) -> &str {
    match found {
        "map" | "struct variant" | "newtype variant" | "tuple variant" => "object",
        "sequence" | "byte array" => "array",
        "unit value" | "Option value" => "null",
        "unit variant" => "string",
        _ => found.strip_prefix("floating point ").unwrap_or(found),
    }
}

/// What serde expected, by its name in JSON. Text of the owner's own (`expecting = "…"`) stays as it is.
fn json_kind(expected: &str) -> String {
    if let Some((of, elements)) = expected.split_once(" with ")
        && (of.starts_with("struct ") || of.starts_with("tuple struct ") || of.starts_with("tuple variant "))
    {
        return format!("an array of {elements}");
    }
    let begins = |words: &[&str]| words.iter().any(|word| expected.strip_prefix(word).is_some_and(is_end));
    if begins(&["struct", "struct variant", "map", "a map", "newtype variant"]) || expected.contains(" tagged enum ") {
        return "an object".to_owned();
    }
    if let Some(size) =
        expected.strip_prefix("a tuple of size ").or_else(|| expected.strip_prefix("an array of length "))
    {
        return format!("an array of {size} elements");
    }
    if begins(&["sequence", "a sequence", "tuple struct", "tuple variant", "an empty array"]) {
        return "an array".to_owned();
    }
    if begins(&["enum"]) {
        return "a name that this API knows, or an object with one".to_owned();
    }
    if begins(&["newtype struct", "any value"]) {
        return "another kind of value".to_owned();
    }
    if begins(&["unit", "unit struct", "unit variant"]) {
        return "null".to_owned();
    }
    match expected {
        "a boolean" | "boolean" | "bool" => "true or false".to_owned(),
        "a borrowed string" | "string" | "str" | "a formatted string" => "a string".to_owned(),
        "identifier" | "field identifier" | "variant identifier" => "a name".to_owned(),
        "a byte array" | "byte array" | "a borrowed byte array" => "an array of bytes".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        _ => expected.strip_prefix("a nonzero ").map_or_else(
            || whole_number(expected).unwrap_or_else(|| expected.to_owned()),
            |number| whole_number(number).map_or_else(|| expected.to_owned(), |number| format!("{number}, not 0")),
        ),
    }
}

fn is_end(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(' ')
}

/// Figures as far as people count; beyond that a range says less than no range.
fn whole_number(rust: &str) -> Option<String> {
    let (least, most) = match rust {
        "u8" => (0, i64::from(u8::MAX)),
        "u16" => (0, i64::from(u16::MAX)),
        "u32" => (0, i64::from(u32::MAX)),
        "i8" => (i64::from(i8::MIN), i64::from(i8::MAX)),
        "i16" => (i64::from(i16::MIN), i64::from(i16::MAX)),
        "i32" => (i64::from(i32::MIN), i64::from(i32::MAX)),
        "u64" | "u128" | "usize" => return Some("a whole number, 0 or more".to_owned()),
        "i64" | "i128" | "isize" => return Some("a whole number".to_owned()),
        _ => return None,
    };
    Some(format!("a whole number from {least} to {most}"))
}

#[cfg(test)]
#[expect(dead_code, reason = "of these types only the shape matters")]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;
    use std::time::Duration;

    use serde::Deserialize;
    use serde::de::DeserializeOwned;

    use super::{check_syntax, describe};

    #[derive(Debug, Deserialize)]
    struct Order {
        quantity: u32,
    }
    #[derive(Debug, Deserialize)]
    struct Pair(u8, u8);
    #[derive(Debug, Deserialize)]
    struct Nothing;
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Format {
        Csv,
        Scaled(u8),
        Boxed { side: u8 },
    }
    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Number(u8),
    }
    #[derive(Debug, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        One { side: u8 },
    }
    #[derive(Debug, Deserialize)]
    #[serde(tag = "kind", content = "of")]
    enum Adjacent {
        One(u8),
    }
    #[derive(Debug, Deserialize)]
    #[serde(expecting = "a date such as 2026-01-31")]
    struct Date {
        day: u8,
    }

    fn told<T: DeserializeOwned + std::fmt::Debug>(body: &str) -> String {
        assert_eq!(check_syntax(body.as_bytes()), Ok(()), "{body}");
        let told = describe(&serde_json::from_str::<T>(body).unwrap_err());
        told.split(" at line ").next().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_value_of_another_kind_is_told_in_the_words_of_json() {
        let unused = (Pair(0, 0), Format::Scaled(0), Format::Csv, Either::Text(String::new()), Either::Number(0));
        drop((unused, Adjacent::One(0), Nothing));
        for (told, expected) in [
            (told::<Order>("[]"), "invalid length 0, expected an array of 1 element"),
            (told::<Order>("5"), "invalid type: integer `5`, expected an object"),
            (
                told::<Order>(r#"{"quantity":"many"}"#),
                "invalid type: string \"many\", expected a whole number from 0 to 4294967295",
            ),
            (
                told::<Order>(r#"{"quantity":-1}"#),
                "invalid value: integer `-1`, expected a whole number from 0 to 4294967295",
            ),
            (told::<Order>(r#"{"quantity":1.5}"#), "invalid type: `1.5`, expected a whole number from 0 to 4294967295"),
            (told::<Order>("{}"), "missing field `quantity`"),
            (told::<i8>("300"), "invalid value: integer `300`, expected a whole number from -128 to 127"),
            (told::<u64>("null"), "invalid type: null, expected a whole number, 0 or more"),
            (
                told::<NonZeroU32>("0"),
                "invalid value: integer `0`, expected a whole number from 0 to 4294967295, not 0",
            ),
            (told::<f64>("true"), "invalid type: boolean `true`, expected a number"),
            (told::<bool>("{}"), "invalid type: object, expected true or false"),
            (told::<String>("[]"), "invalid type: array, expected a string"),
            (told::<Vec<u8>>("{}"), "invalid type: object, expected an array"),
            (told::<BTreeMap<String, u8>>("[]"), "invalid type: array, expected an object"),
            (told::<(u8, u8)>("5"), "invalid type: integer `5`, expected an array of 2 elements"),
            (told::<[u8; 3]>("[1]"), "invalid length 1, expected an array of 3 elements"),
            (told::<Pair>("{}"), "invalid type: object, expected an array"),
            (told::<Pair>("[1]"), "invalid length 1, expected an array of 2 elements"),
            (told::<Nothing>("5"), "invalid type: integer `5`, expected null"),
            (told::<()>("5"), "invalid type: integer `5`, expected null"),
            (told::<Duration>("5"), "invalid type: integer `5`, expected an object"),
            (told::<Either>("[]"), "this value has none of the forms that this API takes here"),
            (told::<Tagged>("5"), "invalid type: integer `5`, expected an object"),
            (told::<Tagged>(r#"{"kind":"two"}"#), "unknown variant `two`, expected `One`"),
            (told::<Adjacent>("5"), "invalid type: integer `5`, expected an object"),
            (told::<Format>(r#""pdf""#), "unknown variant `pdf`, expected one of `csv`, `scaled`, `boxed`"),
            (told::<Format>(r#""scaled""#), "invalid type: string, expected an object"),
            (told::<Format>(r#""boxed""#), "invalid type: string, expected an object"),
            (told::<Format>(r#"{"csv":1}"#), "invalid type: integer `1`, expected null"),
            (told::<Date>("5"), "invalid type: integer `5`, expected a date such as 2026-01-31"),
        ] {
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn what_serde_calls_a_syntax_error_in_json_is_a_value_of_another_kind() {
        for body in ["5", "null", "[1]", "true", "1.5", "{}", r#"{"csv":null,"scaled":1}"#] {
            assert_eq!(told::<Format>(body), "this API takes another kind of value here", "{body}");
        }
        assert_eq!(told::<f64>("1e999"), "number out of range");
    }

    #[test]
    fn a_body_that_is_no_json_is_told_what_its_syntax_breaks() {
        for (body, why) in [
            (&b""[..], "the body is empty"),
            (b" \n", "the body is empty"),
            (b"{", "the body ends inside an object at line 1 column 1"),
            (b"[1] 2", "trailing characters at line 1 column 5"),
            (b"{'a':1}", "key must be a string at line 1 column 2"),
            (b"NaN", "expected value at line 1 column 1"),
            (b"\"\xff\"", "byte 1 is not UTF-8"),
        ] {
            assert_eq!(check_syntax(body), Err(why.to_owned()));
        }
    }

    #[test]
    fn a_string_of_the_consumers_that_reads_like_an_error_of_serde_changes_nothing_of_the_rest() {
        assert_eq!(
            told::<u8>(r#""x, expected struct Order""#),
            "invalid type: string \"x, expected struct Order\", expected a whole number from 0 to 255"
        );
    }
}
