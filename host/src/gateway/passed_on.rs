//! Which header fields of a call its owner sees: those about the message. Not those for the gateway, not those for one
//! connection, and what a proxy says of a caller only from a proxy that the operator trusts.

use super::identity;
use crate::egress::connection_options;
use bytes::Bytes;
use http::HeaderMap;

/// For the gateway, or for one connection (RFC 9110, 7.6.1).
const KEPT_BACK: &[&str] = &[
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "prefer",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    identity::HEADER,
];
const KEPT_BACK_PREFIXES: &[&str] = &["proxy-", "ripost-"];

/// Where a caller is and what it asked for, as proxies tell it: services believe these fields. Those about the path
/// (`X-Original-URL`, `X-Rewrite-URL`) take the place of the real one in some frameworks, and would lead out of an
/// upstream's own.
const TOLD_BY_PROXIES: &[&str] = &[
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "fastly-client-ip",
    "forwarded",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];
const TOLD_BY_PROXIES_PREFIX: &str = "x-forwarded-";

/// Who sent the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Anybody,
    /// One of `connections.trusted_proxies`: what it says of the caller is passed on as it says it.
    TrustedProxy,
}

/// The fields that are passed on, in their order.
pub(super) fn passed_on(headers: &HeaderMap, sender: Sender) -> Vec<(String, Bytes)> {
    // Nearly every call has none or the first two, and for those nothing is kept.
    let named: Vec<&[u8]> = connection_options(headers)
        .filter(|option| !option.eq_ignore_ascii_case(b"keep-alive") && !option.eq_ignore_ascii_case(b"close"))
        .collect();
    headers
        .iter()
        .filter(|(name, _)| passes(name.as_str(), sender))
        .filter(|(name, _)| !named.iter().any(|option| option.eq_ignore_ascii_case(name.as_str().as_bytes())))
        .map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes())))
        .collect()
}

fn passes(name: &str, sender: Sender) -> bool {
    // CGI and what came after it (WSGI, Rack, PHP) read `_` and `-` as one: there, `X_Forwarded_For` and
    // `Ripost_Consumer` are the fields that are kept back. No proxy that is trusted writes them so.
    if name.contains('_') {
        let read = name.replace('_', "-");
        return !read.starts_with("webhook-") && !is_kept_back(&read) && !is_told_by_proxies(&read);
    }
    !is_kept_back(name) && (sender == Sender::TrustedProxy || !is_told_by_proxies(name))
}

fn is_kept_back(name: &str) -> bool {
    KEPT_BACK.contains(&name) || KEPT_BACK_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn is_told_by_proxies(name: &str) -> bool {
    TOLD_BY_PROXIES.contains(&name) || name.starts_with(TOLD_BY_PROXIES_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn names(sent: &[(&'static str, &str)], sender: Sender) -> Vec<String> {
        let pairs = sent.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        passed_on(&pairs.collect(), sender).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn what_a_caller_says_as_if_it_were_a_proxy_is_not_passed_on() {
        for name in [
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-prefix",
            "x-real-ip",
            "true-client-ip",
            "x-original-url",
            "x-rewrite-url",
        ] {
            assert!(names(&[(name, "1")], Sender::Anybody).is_empty(), "{name}");
            assert_eq!(names(&[(name, "1")], Sender::TrustedProxy), [name]);
        }
    }

    #[test]
    fn an_underscore_hides_nothing_from_a_service_that_reads_it_as_a_hyphen() {
        for name in ["x_forwarded_for", "x-forwarded_for", "ripost_consumer", "webhook_signature", "x_consumer_key"] {
            for sender in [Sender::Anybody, Sender::TrustedProxy] {
                assert!(names(&[(name, "1")], sender).is_empty(), "{name} {sender:?}");
            }
        }
        assert_eq!(names(&[("x_mine", "1"), ("x-mine", "2")], Sender::Anybody), ["x_mine", "x-mine"]);
    }

    #[test]
    fn a_field_that_connection_names_ends_here() {
        let sent = [("connection", "close, X-Secret ,,x-other"), ("x-secret", "1"), ("x-other", "2"), ("x-mine", "3")];
        assert_eq!(names(&sent, Sender::TrustedProxy), ["x-mine"]);
        let sent = [("connection", "keep-alive"), ("keep-alive", "timeout=5"), ("x-mine", "3")];
        assert_eq!(names(&sent, Sender::Anybody), ["x-mine"]);
    }
}
