use super::readers::{Reader, pieces};
use super::*;

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

#[test]
fn what_stands_below_a_url_is_appended_to_its_path() {
    for (base, rest, whole) in [
        ("http://h:8080/process", "", "http://h:8080/process"),
        ("http://h:8080/process/", "", "http://h:8080/process/"),
        ("http://h:8080/process", "/", "http://h:8080/process/"),
        ("http://h:8080/process", "/a/b", "http://h:8080/process/a/b"),
        ("http://h:8080/process/", "/a", "http://h:8080/process/a"),
        ("http://h:8080", "", "http://h:8080/"),
        ("http://h:8080", "/a/../b", "http://h:8080/b"),
        ("http://h:8080", "//a", "http://h:8080//a"),
        ("http://h:8080/process", "/a/../b%20c", "http://h:8080/process/b%20c"),
        // Names that look like something else and lead nowhere.
        ("http://h/process", "/group%2Fproject", "http://h/process/group%2Fproject"),
        ("http://h/process", "/a%5Cb;v=1/c..d/.e/f.", "http://h/process/a%5Cb;v=1/c..d/.e/f."),
        ("http://h/process", "/100%25/%E4%B8%96/%e9t%e9", "http://h/process/100%25/%E4%B8%96/%e9t%e9"),
        ("http://h/process", "/%25%32%30", "http://h/process/%25%32%30"),
    ] {
        assert_eq!(below(&url(base), rest).map(String::from).as_deref(), Ok(whole), "{base} {rest}");
    }
}

#[test]
fn no_encoding_leads_out_of_it() {
    use PathRefused::{Backslash, Control, Dots, Outside, TooDeep};
    for (rest, why) in [
        ("/..", Outside),
        ("/../admin", Outside),
        ("/%2e%2e/admin", Outside),
        ("/.%2E/admin", Outside),
        ("/a/../../process-not", Outside),
        ("/a/../..", Outside),
        ("/..%2fadmin", Dots),
        ("/..%2Fadmin", Dots),
        ("/x/..%2f..%2fadmin", Dots),
        ("/%2e%2e%2fadmin", Dots),
        ("/..%5cadmin", Dots),
        ("/%2e%2e%5cadmin", Dots),
        ("/x%5c..%5c..%5cadmin", Dots),
        ("/%252e%252e/admin", Dots),
        ("/..%252fadmin", Dots),
        ("/..%25252fadmin", Dots),
        ("/%2525252525252e", TooDeep),
        ("/%25252525252fa", TooDeep),
        ("/..;/admin", Dots),
        ("/..;a=b/admin", Dots),
        ("/..%3b/admin", Dots),
        ("/.;/x", Dots),
        ("/..%20/admin", Dots),
        ("/..%00/admin", Control),
        ("/a%00", Control),
        ("/a%2500", Control),
        ("/a%0d%0ab", Control),
        ("/a%7f", Control),
        ("/%c0%ae%c0%ae/admin", Dots),
        ("/..%c0%afadmin", Dots),
        ("/..%c0%2fadmin", Dots),
        ("/..%c1%9cadmin", Dots),
        ("/%e0%80%ae%e0%80%ae/admin", Dots),
        ("/%f0%80%80%ae./admin", Dots),
        ("/%fc%80%80%80%80%ae./admin", Dots),
        ("/%25c0%25ae./admin", Dots),
        ("/%u002e%u002e/admin", Dots),
        ("/..%u002fadmin", Dots),
        ("/%uff0e%uff0e/admin", Dots),
        ("/%ef%bc%8e%ef%bc%8e/admin", Dots),
        ("/..%ef%bc%8fadmin", Dots),
        ("/..\\admin", Backslash),
        ("/a\\b", Backslash),
        ("/.\t./admin", Control),
    ] {
        assert_eq!(below(&url("http://h:8080/process"), rest), Err(why), "{rest}");
    }
    // Where the whole host is the API's there is no outside, and a way up is still none.
    assert_eq!(below(&url("http://h"), "/..%2f..%2fetc/passwd"), Err(Dots));
    assert_eq!(below(&url("http://h"), "/../a").map(String::from).as_deref(), Ok("http://h/a"));
}

#[test]
fn the_base_is_its_owners_and_not_judged() {
    assert_eq!(below(&url("http://h/a%2f..%2fb"), "/c").map(String::from).as_deref(), Ok("http://h/a%2f..%2fb/c"));
}

#[test]
fn a_prefix_has_one_reading() {
    for (path, literal) in [
        ("/v1", true),
        ("/v1/", true),
        ("/a%20b/%C3%BC", true),
        ("/100%/a", true),
        ("/a%2fb", false),
        ("/a%252fb", false),
        ("/a%5cb", false),
        ("/a%c0%afb", false),
        ("/%252e/a", false),
        ("/a%00", false),
    ] {
        assert_eq!(is_literal(path), literal, "{path}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 4096, ..Default::default() })]

    #[test]
    fn no_reader_is_led_out(tail in pieces()) {
        if let Ok(url) = below(&url("http://a.example/v1/in"), &format!("/{tail}")) {
            for reader in Reader::all() {
                let place = reader.read(url.path());
                proptest::prop_assert!(place.starts_with(&[b"v1".to_vec(), b"in".to_vec()]), "{url} is {place:?} to {reader:?}");
            }
        }
    }
}
