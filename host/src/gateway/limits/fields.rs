//! `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11): which limits apply to a call, and what
//! is left of them.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt::Write as _;

/// Which limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Calls with one key, at all APIs.
    Key,
    /// Calls of one API, by all consumers.
    Api,
    /// Calls of one API by one consumer.
    ApiConsumer,
    /// Everything but calls, with one key.
    Polls,
    /// A consumer's requests that have not ended.
    Concurrency,
    /// Those of them that are one API's.
    ApiConcurrency,
    /// A consumer's requests of today.
    Daily,
    /// Those of them that are one API's.
    ApiDaily,
}

impl Policy {
    /// As it stands in the fields, in problems and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Api => "api",
            Self::ApiConsumer => "api-consumer",
            Self::Polls => "polls",
            Self::Concurrency => "concurrency",
            Self::ApiConcurrency => "api-concurrency",
            Self::Daily => "daily",
            Self::ApiDaily => "api-daily",
        }
    }
}

/// A limit that applied, after this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) policy: Policy,
    pub(super) quota: u32,
    /// In seconds; `None`: it is of what there is at once.
    pub(super) window_s: Option<u64>,
    pub(super) left: u32,
    /// Seconds until all of it is there again, where that is known.
    pub(super) reset_s: Option<u64>,
}

/// The limits that applied to a call.
#[derive(Debug, Default)]
pub struct Standing {
    lines: Vec<Line>,
}

static POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static STATE: HeaderName = HeaderName::from_static("ratelimit");

impl Standing {
    pub(super) fn add(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// Writes both fields, if a limit applied.
    ///
    /// # Panics
    /// Never: names and numbers are ASCII.
    pub fn write(&self, headers: &mut HeaderMap) {
        if self.lines.is_empty() {
            return;
        }
        let (mut policies, mut states) = (String::new(), String::new());
        for (index, line) in self.lines.iter().enumerate() {
            let (comma, name) = (if index == 0 { "" } else { ", " }, line.policy.as_str());
            // Writing to a String cannot fail.
            let _ = write!(policies, "{comma}\"{name}\";q={}", line.quota);
            let _ = match line.window_s {
                Some(window) => write!(policies, ";w={window}"),
                None => write!(policies, ";qu=\"concurrent-requests\""),
            };
            let _ = write!(states, "{comma}\"{name}\";r={}", line.left);
            if let Some(reset) = line.reset_s {
                let _ = write!(states, ";t={reset}");
            }
        }
        for (name, text) in [(&POLICY, policies), (&STATE, states)] {
            headers.insert(name.clone(), HeaderValue::try_from(text).expect("names and numbers are ASCII"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_lists_of_names_with_their_parameters() {
        let mut standing = Standing::default();
        let mut headers = HeaderMap::new();
        standing.write(&mut headers);
        assert!(headers.is_empty(), "nothing is said where nothing applies");
        let rate = Line { policy: Policy::Key, quota: 600, window_s: Some(60), left: 599, reset_s: Some(1) };
        standing.add(rate);
        standing.add(Line { policy: Policy::Concurrency, quota: 10, window_s: None, left: 7, reset_s: None });
        standing.write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"key\";q=600;w=60, \"concurrency\";q=10;qu=\"concurrent-requests\"");
        assert_eq!(headers["ratelimit"], "\"key\";r=599;t=1, \"concurrency\";r=7");
    }
}
