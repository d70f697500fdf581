//! JSON that strangers send: whether it is there, whether it is text, whether it is JSON; and if not, what to do about it,
//! in words that need no knowledge of how this program reads it.

use super::Gateway;
use crate::problem::{Kind, Problem};
use http::{HeaderMap, HeaderValue, Request, header};
use hyper::body::Incoming;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

/// Why a body is not the JSON that its content type promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotJson {
    /// There is none.
    Empty,
    /// It says that it is compressed, and how.
    Compressed(String),
    /// It does not say so, and begins as gzip does (RFC 1952, 2.3.1).
    Gzip,
    /// It begins with the byte order mark of UTF-8, which may not be sent (RFC 8259, 8.1).
    ByteOrderMark,
    /// It is UTF-16 or UTF-32 by its first bytes.
    WideText,
    /// It is no text.
    NotUtf8 {
        /// Bytes that are.
        valid_bytes: usize,
    },
    /// It is text, and no JSON.
    Syntax(String),
}

/// The body as text that may be JSON.
///
/// # Errors
/// It is none, whatever its text says.
pub(crate) fn text<'b>(headers: &HeaderMap, body: &'b [u8]) -> Result<&'b str, NotJson> {
    match body {
        [] => return Err(NotJson::Empty),
        // Nearly all there are.
        [b'{' | b'[', second, ..] if *second != 0 && !headers.contains_key(header::CONTENT_ENCODING) => {}
        _ => odd(headers, body)?,
    }
    std::str::from_utf8(body).map_err(|error| NotJson::NotUtf8 { valid_bytes: error.valid_up_to() })
}

/// # Errors
/// What is odd about it.
fn odd(headers: &HeaderMap, body: &[u8]) -> Result<(), NotJson> {
    if let Some(encoding) = encoding(headers) {
        return Err(NotJson::Compressed(encoding));
    }
    match body {
        [0x1f, 0x8b, ..] => Err(NotJson::Gzip),
        [0xef, 0xbb, 0xbf, ..] => Err(NotJson::ByteOrderMark),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, ..] | [_, 0, ..] => Err(NotJson::WideText),
        body if body.trim_ascii().is_empty() => Err(NotJson::Empty),
        _ => Ok(()),
    }
}

/// What was done to the body before it was sent; `identity` is nothing.
fn encoding(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let mut names = names.map(|name| String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase());
    names.find(|name| !name.is_empty() && name != "identity")
}

impl From<&serde_json::Error> for NotJson {
    fn from(error: &serde_json::Error) -> Self {
        Self::Syntax(plain(error))
    }
}

/// Why a body had to be JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Because {
    /// Its content type says so.
    OfItsType,
    /// The route takes nothing else.
    OfTheRoute,
}

impl NotJson {
    /// What its sender is told.
    pub(crate) fn problem(&self, because: Because) -> Problem {
        let (but, fix, send) = match because {
            Because::OfItsType => (
                "The content type is JSON, but the body",
                "Fix the body or the content type",
                "Send JSON, such as {}, or leave the header Content-Type out",
            ),
            Because::OfTheRoute => {
                ("The body has to be a JSON object, but it", "Fix the body", "Send an object, such as {}")
            }
        };
        let detail = match self {
            Self::Empty => format!("{but} is empty. {send}."),
            Self::Compressed(encoding) => {
                let detail = format!(
                    "The body is compressed (Content-Encoding: {encoding}), and the gateway reads uncompressed JSON only. Send it without compression."
                );
                return Problem::new(Kind::UnsupportedMediaType, detail)
                    .header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            Self::Gzip => format!("{but} begins as gzip does. Send it without compression."),
            Self::ByteOrderMark => format!(
                "{but} begins with a byte order mark (the bytes EF BB BF), which JSON may not have. Write it without one: as `utf-8`, not `utf-8-sig`."
            ),
            Self::WideText => format!("{but} is UTF-16 or UTF-32. Send it as UTF-8."),
            Self::NotUtf8 { valid_bytes } => format!("{but} is not UTF-8 from byte {valid_bytes} on. {fix}."),
            Self::Syntax(why) => format!("{but} is not JSON: {why}. {fix}."),
        };
        Problem::new(Kind::InvalidJson, detail)
    }
}

impl Gateway {
    /// The JSON object of a request that is for the gateway itself.
    pub(super) async fn read_object<T: DeserializeOwned>(&self, request: Request<Incoming>) -> Result<T, Problem> {
        let (head, body) = request.into_parts();
        object(&head.headers, &self.read(body).await?)
    }

