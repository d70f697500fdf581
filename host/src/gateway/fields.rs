//! The gateway's own fields: read and cut out of a JSON body, or taken from headers for any other body.

use crate::problem::{Kind, Problem};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use ripost_domain::money::Amount;
use ripost_domain::units::parse_duration;
use ripost_store::Wants;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

const WEBHOOK_URL: &str = "webhook_url";
const WEBHOOK_EVENTS: &str = "webhook_events";
const MAX_PRICE: &str = "max_price_usdc";

/// What a caller tells the gateway rather than the owner.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Where the result goes; not yet checked.
    pub webhook_url: Option<String>,
    /// Which webhooks, and for how long; how deep is not among the fields.
    pub wants: Wants,
    /// The most that the call may cost.
    pub max_price: Option<Amount>,
}

/// The fields, and the body as the owner will see it: without them, the rest byte-identical.
///
/// # Errors
/// A body that is not the JSON that it claims to be, a field of the wrong kind or given twice.
pub fn take(headers: &HeaderMap, body: Bytes) -> Result<(Fields, Bytes), Problem> {
    let mut raw = RawFields {
        webhook_url: header(headers, "ripost-webhook-url")?.map(Field::text),
        webhook_events: header(headers, "ripost-webhook-events")?.map(Field::list),
        max_price: header(headers, "ripost-max-price")?.map(Field::text),
    };
    // Of two types we would read the one and the owner the other.
    let json = header(headers, "content-type")?.is_some_and(is_json);
    let body = if json { raw.cut_from(body)? } else { body };
    let mut fields = raw.parse()?;
    fields.wants.retry_max_age = header(headers, "ripost-retry-max-age")?.map(max_age).transpose()?;
    Ok((fields, body))
}

/// Seconds, or a duration such as `2 h`.
fn max_age(text: &str) -> Result<Duration, Problem> {
    let age = text.parse().map(Duration::from_secs).ok().or_else(|| parse_duration(text).ok());
    age.filter(|age| MAX_AGE.contains(age)).ok_or_else(|| {
        let detail = "Ripost-Retry-Max-Age is between 1 s and 7 d: whole seconds, or a duration such as \"2 h\".";
        Problem::new(Kind::InvalidValue, detail)
    })
}

/// How long a webhook may be asked to be tried.
const MAX_AGE: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);

/// Whether a content type is JSON (`application/json` or `…+json`).
pub(crate) fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
        || kind.get(kind.len().saturating_sub(5)..).is_some_and(|end| end.eq_ignore_ascii_case("+json"))
}

fn header<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::new(Kind::DuplicateField, format!("Send the header {name} once.")));
    }
    let text = value
        .to_str()
        .map_err(|_| Problem::new(Kind::InvalidHeader, format!("The header {name} is not plain ASCII.")))?;
    Ok(Some(text.trim()))
}

