//! `Prefer` (RFC 7240): whether the caller waits, and how long.

use http::{HeaderMap, HeaderValue};
use std::borrow::Cow;
use std::time::Duration;

/// The longest wait there is; a longer wish is cut to it.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// For callers with no webhook URL who name no wait.
const WAIT_DEFAULT: Duration = Duration::from_secs(30);

/// What the caller prefers. Unknown preferences are ignored, as the RFC says; of a repeated one the first counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prefer {
    /// `respond-async`
    pub respond_async: bool,
    /// `wait=N`, cut to a minute.
    pub wait: Option<Duration>,
}

impl Prefer {
    /// Reads all `Prefer` headers.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Self {
        let (mut respond_async, mut wait) = (None, None);
        let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|value| split(value, ',')) {
            // What follows a semicolon are parameters; ours have none.
            let main = split(preference, ';').next().unwrap_or_default();
            let (name, value) = main.split_once('=').unwrap_or((main, ""));
            let (name, value) = (name.trim(), word(value.trim()));
            if name.eq_ignore_ascii_case("respond-async") {
                respond_async.get_or_insert(value.is_empty());
            } else if name.eq_ignore_ascii_case("wait") {
                wait.get_or_insert_with(|| seconds(&value));
            }
        }
        Self { respond_async: respond_async == Some(true), wait: wait.flatten() }
    }

    /// How long a call is to wait for its answer; `None`: it has its `202` at once.
    #[must_use]
    pub fn wait_for(self, has_webhook: bool) -> Option<Duration> {
        match (self.wait, has_webhook || self.respond_async) {
            (Some(wait), _) => Some(wait),
            (None, true) => None,
            (None, false) => Some(WAIT_DEFAULT),
        }
    }

    /// `Preference-Applied` for a call that was answered in time (`waited`), or with the `202`.
    #[must_use]
    pub fn applied(self, waited: bool) -> Option<HeaderValue> {
        match (waited, self.wait) {
            (true, Some(wait)) => HeaderValue::from_str(&format!("wait={}", wait.as_secs())).ok(),
            (false, _) if self.respond_async => Some(HeaderValue::from_static("respond-async")),
            (true, None) | (false, _) => None,
        }
    }
}

/// Parts between separators that are in no quoted string.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |letter: char| {
        let is_plain = !escaped;
        escaped = quoted && letter == '\\' && is_plain;
        if letter == '"' && is_plain {
            quoted = !quoted;
        }
        letter == separator && !quoted
    })
}

/// A token, or what a quoted string says; something else is no value of ours.
fn word(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else { return text.into() };
    if !inner.contains('\\') {
        return inner.into();
    }
    let mut escaped = false;
    let letters = inner.chars().filter(|letter| {
        escaped = *letter == '\\' && !escaped;
        !escaped
    });
    letters.collect::<String>().into()
}

/// `delta-seconds` of RFC 9110, cut to the longest wait.
fn seconds(text: &str) -> Option<Duration> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Only a number that is too long for us is no number any more.
    Some(text.parse().map_or(WAIT_MAX, |seconds| Duration::from_secs(seconds).min(WAIT_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Prefer {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("prefer", value.parse().unwrap());
        }
        Prefer::read(&headers)
    }

    #[test]
    fn preferences_are_read_from_lists_and_repeated_headers_and_unknown_ones_ignored() {
        let both = Prefer { respond_async: true, wait: Some(Duration::from_secs(5)) };
        assert_eq!(read(&["respond-async, wait=5"]), both);
        assert_eq!(read(&["handling=lenient; x=\"1\"", "Wait=\"5\"", "Respond-Async", "wait=9"]), both);
        assert_eq!(read(&["wait=100000"]).wait, Some(WAIT_MAX));
        assert_eq!(read(&["wait=-1"]), Prefer::default());
        assert_eq!(read(&["wait"]), Prefer::default());
    }

    #[test]
    fn preferences_are_read_to_the_letter_of_the_rfc() {
        let (wait, none) = (|seconds| Some(Duration::from_secs(seconds)), None);
        for (values, respond_async, expected) in [
            (&["respond-async, wait=10"][..], true, wait(10)),
            (&["respond-async", "wait=10"], true, wait(10)),
            (&["RESPOND-ASYNC; x=1 ;y, WAIT = 10 ; z"], true, wait(10)),
            (&["wait=\"10\""], false, wait(10)),
            (&["wait=\"1\\0\""], false, wait(10)),
            (&["wait=010"], false, wait(10)),
            (&["wait=0"], false, wait(0)),
            (&["wait=99999999999999999999999"], false, wait(60)),
            // A comma, a semicolon or a quote in a quoted string ends nothing.
            (&["foo=\"a, wait=3; \\\", respond-async\", wait=4"], false, wait(4)),
            (&["foo; bar=\"x, wait=3\", wait=4"], false, wait(4)),
            // Of a repeated one the first counts, whatever it says.
            (&["wait=5, wait=9", "wait=1"], false, wait(5)),
            (&["wait=soon, wait=9"], false, none),
            (&["respond-async=\"\""], true, none),
            (&["respond-async=no"], false, none),
            (&["wait", "wait=9"], false, none),
            (&["wait=+5"], false, none),
            (&["wait=5.0"], false, none),
            (&["wait=\"5"], false, none),
            (&[" ,, ,wait=5,"], false, wait(5)),
            (&["waiting=5, return=minimal"], false, none),
            (&[""], false, none),
        ] {
            assert_eq!(read(values), Prefer { respond_async, wait: expected }, "{values:?}");
        }
    }

    #[test]
    fn who_has_nowhere_to_be_called_waits() {
        assert_eq!(read(&[]).wait_for(false), Some(WAIT_DEFAULT));
        assert_eq!(read(&[]).wait_for(true), None);
        assert_eq!(read(&["respond-async"]).wait_for(false), None);
        assert_eq!(read(&["respond-async, wait=5"]).wait_for(true), Some(Duration::from_secs(5)));
    }
}
