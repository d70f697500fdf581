use super::*;
use http::header::CONTENT_TYPE;
use proptest::prelude::*;

fn json_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap());
    headers
}

/// Of an API that says nothing of names like the gateway's.
const STRICT: Own<'static> = Own { near_miss: NearMiss::Refuse, schema: None };

fn taken(headers: &HeaderMap, body: Bytes) -> Result<(Fields, Bytes), Problem> {
    take(&Method::POST, headers, None, body, STRICT)
}

fn cut(body: &str) -> (Fields, String) {
    let (fields, rest) = taken(&json_headers(), Bytes::copy_from_slice(body.as_bytes())).unwrap();
    (fields, String::from_utf8(rest.to_vec()).unwrap())
}

#[test]
fn the_rest_of_the_body_stays_byte_identical() {
    for (body, rest) in [
        (r#"{"a": 1.0, "webhook_url":"https://x.example/h" , "b":[1, 2]}"#, r#"{"a": 1.0,  "b":[1, 2]}"#),
        (r#"{"webhook_url":"https://x.example/h","a":1}"#, r#"{"a":1}"#),
        (r#"{ "a":1 , "webhook_url":"https://x.example/h" }"#, r#"{ "a":1  }"#),
        (r#"{"webhook_url":"https://x.example/h"}"#, "{}"),
        (r#"{"a":1,"webhook_events":["completed"],"webhook_url":"https://x.example/h"}"#, r#"{"a":1}"#),
        (r#"{"webhook_url":"https://x.example/h","a":",}","webhook_events":["completed"]}"#, r#"{"a":",}"}"#),
        (r#"{"webhook_events":["completed"],"webhook_url":"https://x.example/h"}"#, "{}"),
        (r#"{"webhook\u005furl":"https://x.example/h","A":1E5}"#, r#"{"A":1E5}"#),
    ] {
        let (fields, kept) = cut(body);
        assert_eq!(kept, rest, "{body}");
        assert_eq!(fields.webhook_url.as_deref(), Some("https://x.example/h"), "{body}");
    }
}

#[test]
fn nested_fields_and_other_json_values_are_the_owners() {
    for body in [r#"{"a":{"webhook_url":5}}"#, "[1]", "null", "\"webhook_url\"", " 5 ", "{}"] {
        let (fields, kept) = cut(body);
        assert_eq!((fields, kept.as_str()), (Fields::default(), body));
    }
}

#[test]
fn a_content_type_alone_is_no_body_where_there_need_be_none() {
    for method in [Method::GET, Method::HEAD, Method::DELETE] {
        let taken = take(&method, &json_headers(), None, Bytes::new(), STRICT);
        assert_eq!(taken.unwrap(), (Fields::default(), Bytes::new()), "{method}");
        assert!(take(&method, &json_headers(), None, Bytes::from_static(b"nope"), STRICT).is_err(), "{method}");
    }
    for method in [Method::POST, Method::PUT, Method::PATCH] {
        let problem = take(&method, &json_headers(), None, Bytes::new(), STRICT).unwrap_err();
        let json: serde_json::Value = serde_json::from_slice(&problem.to_json()).unwrap();
        assert!(json["detail"].as_str().unwrap().contains("the body is empty"), "{method}: {json}");
    }
}

#[test]
fn a_body_that_is_not_the_json_it_claims_to_be_is_refused() {
    for body in ["", "{", "{} x", "nope", r#"{"a":}"#, "{\"a\":\"\u{1}\"}", r#"{"webhook_url":"x",}"#] {
        assert_eq!(
            taken(&json_headers(), Bytes::copy_from_slice(body.as_bytes())).unwrap_err().status(),
            400,
            "{body}"
        );
    }
    assert_eq!(taken(&HeaderMap::new(), Bytes::from_static(b"{")).unwrap().1, "{");
}

#[test]
fn a_field_given_twice_or_of_another_kind_is_refused() {
    let status = |body: &'static str| taken(&json_headers(), Bytes::from_static(body.as_bytes())).unwrap_err().status();
    assert_eq!(status(r#"{"webhook_url":"a","webhook_url":"b"}"#), 400);
    assert_eq!(status(r#"{"webhook_url":5}"#), 422);
    assert_eq!(status(r#"{"webhook_url":null}"#), 422);
    assert_eq!(status(r#"{"webhook_url":"https://x.example","webhook_events":["finished"]}"#), 422);
    assert_eq!(status(r#"{"webhook_url":"https://x.example","webhook_events":[]}"#), 422);
    assert_eq!(status(r#"{"webhook_events":["completed"]}"#), 422);
    assert_eq!(status(r#"{"max_price_usdc":0.05}"#), 422);
    let mut headers = json_headers();
    headers.insert("ripost-webhook-url", "https://x.example".parse().unwrap());
    assert_eq!(taken(&headers, Bytes::from_static(br#"{"webhook_url":"a"}"#)).unwrap_err().status(), 400);
    headers.append("ripost-webhook-url", "https://y.example".parse().unwrap());
    assert_eq!(taken(&headers, Bytes::from_static(b"{}")).unwrap_err().status(), 400);
}

#[test]
fn events_and_the_bound_of_retries_are_read() {
    let mut headers = json_headers();
    headers.insert("ripost-retry-max-age", "2 h".parse().unwrap());
    let body = Bytes::from_static(br#"{"webhook_url":"https://x.example","webhook_events":["started","progress"]}"#);
    let wants = taken(&headers, body).unwrap().0.wants;
    let hours = Some(Duration::from_secs(7200));
    assert_eq!(wants, Wants { started: true, progress: true, completed: false, retry_max_age: hours, depth: 0 });
    for (text, expected) in [("30", Some(30)), ("0", None), ("soon", None), ("8 d", None), ("-1", None)] {
        headers.insert("ripost-retry-max-age", text.parse().unwrap());
        let read = taken(&headers, Bytes::from_static(b"{}")).map(|(fields, _)| fields.wants.retry_max_age);
        assert_eq!(read.ok().flatten(), expected.map(Duration::from_secs), "{text}");
    }
}

#[test]
fn any_other_body_has_its_fields_in_headers() {
    let mut headers = HeaderMap::new();
    headers.insert("ripost-webhook-url", "https://x.example/h".parse().unwrap());
    headers.insert("ripost-webhook-events", "completed".parse().unwrap());
    headers.insert("ripost-max-price", "0.05".parse().unwrap());
    let (fields, body) = taken(&headers, Bytes::from_static(b"\x00\xff")).unwrap();
    assert_eq!(fields.webhook_url.as_deref(), Some("https://x.example/h"));
    assert_eq!(fields.max_price, "0.05".parse().ok());
    assert_eq!(&body[..], b"\x00\xff");
}

#[test]
fn a_field_that_would_not_be_read_is_refused_with_where_it_belongs() {
    let typed = |kind: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        headers
    };
    let form = typed("application/x-www-form-urlencoded");
    for (headers, query, body) in [
        (&json_headers(), Some("a=1&webhook_url=https://x.example"), "{}"),
        (&HeaderMap::new(), Some("max_price_usdc=0.01"), ""),
        (&form, None, "a=1&webhook_url=https://x.example"),
        (&form, None, r#"{"a":1,"webhook_url":"https://x.example"}"#),
        (&typed("*/*"), None, r#"{"max_price_usdc":"0.01"}"#),
        (&HeaderMap::new(), None, r#"{"webhook_events":["started"]}"#),
    ] {
        let problem = take(&Method::POST, headers, query, Bytes::from_static(body.as_bytes()), STRICT).unwrap_err();
        assert!(problem.is(Kind::MisplacedField) && problem.status() == 422, "{query:?} {body}: {problem:?}");
    }
    for (headers, query, body) in [
        (&json_headers(), Some("a=webhook_url"), r#"{"a":{"webhook_url":1}}"#),
        (&form, Some(""), "a=webhook_url"),
        (&typed("text/plain"), None, "webhook_url=1"),
    ] {
        let (fields, rest) = take(&Method::POST, headers, query, Bytes::from_static(body.as_bytes()), STRICT).unwrap();
        assert_eq!((fields, &rest[..]), (Fields::default(), body.as_bytes()));
    }
}

#[test]
fn a_field_with_nearly_the_name_is_refused_unless_the_field_is_there_too_or_the_api_has_that_name() {
    let body = |text: &'static str| Bytes::from_static(text.as_bytes());
    let near = body(r#"{"callback_url":"https://x.example","a":1}"#);
    let problem = take(&Method::POST, &json_headers(), None, near.clone(), STRICT).unwrap_err();
    assert!(problem.is(Kind::MisnamedField) && problem.status() == 422, "{problem:?}");
    let problem = take(&Method::POST, &json_headers(), Some("webhookUrl=x"), body("{}"), STRICT).unwrap_err();
    assert!(problem.is(Kind::MisnamedField), "{problem:?}");

    let schema = |text: &str| Schema::compile(text.as_bytes()).unwrap();
    let named = schema(r#"{ "properties": { "callback_url": {} } }"#);
    let other = schema(r#"{ "properties": { "callbackUrl": {} } }"#);
    for (own, is_taken) in [
        (Own { near_miss: NearMiss::Allow, schema: None }, true),
        (Own { near_miss: NearMiss::Refuse, schema: Some(&named) }, true),
        (Own { near_miss: NearMiss::Refuse, schema: Some(&other) }, false),
    ] {
        let taken = take(&Method::POST, &json_headers(), None, near.clone(), own);
        assert_eq!(taken.as_ref().is_ok_and(|(_, rest)| *rest == near), is_taken, "{taken:?}");
    }

    let (fields, rest) = cut(r#"{"callback_url":"mine","webhook_url":"https://x.example"}"#);
    assert_eq!(
        (fields.webhook_url.as_deref(), rest.as_str()),
        (Some("https://x.example"), r#"{"callback_url":"mine"}"#)
    );
    let beside = take(
        &Method::POST,
        &json_headers(),
        Some("callback_url=mine"),
        body(r#"{"webhook_url":"https://x.example"}"#),
        STRICT,
    );
    assert!(beside.is_ok(), "{beside:?}");
    let mut headers = json_headers();
    headers.insert("ripost-webhook-url", "https://x.example".parse().unwrap());
    assert_eq!(taken(&headers, near.clone()).unwrap().1, near);
    let price = take(&Method::POST, &headers, None, body(r#"{"maxPriceUsdc":"0.01"}"#), STRICT).unwrap_err();
    assert!(price.is(Kind::MisnamedField), "another field's header does not stand for it: {price:?}");
}

proptest! {
    /// Whatever stands around the fields, what is left is the JSON without them.
    #[test]
    fn cutting_leaves_exactly_the_other_members(
        names in proptest::collection::vec("[a-z,\"{}\\\\]{0,4}", 0..6),
        at in proptest::collection::vec(0_usize..8, 0..4),
        space in "[ \n\t]{0,2}",
    ) {
        let ours = [("webhook_url", "\"https://x.example/,\\\"\""), ("webhook_events", "[\"completed\"]"), ("max_price_usdc", "\"1\"")];
        let member = |(name, value): (String, String)| format!("{space}{name}{space}:{space}{value}{space}");
        let others: Vec<(String, String)> = names.iter().enumerate()
            .map(|(index, name)| (serde_json::Value::from(format!("{index}{name}")).to_string(), serde_json::json!({ "v": name }).to_string()))
            .collect();
        let mut all = others.clone();
        for (place, (name, value)) in at.iter().zip(ours) {
            all.insert((*place).min(all.len()), (format!("\"{name}\""), value.to_owned()));
        }
        let body = format!("{space}{{{}}}{space}", all.into_iter().map(member).collect::<Vec<_>>().join(","));
        let (fields, kept) = cut(&body);
        let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
        let expected: serde_json::Map<String, serde_json::Value> = others.iter()
            .map(|(name, value)| (serde_json::from_str(name).unwrap(), serde_json::from_str(value).unwrap())).collect();
        prop_assert_eq!(kept, serde_json::Value::Object(expected));
        prop_assert_eq!(fields.webhook_url.is_some(), !at.is_empty());
    }
}
