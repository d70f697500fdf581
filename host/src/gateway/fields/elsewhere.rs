//! The gateway's fields where it does not read them: in the query, in a form, in JSON under another content type.

use super::members::{Found, NEAR_MAX};
use super::names::Name;
use crate::problem::{Kind, Problem};
use std::borrow::Cow;
use url::form_urlencoded;

/// Where a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The address, behind its question mark.
    Query,
    /// A body of the kind that browsers send.
    Form,
    /// JSON that does not say that it is.
    UntypedJson,
    /// JSON, where the fields belong.
    Body,
}

impl Place {
    const fn words(self) -> &'static str {
        match self {
            Self::Query => "the query",
            Self::Form => "a form",
            Self::UntypedJson => "a JSON body without a JSON content type",
            Self::Body => "the body",
        }
    }

    /// # Errors
    /// There is a field under its own name.
    pub(super) fn refuse_ours(self, found: &Names) -> Result<(), Problem> {
        found.ours.first().map_or(Ok(()), |name| Err(self.refusal(*name)))
    }

    fn refusal(self, name: Name) -> Problem {
        let (field, header, loss) = (name.field(), name.header(), name.loss());
        let write = match self {
            Self::UntypedJson => "Send the header `Content-Type: application/json`",
            _ => "Send it in a JSON body with the header `Content-Type: application/json`",
        };
        let detail = format!(
            "`{field}` is in {}, where the gateway does not read it: {loss}. {write}, or take it out and send the header \
             `{header}`. Nothing was accepted.",
            self.words()
        );
        Problem::new(Kind::MisplacedField, detail).with("field", field).with("header", header)
    }

    /// For another spelling.
    pub(super) fn refusal_of_near(self, name: Name, text: &str) -> Problem {
        let (field, header, loss) = (name.field(), name.header(), name.loss());
        let write = match self {
            Self::Body => format!("Rename it to `{field}`"),
            _ => format!("Send the value in the header `{header}`, or as `{field}` in a JSON body"),
        };
        let detail = format!(
            "`{text}` is in {} and no `{field}` is given: {loss}. {write}. If the API itself takes `{text}`, its owner \
             allows it with that property in the API's schema, or with near_miss = \"allow\" in the manifest. Nothing was \
             accepted.",
            self.words()
        );
        Problem::new(Kind::MisnamedField, detail).with("field", field).with("header", header).with("given", text)
    }
}

/// Names that were found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) ours: Vec<Name>,
    pub(super) near: Vec<(Name, String)>,
}

impl Names {
    fn of<'n>(names: impl Iterator<Item = Cow<'n, str>>) -> Self {
        let mut found = Self::default();
        for name in names {
            // `webhook_events[]` and `webhook_events[0]` are how forms write lists.
            let plain = name.split('[').next().unwrap_or_default();
            if let Some(ours) = Name::exactly(plain.as_bytes()) {
                found.ours.push(ours);
                // It is refused whatever else there is.
                break;
            }
            if let Some(near) = Name::nearly(plain.as_bytes())
                && found.near.len() < NEAR_MAX
            {
                found.near.push((near, plain.to_owned()));
            }
        }
        found
    }
}

/// In what a browser's form writes into a query or a body. Nothing is copied but names with escapes in them.
pub(super) fn in_form(pairs: &[u8]) -> Names {
    // The names alone are decoded: a value may be long, and means nothing here.
    let names = pairs.split(|byte| *byte == b'&').filter_map(|pair| pair.split(|byte| *byte == b'=').next());
    Names::of(names.filter_map(|name| form_urlencoded::parse(name).next()).map(|(name, _)| name))
}

/// In a body whose content type is not JSON.
pub(super) fn in_body(content_type: &str, body: &[u8]) -> impl Iterator<Item = (Names, Place)> {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let form = if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        Some(in_form(body))
    } else if kind.eq_ignore_ascii_case("multipart/form-data") {
        parameter(content_type.as_bytes(), b"boundary").map(|boundary| in_parts(boundary, body))
    } else {
        None
    };
    let json = in_untyped_json(body).map(|names| (names, Place::UntypedJson));
    form.map(|names| (names, Place::Form)).into_iter().chain(json)
}

/// In what looks like a JSON object, as far as it is one.
fn in_untyped_json(body: &[u8]) -> Option<Names> {
    let text = body.utf8_chunks().next()?.valid();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut found = Found::default();
    // What follows a mistake is not looked at: whoever meant JSON has our field before it, or a body that no one reads.
    let _ = found.walk(text);
    Some(Names { ours: found.ours.iter().map(|member| member.name).collect(), near: found.near })
}

