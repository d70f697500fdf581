//! A schema as components of an OpenAPI document. Makers of clients follow a reference to a whole component and know
//! neither definitions inside one, nor anchors, nor booleans for schemas, nor keywords of earlier drafts.

use super::shape::{DATA, DEFINITIONS, NAMED, percent_decoded};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Keywords that say how a schema is read or referred to, which its place in the document says.
const OF_THE_FILE: [&str; 8] =
    ["$anchor", "$comment", "$dynamicAnchor", "$id", "$recursiveAnchor", "$schema", "$vocabulary", "id"];
/// Keywords that refer to a schema.
const REFERENCES: [&str; 3] = ["$dynamicRef", "$recursiveRef", "$ref"];
/// Keywords whose value is a schema, and where the document has no boolean for one. (`additionalProperties` and its like
/// may be booleans in every version of OpenAPI.)
const SCHEMAS: [&str; 15] = [
    "allOf",
    "anyOf",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "oneOf",
    "prefixItems",
    "propertyNames",
    "then",
    "properties",
    "patternProperties",
    "dependentSchemas",
];

/// The schema under `name`, and what it refers to under names that begin so and are not `taken`.
pub(super) fn of(schema: &Value, name: &str, taken: &Map<String, Value>) -> Map<String, Value> {
    let mut parts = Parts {
        root: schema,
        root_id: schema.get("$id").and_then(Value::as_str).unwrap_or_default(),
        anchors: BTreeMap::new(),
        names: BTreeMap::from([(String::new(), name.to_owned())]),
        made: Map::new(),
    };
    let mut references = BTreeSet::new();
    parts.survey(schema, "", &mut references);
    let places: BTreeSet<String> = references.into_iter().map(|reference| parts.place(reference)).collect();
    for place in places.into_iter().filter(|place| !place.is_empty()) {
        let fresh = parts.fresh_name(name, &place, taken);
        parts.names.insert(place, fresh);
    }
    let root = parts.made_of(schema, "");
    parts.made.insert(name.to_owned(), root);
    for name in parts.names.into_values() {
        // A reference to where no schema stands: whatever there is.
        parts.made.entry(name).or_insert_with(|| json!({}));
    }
    parts.made
}

struct Parts<'s> {
    root: &'s Value,
    root_id: &'s str,
    /// Where each anchor stands.
    anchors: BTreeMap<&'s str, String>,
    /// What is referred to: JSON pointer and component.
    names: BTreeMap<String, String>,
    made: Map<String, Value>,
}

impl<'s> Parts<'s> {
    fn survey(&mut self, schema: &'s Value, place: &str, references: &mut BTreeSet<&'s str>) {
        match schema {
            Value::Object(members) => {
                for name in ["$anchor", "$dynamicAnchor"] {
                    if let Some(anchor) = members.get(name).and_then(Value::as_str) {
                        self.anchors.entry(anchor).or_insert_with(|| place.to_owned());
                    }
                }
                references.extend(REFERENCES.iter().filter_map(|keyword| members.get(*keyword)?.as_str()));
                for (keyword, value) in members.iter().filter(|(keyword, _)| !DATA.contains(&keyword.as_str())) {
                    let place = below(place, keyword);
                    match value {
                        Value::Object(named) if NAMED.contains(&keyword.as_str()) => {
                            named.iter().for_each(|(name, value)| self.survey(value, &below(&place, name), references));
                        }
                        value => self.survey(value, &place, references),
                    }
                }
            }
            Value::Array(items) => {
                let items = items.iter().enumerate();
                items.for_each(|(index, item)| self.survey(item, &below(place, &index.to_string()), references));
            }
            _ => {}
        }
    }

    /// Where a reference leads to in the end: what only refers on makes no component.
    fn place(&self, reference: &str) -> String {
        let mut place = self.place_of(reference);
        // As many as there may be before the schema is refused.
        for _ in 0..super::shape::CHAIN_MAX {
            let node = self.root.pointer(&place).and_then(Value::as_object).filter(|members| members.len() == 1);
            let Some(next) = node.and_then(|members| members.get("$ref")).and_then(Value::as_str) else { break };
            place = self.place_of(next);
        }
        place
    }

    fn place_of(&self, reference: &str) -> String {
        let inside = reference.strip_prefix(self.root_id.trim_end_matches('#')).unwrap_or(reference);
        let fragment = percent_decoded(inside.trim_start_matches('#'));
        self.anchors.get(fragment.as_str()).cloned().unwrap_or(fragment)
    }

