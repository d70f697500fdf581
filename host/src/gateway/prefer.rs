//! `Prefer` (RFC 7240): whether the caller waits, and how long.

use http::{HeaderMap, HeaderValue};
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
        let mut prefer = Self::default();
        let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|value| value.split(',')) {
            let main = preference.split(';').next().unwrap_or_default();
            let (name, value) = main.split_once('=').unwrap_or((main, ""));
            let (name, value) = (name.trim(), value.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("respond-async") {
                prefer.respond_async = true;
            } else if name.eq_ignore_ascii_case("wait") && prefer.wait.is_none() {
                prefer.wait = value.parse().ok().map(|seconds| Duration::from_secs(seconds).min(WAIT_MAX));
            }
        }
        prefer
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
    fn who_has_nowhere_to_be_called_waits() {
        assert_eq!(read(&[]).wait_for(false), Some(WAIT_DEFAULT));
        assert_eq!(read(&[]).wait_for(true), None);
        assert_eq!(read(&["respond-async"]).wait_for(false), None);
        assert_eq!(read(&["respond-async, wait=5"]).wait_for(true), Some(Duration::from_secs(5)));
    }
}
