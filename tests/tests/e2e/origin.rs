//! Browsers: preflights are ours, and nothing an owner answers acts on our origin.

use crate::{Test, host};
use http::Method;
use ripost_tests::{Host, Plugin, guests};
use serde_json::json;

const HOSTILE: &[(&str, &str)] = &[
    ("content-type", "text/html"),
    ("set-cookie", "session=stolen"),
    ("strict-transport-security", "max-age=31536000"),
    ("access-control-allow-origin", "https://evil.example"),
    ("access-control-allow-credentials", "true"),
    ("content-security-policy", "default-src *"),
    ("clear-site-data", "\"*\""),
    ("connection", "close"),
    ("transfer-encoding", "chunked"),
    ("keep-alive", "timeout=1"),
    ("x-content-type-options", "sniff"),
    ("x-mine", "kept"),
];

#[tokio::test]
async fn what_an_owner_answers_cannot_act_on_our_origin() -> Test {
    let page = guests::answers(200, HOSTILE, b"<script>alert(1)</script>");
    let host = host().plugin(&Plugin::one("page", page)).start().await?;
    let consumer = host.demo();
    let direct = consumer.call("demo/page").send().await?.expect(200)?;
    let id = direct.header("ripost-request-id").unwrap().to_owned();
    let stored = consumer.get(&format!("/requests/{id}/result")).await?.expect(200)?;
    for answer in [direct, stored] {
        for dropped in ["set-cookie", "strict-transport-security", "access-control-allow-origin", "clear-site-data"] {
            assert_eq!(answer.header(dropped), None, "{dropped}");
        }
        for dropped in ["access-control-allow-credentials", "transfer-encoding", "keep-alive", "connection"] {
            assert_eq!(answer.header(dropped), None, "{dropped}");
        }
        let policies: Vec<_> = answer.headers.get_all("content-security-policy").iter().collect();
        assert_eq!(policies, ["sandbox"]);
        assert_eq!(answer.headers.get_all("x-content-type-options").iter().collect::<Vec<_>>(), ["nosniff"]);
        assert_eq!((answer.header("content-type"), answer.header("x-mine")), (Some("text/html"), Some("kept")));
        assert_eq!(&answer.body[..], b"<script>alert(1)</script>");
    }
    Ok(())
}

#[tokio::test]
async fn a_preflight_is_answered_by_the_host_and_runs_nothing() -> Test {
    let host = host().plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let anybody = host.demo().with_key(None);
    let preflight = anybody.request(Method::OPTIONS, "/api/demo/api/echo").header("origin", "https://shop.example");
    let preflight = preflight.header("access-control-request-method", "POST");
    let answer =
        preflight.header("access-control-request-headers", "content-type,x-consumer-key").send().await?.expect(204)?;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert!(answer.header("access-control-allow-methods").is_some_and(|methods| methods.contains("POST")));
    assert!(answer.header("access-control-allow-headers").is_some_and(|names| names.contains("x-consumer-key")));
    assert_eq!(answer.header("access-control-allow-credentials"), None);

    let call = host.demo();
    let call =
        call.call("demo/echo").json(&json!({})).header("origin", "https://shop.example").send().await?.expect(200)?;
    assert_eq!(call.header("access-control-allow-origin"), Some("*"), "development mode allows any origin");
    let exposed = call.header("access-control-expose-headers").unwrap_or_default().to_lowercase();
    assert!(exposed.contains("ripost-request-id") && exposed.contains("location"), "{exposed}");
    let metrics = host.metrics().await?;
    assert_eq!(metrics.sum("ripost_runs_total", "").to_bits(), 1_f64.to_bits(), "the call ran, the preflight did not");
    Ok(())
}

#[tokio::test]
async fn outside_development_mode_no_origin_is_let_in_by_default() -> Test {
    let host = Host::builder().show_log().plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let consumer = host.add_consumer("c1", "1").await?;
    let preflight = consumer.request(Method::OPTIONS, "/api/demo/api/echo").header("origin", "https://shop.example");
    let answer = preflight.header("access-control-request-method", "POST").send().await?;
    assert!(answer.status == 204 && answer.header("access-control-allow-origin").is_none(), "{answer:?}");
    let answer = consumer
        .call("demo/echo")
        .json(&json!({}))
        .header("origin", "https://shop.example")
        .send()
        .await?
        .expect(200)?;
    assert_eq!(answer.header("access-control-allow-origin"), None);
    Ok(())
}
