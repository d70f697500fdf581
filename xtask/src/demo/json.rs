//! JSON for people: the keys in the order they came, small values on one line, long lists shortened.

/// What fits is not broken up.
const WIDTH: usize = 110;
/// Of a list that does not fit on a line.
const ITEMS_MAX: usize = 3;

/// The document, laid out; as it is when it is not JSON.
pub(super) fn pretty(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_err() {
        return text.into_owned();
    }
    let mut out = String::new();
    value(text.trim(), 0, &mut out);
    out
}

/// `text` is one valid value.
fn value(text: &str, indent: usize, out: &mut String) {
    let closing = match text.as_bytes().first() {
        Some(b'{') => '}',
        Some(b'[') => ']',
        _ => return out.push_str(text),
    };
    let items = items(&text[1..text.len() - 1]);
    let line = one_line(text);
    if indent + line.len() <= WIDTH || items.is_empty() {
        return out.push_str(&line);
    }
    let shown = if closing == ']' { items.len().min(ITEMS_MAX) } else { items.len() };
    let inner = " ".repeat(indent + 2);
    out.push_str(&text[..1]);
    for (index, item) in items.iter().take(shown).enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        out.push_str(&inner);
        match (closing, key_end(item)) {
            ('}', Some(end)) => {
                let key = item[..end].trim();
                out.push_str(key);
                out.push_str(": ");
                value(item[end + 1..].trim(), indent + 2, out);
            }
            _ => value(item.trim(), indent + 2, out),
        }
    }
    if shown < items.len() {
        out.push_str(&format!(",\n{inner}… {} more", items.len() - shown));
    }
    out.push('\n');
    out.push_str(&" ".repeat(indent));
    out.push(closing);
}

/// Bytes that are syntax, not text, with their positions and how deep they are.
fn syntax(text: &str) -> impl Iterator<Item = (usize, u8, usize)> + '_ {
    let (mut in_text, mut escaped, mut depth) = (false, false, 0_usize);
    text.bytes().enumerate().filter_map(move |(at, byte)| {
        if in_text {
            in_text = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
            return None;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        (byte != b'"').then_some((at, byte, depth))
    })
}

fn items(text: &str) -> Vec<&str> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    let commas = syntax(text).filter(|(_, byte, depth)| *byte == b',' && *depth == 0).map(|(at, ..)| at);
    let (mut items, mut from) = (Vec::new(), 0);
    for at in commas.chain(std::iter::once(text.len())) {
        items.push(&text[from..at]);
        from = at + 1;
    }
    items
}

fn key_end(item: &str) -> Option<usize> {
    syntax(item).find(|(_, byte, depth)| *byte == b':' && *depth == 0).map(|(at, ..)| at)
}

fn one_line(text: &str) -> String {
    let syntax: std::collections::HashMap<usize, u8> = syntax(text).map(|(at, byte, _)| (at, byte)).collect();
    let mut line = String::with_capacity(text.len() + 16);
    for (at, character) in text.char_indices() {
        match syntax.get(&at) {
            Some(b' ' | b'\n' | b'\r' | b'\t') => {}
            Some(byte @ (b',' | b':')) => line.extend([char::from(*byte), ' ']),
            _ => line.push(character),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn small_documents_stay_on_one_line_in_their_own_order() {
        let text = r#"{"z":1,"a":{"b":[1,2],"c":"x: {\"y\", é}"},"e":[],"n":null}"#.as_bytes();
        assert_eq!(pretty(text), r#"{"z": 1, "a": {"b": [1, 2], "c": "x: {\"y\", é}"}, "e": [], "n": null}"#);
        assert_eq!(pretty(b"no json"), "no json");
    }

    #[test]
    fn large_ones_are_broken_up_and_long_lists_shortened() {
        let line = |n: u32| format!(r#"{{"name":"region {n}","revenue_cents":{}}}"#, n * 1000);
        let lines = (1..=5).map(line).collect::<Vec<_>>().join(",");
        let text = format!(r#"{{"title":"t","lines":[{lines}],"end":true}}"#);
        let expected = "{\n  \"title\": \"t\",\n  \"lines\": [\n    {\"name\": \"region 1\", \"revenue_cents\": 1000},\n    \
                        {\"name\": \"region 2\", \"revenue_cents\": 2000},\n    {\"name\": \"region 3\", \"revenue_cents\": 3000},\n    \
                        … 2 more\n  ],\n  \"end\": true\n}";
        assert_eq!(pretty(text.as_bytes()), expected);
    }
}
