//! What a schema comes to once its references are followed, and whether that is something to check bodies with.

use serde_json::{Map, Value};
use std::collections::HashMap;

/// Subschemas, each counted as often as references lead to it. A few lines with two references each to the line before
/// come to thousands of millions.
const SUBSCHEMAS_MAX: u64 = 100_000;
/// Patterns, each of which takes memory of its own.
const PATTERNS_MAX: usize = 200;
/// Schemas inside schemas, references included: the checker goes down as many calls.
const DEPTH_MAX: usize = 512;
/// The same, of those that look at one and the same value, in a schema that refers to itself: it is gone through anew at
/// each level of a body, and a body has up to 128.
pub(super) const CHAIN_MAX: usize = 16;

/// Keywords whose values are not schemas.
pub(super) const DATA: [&str; 5] = ["const", "default", "enum", "example", "examples"];
/// Keywords whose schemas look at parts of the value, or only stand there to be referred to.
pub(super) const INWARDS: [&str; 13] = [
    "$defs",
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "definitions",
    "items",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose members are schemas, by names that are no keywords.
pub(super) const NAMED: [&str; 6] =
    ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];
/// Keywords whose members are schemas to be referred to, and say nothing by themselves.
pub(super) const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];
/// Keywords that are gone through more than once, or whose failures are kept beside each other.
const ALTERNATIVES: [&str; 7] = ["anyOf", "contains", "dependencies", "dependentSchemas", "if", "not", "oneOf"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// With each reference followed, and none of them in a circle.
    pub(super) subschemas: u64,
    /// It refers to itself.
    pub(super) is_recursive: bool,
    /// It has alternatives of some kind.
    pub(super) has_alternatives: bool,
}

impl Shape {
    /// # Errors
    /// In words for the author: it leads out of its file, or is too much.
    pub(super) fn of(schema: &Value) -> Result<Self, String> {
        let mut walk = Walk {
            root: schema,
            root_id: schema.get("$id").and_then(Value::as_str),
            anchors: HashMap::new(),
            sizes: HashMap::new(),
            chains: HashMap::new(),
            patterns: 0,
            is_recursive: false,
            has_alternatives: false,
        };
        walk.names(schema, true)?;
        let subschemas = walk.size(schema, 0)?;
        if subschemas > SUBSCHEMAS_MAX {
            return Err(format!(
                "with its references followed it comes to more than {SUBSCHEMAS_MAX} subschemas; have fewer references to what refers on"
            ));
        }
        if walk.patterns > PATTERNS_MAX {
            return Err(format!("it has {} patterns and may have {PATTERNS_MAX}; leave some out", walk.patterns));
        }
        let nodes: Vec<&Value> = walk.sizes.values().map(|(node, _)| *node).collect();
        for node in nodes {
            let chain = walk.chain(node, 0)?;
            if walk.is_recursive && chain > CHAIN_MAX {
                return Err(format!(
                    "it refers to itself by way of more than {CHAIN_MAX} subschemas of one and the same value; have fewer steps"
                ));
            }
        }
        Ok(Self { subschemas, is_recursive: walk.is_recursive, has_alternatives: walk.has_alternatives })
    }
}

/// Nodes are told apart by where they are in memory; nothing moves while they are looked at.
type Place = *const Value;

struct Walk<'s> {
    root: &'s Value,
    root_id: Option<&'s str>,
    anchors: HashMap<&'s str, Vec<&'s Value>>,
    /// `None`: being counted.
    sizes: HashMap<Place, (&'s Value, Option<u64>)>,
    /// `None`: being measured.
    chains: HashMap<Place, Option<usize>>,
    patterns: usize,
    is_recursive: bool,
    has_alternatives: bool,
}

impl<'s> Walk<'s> {
    /// Finds the anchors, and what would change where references lead from.
    fn names(&mut self, schema: &'s Value, is_root: bool) -> Result<(), String> {
        let Value::Object(members) = schema else { return Ok(()) };
        if !is_root && members.get("$id").is_some_and(Value::is_string) {
            return Err("a part of it has an `$id` of its own, which is not taken here; leave that out, and refer to the part as \"#/$defs/…\"".to_owned());
        }
        for name in ["$anchor", "$dynamicAnchor"] {
            if let Some(anchor) = members.get(name).and_then(Value::as_str) {
                self.anchors.entry(anchor).or_default().push(schema);
            }
        }
        self.patterns += usize::from(members.get("pattern").is_some_and(Value::is_string));
        self.patterns += members.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
        self.has_alternatives |= ALTERNATIVES.iter().any(|keyword| members.contains_key(*keyword));
        parts(members).try_for_each(|(_, part)| self.names(part, false))
    }