    fn fresh_name(&self, root: &str, place: &str, taken: &Map<String, Value>) -> String {
        let last = place.rsplit('/').next().unwrap_or_default();
        let mut name = root.to_owned();
        for word in last.split(|letter: char| !letter.is_ascii_alphanumeric()) {
            let mut letters = word.chars();
            name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
            name.push_str(letters.as_str());
        }
        let is_free = |name: &String| !taken.contains_key(name) && !self.names.values().any(|used| used == name);
        let numbered = (2..).map(|number| format!("{name}{number}"));
        std::iter::once(name.clone()).chain(numbered).find(is_free).expect("numbers do not end")
    }

    fn reference(&self, reference: &str) -> Value {
        let component = self.names.get(&self.place(reference));
        format!("#/components/schemas/{}", component.map_or("", String::as_str)).into()
    }

    /// A schema in the document's words; what is referred to becomes a component, and a reference to it.
    fn made_of(&mut self, schema: &Value, place: &str) -> Value {
        let made = match schema {
            Value::Bool(true) => json!({}),
            Value::Bool(false) => json!({ "not": {} }),
            Value::Object(members) => self.made_of_members(members, place),
            other => other.clone(),
        };
        match self.names.get(place) {
            Some(name) if !place.is_empty() => {
                let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
                self.made.insert(name.clone(), made);
                reference
            }
            _ => made,
        }
    }

    fn made_of_members(&mut self, members: &Map<String, Value>, place: &str) -> Value {
        let is_tuple = members.get("items").is_some_and(Value::is_array);
        let mut made = Map::new();
        for (keyword, value) in members {
            let below = below(place, keyword);
            match keyword.as_str() {
                keyword if OF_THE_FILE.contains(&keyword) => {}
                keyword if DATA.contains(&keyword) => _ = made.insert(keyword.to_owned(), value.clone()),
                // For what they refer to alone.
                keyword if DEFINITIONS.contains(&keyword) => _ = self.made_of_value(keyword, value, &below),
                keyword if REFERENCES.contains(&keyword) => {
                    if let Some(reference) = value.as_str() {
                        made.insert("$ref".to_owned(), self.reference(reference));
                    }
                }
                "items" if is_tuple => {
                    made.insert("prefixItems".to_owned(), self.made_of_value("prefixItems", value, &below));
                }
                "additionalItems" if is_tuple => {
                    made.insert("items".to_owned(), self.made_of_value("items", value, &below));
                }
                "additionalItems" => {}
                "exclusiveMinimum" | "exclusiveMaximum" if value.is_boolean() => {}
                "minimum" if members.get("exclusiveMinimum") == Some(&Value::Bool(true)) => {
                    made.insert("exclusiveMinimum".to_owned(), value.clone());
                }
                "maximum" if members.get("exclusiveMaximum") == Some(&Value::Bool(true)) => {
                    made.insert("exclusiveMaximum".to_owned(), value.clone());
                }
                "dependencies" => self.split_dependencies(value, &below, &mut made),
                keyword => {
                    made.insert(keyword.to_owned(), self.made_of_value(keyword, value, &below));
                }
            }
        }
        made.into()
    }

    fn made_of_value(&mut self, keyword: &str, value: &Value, place: &str) -> Value {
        match value {
            Value::Object(named) if NAMED.contains(&keyword) => {
                let made =
                    |(name, schema): (&String, &Value)| (name.clone(), self.made_of(schema, &below(place, name)));
                named.iter().map(made).collect::<Map<_, _>>().into()
            }
            Value::Array(items) => {
                let items = items.iter().enumerate();
                let made =
                    items.map(|(index, item)| self.made_of_value(keyword, item, &below(place, &index.to_string())));
                made.collect()
            }
            Value::Object(_) => self.made_of(value, place),
            Value::Bool(_) if SCHEMAS.contains(&keyword) => self.made_of(value, place),
            other => other.clone(),
        }
    }

    /// A keyword of draft 7 that two came of.
    fn split_dependencies(&mut self, value: &Value, place: &str, made: &mut Map<String, Value>) {
        let Value::Object(dependencies) = value else { return };
        for (name, dependency) in dependencies {
            let (keyword, value) = if dependency.is_array() {
                ("dependentRequired", dependency.clone())
            } else {
                ("dependentSchemas", self.made_of(dependency, &below(place, name)))
            };
            made.entry(keyword).or_insert_with(|| json!({}))[name] = value;
        }
    }
}

