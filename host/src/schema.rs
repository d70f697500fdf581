//! JSON Schemas of APIs: what a body has to be before anything is held for it.
//!
//! Schemas are strangers' text and bodies are other strangers', and both are looked at outside the sandbox. So nothing is
//! ever fetched, patterns run in linear time, what a schema comes to is bounded when it is loaded (`shape`), and where
//! listing all that is wrong could grow without bound only the first is told.

mod components;
mod names;
mod shape;
mod unique;

use crate::gateway::fields::is_json;
use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use ripost_runtime::Value as Quantity;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use shape::Shape;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// A schema's size; OpenAPI documents of whole companies have less in their schemas.
pub(crate) const BYTES_MAX: usize = 256 * 1024;
/// Of one compiled pattern, and of what it remembers while it runs.
const PATTERN_BYTES_MAX: usize = 256 * 1024;
/// Places that are told of one body.
const MISMATCHES_MAX: usize = 20;
/// Characters of one message, and of one path.
const TEXT_CHARS_MAX: usize = 300;
/// Bytes of a body up to which a check takes 0.3 ms at most and is made where it is asked for. Each byte takes about 16 ns,
/// nearly all of it for reading: 20 ms for 1 MiB.
const QUICK_BYTES: usize = 16 * 1024;
/// The same, times subschemas: for schemas that look at everything again and again.
const QUICK_WORK: u64 = 1 << 21;
/// Values of a body times subschemas up to which everything wrong is listed: the list is made whole before it is cut.
const LISTED: u64 = 1 << 19;
/// Long checks of one schema at once: an owner whose schema takes long waits for itself.
const LONG_AT_ONCE: usize = 2;

/// A schema cannot be used. In words for its author.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SchemaError(String);

/// Methods whose requests have no body of a meaning (RFC 9110, section 9.3).
const BODILESS: [&str; 3] = ["GET", "HEAD", "DELETE"];

/// Whether a request with this method is whole without a body, whatever content type it names.
pub(crate) fn may_lack_a_body(method: &str) -> bool {
    BODILESS.contains(&method)
}

/// Why a body is not taken.
#[derive(Debug)]
pub enum Unfit {
    /// Its content type is not JSON's.
    NotTyped,
    /// It is no JSON that means one thing only.
    NotJson(String),
    /// It is not as the schema has it; at least one place.
    Mismatch(Vec<Mismatch>),
}

/// A place where a body is not as the schema has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// JSON pointer into the body; the body itself is the empty one.
    pub path: String,
    /// What is wrong, without the value that is.
    pub message: String,
    /// The schema's keyword that says so.
    pub keyword: String,
}

/// A compiled schema.
pub struct Schema {
    json: Arc<RawValue>,
    validator: Validator,
    shape: Shape,
    /// Properties that are nearly the gateway's.
    near: Vec<String>,
    long: Arc<Semaphore>,
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schema").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl Schema {
    /// Compiles a schema's file. **Blocking**, some milliseconds for each 100 KiB.
    ///
    /// # Errors
    /// What its author has to change.
    pub fn compile(text: &[u8]) -> Result<Self, SchemaError> {
        let refuse = |why: String| Err(SchemaError(why));
        if text.len() > BYTES_MAX {
            let (has, max) = (text.len(), Quantity::Bytes(BYTES_MAX));
            return refuse(format!("it has {has} bytes and a schema has at most {max}; make it smaller"));
        }
        let value = unique::parse(text).map_err(|error| SchemaError(format!("it is not JSON: {error}")))?;
        if !value.is_object() {
            return refuse("it is not an object; a schema begins with { and says { \"type\": \"object\" }".to_owned());
        }
        let shape = Shape::of(&value).map_err(SchemaError)?;
        let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
        let options = jsonschema::options().offline().should_validate_formats(true).with_pattern_options(patterns);
        // A panic of the compiler over somebody's schema is their revision's end and nobody else's.
        let validator = match catch_unwind(AssertUnwindSafe(|| options.build(&value))) {
            Ok(Ok(validator)) => validator,
            Ok(Err(error)) => return refuse(of_schema(&error)),
            Err(_) => return refuse("the schema compiler broke down over it; write it otherwise".to_owned()),
        };
        let json: Box<RawValue> =
            serde_json::from_slice(text).map_err(|error| SchemaError(format!("it is not JSON: {error}")))?;
        let near = names::near(&value);
        Ok(Self { json: json.into(), validator, shape, near, long: Arc::new(Semaphore::new(LONG_AT_ONCE)) })
    }

    /// As its author wrote it.
    #[must_use]
    pub fn json(&self) -> &Arc<RawValue> {
        &self.json
    }