    /// What a schema's own references lead to.
    fn references(&self, members: &'s Map<String, Value>) -> Result<Vec<&'s Value>, String> {
        let mut targets = Vec::new();
        for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
            let Some(reference) = members.get(keyword).and_then(Value::as_str) else { continue };
            let inside = self.root_id.and_then(|id| reference.strip_prefix(id.trim_end_matches('#')));
            let inside = inside.filter(|rest| rest.is_empty() || rest.starts_with('#')).unwrap_or(reference);
            let Some(fragment) = inside.strip_prefix('#').or_else(|| inside.is_empty().then_some("")) else {
                return Err(format!(
                    "`{keyword}` leads out of the file, to `{}`, and nothing is ever fetched; copy that under \"$defs\" and refer to it as \"#/$defs/…\"",
                    super::cut(reference)
                ));
            };
            let fragment = percent_decoded(fragment);
            let found: Vec<&Value> = if fragment.is_empty() || fragment.starts_with('/') {
                self.root.pointer(&fragment).into_iter().collect()
            } else {
                self.anchors.get(fragment.as_str()).cloned().unwrap_or_default()
            };
            if found.is_empty() {
                return Err(format!("`{keyword}` is `{}`, and there is no such place in it", super::cut(reference)));
            }
            targets.extend(found);
        }
        Ok(targets)
    }

    fn size(&mut self, node: &'s Value, depth: usize) -> Result<u64, String> {
        match self.sizes.get(&std::ptr::from_ref(node)) {
            Some((_, Some(size))) => return Ok(*size),
            Some((_, None)) => {
                self.is_recursive = true;
                return Ok(1);
            }
            None => {}
        }
        if depth > DEPTH_MAX {
            return Err(format!("its parts are more than {DEPTH_MAX} deep, references included; make it flatter"));
        }
        self.sizes.insert(node, (node, None));
        let mut size = 1_u64;
        if let Value::Object(members) = node {
            for (_, part) in parts(members) {
                size = size.saturating_add(self.size(part, depth + 1)?);
            }
            for target in self.references(members)? {
                size = size.saturating_add(self.size(target, depth + 1)?);
            }
            self.is_recursive |= members.contains_key("$dynamicRef") || members.contains_key("$recursiveRef");
        }
        self.sizes.insert(node, (node, Some(size)));
        Ok(size)
    }

    /// Schemas of one and the same value, one inside the other.
    fn chain(&mut self, node: &'s Value, depth: usize) -> Result<usize, String> {
        match self.chains.get(&std::ptr::from_ref(node)) {
            Some(Some(chain)) => return Ok(*chain),
            Some(None) => {
                return Err(
                    "a `$ref` leads in a circle and never into the body; there is nothing it could mean".to_owned()
                );
            }
            None => {}
        }
        if depth > DEPTH_MAX {
            return Err(format!("its parts are more than {DEPTH_MAX} deep, references included; make it flatter"));
        }
        self.chains.insert(node, None);
        let mut longest = 0;
        if let Value::Object(members) = node {
            for (_, part) in parts(members).filter(|(keyword, _)| !INWARDS.contains(keyword)) {
                longest = longest.max(self.chain(part, depth + 1)?);
            }
            for target in self.references(members)? {
                longest = longest.max(self.chain(target, depth + 1)?);
            }
            longest += 1;
        }
        self.chains.insert(node, Some(longest));
        Ok(longest)
    }
}

/// The schemas inside a schema, each with its keyword. What is no keyword is taken for one: rather too much than too little.
fn parts(members: &Map<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    let parts = members.iter().filter(|(keyword, _)| !DATA.contains(&keyword.as_str()));
    parts.flat_map(|(keyword, value)| {
        let inside: Vec<&Value> = match value {
            Value::Object(schemas) if NAMED.contains(&keyword.as_str()) => schemas.values().collect(),
            Value::Array(schemas) => schemas.iter().collect(),
            schema => vec![schema],
        };
        inside
            .into_iter()
            .filter(|part| part.is_object() || part.is_boolean())
            .map(move |part| (keyword.as_str(), part))
    })
}

pub(super) fn percent_decoded(fragment: &str) -> String {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => (bytes.push(byte), rest = &after[2..]).1,
            None => (bytes.push(*first), rest = after).1,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
