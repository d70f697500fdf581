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