    /// Whether a name that is nearly one of the gateway's fields is a property of the bodies.
    pub(crate) fn names(&self, property: &str) -> bool {
        self.near.iter().any(|name| name == property)
    }

    /// As components of an OpenAPI document: the schema under `name`, and what it refers to under names that begin so and
    /// are not `taken`.
    #[must_use]
    pub fn components(&self, name: &str, taken: &Map<String, Value>) -> Map<String, Value> {
        let schema = serde_json::from_str(self.json.get()).unwrap_or_default();
        components::of(&schema, name, taken)
    }

    /// In words, for `ripost check`: by which draft it is read, and how much it is.
    #[must_use]
    pub fn about(&self) -> String {
        let about = format!("JSON Schema ({:?}), {} subschemas", self.validator.draft(), self.shape.subschemas);
        match &self.near[..] {
            [] => about,
            near => format!("{about}; `{}` is the API's own and not refused as misnamed-field", near.join("`, `")),
        }
    }

    /// What can be said without reading the body: whether there is one to check.
    ///
    /// # Errors
    /// There is none where one belongs, or it does not say that it is JSON.
    pub fn is_to_be_checked(method: &str, content_type: Option<&str>, body: &[u8]) -> Result<bool, Unfit> {
        match body {
            [] if may_lack_a_body(method) => Ok(false),
            [] => {
                let (path, message, keyword) = (String::new(), "there is no body".to_owned(), "required".to_owned());
                Err(Unfit::Mismatch(vec![Mismatch { path, message, keyword }]))
            }
            _ if content_type.is_some_and(is_json) => Ok(true),
            _ => Err(Unfit::NotTyped),
        }
    }

    /// Permits for checks that are not quick.
    pub(crate) fn long(&self) -> &Arc<Semaphore> {
        &self.long
    }

    /// Whether a body of this size is checked in well under a millisecond.
    pub(crate) fn is_quick(&self, body_bytes: usize) -> bool {
        body_bytes <= QUICK_BYTES && (body_bytes as u64).saturating_mul(self.shape.subschemas) <= QUICK_WORK
    }

    /// Whether a body is as the schema has it. Pure; **blocking** unless it is quick (`is_quick`).
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(&self, body: &[u8]) -> Result<(), Unfit> {
        let value = unique::parse(body).map_err(|error| Unfit::NotJson(error.to_string()))?;
        if self.validator.is_valid(&value) { Ok(()) } else { Err(Unfit::Mismatch(self.mismatches(&value))) }
    }

    /// What is wrong with a value that is. Unlike the check itself, which remembers what it has seen, each way through
    /// alternatives and references is gone anew, and each thing that is wrong on it kept.
    fn mismatches(&self, value: &Value) -> Vec<Mismatch> {
        let Shape { subschemas, is_recursive, has_alternatives } = self.shape;
        let first = |mismatch: Option<Mismatch>| mismatch.map_or_else(|| vec![somewhere()], |mismatch| vec![mismatch]);
        if !is_recursive && values(value).saturating_mul(subschemas) <= LISTED {
            let mut all: Vec<_> =
                self.validator.iter_errors(value).take(MISMATCHES_MAX).map(|error| of(&error)).collect();
            all.sort_by(|left, right| left.path.cmp(&right.path));
            return if all.is_empty() { vec![somewhere()] } else { all };
        }
        if has_alternatives {
            return vec![somewhere()];
        }
        first(self.validator.validate(value).err().map(|error| of(&error)))
    }
}

fn of(error: &ValidationError<'_>) -> Mismatch {
    Mismatch {
        path: cut(error.instance_path().as_str()),
        message: cut(&error.masked_with("the value").to_string()),
        keyword: error.kind().keyword().to_owned(),
    }
}

/// The place is not looked for.
fn somewhere() -> Mismatch {
    let message = "the body does not fit; it is too large, or its schema too intricate, to say where".to_owned();
    Mismatch { path: String::new(), message, keyword: String::new() }
}

fn of_schema(error: &ValidationError<'_>) -> String {
    let place = error.instance_path().as_str();
    let place = if place.is_empty() { String::new() } else { format!("at {}: ", cut(place)) };
    let remedy = match error.kind() {
        ValidationErrorKind::Format { format } if format == "regex" => {
            "; patterns are as the Rust crate `regex` has them: no look-around, no back-references"
        }
        ValidationErrorKind::Pattern { .. } | ValidationErrorKind::RegexEngineFailure { .. } => {
            "; write the pattern otherwise"
        }
        _ => "",
    };
    format!("{place}{}{remedy}", cut(&error.to_string()))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn values(value: &Value) -> u64 {
    1 + match value {
        Value::Array(items) => items.iter().map(values).sum(),
        Value::Object(members) => members.values().map(values).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
