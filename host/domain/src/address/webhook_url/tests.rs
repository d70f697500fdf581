use super::super::Reason;
use super::*;
use proptest::prelude::*;

fn production() -> UrlPolicy {
    UrlPolicy::default()
}

fn development() -> UrlPolicy {
    let addresses = Policy { allow_loopback: true, ..Policy::default() };
    UrlPolicy { addresses, plain_http: PlainHttp::Loopback }
}

fn plain_http_everywhere() -> UrlPolicy {
    UrlPolicy { plain_http: PlainHttp::Everywhere, ..UrlPolicy::default() }
}

fn rule(text: &str, policy: &UrlPolicy) -> &'static str {
    WebhookUrl::parse(text, policy).map_or_else(|refused| refused.rule(), |_| "fine")
}

#[test]
fn a_url_has_one_canonical_form() {
    for (written, canonical) in [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://Example.COM:443/a?b=c#d", "https://example.com/a?b=c"),
        ("https://example.com./hook", "https://example.com/hook"),
        ("https://example.com:8443/%7Eme/../x y".trim_end_matches(" y"), "https://example.com:8443/x"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://93.184.215.14/", "https://93.184.215.14/"),
        ("https://[2606:4700:0:0::1111]/", "https://[2606:4700::1111]/"),
        ("https://example.com/ä", "https://example.com/%C3%A4"),
    ] {
        assert_eq!(WebhookUrl::parse(written, &production()).unwrap().as_str(), canonical, "{written}");
    }
}

#[test]
fn the_parts_of_a_url_are_what_a_request_needs() {
    let url = WebhookUrl::parse("https://hooks.example.com:8443/a/b?c=d", &production()).unwrap();
    assert_eq!(
        [url.origin(), url.authority(), url.path_and_query(), url.endpoint(), url.host_str()],
        [
            "https://hooks.example.com:8443",
            "hooks.example.com:8443",
            "/a/b?c=d",
            "https://hooks.example.com:8443/a/b",
            "hooks.example.com"
        ]
    );
    assert_eq!((url.port(), url.is_https()), (8443, true));
    let url = WebhookUrl::parse("http://[::1]", &development()).unwrap();
    assert_eq!([url.origin(), url.authority(), url.path_and_query()], ["http://[::1]", "[::1]", "/"]);
    assert_eq!((url.port(), url.is_https()), (80, false));
}

#[test]
fn what_is_not_an_absolute_http_url_is_refused() {
    for (text, expected) in [
        ("", "malformed"),
        ("example.com/hook", "malformed"),
        ("/hook", "malformed"),
        ("https://", "malformed"),
        ("https:///example.com", "malformed"),
        ("https:example.com", "scheme"),
        ("https:\\\\example.com", "malformed"),
        (" https://example.com/", "malformed"),
        ("https://exa\tmple.com/", "malformed"),
        ("https://example.com/a b", "malformed"),
        ("https://example.com/\r\nX: y", "malformed"),
        ("https://example.com:99999/", "malformed"),
        ("https://example.com:port/", "malformed"),
        ("https://[fe80::1%25eth0]/", "malformed"),
        ("https://[127.0.0.1]/", "malformed"),
        ("https://exa%00mple.com/", "malformed"),
        ("ftp://example.com/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("gopher://example.com/", "scheme"),
    ] {
        assert_eq!(rule(text, &development()), expected, "{text:?}");
    }
    assert_eq!(rule(&format!("https://example.com/{}", "a".repeat(2048)), &production()), "too-long");
    assert_eq!(rule(&format!("https://example.com/{}", "ä".repeat(900)), &production()), "too-long");
    assert_eq!(rule(&format!("https://example.com/{}", "a".repeat(2048 - 20)), &production()), "fine");
}

#[test]
fn credentials_are_refused_even_if_empty_or_confusing() {
    for text in [
        "https://user@example.com/",
        "https://user:pass@example.com/",
        "https://@example.com/",
        "https://:@example.com/",
        "https://good.example@evil.example/",
        "https://good.example%2f@evil.example/",
    ] {
        assert_eq!(rule(text, &production()), "credentials", "{text}");
    }
    assert_eq!(rule("https://example.com/@user", &production()), "fine");
}

#[test]
fn private_addresses_are_refused_however_they_are_written() {
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "017700000001",
        "127.1",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[::127.0.0.1]",
        "0.0.0.0",
        "0",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "168.63.129.16",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "hook.localhost",
        "%6cocalhost",
        "①②⑦.0.0.1",
        "127。0。0。1",
        "0x7F.0.0.0x1",
        "0177.0.0.01",
        "127.0.1",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "ｌｏｃａｌｈｏｓｔ",
        "local\u{ad}host",
        "[::]",
        "[::ffff:0:127.0.0.1]",
        "[fec0::1]",
        "[2001::1]",
        "[64:ff9b::a83f:8110]",
        "[0:0:0:0:0:ffff:a9fe:a9fe]",
        "100.100.100.200",
        "192.0.0.192",
        "192.88.99.1",
    ] {
        assert_eq!(rule(&format!("https://{host}/"), &plain_http_everywhere()), "address", "{host}");
    }
}

#[test]
fn names_of_inner_networks_are_refused() {
    let long_label = format!("{}.example.com", "a".repeat(64));
    let long_name = format!("{}.example.com", "a.".repeat(121) + "aaa");
    for host in [
        "backend",
        "backend.",
        "printer.local",
        "db.internal",
        "metadata.google.internal",
        "hooks.default.svc",
        "hooks.default.svc.cluster.local",
        "nas.lan",
        "router.home.arpa",
        "1.0.0.127.in-addr.arpa",
        "host.localdomain",
        "host.docker.internal",
        "wiki.intranet",
        "crm.corp",
        "crm.private",
        "nas.home",
        "hidden.onion",
        "name.alt",
        "site.test",
        "site.invalid",
        "wiki.ｉntranet",
        "printer.local.",
        "printer。local",
        "local",
        "internal.",
        "example.com..",
        "a..example.com",
        ".example.com",
        "exa$mple.com",
        "a,b.example.com",
        &long_label,
        &long_name,
    ] {
        let rule = rule(&format!("https://{host}/"), &development());
        assert!(rule == "host-name" || rule == "malformed", "{host}: {rule}");
    }
    for host in [
        "example.com",
        "internal.example.com",
        "notlocal.example",
        "xlocal.io",
        "a_b.example.com",
        "1.example",
        "local.com",
        "corp.io",
        "homes.example",
        "bücher.example",
        "例え.example",
        "xn--bcher-kva.example",
    ] {
        assert_eq!(rule(&format!("https://{host}/"), &production()), "fine", "{host}");
    }
}

#[test]
fn ports_that_are_kept_for_other_protocols_are_refused() {
    for port in [0, 1, 22, 25, 79, 81, 442, 444, 993, 1023, 1719, 2049, 5060, 6000, 6667, 10080] {
        assert_eq!(rule(&format!("https://example.com:{port}/"), &development()), "port", "{port}");
    }
    for port in [80, 443, 1024, 3000, 8080, 8443, 65535] {
        assert_eq!(rule(&format!("https://example.com:{port}/"), &production()), "fine", "{port}");
    }
}

#[test]
fn plain_http_is_for_loopback_in_development_mode_or_where_the_operator_says_so() {
    assert_eq!(rule("http://example.com/", &production()), "plain-http");
    assert_eq!(rule("http://example.com/", &development()), "plain-http");
    assert_eq!(rule("http://example.com/", &plain_http_everywhere()), "fine");
    for host in ["localhost", "hook.localhost", "127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]"] {
        assert_eq!(rule(&format!("http://{host}:25/"), &development()), "fine", "{host}, any port");
        assert_eq!(rule(&format!("http://{host}:8080/"), &production()), "address", "{host}");
    }
    assert_eq!(rule("http://127.0.0.1:0/", &development()), "port");
    assert_eq!(rule("http://10.0.0.1/", &development()), "address");
}

#[test]
fn a_refusal_says_what_to_do_and_nothing_of_our_network() {
    let refused = WebhookUrl::parse("https://10.1.2.3/", &production()).unwrap_err();
    assert_eq!(refused, UrlRefused::Address(Refused { address: "10.1.2.3".parse().unwrap(), reason: Reason::Private }));
    let text = refused.to_string();
    assert!(!text.contains("10.1.2.3") && !text.contains("private") && text.contains("use a host"), "{text}");
    let denied = UrlPolicy {
        addresses: Policy { extra_deny: vec!["93.184.0.0/16".parse().unwrap()], ..Policy::default() },
        ..UrlPolicy::default()
    };
    assert_eq!(WebhookUrl::parse("https://93.184.215.14/", &denied).unwrap_err().to_string(), text);
}

proptest! {
    #[test]
    fn what_passes_is_already_canonical(
        text in "(?i:https?)://[a-zA-Z0-9.\\[\\]:%_@-]{1,30}(/[ -~]{0,20})?",
        everywhere: bool,
    ) {
        let policy = if everywhere { plain_http_everywhere() } else { development() };
        if let Ok(url) = WebhookUrl::parse(&text, &policy) {
            let again = WebhookUrl::parse(url.as_str(), &policy);
            prop_assert_eq!(again.as_ref(), Ok(&url));
            prop_assert!(!url.as_str().contains('#') && !url.authority().contains('@') && !url.authority().ends_with('.'));
            let rebuilt = format!("{}{}", url.origin(), url.path_and_query());
            prop_assert_eq!(rebuilt.as_str(), url.as_str());
        }
    }

    #[test]
    fn every_spelling_of_an_ipv4_address_gets_its_verdict(
        v4 in prop_oneof![any::<u32>(), any::<u32>().prop_map(|low| 127 << 24 | low >> 8), Just(0xa9fe_a9fe)],
        spelling in 0..10,
    ) {
        let ip = std::net::Ipv4Addr::from_bits(v4);
        let [a, b, c, d] = ip.octets();
        let host = match spelling {
            0 => ip.to_string(),
            1 => v4.to_string(),
            2 => format!("0x{v4:x}"),
            3 => format!("0{v4:o}"),
            4 => format!("0x{a:X}.0{b:o}.{c}.0x{d:x}"),
            5 => format!("{a}.{}", v4 & 0xff_ffff),
            6 => format!("{a}.{b}.{}", v4 & 0xffff),
            7 => format!("{ip}."),
            8 => format!("[64:ff9b::{:x}:{:x}]", v4 >> 16, v4 & 0xffff),
            _ => format!("[{}]", ip.to_ipv6_mapped()),
        };
        let verdict = Policy::default().check(ip.into());
        prop_assert_eq!(WebhookUrl::parse(&format!("https://{host}/"), &production()).is_ok(), verdict.is_ok(), "{}", host);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text: String) {
        let _ = WebhookUrl::parse(&text, &development());
        let _ = WebhookUrl::parse(&format!("https://{text}"), &development());
    }
}
