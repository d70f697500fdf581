//! Which properties of a body are named almost like the gateway's own fields: the owner's, since the schema has them.

use super::shape::{DATA, DEFINITIONS, INWARDS};
use crate::gateway::fields::Name;
use serde_json::Value;

/// The properties of the body itself. Those of what may be referred to count too: which of them a body meets is known
/// only when it is checked.
pub(super) fn near(schema: &Value) -> Vec<String> {
    let mut names = Vec::new();
    collect(schema, &mut names);
    names
}

fn collect(schema: &Value, names: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            for (keyword, value) in members {
                if let ("properties", Value::Object(properties)) = (keyword.as_str(), value) {
                    names.extend(properties.keys().filter(|name| Name::nearly(name.as_bytes()).is_some()).cloned());
                }
                let keyword = keyword.as_str();
                if DEFINITIONS.contains(&keyword) || !(DATA.contains(&keyword) || INWARDS.contains(&keyword)) {
                    collect(value, names);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_property_of_the_body_is_found_however_the_schema_comes_to_it() {
        let here = json!({ "properties": { "callback_url": {}, "webhook_url": {}, "other": {} } });
        for schema in [
            here.clone(),
            json!({ "allOf": [{ "oneOf": [here] }] }),
            json!({ "if": {}, "then": here }),
            json!({ "$ref": "#/$defs/a", "$defs": { "a": here } }),
        ] {
            assert_eq!(near(&schema), ["callback_url"], "{schema}");
        }
        for schema in [
            json!({ "properties": { "inner": here } }),
            json!({ "items": here }),
            json!({ "const": here }),
            json!({ "required": ["callback_url"] }),
        ] {
            assert!(near(&schema).is_empty(), "{schema}");
        }
    }
}
