//! Browsers: preflights are ours, and nothing an owner answers acts on our origin.

use crate::{Test, host};
use anyhow::Result;
use http::Method;
use ripost_tests::{Answer, Api, Consumer, Host, Plugin, guests};
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

const SHOP: &str = "https://shop.example";

/// What a browser asks before it calls.
async fn preflight(consumer: &Consumer, method: &str, path: &str, origin: &str) -> Result<Answer> {
    let anybody = consumer.with_key(None);
    let asked = anybody.request(Method::OPTIONS, path).header("origin", origin);
    let asked = asked.header("access-control-request-method", method);
    asked.header("access-control-request-headers", "content-type,prefer,x-consumer-key,x-other").send().await
}

fn lets_in(answer: &Answer, origin: &str) -> bool {
    answer.header("access-control-allow-origin") == Some(origin)
}

/// Every route that a page may use, with its methods; `REQ` stands for a request.
const PAGES: &[(&str, &str)] = &[
    ("POST", "/api/demo/api/echo"),
    ("PUT", "/api/demo/api/echo/sub?a=1"),
    ("GET", "/requests"),
    ("GET", "/requests/REQ"),
    ("GET", "/requests/REQ/events"),
    ("GET", "/requests/REQ/result"),
    ("GET", "/requests/REQ/webhooks/completed"),
    ("GET", "/requests/REQ/deliveries"),
    ("GET", "/requests/REQ/receipt"),
    ("POST", "/requests/REQ/cancel"),
    ("POST", "/requests/REQ/redeliver"),
    ("GET", "/results/x"),
    ("GET", "/events"),
    ("POST", "/deliveries/redeliver"),
    ("POST", "/webhooks/test"),
    ("GET", "/consumer"),
    ("PATCH", "/consumer"),
    ("DELETE", "/consumer/disabled-urls"),
    ("GET", "/.well-known/webhook-keys"),
    ("GET", "/openapi.json"),
    ("GET", "/openapi/demo/echo"),
    ("GET", "/problems"),
    ("GET", "/problems/not-found"),
];

/// And every other one.
const NO_PAGES: &[(&str, &str)] = &[
    ("GET", "/consumer/webhook-secret"),
    ("POST", "/consumer/webhook-secret/rotate"),
    ("POST", "/callbacks/x"),
    ("POST", "/callbacks/x/progress"),
    ("GET", "/admin/v1"),
    ("GET", "/admin/v1/status"),
    ("GET", "/admin"),
    ("GET", "/console"),
    ("GET", "/metrics"),
    ("GET", "/healthz"),
    ("GET", "/nothing"),
];

const REQ: &str = "req_01jd6g0000e0g0g0g0g0g0g0g0";

fn no_cors(answer: &Answer) -> bool {
    !answer.headers.keys().any(|name| name.as_str().starts_with("access-control-"))
}

#[tokio::test]
async fn a_page_that_may_call_may_follow_and_no_more() -> Test {
    let host = host().plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let consumer = host.demo();
    let page = "http://localhost:5173";
    for (method, path) in PAGES {
        let path = path.replace("REQ", REQ);
        let answer = preflight(&consumer, method, &path, page).await?.expect(204)?;
        assert!(lets_in(&answer, page), "{method} {path}: {answer:?}");
        assert_eq!(answer.header("vary"), Some("Origin"));
        let methods = answer.header("access-control-allow-methods").unwrap_or_default();
        assert!(methods.split(", ").any(|one| one == *method), "{method} {path}: {methods}");
        let names = answer.header("access-control-allow-headers").unwrap_or_default().to_lowercase();
        assert!(names.contains("x-consumer-key") && names.contains("prefer"), "{names}");
        assert!(!names.contains("x-other"), "a list, and not what was asked: {names}");
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        assert!(no_cors(&preflight(&consumer, method, &path, SHOP).await?.expect(204)?), "{path}");
        // The call itself, which may be refused: the page reads why.
        let call = consumer.request(method.parse()?, &path).header("origin", page).send().await?;
        assert!(lets_in(&call, page), "{method} {path}: {call:?}");
        assert!(call.headers.get_all("vary").iter().any(|vary| vary == "Origin"), "{method} {path}");
        let exposed = call.header("access-control-expose-headers").unwrap_or_default().to_lowercase();
        for name in ["etag", "link", "location", "preference-applied", "ratelimit", "retry-after", "ripost-request-id"]
        {
            assert!(exposed.split(", ").any(|one| one == name), "{name}: {exposed}");
        }
        assert_eq!(call.header("access-control-allow-credentials"), None);
    }
    for (method, path) in NO_PAGES {
        let asked = preflight(&consumer, method, path, page).await?;
        assert!(no_cors(&asked) && asked.status != 204, "{method} {path}: {asked:?}");
        assert!(no_cors(&consumer.request(method.parse()?, path).header("origin", page).send().await?), "{path}");
    }
    let metrics = host.metrics().await?;
    assert_eq!(metrics.sum("ripost_runs_total", "").to_bits(), 2_f64.to_bits(), "calls ran, preflights did not");
    Ok(())
}