    /// The same; no body is the default.
    pub(super) async fn read_fields<T: DeserializeOwned + Default>(
        &self,
        request: Request<Incoming>,
    ) -> Result<T, Problem> {
        let (head, body) = request.into_parts();
        let body = self.read(body).await?;
        if body.trim_ascii().is_empty() { Ok(T::default()) } else { object(&head.headers, &body) }
    }
}

/// A JSON object as a value of ours.
///
/// # Errors
/// It is no JSON, no object, or has not what belongs into it.
pub(crate) fn object<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Problem> {
    let not_json = |wrong: NotJson| wrong.problem(Because::OfTheRoute);
    let text = text(headers, body).map_err(not_json)?;
    // Serde would take a list for a struct.
    if !text.trim_ascii_start().starts_with('{') {
        let is_json = serde_json::from_str::<IgnoredAny>(text);
        is_json.map_err(|error| not_json(NotJson::from(&error)))?;
        return Err(Problem::new(Kind::InvalidJson, "The body has to be a JSON object, such as {}."));
    }
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => Problem::new(Kind::InvalidValue, format!("The body: {}.", plain(&error))),
        Category::Syntax | Category::Eof | Category::Io => not_json(NotJson::from(&error)),
    })
}

/// What serde says, without the names that types have in Rust.
pub(crate) fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let (text, place) = match text.rfind(" at line ") {
        Some(at) => text.split_at(at),
        None => (&*text, ""),
    };
    let said = match text {
        "EOF while parsing a value" => "it ends where a value should be".to_owned(),
        _ => match text.strip_prefix("EOF while parsing ") {
            Some(inside) => format!("it ends inside {inside}"),
            None => without_types(text),
        },
    };
    format!("{said}{place}")
}