/// In the heads of a multipart form's parts (RFC 7578).
fn in_parts(boundary: &[u8], body: &[u8]) -> Names {
    let delimiter = [b"--", boundary].concat();
    let mut in_head = false;
    Names::of(body.split(|byte| *byte == b'\n').filter_map(|line| {
        if line.starts_with(&delimiter) {
            in_head = true;
            return None;
        }
        let line = line.trim_ascii_end();
        in_head &= !line.is_empty();
        let colon = line.iter().position(|byte| in_head && *byte == b':')?;
        let (name, value) = line.split_at(colon);
        let disposition = name.eq_ignore_ascii_case(b"content-disposition");
        disposition.then(|| parameter(value, b"name")).flatten().map(String::from_utf8_lossy)
    }))
}

/// A parameter of a header's value, without its quotes: `form-data; name="a"`.
fn parameter<'v>(value: &'v [u8], name: &[u8]) -> Option<&'v [u8]> {
    let mut quoted = false;
    let parameters = value.split(|byte| {
        quoted ^= *byte == b'"';
        !quoted && *byte == b';'
    });
    parameters.skip(1).find_map(|parameter| {
        let (key, value) = parameter.split_at(parameter.iter().position(|byte| *byte == b'=')?);
        let value = value[1..].trim_ascii();
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        key.trim_ascii().eq_ignore_ascii_case(name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(count: usize) -> Names {
        Names { ours: vec![Name::WebhookUrl; count], near: Vec::new() }
    }

    #[test]
    fn a_form_has_the_fields_that_its_pairs_name_however_they_are_escaped() {
        for (form, found) in [
            ("a=1&webhook_url=https%3A%2F%2Fx.example", urls(1)),
            ("webhook%5Furl=x", urls(1)),
            ("webhook_url", urls(1)),
            ("webhook_url[]=x", urls(1)),
            ("a=webhook_url=1&b=%26webhook_url%3D", urls(0)),
            ("", urls(0)),
            ("&&=&", urls(0)),
            ("xwebhook_url=1&webhook_urls=2", urls(0)),
            ("callbackUrl=x", Names { ours: Vec::new(), near: vec![(Name::WebhookUrl, "callbackUrl".to_owned())] }),
        ] {
            assert_eq!(in_form(form.as_bytes()), found, "{form}");
        }
        assert_eq!(in_form(b"\xff=1&max_price_usdc=1").ours, [Name::MaxPrice]);
        assert_eq!(in_form(b"webhook_events%5B%5D=started").ours, [Name::WebhookEvents]);
    }

    #[test]
    fn a_multipart_form_has_the_fields_that_its_parts_are_named_by_and_not_what_a_file_says() {
        let part = |head: &str, body: &str| format!("--b1\r\n{head}\r\n\r\n{body}\r\n");
        let field = "Content-Disposition: form-data; name=\"webhook_url\"";
        let file =
            "Content-Type: text/html\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a; name=webhook_url\"";
        for (parts, found) in [
            (part(field, "https://x.example"), 1),
            (part("content-disposition:form-data;NAME=webhook_url", "x"), 1),
            (part(&format!("Content-Type: text/plain\r\n{field}"), "x"), 1),
            (part(file, "x") + &part(field, "x"), 1),
            (part(file, field), 0),
            (part(file, "<input name=\"webhook_url\">\r\n\r\nContent-Disposition: x; name=webhook_url"), 0),
            (String::new(), 0),
        ] {
            let body = format!("{parts}--b1--\r\n");
            for kind in ["multipart/form-data; boundary=b1", "Multipart/Form-Data; charset=utf-8; boundary=\"b1\""] {
                let names = in_body(kind, body.as_bytes()).next().unwrap().0;
                assert_eq!(names, urls(found), "{kind}: {body}");
            }
            assert!(in_body("multipart/form-data", body.as_bytes()).next().is_none());
        }
    }

    #[test]
    fn an_object_under_another_type_has_the_fields_of_its_top_level_up_to_a_mistake() {
        let found = |kind, body: &str| in_body(kind, body.as_bytes()).map(|(names, _)| names.ours.len()).sum::<usize>();
        for kind in ["", "*/*", "text/plain", "application/x-www-form-urlencoded", "application/octet-stream"] {
            assert_eq!(found(kind, r#"{"a":1,"webhook_url":"x"}"#), 1, "{kind}");
            assert_eq!(found(kind, " \n{\"webhook_url\":\"x\",}"), 1, "{kind}");
            assert_eq!(found(kind, "\u{feff}{\"webhook_url\":\"x\"}"), 1, "{kind}");
            assert_eq!(found(kind, r#"{"a":{"webhook_url":"x"}}"#), 0, "{kind}");
            assert_eq!(found(kind, r#"[{"webhook_url":"x"}]"#), 0, "{kind}");
            assert_eq!(found(kind, "{\\rtf1 webhook_url}"), 0, "{kind}");
        }
        assert_eq!(in_body("text/plain", b"{\"webhook_url\":\"x\",\"a\":\"\xff\"}").count(), 1);
        assert_eq!(in_body("text/plain", b"\xff{").count(), 0);
    }
}