/// A field's value as JSON, wherever it came from.
struct Field(Cow<'static, str>);

impl Field {
    fn text(text: &str) -> Self {
        Self(serde_json::Value::from(text).to_string().into())
    }

    fn list(text: &str) -> Self {
        let names: Vec<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        Self(serde_json::Value::from(names).to_string().into())
    }
}

struct RawFields {
    webhook_url: Option<Field>,
    webhook_events: Option<Field>,
    max_price: Option<Field>,
}

impl RawFields {
    /// Finds the fields at the top level of a JSON object and returns the body without them.
    fn cut_from(&mut self, body: Bytes) -> Result<Bytes, Problem> {
        let invalid = |why: &dyn std::fmt::Display| {
            Problem::new(
                Kind::InvalidJson,
                format!("The content type is JSON, but the body is not: {why}. Mend the body or the content type."),
            )
        };
        let text = std::str::from_utf8(&body).map_err(|error| invalid(&error))?;
        if !text.trim_start().starts_with('{') {
            // Any other JSON value is the owner's alone.
            serde_json::from_str::<&RawValue>(text).map_err(|error| invalid(&error))?;
            return Ok(body);
        }
        let mut reader = serde_json::Deserializer::from_str(text);
        let members =
            serde::Deserializer::deserialize_map(&mut reader, Members { text }).map_err(|error| invalid(&error))?;
        reader.end().map_err(|error| invalid(&error))?;
        let mut cuts = Vec::new();
        for member in members.ours {
            let slot = match member.name {
                WEBHOOK_URL => &mut self.webhook_url,
                WEBHOOK_EVENTS => &mut self.webhook_events,
                _ => &mut self.max_price,
            };
            if slot.is_some() {
                return Err(Problem::new(
                    Kind::DuplicateField,
                    format!("Give {} once: in the body or in a header.", member.name),
                ));
            }
            *slot = Some(Field(text[member.value.clone()].to_owned().into()));
            cuts.push(member);
        }
        Ok(if cuts.is_empty() { body } else { without(&body, &cuts, members.count) })
    }

    fn parse(self) -> Result<Fields, Problem> {
        let webhook_url = self
            .webhook_url
            .map(|field| {
                serde_json::from_str::<String>(&field.0).map_err(|_| {
                    Problem::new(
                        Kind::WebhookUrlInvalid,
                        "webhook_url must be a string with an http(s) URL, such as \"https://your-app.com/hook\".",
                    )
                })
            })
            .transpose()?;
        let mut wants = Wants::default();
        if let Some(field) = self.webhook_events {
            let events: Vec<String> = serde_json::from_str(&field.0).map_err(|_| {
                Problem::new(
                    Kind::WebhookEventsUnsupported,
                    "webhook_events must be a list of names, such as [\"completed\"].",
                )
            })?;
            wants = wanted(&events)?;
        }
        let max_price = self
            .max_price
            .map(|field| {
                serde_json::from_str::<String>(&field.0).ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
                    Problem::new(
                        Kind::InvalidValue,
                        "max_price_usdc must be a string with at most six decimals, such as \"0.050000\".",
                    )
                })
            })
            .transpose()?;
        Ok(Fields { webhook_url, wants, max_price })
    }
}

/// # Errors
/// None at all, or one that there is not.
fn wanted(events: &[String]) -> Result<Wants, Problem> {
    let mut wants = Wants { completed: false, ..Wants::default() };
    for event in events {
        match event.as_str() {
            "started" => wants.started = true,
            "progress" => wants.progress = true,
            "completed" => wants.completed = true,
            other => {
                let detail = format!(
                    "There is no webhook event `{other}`: there are \"started\", \"progress\" and \"completed\"."
                );
                return Err(Problem::new(Kind::WebhookEventsUnsupported, detail));
            }
        }
    }
    if events.is_empty() {
        let detail =
            "webhook_events is empty: leave it out for [\"completed\"], or leave webhook_url out for no webhook.";
        return Err(Problem::new(Kind::WebhookEventsUnsupported, detail));
    }
    Ok(wants)
}

/// One of our members: where it begins (its key's quote), where its value is, and which in order it is.
struct Member {
    name: &'static str,
    key_start: usize,
    value: Range<usize>,
    index: usize,
}

struct Found {
    ours: Vec<Member>,
    count: usize,
}

/// Walks the top level; the values stay unparsed but are checked to be JSON.
struct Members<'t> {
    text: &'t str,
}

impl<'de> Visitor<'de> for Members<'de> {
    type Value = Found;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut found = Found { ours: Vec::new(), count: 0 };
        // The key of the first member is the first quote after the brace, that of each other the first after the value before.
        let mut from = 0;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let value: &'de RawValue = map.next_value()?;
            let start = value.get().as_ptr() as usize - self.text.as_ptr() as usize;
            let range = start..start + value.get().len();
            let name = [WEBHOOK_URL, WEBHOOK_EVENTS, MAX_PRICE].into_iter().find(|name| *name == key);
            if let Some(name) = name {
                let key_start = from + self.text[from..].find('"').unwrap_or_default();
                found.ours.push(Member { name, key_start, value: range.clone(), index: found.count });
            }
            from = range.end;
            found.count += 1;
        }
        Ok(found)
    }
}

