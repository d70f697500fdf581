//! The schema in `docs/` is what the tables make, and agrees with the reader.

use super::super::schema::schema;

#[test]
fn the_schema_in_the_documentation_is_the_one_of_this_version() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/plugin.schema.json");
    let made = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == made, "write what `ripost plugins schema` prints to docs/plugin.schema.json:\n{made}");
}

#[test]
fn every_table_of_the_schema_is_closed_and_says_what_each_key_is_for() {
    fn look(place: &str, schema: &serde_json::Value) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let place = format!("{place}.{key}");
            assert!(property["description"].as_str().is_some_and(|about| about.len() > 5), "{place}");
            look(&place, property);
            look(&place, &property["items"]);
        }
        if schema.get("properties").is_some() {
            assert_eq!(schema["additionalProperties"], false, "{place}");
        }
    }
    look("", &schema());
}
