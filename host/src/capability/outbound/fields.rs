//! Header fields of a call, as a handler gives them: what HTTP cannot carry, and what is not the handler's to say, is
//! refused by name rather than dropped.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ripost_runtime::OutboundError;

/// Names and values together; servers take no more than about so much.
const BYTES_MAX: usize = 32 * 1024;
const FIELDS_MAX: usize = 128;

/// About the connection, or about who sends: the gateway's.
const FORBIDDEN: [&str; 11] = [
    "host",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "http2-settings",
    "alt-used",
    "forwarded",
];
/// The same, and what our own webhooks are told by: no handler can pass a call off as one.
const FORBIDDEN_PREFIXES: [&str; 4] = ["proxy-", "webhook-", "ripost-", "x-forwarded-"];

/// The fields as they are sent.
pub(super) fn checked(fields: Vec<(String, Bytes)>, body_bytes: usize) -> Result<HeaderMap, OutboundError> {
    let invalid = |text: String| Err(OutboundError::Invalid(text));
    let bytes: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
    if fields.len() > FIELDS_MAX || bytes > BYTES_MAX {
        return Err(OutboundError::Limit(format!(
            "the request has {} header fields with {bytes} bytes, and {FIELDS_MAX} with {BYTES_MAX} bytes are the most",
            fields.len()
        )));
    }
    let mut headers = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            return invalid(format!("`{}` is no name of a header", name.escape_debug()));
        };
        let name = header.as_str();
        if FORBIDDEN.contains(&name) || FORBIDDEN_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            return invalid(format!("the header `{name}` is the gateway's to set"));
        }
        if header == header::CONTENT_LENGTH {
            // Some toolchains send it always. A length that is not the body's is another request in disguise.
            let right = value.as_ref() == body_bytes.to_string().as_bytes();
            if !right || headers.contains_key(&header) {
                return invalid(format!("`content-length` must be {body_bytes}, once, or be left out"));
            }
        }
        let Ok(value) = HeaderValue::from_maybe_shared(value) else {
            return invalid(format!("the value of `{name}` has control characters in it"));
        };
        headers.append(header, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &[(&str, &str)]) -> Result<HeaderMap, OutboundError> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), Bytes::from((*value).to_owned()));
        checked(fields.iter().map(owned).collect(), 5)
    }

    #[test]
    fn fields_that_would_smuggle_another_request_are_refused_by_name() {
        for fields in [
            &[("x-a", "b\r\nhost: evil")][..],
            &[("x-a", "b\nc: d")],
            &[("x-a", "b\0")],
            &[("x-a\r\nhost", "evil")],
            &[("x a", "b")],
            &[("", "b")],
            &[("x:a", "b")],
            &[(":authority", "evil")],
            &[("host", "evil")],
            &[("Host", "evil")],
            &[("connection", "x-a")],
            &[("keep-alive", "1")],
            &[("transfer-encoding", "chunked")],
            &[("te", "trailers")],
            &[("trailer", "x")],
            &[("upgrade", "h2c")],
            &[("expect", "100-continue")],
            &[("proxy-authorization", "x")],
            &[("proxy-anything", "x")],
            &[("webhook-signature", "v1,x")],
            &[("ripost-request-id", "req_x")],
            &[("x-forwarded-for", "127.0.0.1")],
            &[("content-length", "4")],
            &[("content-length", "+5")],
            &[("content-length", "5, 5")],
            &[("content-length", "5"), ("content-length", "5")],
        ] {
            assert!(matches!(check(fields), Err(OutboundError::Invalid(_))), "{fields:?}");
        }
    }

    #[test]
    fn what_is_the_handlers_to_say_is_sent_as_it_is() {
        let fields = [
            ("accept", "text/csv"),
            ("cookie", "a=b"),
            ("x-a", "1"),
            ("x-a", "2"),
            ("content-length", "5"),
            ("user-agent", "me"),
        ];
        let headers = check(&fields).unwrap();
        assert_eq!(headers.len(), 6);
        assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn fields_have_a_bound_with_figures_in_its_error() {
        let many: Vec<(&str, &str)> = vec![("x-a", "b"); 129];
        let long = "a".repeat(32 * 1024);
        for fields in [&many[..], &[("x-a", long.as_str())]] {
            let error = check(fields).unwrap_err();
            assert!(matches!(&error, OutboundError::Limit(text) if text.contains("128")), "{error:?}");
        }
    }
}