/// A JSON pointer's next step (RFC 6901).
fn below(place: &str, name: &str) -> String {
    format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(schema: &Value) -> Value {
        of(schema, "Call", &Map::from_iter([("CallTaken".to_owned(), json!({}))])).into()
    }

    #[test]
    fn what_a_schema_refers_to_becomes_a_component_and_definitions_and_anchors_go() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "https://example.com/s",
            "type": "object",
            "const": { "$ref": "#/x" },
            "properties": {
                "a": { "$ref": "#/$defs/line item" },
                "b": { "$ref": "#near", "description": "beside" },
                "c": { "$ref": "https://example.com/s" },
                "$ref": { "$ref": "#/$defs/alias" },
                "const": { "$ref": "#/properties/a%2fb" },
                "a/b": { "type": "string" },
            },
            "$defs": {
                "line item": { "type": "object", "properties": { "next": { "$ref": "#/$defs/line%20item" } } },
                "alias": { "$ref": "#/$defs/taken" },
                "taken": { "$anchor": "near", "type": "integer" },
                "unused": { "type": "null" },
            },
        });
        // A pointer's slash is written `~1`, so that is a reference to nowhere.
        assert_eq!(
            made(&schema),
            json!({
                "Call": {
                    "type": "object",
                    "const": { "$ref": "#/x" },
                    "properties": {
                        "a": { "$ref": "#/components/schemas/CallLineItem" },
                        "b": { "$ref": "#/components/schemas/CallTaken2", "description": "beside" },
                        "c": { "$ref": "#/components/schemas/Call" },
                        "$ref": { "$ref": "#/components/schemas/CallTaken2" },
                        "const": { "$ref": "#/components/schemas/CallB" },
                        "a/b": { "type": "string" },
                    },
                },
                "CallLineItem": { "type": "object", "properties": { "next": { "$ref": "#/components/schemas/CallLineItem" } } },
                "CallTaken2": { "type": "integer" },
                "CallB": {},
            })
        );
    }

    #[test]
    fn a_part_that_is_referred_to_where_it_stands_is_there_once() {
        let schema = json!({ "properties": { "a": { "type": "integer" }, "b": { "$ref": "#/properties/a" } } });
        let reference = json!({ "$ref": "#/components/schemas/CallA" });
        assert_eq!(
            made(&schema),
            json!({ "Call": { "properties": { "a": reference, "b": reference } }, "CallA": { "type": "integer" } })
        );
    }

    #[test]
    fn earlier_drafts_and_booleans_for_schemas_are_said_in_todays_words() {
        for (schema, expected) in [
            (
                json!({ "items": [true, { "type": "null" }], "additionalItems": false }),
                json!({ "prefixItems": [{}, { "type": "null" }], "items": { "not": {} } }),
            ),
            (
                json!({ "items": true, "uniqueItems": true, "additionalItems": false }),
                json!({ "items": {}, "uniqueItems": true }),
            ),
            (
                json!({ "properties": { "a": true, "b": false } }),
                json!({ "properties": { "a": {}, "b": { "not": {} } } }),
            ),
            (
                json!({ "additionalProperties": false, "deprecated": true }),
                json!({ "additionalProperties": false, "deprecated": true }),
            ),
            (
                json!({ "minimum": 5, "exclusiveMinimum": true, "maximum": 9, "exclusiveMaximum": false }),
                json!({ "exclusiveMinimum": 5, "maximum": 9 }),
            ),
            (json!({ "minimum": 5, "exclusiveMinimum": 4 }), json!({ "minimum": 5, "exclusiveMinimum": 4 })),
            (
                json!({ "dependencies": { "a": ["b"], "c": { "required": ["d"] } } }),
                json!({ "dependentRequired": { "a": ["b"] }, "dependentSchemas": { "c": { "required": ["d"] } } }),
            ),
            (
                json!({ "definitions": { "n": { "type": "integer" } }, "anyOf": [{ "$ref": "#/definitions/n" }, true] }),
                json!({ "anyOf": [{ "$ref": "#/components/schemas/CallN" }, {}] }),
            ),
        ] {
            assert_eq!(made(&schema)["Call"], expected, "{schema}");
        }
    }
}
