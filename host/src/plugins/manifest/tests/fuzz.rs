//! The body of the fuzz target `manifest`, shortly, with texts that come near to being right.

#[allow(unreachable_pub, reason = "the fuzz targets reach it")]
#[path = "../../../../../fuzz/src/manifest.rs"]
mod body;

use super::GOOD;
use crate::limits::Written;
use proptest::collection::vec;
use proptest::prelude::*;
use ripost_runtime::LINES;

/// One change of a manifest's lines; places are taken modulo the number of lines.
#[derive(Clone, Debug)]
enum Change {
    Remove(usize),
    Repeat(usize),
    Swap(usize, usize),
    /// Another line in its place.
    Replace(usize, String),
    /// Another value for its key.
    Value(usize, String),
    /// Something inside a line.
    Insert(usize, usize, String),
}

fn value() -> impl Strategy<Value = String> {
    let number = prop_oneof![any::<i64>(), 0..100_i64];
    let unit = proptest::sample::select(vec!["", " ", " B", "KiB", " MiB", " GiB", " ms", "s", " m", " h", " d", " x"]);
    prop_oneof![
        (number.clone(), unit).prop_map(|(number, unit)| format!("\"{number}{unit}\"")),
        number.prop_map(|number| number.to_string()),
        "\\PC{0,12}",
        "\"[a-z./~-]{0,70}\"",
        proptest::sample::select(vec![
            "[]",
            "{}",
            "true",
            "1.5",
            "nan",
            "\"\"",
            "\"",
            "'''",
            "\"\"\"",
            "1979-05-27",
            "{ a = { a = [[[]]] } }",
            "[\"0 s\"]",
        ])
        .prop_map(str::to_owned),
    ]
}

fn line() -> impl Strategy<Value = String> {
    let keys = LINES.iter().map(|line| line.key);
    let keys: Vec<&str> = keys
        .chain([
            "concurrency",
            "owner",
            "slug",
            "handler",
            "price",
            "expires_in",
            "retry",
            "payload",
            "config",
            "grants",
        ])
        .collect();
    let tables =
        vec!["[plugin]", "[[api]]", "[api]", "[api.limits]", "[api.config]", "[api.retry]", "[api.limits.cpu]", "[x]"];
    prop_oneof![
        (proptest::sample::select(keys), value()).prop_map(|(key, value)| format!("{key} = {value}")),
        proptest::sample::select(tables).prop_map(str::to_owned),
        "\\PC{0,20}",
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<usize>();
    prop_oneof![
        at.prop_map(Change::Remove),
        at.prop_map(Change::Repeat),
        (at, at).prop_map(|(left, right)| Change::Swap(left, right)),
        (at, line()).prop_map(|(at, line)| Change::Replace(at, line)),
        (at, value()).prop_map(|(at, value)| Change::Value(at, value)),
        (at, at, "(\\PC|\n|\r|\t|\\x00){1,3}").prop_map(|(at, inside, text)| Change::Insert(at, inside, text)),
    ]
}

fn changed(changes: &[Change]) -> String {
    let mut lines: Vec<String> = GOOD.lines().map(str::to_owned).collect();
    for change in changes {
        let len = lines.len().max(1);
        let Some(last) = lines.len().checked_sub(1) else { break };
        match change {
            Change::Remove(at) => drop(lines.remove(at % len)),
            Change::Repeat(at) => lines.insert(at % len, lines[at % len].clone()),
            Change::Swap(left, right) => lines.swap(left % len, right % len),
            Change::Replace(at, line) => lines[at % len].clone_from(line),
            Change::Value(at, value) => {
                let key = lines[at % len].split('=').next().unwrap_or_default().trim_end().to_owned();
                lines[at % len] = format!("{key} = {value}");
            }
            Change::Insert(at, inside, text) => {
                let line = &mut lines[(at % len).min(last)];
                let inside = line.floor_char_boundary(inside % (line.len() + 1));
                line.insert_str(inside, text);
            }
        }
    }
    lines.join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_manifest_breaks_its_reader_and_every_error_has_a_line(changes in vec(change(), 0..5)) {
        body::parse(&changed(&changes));
    }

    #[test]
    fn no_text_breaks_the_reader(text in "(\\PC|\n|\r|[\\[\\]{}=.\"']){0,60}") {
        body::parse(&text);
    }

    #[test]
    fn no_value_of_a_limit_breaks_its_reader(text in "\\PC{0,12}", number in any::<i64>()) {
        for line in LINES {
            for written in [Written::Text(text.clone()), Written::Number(number)] {
                let unit = line.get(&ripost_runtime::Limits::default());
                if let Err(message) = crate::limits::read(line, &written, unit) {
                    prop_assert!(message.contains(line.key));
                }
            }
        }
    }
}

#[test]
fn tables_in_tables_are_refused_and_not_followed_to_the_end_of_the_stack() {
    for (open, close) in [("[", "]"), ("{a=", "}")] {
        let text = format!("plugin = {}1{}", open.repeat(20_000), close.repeat(20_000));
        body::parse(&text);
    }
}
