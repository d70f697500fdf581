//! The manifest's JSON Schema, for editors: the same tables that the checks go by.

use super::allowance;
use super::keys::{CONCURRENCY, Form, Key, Need, ROOT, Table, Text};
use ripost_runtime::{LINES, Limits, Value};
use serde_json::{Map, json};

type Object = Map<String, serde_json::Value>;

/// The JSON Schema of `plugin.toml`, as `docs/plugin.schema.json` has it.
///
/// An editor says with it what a key is for and which one is wrong. The host says more: what is above this host's
/// ceilings, and what contradicts each other.
#[must_use]
pub fn schema() -> serde_json::Value {
    let mut schema = table(&ROOT);
    let head = [
        ("$schema", "http://json-schema.org/draft-07/schema#"),
        ("title", "plugin.toml"),
        ("description", "What a plugin of Ripost offers. docs/owner.md explains it."),
    ];
    schema.extend(head.map(|(key, text)| (key.to_owned(), text.into())));
    schema.into()
}

fn table(table: &Table) -> Object {
    let properties: Object = table.keys.iter().map(|key| (key.name.to_owned(), property(key).into())).collect();
    let required: Vec<&str> = table.keys.iter().filter(|key| key.need == Need::Required).map(|key| key.name).collect();
    let mut schema = object(json!({ "type": "object", "additionalProperties": false, "properties": properties }));
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    if !table.one_of.is_empty() {
        let one_of: Vec<_> = table.one_of.iter().map(|name| json!({ "required": [name] })).collect();
        schema.insert("oneOf".to_owned(), one_of.into());
    }
    schema
}

fn property(key: &Key) -> Object {
    let mut property = form(&key.form);
    property.insert("description".to_owned(), key.about.into());
    property
}

fn form(form: &Form) -> Object {
    match form {
        Form::Text(text) => self::text(*text),
        Form::Choice(choices) => object(json!({ "enum": choices })),
        Form::Count(range) => object(json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() })),
        Form::Flag => object(json!({ "type": "boolean" })),
        Form::List(of, max) => object(json!({ "type": "array", "items": text(*of), "maxItems": max })),
        Form::Texts => object(json!({ "type": "object", "additionalProperties": { "type": "string" } })),
        Form::Limits => limits(),
        Form::Table(table) => self::table(table),
        Form::Tables(table) => object(json!({ "type": "array", "items": self::table(table), "minItems": 1 })),
    }
}

fn text(text: Text) -> Object {
    let pattern = match text {
        Text::Any => return object(json!({ "type": "string" })),
        Text::Name => "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        Text::Component => r"^[^./\\][^/\\]*\.wasm$",
        Text::Folder => r"^[^./\\][^/\\]*$",
        Text::Schema => r"^[^./\\][^/\\]*\.json$",
        Text::Amount => r"^[0-9]+(\.[0-9]{1,6})?$",
        Text::Duration => DURATION,
        Text::Place => "https?://",
        Text::Url => "^https?://",
        Text::Origin => r"^(\*|https?://[^/]+)$",
        Text::SecretName => "^[A-Z][A-Z0-9_]*$",
    };
    object(json!({ "type": "string", "pattern": pattern }))
}

const DURATION: &str = "^[0-9]+ ?(ms|s|m|min|h|d)$";
const RATE: &str = "^[0-9]+ ?/ ?(s|m|min|h)( burst [0-9]+)?$";

fn limits() -> Object {
    let default = Limits::default();
    let lines = LINES.iter().map(|line| {
        let value = line.get(&default);
        let mut form = match value {
            Value::Bytes(_) => object(json!({ "type": "string", "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB)$" })),
            Value::Time(_) => object(json!({ "type": "string", "pattern": DURATION })),
            Value::Count(_) => object(json!({ "type": "integer", "minimum": 0 })),
        };
        form.insert("description".to_owned(), format!("{}; default {value}", line.what).into());
        (line.key.to_owned(), form.into())
    });
    let (least, most) = crate::config::CONCURRENCY.into_inner();
    let concurrency = json!({
        "type": "integer", "minimum": least, "maximum": most, "description": "runs of this API at once; default 16"
    });
    let (least, most) = allowance::COUNTS.into_inner();
    let allowance = allowance::KEYS.iter().map(|key| {
        let mut form = match key.form {
            allowance::Form::Rate => object(json!({ "type": "string", "pattern": RATE })),
            allowance::Form::Count => object(json!({ "type": "integer", "minimum": least, "maximum": most })),
        };
        form.insert("description".to_owned(), key.about.into());
        (key.name.to_owned(), form.into())
    });
    let properties: Object = lines.chain([(CONCURRENCY.to_owned(), concurrency)]).chain(allowance).collect();
    object(json!({ "type": "object", "additionalProperties": false, "properties": properties }))
}

fn object(value: serde_json::Value) -> Object {
    match value {
        serde_json::Value::Object(object) => object,
        _ => Object::new(),
    }
}
