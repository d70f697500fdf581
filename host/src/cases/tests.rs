//! Cases read, and tried with real handlers.

use super::read::Case;
use super::*;
use crate::plugins::{ApiGrants, Transforms};
use ripost_runtime::RuntimeConfig;

fn read(text: &str) -> Result<Case, String> {
    Case::read("cases/one.json", text.as_bytes(), &ApiGrants::default()).map_err(|error| error.to_string())
}

#[test]
fn what_is_wrong_with_a_case_is_said_with_its_place() {
    for (text, says) in [
        ("", "not JSON: EOF"),
        ("[]", "the case: must be an object, in { and }"),
        ("{}", "there is no `request`; add \"request\": { \"body\": {} }"),
        (r#"{"request":{}}"#, "there is no `expect`; add \"expect\": { \"status\": 200 }"),
        (r#"{"request":{},"expect":{}}"#, "expect: nothing is expected; say at least \"status\": 200"),
        (r#"{"request":{},"expects":{}}"#, "the case: unknown key `expects`; did you mean `expect`?"),
        (
            r#"{"request":{"methd":"GET"},"expect":{"status":200}}"#,
            "request: unknown key `methd`; did you mean `method`?",
        ),
        (
            r#"{"request":{"path":"x"},"expect":{"status":200}}"#,
            "request.path: is what follows /api/{owner}/api/{slug}",
        ),
        (r#"{"request":{"headers":{"a":1}},"expect":{"status":200}}"#, "request.headers.a: must be text, in quotes"),
        (r#"{"request":{"body":{},"text":""},"expect":{"status":200}}"#, "request.body: is one of two bodies"),
        (r#"{"request":{"base64":"?"},"expect":{"status":200}}"#, "request.base64: is not base64"),
        (r#"{"request":{},"expect":{"status":"200"}}"#, "expect.status: must be a status from 200 to 599"),
        (
            r#"{"request":{},"expect":{"failure":"broken"}}"#,
            "expect.failure: must be \"invalid\", \"retry\" or \"failed\"",
        ),
        (
            r#"{"request":{},"expect":{"failure":"failed","status":200}}"#,
            "expect: an answer and a failure exclude each other",
        ),
        (r#"{"request":{},"kv":{},"expect":{"status":200}}"#, "kv: the manifest does not grant it; add kv = true"),
        (r#"{"request":{},"secrets":{"A":"b"},"expect":{"status":200}}"#, "secrets.A: the manifest does not grant it"),
        (r#"{"request":{},"outbound":[],"expect":{"status":200}}"#, "outbound: the manifest grants no `outbound`"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.starts_with(&format!("cases/one.json: {says}")), "{text}: {error}");
    }
}

#[test]
fn what_a_case_does_not_say_has_a_default() {
    let case = read(r#"{"request":{"body":{"a":1}},"expect":{"status":200}}"#).unwrap();
    assert_eq!((case.name.as_str(), case.request.method.as_str()), ("one", "POST"));
    assert_eq!(case.request.headers, [("content-type".to_owned(), "application/json".into())]);
    assert_eq!(&case.request.body[..], br#"{"a":1}"#);
}

#[test]
fn a_difference_is_said_with_its_place_and_more_than_expected_is_none() {
    let response = Response {
        status: 201,
        headers: vec![("x-a".to_owned(), "1".into())],
        body: r#"{"a":{"b":[1,{"c":"d","more":1}]},"n":1.0,"more":true}"#.into(),
        ..Response::default()
    };
    let lines = |expect: &str| {
        let case = read(&format!(r#"{{"request":{{}},"expect":{expect}}}"#)).unwrap();
        difference::of_response(&case.expect, &response)
    };
    for expect in [r#"{"status":201,"headers":{"X-A":"1"}}"#, r#"{"body":{"a":{"b":[1,{"c":"d"}]},"n":1}}"#] {
        assert_eq!(lines(expect), Vec::<String>::new());
    }
    for (expect, says) in [
        (r#"{"status":200}"#, r#"status: expected 200, got 201: {"a""#),
        (r#"{"headers":{"x-a":"2"}}"#, r#"headers.x-a: expected "2", got "1""#),
        (r#"{"headers":{"x-b":"2"}}"#, r#"headers.x-b: expected "2", and it is not there"#),
        (r#"{"body":{"a":{"b":[1]}}}"#, "body.a.b: expected 1 entry, got 2"),
        (r#"{"body":{"a":{"b":[1,{"c":"e"}]}}}"#, r#"body.a.b[1].c: expected "e", got "d""#),
        (r#"{"body":{"z":null}}"#, "body.z: expected null, and it is not there"),
        (r#"{"text":"x"}"#, r#"body: expected x, got {"a""#),
        (r#"{"failure":"failed"}"#, "expected failed, and it answered 201"),
    ] {
        let lines = lines(expect);
        assert!(lines.len() == 1 && lines[0].starts_with(says), "{expect}: {lines:?}");
    }
}

#[tokio::test]
async fn a_case_is_tried_in_the_sandbox_under_the_limits_of_its_api() {
    let config = RuntimeConfig { instances_max: 4, pooling: false, ..RuntimeConfig::default() };
    let runtime = Runtime::start(config).unwrap();
    let limits = Arc::new(Limits::default());
    let handler = runtime.load(&crate::plugins::tests::guest::handler("1"), &limits).unwrap();
    let api = ApiName { owner: "demo".parse().unwrap(), slug: "a".parse().unwrap() };
    let transforms = Transforms::none(Arc::new(Limits::transform()));
    let (settings, grants) = (Arc::default(), ApiGrants::default());
    let subject = Subject {
        api: &api,
        price: ripost_domain::money::Amount::ZERO,
        handler: &handler,
        transforms: &transforms,
        schema: None,
        limits: &limits,
        config: &settings,
        grants: &grants,
    };
    let good = read(r#"{"request":{},"expect":{"failure":"failed","problem":"handler-trapped"}}"#).unwrap();
    let tried = run(&runtime, &subject, &good).await;
    assert_eq!(tried.differences, Vec::<String>::new());
    assert!(tried.usage.memory_bytes_peak > 0 && !tried.is_hosts);
    let bad = read(r#"{"request":{},"expect":{"status":200}}"#).unwrap();
    let tried = run(&runtime, &subject, &bad).await;
    assert!(tried.differences[0].starts_with("expected 200, and it came to failed: the handler trapped"), "{tried:?}");
}

#[tokio::test]
async fn what_a_handler_reaches_in_a_case_is_what_the_case_says() {
    let grants = ApiGrants {
        outbound: vec!["https://api.example.com".parse().unwrap()].into(),
        secrets: vec!["KEY".parse().unwrap(), "OTHER".parse().unwrap()].into(),
        kv: true,
    };
    let text = r#"{"request":{},"secrets":{"KEY":"k"},"kv":{"a":"x","b":{"n":1}},"expect":{"status":200},
        "outbound":[{"request":{"url":"https://api.example.com/x"},"response":{"body":{"ok":true}}}]}"#;
    let case = Case::read("cases/one.json", text.as_bytes(), &grants).unwrap();
    let reached = Sandboxed::grants(&case, &grants);
    let secrets = reached.secrets.unwrap();
    use ripost_runtime::{OutboundError, OutboundRequest, SecretError};
    assert_eq!(secrets.get("KEY"), Ok("k".to_owned()));
    assert_eq!((secrets.get("OTHER"), secrets.get("NONE")), (Err(SecretError::Missing), Err(SecretError::NotGranted)));
    let kv = reached.kv.unwrap();
    assert_eq!(&kv.get("b").await.unwrap().unwrap().value[..], br#"{"n":1}"#);
    let revision = kv.set("a", "y".into(), None).await.unwrap();
    assert_eq!(kv.compare_and_set("a", Some(revision + 1), "z".into(), None).await, Ok(None));
    assert!(kv.compare_and_set("a", Some(revision), "z".into(), None).await.unwrap().is_some());
    assert_eq!(kv.list("", Some("a")).await.unwrap(), ["b"]);
    assert!(kv.delete("a").await.unwrap() && kv.get("a").await.unwrap().is_none());
    let outbound = reached.outbound.unwrap();
    let ask = |url: &str| OutboundRequest {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: bytes::Bytes::new(),
        timeout: Duration::from_secs(1),
        response_bytes_max: 100,
    };
    assert_eq!(&outbound.send(ask("https://api.example.com/x")).await.unwrap().body[..], br#"{"ok":true}"#);
    for (url, says) in [
        (
            "https://api.example.com/y",
            "nothing real is called in a case, and `one` has no answer for GET https://api.example.com/y; add one to its `outbound`",
        ),
        ("https://other.example.com/x", "no rule in `grants.outbound` covers GET https://other.example.com/x"),
    ] {
        assert_eq!(outbound.send(ask(url)).await, Err(OutboundError::NotGranted(says.to_owned())));
    }
}
