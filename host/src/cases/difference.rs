//! What is not as a case expects it, a line each, for people.

use super::read::{Content, Expect};
use bytes::Bytes;
use ripost_domain::money::Amount;
use ripost_domain::units::counted;
use ripost_runtime::Response;
use serde_json::Value;

/// Lines that are shown of one case.
const LINES_MAX: usize = 10;
/// Of a value that is shown.
const CHARS_MAX: usize = 200;

pub(super) fn of_response(expect: &Expect, response: &Response) -> Vec<String> {
    let mut lines = Vec::new();
    if expect.is_failure() {
        let failure = expect.failure.as_deref().unwrap_or("a failure");
        lines.push(format!("expected {failure}, and it answered {}", response.status));
        return lines;
    }
    if let Some(status) = expect.status.filter(|status| *status != response.status) {
        lines.push(format!("status: expected {status}, got {}{}", response.status, excerpt(&response.body)));
    }
    for (name, value) in &expect.headers {
        let found: Vec<&Bytes> =
            response.headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value).collect();
        match found.first() {
            None => lines.push(format!("headers.{name}: expected {value:?}, and it is not there")),
            Some(_) if found.iter().any(|found| found[..] == *value.as_bytes()) => {}
            Some(other) => {
                lines.push(format!("headers.{name}: expected {value:?}, got {:?}", String::from_utf8_lossy(other)));
            }
        }
    }
    match &expect.body {
        None => {}
        Some(Content::Exact(bytes)) if *bytes == response.body => {}
        Some(Content::Exact(bytes)) => {
            let (expected, got) = (String::from_utf8_lossy(bytes), String::from_utf8_lossy(&response.body));
            lines.push(format!("body: expected {}, got {}", shown(&expected), shown(&got)));
        }
        Some(Content::Json(expected)) => match serde_json::from_slice::<Value>(&response.body) {
            Ok(got) => compare("body", expected, &got, &mut lines),
            Err(error) => lines.push(format!("body: is not JSON ({error}){}", excerpt(&response.body))),
        },
    }
    shorten(lines)
}

/// What the consumer would pay.
pub(super) fn of_captured(expect: &Expect, captured: Amount) -> Option<String> {
    let expected = expect.captured.filter(|expected| *expected != captured)?;
    Some(format!("captured_usdc: expected {expected}, got {captured}"))
}

/// An answer that should be the same to the byte.
pub(crate) fn of_answers(expected: &Response, got: &Response) -> Vec<String> {
    let text = |value: &Bytes| String::from_utf8_lossy(value).into_owned();
    let json = serde_json::from_slice(&expected.body).ok().map(Content::Json);
    let expect = Expect {
        status: Some(expected.status),
        headers: expected.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        body: Some(json.unwrap_or_else(|| Content::Exact(expected.body.clone()))),
        ..Expect::default()
    };
    let mut lines = of_response(&expect, got);
    let known = |name: &str| expected.headers.iter().any(|(known, _)| known == name);
    for (name, value) in got.headers.iter().filter(|(name, _)| !known(name)) {
        lines.push(format!("headers.{name}: is not stored, got {:?}", text(value)));
    }
    if lines.is_empty() && expected.body != got.body {
        lines.push(format!("body: stored {}, got {}", shown(&text(&expected.body)), shown(&text(&got.body))));
    }
    lines
}

pub(super) fn of_failure(expect: &Expect, kind: &str, problem: &str, story: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if !expect.is_failure() {
        let status = expect.status.map_or_else(|| "an answer".to_owned(), |status| status.to_string());
        lines.push(format!("expected {status}, and it came to {kind}: {story}"));
        return lines;
    }
    if let Some(expected) = expect.failure.as_deref().filter(|expected| *expected != kind) {
        lines.push(format!("failure: expected {expected}, got {kind}: {story}"));
    }
    if let Some(expected) = expect.problem.as_deref().filter(|expected| *expected != problem) {
        lines.push(format!("problem: expected {expected:?}, got {problem:?}: {story}"));
    }
    lines
}

/// Objects must have these fields at least; everything else must be the same.
fn compare(path: &str, expected: &Value, got: &Value, lines: &mut Vec<String>) {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            for (key, expected) in expected {
                let path = format!("{path}.{key}");
                match got.get(key) {
                    Some(got) => compare(&path, expected, got, lines),
                    None => {
                        lines.push(format!("{path}: expected {}, and it is not there", shown(&expected.to_string())))
                    }
                }
            }
        }
        (Value::Array(expected), Value::Array(got)) if expected.len() == got.len() => {
            for (place, (expected, got)) in expected.iter().zip(got).enumerate() {
                compare(&format!("{path}[{place}]"), expected, got, lines);
            }
        }
        (Value::Array(expected), Value::Array(got)) => {
            lines.push(format!("{path}: expected {}, got {}", counted(expected.len(), "entry", "entries"), got.len()));
        }
        (Value::Number(left), Value::Number(right)) if left.as_f64() == right.as_f64() => {}
        (expected, got) if expected == got => {}
        (expected, got) => {
            lines.push(format!("{path}: expected {}, got {}", shown(&expected.to_string()), shown(&got.to_string())));
        }
    }
}

fn shorten(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > LINES_MAX {
        let more = lines.len() - LINES_MAX;
        lines.truncate(LINES_MAX);
        lines.push(format!("and {more} more"));
    }
    lines
}

fn excerpt(body: &[u8]) -> String {
    if body.is_empty() { String::new() } else { format!(": {}", shown(&String::from_utf8_lossy(body))) }
}

fn shown(text: &str) -> String {
    // What a guest answered must not speak to the terminal.
    let escaped: String = text
        .chars()
        .take(CHARS_MAX)
        .flat_map(|char| if char.is_control() { char.escape_debug().collect::<Vec<_>>() } else { vec![char] })
        .collect();
    if text.chars().nth(CHARS_MAX).is_some() { format!("{escaped}…") } else { escaped }
}
