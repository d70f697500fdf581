//! Bodies as they are shown on a terminal.

use serde::de::IgnoredAny;

/// How JSON is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// A line for each field.
    Lines,
    /// No white space.
    Compact,
}

/// The same JSON with other white space: fields stay in their order and numbers as they were written. `None`: no
/// JSON. Not much more than `bytes_max` is written.
pub(super) fn layout(json: &[u8], layout: Layout, bytes_max: usize) -> Option<String> {
    serde_json::from_slice::<IgnoredAny>(json).ok()?;
    let text = std::str::from_utf8(json).ok()?;
    let mut out = String::with_capacity(text.len().min(bytes_max));
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    let line = |out: &mut String, depth: usize| {
        if layout == Layout::Lines {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        }
    };
    let mut letters = text.chars().filter(|letter| !letter.is_ascii_whitespace() || letter == &' ').peekable();
    // Line breaks and tabs are never inside the strings of valid JSON; spaces are.
    while let Some(letter) = letters.next() {
        if out.len() > bytes_max {
            break;
        }
        if quoted {
            out.push(letter);
            quoted = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
            continue;
        }
        match letter {
            ' ' => {}
            '{' | '[' => {
                out.push(letter);
                while letters.next_if_eq(&' ').is_some() {}
                if let Some(end) = letters.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                line(&mut out, depth);
                out.push(letter);
            }
            ',' => {
                out.push(letter);
                line(&mut out, depth);
            }
            ':' => out.push_str(if layout == Layout::Lines { ": " } else { ":" }),
            _ => {
                quoted = letter == '"';
                out.push(letter);
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::out::printable;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn json_is_laid_out_and_nothing_else_is_changed() {
        let json = br#" { "z":1.0, "a" : [ ], "t": "a {\"b\\\": 1,  2}", "n":[12345678901234567890123, {"x":{ }}] } "#;
        let lines = layout(json, Layout::Lines, 1000).unwrap();
        assert_eq!(
            lines,
            "{\n  \"z\": 1.0,\n  \"a\": [],\n  \"t\": \"a {\\\"b\\\\\\\": 1,  2}\",\n  \"n\": [\n    \
             12345678901234567890123,\n    {\n      \"x\": {}\n    }\n  ]\n}"
        );
        let compact = layout(json, Layout::Compact, 1000).unwrap();
        assert_eq!(compact, r#"{"z":1.0,"a":[],"t":"a {\"b\\\": 1,  2}","n":[12345678901234567890123,{"x":{}}]}"#);
        assert_eq!(layout(b"{\"a\":", Layout::Lines, 1000), None);
        assert_eq!(layout(b"\"\xff\"", Layout::Lines, 1000), None);
    }

    #[test]
    fn what_is_too_long_or_too_deep_is_cut() {
        for depth in [100, 100_000] {
            let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            assert!(layout(deep.as_bytes(), Layout::Lines, 500).unwrap().len() < 1000);
            assert_eq!(layout(deep.as_bytes(), Layout::Compact, usize::MAX).unwrap(), deep);
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![any::<i64>().prop_map(Value::from), any::<String>().prop_map(Value::from), Just(json!(null))];
        leaf.prop_recursive(4, 64, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..5).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_laid_out_means_the_same(value in json()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                for kind in [Layout::Lines, Layout::Compact] {
                    let shown = printable(&layout(text.as_bytes(), kind, usize::MAX).unwrap());
                    prop_assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value.clone());
                }
                prop_assert_eq!(layout(text.as_bytes(), Layout::Lines, usize::MAX).unwrap(), serde_json::to_string_pretty(&value).unwrap());
            }
        }
    }
}
