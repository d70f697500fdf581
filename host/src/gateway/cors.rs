//! Cross-origin calls from browsers: the preflight is the host's, never the owner's.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;

const EXPOSED: &str =
    "ETag, Link, Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, Ripost-Request-Id";

/// What `Allow` says of an API; its owner may know more.
pub(super) const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Which origins' pages may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Development mode.
    AnyOrigin,
    /// Pages of other origins may not.
    None,
}

impl Policy {
    /// The answer to a preflight, or `None` if this is not one.
    #[must_use]
    pub fn preflight(self, method: &Method, headers: &HeaderMap) -> Option<Response<Full<Bytes>>> {
        if *method != Method::OPTIONS {
            return None;
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        answer.insert(header::ALLOW, HeaderValue::from_static(METHODS));
        answer.insert(
            header::VARY,
            HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        );
        if self == Self::AnyOrigin && headers.contains_key(header::ORIGIN) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            let methods = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).cloned();
            answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods.unwrap_or(HeaderValue::from_static("POST")));
            if let Some(names) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
                answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
            }
            answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        }
        Some(response)
    }

    /// Lets the page that called read the answer, if it may.
    pub fn open<B>(self, asked_from: Option<&HeaderValue>, response: &mut Response<B>) {
        if self == Self::AnyOrigin && asked_from.is_some() {
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            response.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
    }
}
