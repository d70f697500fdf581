use super::*;
use crate::path::readers::{Reader, pieces};
use proptest::prelude::*;

fn rule(text: &str) -> OutboundRule {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn covers(text: &str, method: &str, url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| rule(text).covers(method, &url))
}

#[test]
fn a_rule_is_scheme_host_and_port_of_any_method() {
    for (place, url, granted) in [
        ("https://api.example.com", "https://api.example.com/", true),
        ("https://api.example.com", "https://api.example.com/any/thing?q=1#f", true),
        ("https://api.example.com", "https://API.Example.COM:443/", true),
        ("https://api.example.com", "https://api.example.com./", true),
        ("https://API.example.com", "https://api.example.com/", true),
        ("https://api.example.com:443/", "https://api.example.com/", true),
        ("https://bücher.example", "https://xn--bcher-kva.example/", true),
        ("https://xn--bcher-kva.example", "https://BÜCHER.example/", true),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/x", true),
        ("http://127.0.0.1:8080", "http://2130706433:8080/x", true),
        ("http://[::1]:8080", "http://[0:0:0:0:0:0:0:1]:8080/", true),
        ("https://api.example.com", "http://api.example.com/", false),
        ("https://api.example.com", "https://api.example.com:8443/", false),
        ("https://api.example.com", "https://example.com/", false),
        ("https://api.example.com", "https://api.example.com.evil.net/", false),
        ("https://api.example.com", "https://evil.net/api.example.com", false),
        ("https://api.example.com", "https://user@api.example.com/", false),
        ("https://api.example.com", "https://api.example.com@evil.net/", false),
        ("https://api.example.com", "https://:secret@api.example.com/", false),
        ("https://api.example.com", "ftp://api.example.com/", false),
        ("http://127.0.0.1:8080", "http://localhost:8080/", false),
        ("http://127.0.0.1", "http://[::ffff:127.0.0.1]/", false),
    ] {
        assert_eq!(covers(place, "DELETE", url), granted, "{place} and {url}");
    }
}

#[test]
fn methods_are_those_that_are_named() {
    assert!(covers("GET https://a.example", "GET", "https://a.example/"));
    assert!(covers("GET,POST https://a.example", "POST", "https://a.example/"));
    for other in ["POST", "get", "GETS", ""] {
        assert!(!covers("GET https://a.example", other, "https://a.example/"), "{other:?}");
    }
}

#[test]
fn a_wildcard_is_one_label_and_never_the_name_itself() {
    for (url, granted) in [
        ("https://a.example.org/", true),
        ("https://A.EXAMPLE.ORG./", true),
        ("https://example.org/", false),
        ("https://a.b.example.org/", false),
        ("https://aexample.org/", false),
        ("https://a.example.org.evil.net/", false),
        ("https://a.example.org@evil.net/", false),
        ("https://127.0.0.1/", false),
    ] {
        assert_eq!(covers("https://*.example.org", "GET", url), granted, "{url}");
    }
}

#[test]
fn a_path_is_a_prefix_that_ends_at_a_segment_and_that_nothing_leads_out_of() {
    for (prefix, path, granted) in [
        ("/v1", "/v1", true),
        ("/v1", "/v1/", true),
        ("/v1", "/v1/a?x=../..", true),
        ("/v1", "/v10", false),
        ("/v1", "/v1;a/b", false),
        ("/v1", "/", false),
        ("/v1", "/V1", false),
        ("/v1/", "/v1/a", true),
        ("/v1/", "/v1", false),
        ("/v1/", "/v1/a%20b/c~d", true),
        ("/v1/", "/v1/a/../b", true),
        ("/v1/", "/v1/./b", true),
        ("/v1/", "/x/../v1/b", true),
        ("/v1/", "/v1//b", true),
        // Resolved by the parser.
        ("/v1/", "/v1/../admin", false),
        ("/v1/", "/v1/%2e%2e/admin", false),
        ("/v1/", "/v1/%2E./admin", false),
        ("/v1/", "/v1/..\\admin", false),
        ("/v1/", "\\v1\\..\\admin", false),
        // Resolved, perhaps, by whoever answers.
        ("/v1/", "/v1/..%2fadmin", false),
        ("/v1/", "/v1/..%2Fadmin", false),
        ("/v1/", "/v1/..%5cadmin", false),
        ("/v1/", "/v1/%252e%252e/admin", false),
        ("/v1/", "/v1/..%252fadmin", false),
        ("/v1/", "/v1/..%25252fadmin", false),
        ("/v1/", "/v1/%2525252525252e", false),
        ("/v1/", "/v1/..;/admin", false),
        ("/v1/", "/v1/..;a=b/admin", false),
        ("/v1/", "/v1/..%3b/admin", false),
        ("/v1/", "/v1/%c0%ae%c0%ae/admin", false),
        // Wherever it is decoded, it is still below.
        ("/v1/", "/v1/a%2fb", true),
        ("/v1/", "/v1%2fa", false),
        ("/v1/", "/v1/a%00", false),
        ("/v1/", "/v1/a%0d%0ab", false),
        // Other beginnings of a request line.
        ("/v1/", "//v1/a", false),
        ("/v1/", "/http://a.example/v1/", false),
        ("/v1/", "/%76%31/a", false),
        // Nothing to lead out of.
        ("/", "/a%2f..%2fb", true),
    ] {
        let url = format!("https://a.example{path}");
        assert_eq!(covers(&format!("https://a.example{prefix}"), "GET", &url), granted, "{prefix} and {path}");
    }
}