/// Copies everything but the cuts. A member goes with the comma after it; what is cut from the end goes with the comma before.
fn without(body: &[u8], cuts: &[Member], count: usize) -> Bytes {
    let next_comma = |from: usize| body[from..].iter().position(|byte| *byte == b',').map_or(from, |at| from + at + 1);
    let last_comma = |until: usize| body[..until].iter().rposition(|byte| *byte == b',');
    // Members from here to the end are all cut.
    let mut tail = count;
    for cut in cuts.iter().rev() {
        if cut.index + 1 == tail {
            tail = cut.index;
        }
    }
    let mut kept = BytesMut::with_capacity(body.len());
    let mut from = 0;
    for cut in cuts {
        let last = cut.index + 1 == count;
        let start = if cut.index == tail && tail > 0 {
            last_comma(cut.key_start).unwrap_or(cut.key_start)
        } else {
            cut.key_start
        };
        kept.extend_from_slice(&body[from..start.max(from)]);
        from = if last { cut.value.end } else { next_comma(cut.value.end) };
    }
    kept.extend_from_slice(&body[from..]);
    kept.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json_headers() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap());
        headers
    }

    fn cut(body: &str) -> (Fields, String) {
        let (fields, rest) = take(&json_headers(), Bytes::copy_from_slice(body.as_bytes())).unwrap();
        (fields, String::from_utf8(rest.to_vec()).unwrap())
    }

    #[test]
    fn the_rest_of_the_body_stays_byte_identical() {
        for (body, rest) in [
            (r#"{"a": 1.0, "webhook_url":"https://x.example/h" , "b":[1, 2]}"#, r#"{"a": 1.0,  "b":[1, 2]}"#),
            (r#"{"webhook_url":"https://x.example/h","a":1}"#, r#"{"a":1}"#),
            (r#"{ "a":1 , "webhook_url":"https://x.example/h" }"#, r#"{ "a":1  }"#),
            (r#"{"webhook_url":"https://x.example/h"}"#, "{}"),
            (r#"{"a":1,"webhook_events":["completed"],"webhook_url":"https://x.example/h"}"#, r#"{"a":1}"#),
            (r#"{"webhook_url":"https://x.example/h","a":",}","webhook_events":["completed"]}"#, r#"{"a":",}"}"#),
            (r#"{"webhook_events":["completed"],"webhook_url":"https://x.example/h"}"#, "{}"),
            (r#"{"webhook\u005furl":"https://x.example/h","A":1E5}"#, r#"{"A":1E5}"#),
        ] {
            let (fields, kept) = cut(body);
            assert_eq!(kept, rest, "{body}");
            assert_eq!(fields.webhook_url.as_deref(), Some("https://x.example/h"), "{body}");
        }
    }

    #[test]
    fn nested_fields_and_other_json_values_are_the_owners() {
        for body in [r#"{"a":{"webhook_url":5}}"#, "[1]", "null", "\"webhook_url\"", " 5 ", "{}"] {
            let (fields, kept) = cut(body);
            assert_eq!((fields, kept.as_str()), (Fields::default(), body));
        }
    }

    #[test]
    fn a_body_that_is_not_the_json_it_claims_to_be_is_refused() {
        for body in ["", "{", "{} x", "nope", r#"{"a":}"#, "{\"a\":\"\u{1}\"}", r#"{"webhook_url":"x",}"#] {
            assert_eq!(
                take(&json_headers(), Bytes::copy_from_slice(body.as_bytes())).unwrap_err().status(),
                400,
                "{body}"
            );
        }
        assert_eq!(take(&HeaderMap::new(), Bytes::from_static(b"{")).unwrap().1, "{");
    }

    #[test]
    fn a_field_given_twice_or_of_another_kind_is_refused() {
        let status =
            |body: &'static str| take(&json_headers(), Bytes::from_static(body.as_bytes())).unwrap_err().status();
        assert_eq!(status(r#"{"webhook_url":"a","webhook_url":"b"}"#), 400);
        assert_eq!(status(r#"{"webhook_url":5}"#), 422);
        assert_eq!(status(r#"{"webhook_url":null}"#), 422);
        assert_eq!(status(r#"{"webhook_events":["finished"]}"#), 422);
        assert_eq!(status(r#"{"webhook_events":[]}"#), 422);
        assert_eq!(status(r#"{"max_price_usdc":0.05}"#), 422);
        let mut headers = json_headers();
        headers.insert("ripost-webhook-url", "https://x.example".parse().unwrap());
        assert_eq!(take(&headers, Bytes::from_static(br#"{"webhook_url":"a"}"#)).unwrap_err().status(), 400);
        headers.append("ripost-webhook-url", "https://y.example".parse().unwrap());
        assert_eq!(take(&headers, Bytes::from_static(b"{}")).unwrap_err().status(), 400);
    }

    #[test]
    fn events_and_the_bound_of_retries_are_read() {
        let mut headers = json_headers();
        headers.insert("ripost-retry-max-age", "2 h".parse().unwrap());
        let body = Bytes::from_static(br#"{"webhook_events":["started","progress"]}"#);
        let wants = take(&headers, body).unwrap().0.wants;
        let hours = Some(Duration::from_secs(7200));
        assert_eq!(wants, Wants { started: true, progress: true, completed: false, retry_max_age: hours, depth: 0 });
        for (text, expected) in [("30", Some(30)), ("0", None), ("soon", None), ("8 d", None), ("-1", None)] {
            headers.insert("ripost-retry-max-age", text.parse().unwrap());
            let read = take(&headers, Bytes::from_static(b"{}")).map(|(fields, _)| fields.wants.retry_max_age);
            assert_eq!(read.ok().flatten(), expected.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn any_other_body_has_its_fields_in_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("ripost-webhook-url", "https://x.example/h".parse().unwrap());
        headers.insert("ripost-webhook-events", "completed".parse().unwrap());
        headers.insert("ripost-max-price", "0.05".parse().unwrap());
        let (fields, body) = take(&headers, Bytes::from_static(b"\x00\xff")).unwrap();
        assert_eq!(fields.webhook_url.as_deref(), Some("https://x.example/h"));
        assert_eq!(fields.max_price, "0.05".parse().ok());
        assert_eq!(&body[..], b"\x00\xff");
    }

    proptest! {
        /// Whatever stands around the fields, what is left is the JSON without them.
        #[test]
        fn cutting_leaves_exactly_the_other_members(
            names in proptest::collection::vec("[a-z,\"{}\\\\]{0,4}", 0..6),
            at in proptest::collection::vec(0_usize..8, 0..3),
            space in "[ \n\t]{0,2}",
        ) {
            let ours = [(WEBHOOK_URL, "\"https://x.example/,\\\"\""), (WEBHOOK_EVENTS, "[\"completed\"]"), (MAX_PRICE, "\"1\"")];
            let member = |(name, value): (String, String)| format!("{space}{name}{space}:{space}{value}{space}");
            let others: Vec<(String, String)> = names.iter().enumerate()
                .map(|(index, name)| (serde_json::Value::from(format!("{index}{name}")).to_string(), serde_json::json!({ "v": name }).to_string()))
                .collect();
            let mut all = others.clone();
            for (place, (name, value)) in at.iter().zip(ours) {
                all.insert((*place).min(all.len()), (format!("\"{name}\""), value.to_owned()));
            }
            let body = format!("{space}{{{}}}{space}", all.into_iter().map(member).collect::<Vec<_>>().join(","));
            let (fields, kept) = cut(&body);
            let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
            let expected: serde_json::Map<String, serde_json::Value> = others.iter()
                .map(|(name, value)| (serde_json::from_str(name).unwrap(), serde_json::from_str(value).unwrap())).collect();
            prop_assert_eq!(kept, serde_json::Value::Object(expected));
            prop_assert_eq!(fields.webhook_url.is_some(), !at.is_empty());
        }
    }
}
