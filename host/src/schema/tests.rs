use super::*;
use serde_json::json;

fn schema(value: &Value) -> Schema {
    Schema::compile(value.to_string().as_bytes()).unwrap()
}

fn refused(value: &Value) -> String {
    Schema::compile(value.to_string().as_bytes()).unwrap_err().to_string()
}

fn mismatches(schema: &Schema, body: &Value) -> Vec<Mismatch> {
    match schema.check(body.to_string().as_bytes()) {
        Err(Unfit::Mismatch(mismatches)) => mismatches,
        other => panic!("{other:?}"),
    }
}

fn mismatch(path: &str, message: &str, keyword: &str) -> Mismatch {
    Mismatch { path: path.to_owned(), message: message.to_owned(), keyword: keyword.to_owned() }
}

#[test]
fn each_place_is_named_without_the_value_that_is_wrong() {
    let schema = schema(&json!({
        "type": "object",
        "required": ["action"],
        "additionalProperties": false,
        "properties": {
            "action": { "enum": ["a", "b"] },
            "to/do": { "type": "array", "items": { "type": "integer", "maximum": 9 } },
            "mail": { "type": "string", "format": "email", "maxLength": 20 }
        }
    }));
    schema.check(br#"{"action":"a","to/do":[1],"mail":"a@b.example"}"#).unwrap();
    let secret = "my secret, which is too long";
    let found = mismatches(&schema, &json!({ "action": "c", "to/do": [1, "x", 10], "mail": secret }));
    assert_eq!(
        found,
        [
            mismatch("/action", r#"the value is not one of "a" or "b""#, "enum"),
            mismatch("/mail", "the value is longer than 20 characters", "maxLength"),
            mismatch("/mail", r#"the value is not a "email""#, "format"),
            mismatch("/to~1do/1", r#"the value is not of type "integer""#, "type"),
            mismatch("/to~1do/2", "the value is greater than the maximum of 9", "maximum"),
        ]
    );
    assert_eq!(mismatches(&schema, &json!({})), [mismatch("", r#""action" is a required property"#, "required")]);
}

#[test]
fn twenty_places_are_told_and_no_text_is_long() {
    let schema = schema(&json!({ "additionalProperties": { "type": "integer" } }));
    let body: serde_json::Map<_, _> = (0..50).map(|n| (format!("{n}{}", "x".repeat(2000)), json!("no"))).collect();
    let found = mismatches(&schema, &body.into());
    assert_eq!(found.len(), MISMATCHES_MAX);
    assert!(found.iter().all(|mismatch| mismatch.path.chars().count() == TEXT_CHARS_MAX + 1));
    let strict = super::tests::schema(&json!({ "additionalProperties": false }));
    let found = mismatches(&strict, &json!({ ("x".repeat(2000)): 1 }));
    assert!(found[0].message.chars().count() <= TEXT_CHARS_MAX + 1, "{found:?}");
}

#[test]
fn of_a_body_that_is_too_large_for_a_list_the_first_place_is_told_or_none() {
    let plain = schema(&json!({ "items": { "type": "integer" } }));
    let large = Value::Array(vec![json!("x"); 300_000]);
    assert_eq!(mismatches(&plain, &large), [mismatch("/0", r#"the value is not of type "integer""#, "type")]);
    let choice = schema(&json!({ "anyOf": [{ "items": { "type": "integer" } }, { "items": { "type": "null" } }] }));
    assert_eq!(mismatches(&choice, &large), [somewhere()]);
    // With n alternatives a list would have n to the power of the body's depth.
    let tree = json!({
        "$defs": { "tree": { "oneOf": [
            { "type": "null" },
            { "properties": { "next": { "$ref": "#/$defs/tree" }, "kind": { "const": 1 } } },
            { "properties": { "next": { "$ref": "#/$defs/tree" }, "kind": { "const": 2 } } },
            { "properties": { "next": { "$ref": "#/$defs/tree" }, "kind": { "const": 3 } } }
        ] } },
        "$ref": "#/$defs/tree"
    });
    let deep = (0..60).fold(json!("not null"), |next, _| json!({ "next": next, "kind": 4 }));
    assert_eq!(mismatches(&schema(&tree), &deep), [somewhere()]);
}

#[test]
fn a_reference_that_leads_out_of_the_file_is_refused_and_nothing_is_fetched() {
    for out in [
        "http://127.0.0.1:9/a.json",
        "https://example.com/a.json#/x",
        "file:///etc/passwd",
        "other.json",
        "/etc/passwd",
    ] {
        let why = refused(&json!({ "properties": { "a": { "$ref": out } } }));
        assert!(why.contains("leads out of the file") && why.contains(out), "{why}");
    }
    for (inside, wrong) in
        [("#/$defs/none", true), ("#none", true), ("#/$defs/a", false), ("#anchor", false), ("#", false)]
    {
        let text = json!({
            "$defs": { "a": { "$anchor": "anchor", "type": "string" } },
            "properties": { "x": { "$ref": inside } }
        });
        let compiled = Schema::compile(text.to_string().as_bytes());
        assert_eq!(compiled.is_err(), wrong, "{inside}: {compiled:?}");
    }
    let own = json!({ "$id": "https://example.com/s.json", "$defs": { "a": { "type": "string" } }, "properties": { "x": { "$ref": "https://example.com/s.json#/$defs/a" } } });
    assert_eq!(mismatches(&schema(&own), &json!({ "x": 1 })).len(), 1);
    let bundled = json!({ "$defs": { "a": { "$id": "https://example.com/a.json" } } });
    assert!(refused(&bundled).contains("an `$id` of its own"));
    // A property may be called anything.
    schema(&json!({ "properties": { "$id": { "type": "string" }, "default": { "$ref": "#/properties/$id" } } }));
    assert!(refused(&json!({ "properties": { "default": { "$ref": "http://127.0.0.1:9/" } } })).contains("leads out"));
    assert!(refused(&json!({ "$schema": "https://127.0.0.1:9/meta" })).contains("127.0.0.1:9"));
}

#[test]
fn what_is_no_schema_or_too_much_of_one_is_refused() {
    let refused_text = |text: &str| Schema::compile(text.as_bytes()).unwrap_err().to_string();
    assert!(refused_text("{").contains("not JSON"));
    assert!(refused_text(r#"{"type":"object","type":"array"}"#).contains("`type` is there twice"));
    assert!(refused_text("true").contains("not an object"));
    assert!(refused_text(&format!("{{\"description\":\"{}\"}}", "x".repeat(BYTES_MAX))).contains("at most 256 KiB"));
    assert!(refused(&json!({ "type": "strang" })).starts_with("at /type: "));
    assert!(refused(&json!({ "pattern": "(" })).contains("pattern"), "{}", refused(&json!({ "pattern": "(" })));
    assert!(refused(&json!({ "properties": { "a": { "pattern": "(?=a)b" } } })).contains("no look-around"));
    assert!(refused(&json!({ "pattern": "(a{1000}){1000}" })).contains("pattern"));
    // 2 to the power of 40 subschemas.
    let line = |n: usize| json!({ "anyOf": [{ "$ref": format!("#/$defs/{}", n + 1) }, { "$ref": format!("#/$defs/{}", n + 1) }] });
    let mut defs: serde_json::Map<_, _> = (0..40).map(|n| (n.to_string(), line(n))).collect();
    defs.insert("40".to_owned(), json!({ "type": "null" }));
    assert!(refused(&json!({ "$defs": defs, "$ref": "#/$defs/0" })).contains("more than 100000 subschemas"));
    assert!(
        refused(&json!({ "$defs": { "a": { "allOf": [{ "$ref": "#/$defs/a" }] } }, "$ref": "#/$defs/a" }))
            .contains("in a circle")
    );
    let patterns: serde_json::Map<_, _> = (0..201).map(|n| (format!("^{n}$"), json!({}))).collect();
    assert!(refused(&json!({ "patternProperties": patterns })).contains("201 patterns"));
}

/// A chain of references, and the place that it leads to.
fn chain(len: usize, end: &Value) -> Value {
    let mut defs: serde_json::Map<_, _> =
        (0..len).map(|n| (n.to_string(), json!({ "allOf": [{ "$ref": format!("#/$defs/{}", n + 1) }] }))).collect();
    defs.insert(len.to_string(), end.clone());
    json!({ "$defs": defs, "$ref": "#/$defs/0" })
}

#[test]
fn the_deepest_body_and_the_longest_chain_fit_a_threads_stack() {
    let again = json!({ "additionalProperties": { "$ref": "#/$defs/0" }, "items": { "$ref": "#/$defs/0" } });
    let longest =
        (1..CHAIN_TRIED).rev().find(|len| Schema::compile(chain(*len, &again).to_string().as_bytes()).is_ok()).unwrap();
    assert!(longest >= 3, "{longest}");
    let straight = (1..1000)
        .rev()
        .find(|len| Schema::compile(chain(*len, &json!({ "type": "object" })).to_string().as_bytes()).is_ok())
        .unwrap();
    assert!(straight >= 50, "{straight}");
    let recursive = schema(&chain(longest, &again));
    let straight = schema(&chain(straight, &json!({ "type": "array" })));
    let deep = format!("{}{}", "[".repeat(127), "]".repeat(127));
    let deeper = format!("{}{}", "[".repeat(129), "]".repeat(129));
    // As tokio's threads have it, halved: the caller has used some.
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    let checked = thread.spawn(move || {
        recursive.check(deep.as_bytes()).unwrap();
        straight.check(deep.as_bytes()).unwrap();
        assert!(matches!(straight.check(b"{}"), Err(Unfit::Mismatch(_))));
        assert!(matches!(recursive.check(deeper.as_bytes()), Err(Unfit::NotJson(_))));
    });
    checked.unwrap().join().unwrap();
}

const CHAIN_TRIED: usize = 64;

#[test]
fn a_name_twice_is_no_json_that_means_one_thing() {
    let schema = schema(&json!({}));
    for body in [r#"{"a":1,"a":2}"#, r#"[{"b":{"a":1,"\u0061":2}}]"#] {
        let Err(Unfit::NotJson(why)) = schema.check(body.as_bytes()) else { panic!("{body}") };
        assert!(why.contains("`a` is there twice"), "{why}");
    }
    schema.check(br#"{"a":{"a":[{"a":-1.5e3},null,true,18446744073709551615]},"b":"\u00e9"}"#).unwrap();
    assert!(matches!(schema.check(b"{} {}"), Err(Unfit::NotJson(_))));
    assert!(matches!(schema.check(b"1e999"), Err(Unfit::NotJson(_))));
}

#[test]
fn what_has_no_body_and_what_is_not_called_json_is_told_apart() {
    let of = |method, kind, body: &[u8]| Schema::is_to_be_checked(method, kind, body);
    assert!(matches!(of("GET", None, b""), Ok(false)));
    assert!(matches!(of("POST", None, b""), Err(Unfit::Mismatch(_))));
    assert!(matches!(of("GET", Some("application/json"), b"{}"), Ok(true)));
    assert!(matches!(of("POST", Some("application/merge-patch+json; charset=utf-8"), b"{}"), Ok(true)));
    assert!(matches!(of("POST", Some("text/plain"), b"{}"), Err(Unfit::NotTyped)));
    assert!(matches!(of("POST", None, b"{}"), Err(Unfit::NotTyped)));
}

#[test]
fn each_draft_is_read_as_it_says() {
    for draft in [
        "http://json-schema.org/draft-04/schema#",
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2019-09/schema",
        "https://json-schema.org/draft/2020-12/schema",
    ] {
        let schema = schema(&json!({ "$schema": draft, "properties": { "when": { "format": "date-time" } } }));
        schema.check(br#"{"when":"2026-11-25T15:00:00Z"}"#).unwrap();
        assert_eq!(mismatches(&schema, &json!({ "when": "soon" })).len(), 1, "{draft}");
        assert!(schema.about().contains("2 subschemas"), "{}", schema.about());
    }
}
