//! The manifest's JSON Schema, for editors: the same tables that the checks go by.

mod range;

use super::keys::{CONCURRENCY, Form, Key, Need, ROOT, Table, Text};
use super::{VERSION_BYTES_MAX, allowance, effects};
use crate::limits;
use range::between;
use ripost_domain::limit::REQUESTS_MAX;
use ripost_runtime::{LINES, Limits, Value};
use serde_json::{Map, json};
use std::time::Duration;

type Object = Map<String, serde_json::Value>;

/// The JSON Schema of `plugin.toml`, as `docs/plugin.schema.json` has it.
///
/// An editor says with it what a key is for and which one is wrong. It refuses nothing that the host takes, and of what
/// the host refuses all that a JSON Schema of draft 7 can say. It cannot say what this host's ceilings are, whether a URL
/// or an origin is written well, whether two entries mean the same, or whether another file is there.
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
    if table.has("upstream") {
        schema.insert("allOf".to_owned(), conditions());
    }
    if table.has("webhook_on_error") {
        let webhooks = json!({ "required": ["webhook"], "properties": { "webhook": { "minItems": 1 } } });
        schema.insert("dependencies".to_owned(), json!({ "webhook_on_error": webhooks }));
    }
    schema
}

/// What an API may not have beside something else.
fn conditions() -> serde_json::Value {
    let without = |keys: &[&str]| keys.iter().map(|key| ((*key).to_owned(), false.into())).collect::<Object>();
    let limits = |is_idle: &dyn Fn(&str) -> bool| -> serde_json::Value {
        let idle: Vec<&str> = LINES.iter().map(|line| line.key).filter(|key| is_idle(key)).collect();
        json!({ "properties": without(&idle) })
    };
    let off = json!({ "required": ["delivery"], "properties": { "delivery": { "const": "off" } } });
    let mut of_off = without(effects::OF_WEBHOOKS);
    of_off.insert("reply".to_owned(), json!({ "enum": ["inline"] }));
    of_off.insert("transforms".to_owned(), json!({ "properties": { "webhook": { "maxItems": 0 } } }));
    let mut of_upstream = without(effects::OF_COMPONENTS);
    of_upstream.insert("config".to_owned(), json!({ "maxProperties": 0 }));
    of_upstream.insert("limits".to_owned(), limits(&effects::is_of_components));
    let granted = json!({
        "required": ["grants"],
        "properties": {
            "grants": { "required": ["outbound"], "properties": { "outbound": { "minItems": 1 } } }
        }
    });
    json!([
        { "if": off, "then": { "properties": of_off } },
        { "if": { "required": ["handler"] }, "then": { "properties": without(&["reply"]) } },
        { "if": { "required": ["upstream"] }, "then": { "properties": of_upstream } },
        { "if": granted, "else": { "properties": { "limits": limits(&effects::is_of_calls) } } },
    ])
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
        Form::List(of, range) => object(json!({
            "type": "array", "items": text(*of), "minItems": range.start(), "maxItems": range.end()
        })),
        Form::Set(of, max) => {
            object(json!({ "type": "array", "items": text(*of), "maxItems": max, "uniqueItems": true }))
        }
        Form::Texts => object(json!({ "type": "object", "additionalProperties": { "type": "string" } })),
        Form::Limits => limits_table(),
        Form::Table(table) => self::table(table),
        Form::Tables(table) => object(json!({ "type": "array", "items": self::table(table), "minItems": 1 })),
    }
}

/// Not more than the host: what only it can tell, such as whether a URL is one, is left to it.
fn text(text: Text) -> Object {
    let (pattern, but_not) = match text {
        // Bytes in truth, of which each character has one at least.
        Text::Version => {
            return object(json!({ "type": "string", "minLength": 1, "maxLength": VERSION_BYTES_MAX }));
        }
        Text::Name => ("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$".to_owned(), None),
        Text::Component => (file(r"\.wasm"), None),
        Text::Schema => (file(r"\.json"), None),
        Text::Folder => (file(""), Some(r"(~|\.tmp|\.wasm)$|^(4913|plugin\.toml)$")),
        Text::Amount => (r"^0*[0-9]{1,13}(\.[0-9]{1,6})?$".to_owned(), None),
        Text::Duration { least, most } => (duration(least, most), None),
        Text::Place => (PLACE.to_owned(), Some("^([^ ]*,)?(CONNECT|TRACE|TRACK)[, ]")),
        Text::Url => (URL.to_owned(), None),
        // As browsers send it: in lower case, and without the port that goes without saying.
        Text::Origin => {
            (r"^(\*|https?://[!-~]+)$".to_owned(), Some(r"^http://.*:80$|^https://.*:443$|//.*[A-Z/\\?#@]"))
        }
        Text::SecretName => ("^[A-Z][A-Z0-9_]{0,63}$".to_owned(), None),
    };
    let mut form = object(json!({ "type": "string", "pattern": pattern }));
    if let Some(but_not) = but_not {
        form.insert("not".to_owned(), json!({ "pattern": but_not }));
    }
    form
}

/// Methods, if any; scheme; host, with a `*.` in front or without; a path.
const PLACE: &str =
    r"^([A-Z0-9_-]{1,32}(,[A-Z0-9_-]{1,32})* )?https?://(\*\.)?[^*/\\@?# \t\r\n]+(/[^*\\@?# \t\r\n]*)?$";

/// Scheme, host without a user, path and query.
const URL: &str = r"^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@\\ \t\r\n]+([/?#][^\\ \t\r\n]*)?$";

/// A plain name in the plugin's own folder that the watcher does not pass over.
fn file(ending: &str) -> String {
    format!(r"^[^./\\\x00][^/\\\x00]*{ending}$")
}

/// The units of a text, with the size of each.
fn quantity(units: &[(u64, &str)], least: u64, most: u64) -> String {
    let of_unit = |(size, unit): &(u64, &str)| {
        let (least, most) = (least.div_ceil(*size), most / *size);
        (least <= most).then(|| format!("{} *{unit}", between(least, most)))
    };
    let alternatives: Vec<String> = units.iter().filter_map(of_unit).collect();
    format!("^(?:{})$", alternatives.join("|"))
}

fn duration(least: Duration, most: Duration) -> String {
    let units = [(1, "ms"), (1000, "s"), (60_000, "(?:m|min)"), (3_600_000, "h"), (86_400_000, "d")];
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    quantity(&units, millis(least), millis(most))
}

fn size(least: usize, most: usize) -> String {
    let units = [(1, "B"), (1 << 10, "KiB"), (1 << 20, "MiB"), (1 << 30, "GiB")];
    quantity(&units, least as u64, most as u64)
}

fn rate() -> String {
    let count = between(1, u64::from(REQUESTS_MAX));
    format!(r"^\s*{count}\s*/\s*(?:s|m|min|h)\s*(?: burst \s*{count}\s*)?$")
}

fn limits_table() -> Object {
    let default = Limits::default();
    let lines = LINES.iter().map(|line| {
        let value = line.get(&default);
        let least = usize::from(!limits::may_be_nothing(line.key));
        let mut form = match limits::most(line.key, value) {
            Value::Bytes(most) => object(json!({ "type": "string", "pattern": size(least, most) })),
            Value::Time(most) => {
                let least = Duration::from_millis(least as u64);
                object(json!({ "type": "string", "pattern": duration(least, most) }))
            }
            Value::Count(most) => object(json!({ "type": "integer", "minimum": least, "maximum": most })),
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
            allowance::Form::Rate => object(json!({ "type": "string", "pattern": rate() })),
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