#[test]
fn what_is_no_rule_is_refused_in_words_that_say_what_to_write() {
    for (text, says) in [
        ("", "write a place"),
        ("https://a.example ", "write a place"),
        ("GET  https://a.example", "write a place"),
        ("GET https://a.example twice", "write a place"),
        ("a.example", "begins with https://"),
        ("ftp://a.example", "begins with https://"),
        ("HTTPS://a.example", "in lower case"),
        ("get https://a.example", "`get` is no method"),
        ("GET,,POST https://a.example", "`` is no method"),
        ("CONNECT https://a.example", "`CONNECT` is no method"),
        ("TRACE https://a.example", "`TRACE` is no method"),
        ("https://user@a.example", "`@` has no place"),
        ("https://a.example/?q", "`?` has no place"),
        ("https://a.example/#f", "`#` has no place"),
        ("https://a.example\\b", "`\\` has no place"),
        ("https://a.example/\tb", "has no place"),
        ("https://", "is no host"),
        ("https:///path", "is no host"),
        ("https://a.example:", "is no host"),
        ("https://a.example:0", "is no host"),
        ("https://a.example:70000", "is no host"),
        ("https://a..example", "is no host"),
        ("https://[::1", "is no host"),
        ("http://2130706433", "write the host as 127.0.0.1"),
        ("http://0x7f.1:80", "write the host as 127.0.0.1"),
        ("http://[0:0::1]", "write the host as [::1]"),
        ("http://[::ffff:127.0.0.1]", "write the host as [::ffff:7f00:1]"),
        ("https://*", "a `*` stands for one label"),
        ("https://*.org", "a `*` stands for one label"),
        ("https://a.*.example.org", "a `*` stands for one label"),
        ("https://*a.example.org", "a `*` stands for one label"),
        ("https://*.127.0.0.1", "a `*` stands for one label"),
        ("https://a.example/v1/*", "a `*` stands for one label"),
        ("https://a.example/a/../b", "write the path as /b"),
        ("https://a.example/ü", "write the path as /%C3%BC"),
        ("https://a.example/a%2fb", "without encoded slashes"),
    ] {
        let error = text.parse::<OutboundRule>().expect_err(text).to_string();
        assert!(error.contains(says), "{text:?}: {error}");
    }
    assert!(format!("https://a.example/{}", "a".repeat(1024)).parse::<OutboundRule>().is_err());
}

#[test]
fn a_rule_knows_plain_http_and_this_machine() {
    for (text, https, loopback) in [
        ("https://a.example", true, false),
        ("http://127.9.9.9:1", false, true),
        ("http://[::1]", false, true),
        ("http://[::ffff:7f00:1]", false, true),
        ("http://localhost:8080/a", false, true),
        ("https://a.localhost", true, true),
        ("http://10.0.0.1", false, false),
    ] {
        let rule = rule(text);
        assert_eq!((rule.is_https(), rule.is_loopback()), (https, loopback), "{text}");
    }
}

#[test]
fn a_secret_has_a_name_that_needs_no_escape_anywhere() {
    for name in ["A", "API_KEY", "STRIPE_2", &"A".repeat(64)] {
        assert_eq!(name.parse::<SecretName>().unwrap().as_str(), name);
    }
    for name in ["", "1A", "_A", "A-B", "A B", "Ä", "A.B", "{A}", "a", "Key", &"A".repeat(65)] {
        let error = name.parse::<SecretName>().expect_err(name).to_string();
        assert!(error.contains("A-Z, 0-9"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn no_spelling_of_a_path_leads_out_of_its_prefix(tail in pieces(), behind in prop::bool::ANY) {
        let rule = rule("https://a.example/v1/in/");
        let text = if behind { format!("https://a.example/v1/in/{tail}") } else { format!("https://a.example{tail}") };
        if let Ok(url) = Url::parse(&text) && rule.covers("GET", &url) {
            prop_assert_eq!(url.host_str(), Some("a.example"));
            for reader in Reader::all() {
                let place = reader.read(url.path());
                prop_assert!(place.starts_with(&[b"v1".to_vec(), b"in".to_vec()]), "{url} is {place:?} to {reader:?}");
            }
        }
    }

    #[test]
    fn a_rule_reads_back_as_it_is_shown(
        methods in prop::sample::select(vec!["", "GET ", "GET,POST ", "PUT,M-SEARCH "]),
        scheme in prop::sample::select(vec!["http", "https"]),
        host in prop::sample::select(vec!["a.example", "*.a.example", "127.0.0.1", "[2001:db8::1]", "bücher.example", "localhost"]),
        port in prop::option::of(1_u16..),
        path in prop::sample::select(vec!["", "/", "/v1", "/v1/", "/a%20b/c~"]),
    ) {
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        let first = rule(&format!("{methods}{scheme}://{host}{port}{path}"));
        prop_assert_eq!(rule(&first.to_string()), first);
    }

    #[test]
    fn no_text_breaks_the_parser(text in "\\PC{0,40}") {
        let _ = text.parse::<OutboundRule>();
        let _ = format!("https://{text}").parse::<OutboundRule>().map(|rule| rule.to_string());
    }
}
