//! Bodies that say they are JSON and are none, or are packed, or are not there: each is told as what it is.

use crate::{Test, host, upstream};
use anyhow::Context as _;
use http::Method;
use ripost_tests::{Api, Consumer, Plugin, Sink, guests};
use serde_json::{Value, json};

const JSON: &str = "application/json";
/// `{}` packed by gzip.
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xab\xae\x05\x00\x43\xbf\xa6\xa3\x02\x00\x00\x00";

/// What is sent, its content coding, and what is answered: status, problem and a part of the detail.
type Odd = (&'static [u8], Option<&'static str>, u16, &'static str, &'static str);

const ODD: [Odd; 6] = [
    (b"", None, 400, "invalid-json", "is empty"),
    (b"\xef\xbb\xbf{}", None, 400, "invalid-json", "byte order mark"),
    (b"{\0}\0", None, 400, "invalid-json", "UTF-16"),
    (GZIP, None, 400, "invalid-json", "gzip"),
    (GZIP, Some("gzip"), 415, "unsupported-media-type", "Content-Encoding: gzip"),
    (b"{\"a\":", None, 400, "invalid-json", "it ends where a value should be"),
];

#[tokio::test]
async fn an_odd_body_is_refused_for_what_it_is() -> Test {
    let schema = json!({ "type": "object" }).to_string();
    let apis = [
        Api::new("demo", "free", guests::echo()),
        Api::new("demo", "strict", guests::echo()).line("schema = \"s.json\""),
    ];
    let host = host().plugin(&Plugin::new("odd", apis).file("s.json", schema)).start().await?;
    let consumer = host.demo();
    for api in ["demo/free", "demo/strict"] {
        for (body, encoding, status, problem, says) in ODD {
            let mut call = consumer.call(api).raw(JSON, body);
            if let Some(encoding) = encoding {
                call = call.header("content-encoding", encoding);
            }
            let answer = call.send().await?.expect(status).with_context(|| format!("{api} {says}"))?;
            assert_eq!(answer.problem()?, problem, "{api} {says}");
            let detail = answer.json()?["detail"].as_str().unwrap_or_default().to_owned();
            assert!(detail.contains(says), "{api}: {detail}");
            if status == 415 {
                assert_eq!(answer.header("accept-encoding"), Some("identity"));
            }
        }
        let unpacked = consumer.call(api).raw(JSON, "{}").header("content-encoding", "identity");
        unpacked.send().await?.expect(200)?;
    }
    assert_eq!(ripost_tests::audit::count(host.data(), "requests")?, 2, "nothing else was accepted");
    // What is not read here is the owner's, packed or not.
    let packed = consumer.call("demo/free").raw("application/octet-stream", GZIP).header("content-encoding", "gzip");
    packed.send().await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn a_content_type_without_a_body_is_no_body_where_there_need_be_none() -> Test {
    let service = Sink::start().await?;
    let plugin = upstream::plugin(&service.url("/"), "schema = \"s.json\"")
        .file("s.json", json!({ "required": ["a"] }).to_string());
    let host = host().plugin(&plugin).start().await?;
    let consumer = host.demo();
    for method in [Method::GET, Method::HEAD, Method::DELETE] {
        let call = consumer.request(method.clone(), "/api/demo/api/up").header("prefer", "wait=5").raw(JSON, "");
        call.send().await?.expect(200).with_context(|| method.to_string())?;
    }
    for method in [Method::POST, Method::PUT, Method::PATCH] {
        let refused = consumer.request(method.clone(), "/api/demo/api/up").raw(JSON, "").send().await?.expect(400)?;
        let detail = refused.json()?["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.contains("the body is empty"), "{method}: {detail}");
    }
    Ok(())
}

#[tokio::test]
async fn an_odd_callback_is_refused_for_what_it_is_and_counts_for_nothing() -> Test {
    let service = Sink::start().await?;
    service.otherwise(ripost_tests::Reply::status(202));
    let host = upstream::host(&service.url("/"), "").start().await?;
    let consumer = host.demo();
    let id = consumer.call("demo/up").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    let path = upstream::callback(&host, &service.first(&id).await?)?;
    upstream::awaits(&consumer, &id).await?;
    let service = Consumer::new(host.url(), None);
    for (body, encoding, status, problem, says) in ODD {
        let mut call = service.request(Method::POST, &path).raw(JSON, body);
        if let Some(encoding) = encoding {
            call = call.header("content-encoding", encoding);
        }
        let answer = call.send().await?.expect(status).context(says)?;
        assert_eq!(answer.problem()?, problem, "{says}");
        assert!(answer.json()?["detail"].as_str().is_some_and(|detail| detail.contains(says)), "{says}");
    }
    upstream::result(&host, &path, "{\"made\":1}").await?.expect(200)?;
    assert_eq!(consumer.ended(&id).await?["result"], json!({ "made": 1 }));
    Ok(())
}

#[tokio::test]
async fn the_gateways_own_routes_say_what_is_wrong_without_the_names_of_types() -> Test {
    let host = host().start().await?;
    let consumer = host.add_consumer("c1", "1").await?;
    let route = |method: Method, path: &str, body: &str| consumer.request(method, path).raw(JSON, body.to_owned());
    let said = async |call: ripost_tests::Call| {
        let answer = call.send().await?;
        anyhow::ensure!([400, 422].contains(&answer.status.as_u16()), "{}", answer.status);
        Ok::<Value, anyhow::Error>(answer.json()?["detail"].clone())
    };
    for (method, path, body, says) in [
        (Method::POST, "/deliveries/redeliver", r#"{"limit":"all"}"#, "expected a whole number that is not negative"),
        (Method::POST, "/deliveries/redeliver", r#"{"limit":{}}"#, "an object"),
        (Method::POST, "/deliveries/redeliver", "[1]", "has to be a JSON object"),
        (Method::POST, "/webhooks/test", r#"{"url":["x"]}"#, "a list, expected a string"),
        (Method::POST, "/webhooks/test", "", "it is empty"),
        (Method::PATCH, "/consumer", r#"{"webhook_signatures":"v1"}"#, "expected a list"),
        (Method::POST, "/consumer/webhook-secret/rotate", "\u{feff}{}", "byte order mark"),
    ] {
        let detail = said(route(method, path, body)).await?.to_string();
        assert!(detail.contains(says), "{path} {body}: {detail}");
        for name in ["struct", "u32", "Redeliver", "TestUrl", "sequence", "map,"] {
            assert!(!detail.contains(name), "{path} {body}: {detail}");
        }
    }
    Ok(())
}
