use super::*;

fn all(scope: Scope) -> Vec<(String, String, Value)> {
    let document = document(scope);
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(|(method, operation)| (path.clone(), method.clone(), operation.clone()))
    });
    operations.collect()
}

#[test]
fn a_document_is_the_same_each_time_and_names_each_operation_once() {
    for scope in [Scope::DataPlane, Scope::Management, Scope::Whole] {
        assert_eq!(document(scope).to_string(), document(scope).to_string());
        let operations = all(scope);
        let ids: std::collections::BTreeSet<_> =
            operations.iter().map(|(_, _, operation)| operation["operationId"].to_string()).collect();
        assert_eq!(ids.len(), operations.len(), "{scope:?}");
    }
    let (data, management) = (all(Scope::DataPlane).len(), all(Scope::Management).len());
    assert!(all(Scope::Whole).len() < data + management, "what both have is there once");
}

#[test]
fn every_reference_is_to_something_that_is_there() {
    fn references<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    for scope in [Scope::DataPlane, Scope::Management, Scope::Whole] {
        let document = document(scope);
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20, "{scope:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{scope:?}: {reference}");
        }
    }
}

#[test]
fn every_operation_has_a_success_and_says_what_can_go_wrong() {
    for (path, method, operation) in all(Scope::Whole) {
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
        assert!(responses.contains_key("405") && responses.contains_key("500"), "{method} {path}");
        let is_open = operation["security"].as_array().unwrap().is_empty();
        assert_eq!(responses.contains_key("401"), !is_open, "{method} {path}");
    }
}

/// Makers of clients end at a boolean in place of a schema, and take `*/*` for the content type to send.
#[test]
fn documents_have_neither_booleans_for_schemas_nor_bodies_of_any_type() {
    fn look(value: &Value, path: &str) {
        const SCHEMAS: [&str; 6] = ["items", "schema", "not", "contains", "propertyNames", "data"];
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let path = format!("{path}/{name}");
                    let is_schema = SCHEMAS.contains(&name.as_str()) || path.ends_with(&format!("/properties/{name}"));
                    assert!(!(is_schema && member.is_boolean()), "{path}");
                    look(member, &path);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| {
                assert!(!item.is_boolean(), "{path}");
                look(item, path);
            }),
            _ => {}
        }
    }
    for scope in [Scope::DataPlane, Scope::Management, Scope::Whole] {
        look(&document(scope), "");
        for (path, method, operation) in all(scope) {
            let content = operation["requestBody"]["content"].as_object();
            assert!(content.is_none_or(|content| !content.contains_key("*/*")), "{method} {path}");
        }
    }
}