#[tokio::test]
async fn development_mode_lets_in_the_pages_of_this_machine_alone() -> Test {
    let host = host().plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let consumer = host.demo();
    for own in ["http://localhost:5173", "http://127.0.0.1:8000", "http://[::1]", "https://app.localhost"] {
        assert!(lets_in(&preflight(&consumer, "POST", "/api/demo/api/echo", own).await?, own), "{own}");
    }
    for other in [SHOP, "null", "http://localhost.evil.example", "http://evil.example:3000", "http://10.0.0.1", ""] {
        assert!(no_cors(&preflight(&consumer, "POST", "/api/demo/api/echo", other).await?), "{other}");
    }
    Ok(())
}

#[tokio::test]
async fn outside_development_mode_no_origin_is_let_in_by_default() -> Test {
    let host = Host::builder().show_log().plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let consumer = host.add_consumer("c1", "1").await?;
    for origin in [SHOP, "http://localhost:5173", "http://127.0.0.1"] {
        assert!(no_cors(&preflight(&consumer, "POST", "/api/demo/api/echo", origin).await?.expect(204)?));
        let answer = consumer.call("demo/echo").json(&json!({})).header("origin", origin).send().await?.expect(200)?;
        assert!(no_cors(&answer));
        assert_eq!(answer.header("vary"), None, "it does not depend on the page");
    }
    Ok(())
}

#[tokio::test]
async fn the_operator_lets_pages_in_for_all_and_an_owner_for_its_own_api() -> Test {
    const OWNERS: &str = "https://owner.example:8443";
    let with_pages = Api::new("demo", "open", guests::echo()).line(&format!("cors = {{ origins = [\"{OWNERS}\"] }}"));
    let plugin = Plugin::new("pages", [with_pages, Api::new("demo", "echo", guests::echo())]);
    let config = format!("[cors]\norigins = [\"{SHOP}\"]");
    let host = Host::builder().show_log().config(&config).plugin(&plugin).start().await?;
    let consumer = host.add_consumer("c1", "1").await?;
    for (method, path) in PAGES {
        let path = path.replace("REQ", REQ);
        assert!(lets_in(&preflight(&consumer, method, &path, SHOP).await?, SHOP), "{path}");
        let is_followed = path.starts_with("/requests") || path.starts_with("/results");
        let asked = preflight(&consumer, method, &path, OWNERS).await?;
        assert_eq!(lets_in(&asked, OWNERS), is_followed, "{path}");
    }
    assert!(lets_in(&preflight(&consumer, "POST", "/api/demo/api/open", OWNERS).await?, OWNERS));
    assert!(lets_in(&preflight(&consumer, "GET", "/openapi/demo/open", OWNERS).await?, OWNERS));
    for (method, path) in NO_PAGES {
        assert!(no_cors(&preflight(&consumer, method, path, SHOP).await?), "{path}");
    }
    let call = async |slug: &str, origin: &str| {
        let call = consumer.call(&format!("demo/{slug}")).json(&json!({})).header("origin", origin);
        call.send().await?.expect(200)
    };
    assert!(lets_in(&call("open", OWNERS).await?, OWNERS) && lets_in(&call("open", SHOP).await?, SHOP));
    assert!(no_cors(&call("echo", OWNERS).await?) && lets_in(&call("echo", SHOP).await?, SHOP));
    Ok(())
}

#[tokio::test]
async fn a_star_lets_every_page_in_and_still_no_credentials() -> Test {
    let host = Host::builder().show_log().config("[cors]\norigins = [\"*\"]");
    let host = host.plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let consumer = host.add_consumer("c1", "1").await?;
    for origin in [SHOP, "null"] {
        let asked = preflight(&consumer, "POST", "/api/demo/api/echo", origin).await?.expect(204)?;
        assert!(lets_in(&asked, "*"));
        assert_eq!(asked.header("access-control-allow-credentials"), None);
        assert!(no_cors(&preflight(&consumer, "GET", "/consumer/webhook-secret", origin).await?));
    }
    Ok(())
}