/// `invalid type: sequence, expected struct Order` in words of JSON.
fn without_types(text: &str) -> String {
    let Some((found, expected)) = text.rsplit_once(", expected ") else { return text.to_owned() };
    let found = match found.split_once(": ") {
        Some((what, kind)) => {
            let kind = match kind {
                "map" => "an object",
                "sequence" => "a list",
                "unit value" => "null",
                kind => kind,
            };
            format!("{what}: {kind}")
        }
        None => found.to_owned(),
    };
    let mut words = expected.split(' ');
    let expected = match (words.next().unwrap_or_default(), expected) {
        (_, "a map") | ("struct", _) => "an object",
        (_, "a sequence") | ("tuple", _) => "a list",
        ("u8" | "u16" | "u32" | "u64" | "u128" | "usize", _) => "a whole number that is not negative",
        ("i8" | "i16" | "i32" | "i64" | "i128" | "isize", _) => "a whole number",
        ("f32" | "f64", _) => "a number",
        (_, "a boolean") => "true or false",
        (_, "unit") => "null",
        (_, "a borrowed string" | "a character") => "a string",
        ("enum" | "newtype" | "option" | "unit" | "variant", _) => "something else",
        (_, expected) => expected,
    };
    format!("{found}, expected {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn whatever_a_body_is_in_place_of_json_has_its_own_word() {
        let gzip = [0x1f, 0x8b, 8, 0, 0];
        for (encoding, body, wrong) in [
            (None, &b""[..], NotJson::Empty),
            (None, b" \r\n", NotJson::Empty),
            (None, &gzip, NotJson::Gzip),
            (Some("gzip"), &gzip, NotJson::Compressed("gzip".to_owned())),
            (Some("identity, BR"), b"{}", NotJson::Compressed("br".to_owned())),
            (None, b"\xef\xbb\xbf{}", NotJson::ByteOrderMark),
            (None, b"\xff\xfe{\0}\0", NotJson::WideText),
            (None, &wide("{}"), NotJson::WideText),
            (None, b"\0{\0}", NotJson::WideText),
            (None, b"{\"a\":\"\xff\"}", NotJson::NotUtf8 { valid_bytes: 6 }),
            (None, b"\x89PNG", NotJson::NotUtf8 { valid_bytes: 0 }),
        ] {
            let headers = encoding.map(|encoding| headers(&[("content-encoding", encoding)])).unwrap_or_default();
            assert_eq!(text(&headers, body), Err(wrong.clone()), "{encoding:?} {body:?}");
            let status = if matches!(wrong, NotJson::Compressed(_)) { 415 } else { 400 };
            assert_eq!(wrong.problem(Because::OfItsType).status(), status, "{wrong:?}");
        }
        for (encoding, body) in [(None, "{}"), (None, " [1]"), (None, "5"), (Some("identity"), "{}"), (Some(""), "{")] {
            let headers = encoding.map(|encoding| headers(&[("content-encoding", encoding)])).unwrap_or_default();
            assert_eq!(text(&headers, body.as_bytes()), Ok(body));
        }
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Colour {
        Red,
    }

    #[derive(Debug, Deserialize)]
    struct Pair(#[expect(dead_code, reason = "read")] u8, #[expect(dead_code, reason = "read")] u8);

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Order {
        count: u32,
        change: i64,
        share: f64,
        paid: bool,
        name: String,
        letter: Option<char>,
        list: Vec<String>,
        inner: Option<Box<Order>>,
        colour: Option<Colour>,
        pair: Option<Pair>,
        by_name: std::collections::BTreeMap<String, u8>,
        nothing: (),
    }

    #[test]
    fn nobody_is_told_how_a_type_is_called_in_rust() {
        let said = |body: &str| {
            let problem = object::<Order>(&HeaderMap::new(), body.as_bytes()).unwrap_err();
            let json: serde_json::Value = serde_json::from_slice(&problem.to_json()).unwrap();
            json["detail"].as_str().unwrap().to_owned()
        };
        for (body, says) in [
            (r#"{"count":"x"}"#, "expected a whole number that is not negative at line 1 column 12."),
            (r#"{"count":-1}"#, "expected a whole number that is not negative"),
            (r#"{"change":1.5}"#, "expected a whole number at"),
            (r#"{"share":[]}"#, "invalid type: a list, expected a number"),
            (r#"{"paid":1}"#, "expected true or false"),
            (r#"{"name":{}}"#, "invalid type: an object, expected a string"),
            (r#"{"letter":"ab"}"#, "expected a string"),
            (r#"{"list":{}}"#, "expected a list"),
            (r#"{"inner":5}"#, "invalid type: integer `5`, expected an object"),
            (r#"{"inner":{"inner":"x"}}"#, "expected an object"),
            (r#"{"colour":"blue"}"#, "unknown variant `blue`, expected `red`"),
            (r#"{"pair":7}"#, "expected a list"),
            (r#"{"by_name":[]}"#, "expected an object"),
            (r#"{"nothing":1}"#, "expected null"),
            (r#"{"colours":1}"#, "unknown field `colours`, expected one of `count`"),
            ("", "it is empty"),
            ("[]", "has to be a JSON object"),
            ("[", "it ends inside a list"),
            (r#"{"count":"#, "it ends where a value should be"),
            ("nope", "expected ident"),
        ] {
            let detail = said(body);
            assert!(detail.contains(says), "{body}: {detail}");
            for name in ["struct", "Order", "u32", "i64", "f64", "Pair", "enum", "tuple"] {
                assert!(!detail.contains(name), "{body}: {detail}");
            }
        }
    }
}
