//! The schema in `docs/` is what the tables make, and agrees with the reader.

use super::super::schema::schema;
use super::{bounds, generated};
use crate::limits;
use crate::plugins::manifest::{Bounds, Manifest};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use ripost_domain::address::PlainHttp;
use ripost_runtime::{LINES, Limits};
use std::cell::Cell;

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

/// What a schema of draft 7 cannot say, by the host's words for it.
const UNSPEAKABLE: &[&str] = &[
    // Two entries that are written differently and mean the same, and two APIs of one name.
    " twice, first on line ",
    "\" twice; remove one",
    // Text that only a parser of URLs understands.
    "is no host with a port",
    "write the host as ",
    "write the path as ",
    "write the path without encoded slashes",
    "a `*` stands for one label",
    "is not as browsers send it",
    "is no origin",
    "`upstream`: ",
    // Words that are nearly others.
    "no service is known to have the method",
    // Bytes of a text, and the largest amount of all.
    "`version` must have",
    "too large",
];

/// Without this host's own ceilings, which no file can know.
fn without_ceilings() -> Bounds {
    let mut ceiling = Limits::ceiling();
    for line in LINES {
        assert!(line.set(&mut ceiling, limits::most(line.key, line.get(&Limits::default()))));
    }
    Bounds { ceiling, plain_http: PlainHttp::Everywhere, ..bounds() }
}

#[test]
fn the_schema_and_the_host_agree_about_every_manifest() {
    let (validator, bounds) = (jsonschema::draft7::new(&schema()).unwrap(), without_ceilings());
    let (good, bad, unsaid) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let count = |cell: &Cell<u32>| cell.set(cell.get() + 1);
    let config = ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() };
    let agree = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)).run(
        &generated::manifest(),
        |manifest| {
            let text = toml::to_string(&manifest).unwrap();
            let host = Manifest::parse("plugin.toml", &text, &bounds);
            let json = serde_json::to_value(&manifest).unwrap();
            let schema = validator.validate(&json);
            match (host, schema) {
                (Ok(_), Ok(())) => count(&good),
                (Err(_), Err(_)) => count(&bad),
                (Ok(_), Err(error)) => prop_assert!(
                    false,
                    "the schema refuses what the host takes: {} at {}\n{text}",
                    error,
                    error.instance_path()
                ),
                (Err(error), Ok(())) if UNSPEAKABLE.iter().any(|known| error.message.contains(known)) => count(&unsaid),
                (Err(error), Ok(())) => {
                    prop_assert!(false, "the schema takes what the host refuses: {}\n{text}", error)
                }
            }
            Ok(())
        },
    );
    agree.unwrap_or_else(|error| panic!("{error}"));
    // Otherwise the manifests would say nothing about either.
    assert!(good.get() > 1000 && bad.get() > 1000 && unsaid.get() > 50, "{good:?} {bad:?} {unsaid:?}");
}
