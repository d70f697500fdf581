//! Tokens and what their bearers may do.

use crate::{Test, host};
use anyhow::Context as _;
use http::Method;
use ripost_tests::{Answer, Api, Consumer, Host, Plugin, guests};
use serde_json::{Value, json};

const OWN: &str = "demo";

async fn token(host: &Host, arguments: &[&str]) -> anyhow::Result<String> {
    let added = host.cli(&[&["tokens", "add"], arguments, &["--json"]].concat()).await?.expect(0)?.json()?;
    Ok(added["token"].as_str().with_context(|| format!("no token in {added}"))?.to_owned())
}

async fn ask(host: &Host, token: Option<&str>, method: &str, path: &str) -> anyhow::Result<Answer> {
    let anybody = Consumer::new(host.admin_url(), None);
    let call = anybody.request(Method::from_bytes(method.as_bytes())?, path);
    let call = match token {
        Some(token) => call.header("authorization", &format!("Bearer {token}")),
        None => call,
    };
    call.send().await
}

async fn with_two_owners() -> anyhow::Result<Host> {
    let own = Plugin::one("echo", guests::echo());
    let other = Plugin::new("theirs", [Api::new("other", "theirs", guests::echo())]);
    host().plugin(&own).plugin(&other).start().await
}

#[tokio::test]
async fn every_route_asks_for_a_token_and_gives_an_owner_what_is_its_own() -> Test {
    let host = with_two_owners().await?;
    let owner = token(&host, &["deploy", "--role", "owner", "--owner", OWN]).await?;
    let operator = token(&host, &["ops", "--role", "operator"]).await?;
    let routes = ask(&host, Some(&owner), "GET", "/admin/v1").await?.expect(200)?.json()?;
    let routes = routes["routes"].as_array().context("a list of routes")?.clone();
    assert!(routes.len() > 25, "{}", routes.len());
    let mut for_owners = 0;
    for route in &routes {
        let text = |name: &str| route[name].as_str().unwrap_or_default();
        let (method, who) = (text("method"), text("who"));
        let path = |owner: &str| text("path").replace("{owner}", owner).replace(['{', '}'], "");
        if path(OWN) == "/metrics" {
            // A peer on this machine may read them.
            continue;
        }
        let called = format!("{method} {}", path(OWN));
        let nobody = ask(&host, None, method, &path(OWN)).await?.expect(401).context(called.clone())?;
        assert_eq!(nobody.problem()?, "missing-token", "{called}");
        ask(&host, Some("rpt_wrong"), method, &path(OWN)).await?.expect(401).context(called.clone())?;
        match who {
            "operator" => {
                let answer = ask(&host, Some(&owner), method, &path(OWN)).await?.expect(403).context(called.clone())?;
                assert_eq!((answer.problem()?.as_str(), &answer.json()?["role"]), ("forbidden", &json!("operator")));
            }
            "owner" => {
                for_owners += 1;
                let answer = ask(&host, Some(&owner), method, &path("other")).await?;
                assert_eq!(answer.expect(403).context(called.clone())?.problem()?, "forbidden", "{called}");
                // No such API, secret or body, but no question of who asks.
                let own = ask(&host, Some(&owner), method, &path(OWN)).await?;
                assert!(!matches!(own.status.as_u16(), 401 | 403 | 405), "{called}: {}", own.status);
            }
            "everyone" => {
                // A request or a plugin that there is not is nobody's; whose there are is for the tests of that route.
                let names_one = ["{id}", "{key}"].iter().any(|named| text("path").contains(named));
                let expected = if names_one { 404 } else { 200 };
                ask(&host, Some(&owner), method, &path(OWN)).await?.expect(expected).context(called.clone())?;
            }
            other => anyhow::bail!("{called} is for `{other}`"),
        }
        if method == "GET" {
            let answer = ask(&host, Some(&operator), method, &path(OWN)).await?;
            assert!(!matches!(answer.status.as_u16(), 401 | 403), "{called}: {}", answer.status);
        }
    }
    assert!(for_owners >= 9, "{for_owners}");
    Ok(())
}

#[tokio::test]
async fn an_owner_sees_its_own_and_nothing_of_how_busy_the_host_is() -> Test {
    let host = with_two_owners().await?;
    let owner = token(&host, &["deploy", "--role", "owner", "--owner", OWN]).await?;
    for who in [OWN, "other"] {
        host.cli_with_input(&["secrets", "set", who, "KEY"], "value").await?.expect(0)?;
    }
    let get = async |path: &str| anyhow::Ok(ask(&host, Some(&owner), "GET", path).await?.expect(200)?.json()?);
    let status: Value = get("/admin/v1/status").await?;
    assert_eq!(status["plugins"].as_array().map(Vec::len), Some(1), "{status}");
    assert_eq!((&status["plugins"][0]["plugin"], &status["queues"]), (&json!("echo"), &Value::Null));
    for path in ["/admin/v1/apis", "/admin/v1/secrets"] {
        let shown = get(path).await?.to_string();
        assert!(shown.contains("demo") && !shown.contains("other"), "{path}: {shown}");
    }
    // On the command line the same, by environment or by arguments.
    let from_afar = async |arguments: &[&str]| {
        let whole = [arguments, &["--to", host.admin_url(), "--token", &owner]].concat();
        host.cli(&whole).await
    };
    let shown = from_afar(&["status"]).await?.expect(0)?.stdout;
    assert!(shown.contains("/api/demo/api/echo") && !shown.contains("theirs"), "{shown}");
    from_afar(&["api", "pause", "demo/echo"]).await?.expect(0)?;
    host.demo().call("demo/echo").json(&json!({})).send().await?.expect(403)?;
    from_afar(&["api", "resume", "demo/echo"]).await?.expect(0)?;
    let refused = from_afar(&["api", "pause", "other/theirs"]).await?.expect(1)?;
    assert!(refused.stderr.contains("role owner"), "{refused:?}");
    let refused = from_afar(&["tokens", "list"]).await?.expect(1)?;
    assert!(refused.stderr.contains("role operator"), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn a_token_is_shown_once_outlives_a_restart_and_opens_nothing_once_removed() -> Test {
    let host = host().start().await?;
    let text = host.cli(&["tokens", "add", "CI of Blue Bottle", "--role", "operator"]).await?.expect(0)?.stdout;
    let token = text.lines().find_map(|line| line.strip_prefix("token: ")).context("a line with the token")?;
    assert!(token.starts_with("rpt_"), "{token}");
    let list = host.cli(&["tokens", "list"]).await?.expect(0)?.stdout;
    assert!(list.contains("CI of Blue Bottle") && !list.contains(token), "{list}");
    let twice = host.cli(&["tokens", "add", "CI of Blue Bottle", "--role", "operator"]).await?.expect(1)?;
    assert!(twice.stderr.contains("CI of Blue Bottle"), "{twice:?}");
    for wrong in
        [&["x", "--role", "owner"][..], &["x", "--role", "king"], &["x"], &["x", "--role", "owner", "--owner", "A"]]
    {
        host.cli(&[&["tokens", "add"], wrong].concat()).await?.expect(64)?;
    }
    let database = std::fs::read(host.data().join("ripost.sqlite3"))?;
    assert!(!database.windows(token.len()).any(|window| window == token.as_bytes()), "only its hash is kept");
    let host = host.restart().await?;
    ask(&host, Some(token), "GET", "/admin/v1/consumers").await?.expect(200)?;
    assert!(!host.log().contains(token));
    host.cli(&["tokens", "remove", "CI of Blue Bottle"]).await?.expect(0)?;
    ask(&host, Some(token), "GET", "/admin/v1/consumers").await?.expect(401)?;
    host.cli(&["tokens", "remove", "CI of Blue Bottle"]).await?.expect(1)?;
    let host = host.restart().await?;
    ask(&host, Some(token), "GET", "/admin/v1/consumers").await?.expect(401)?;
    Ok(())
}

#[tokio::test]
async fn a_token_goes_nowhere_in_the_clear_and_nowhere_by_guess() -> Test {
    let host = host().start().await?;
    let clear = host.cli(&["status", "--to", "http://gateway.example", "--token", "rpt_x"]).await?.expect(64)?;
    assert!(clear.stderr.contains("https://"), "{clear:?}");
    let none = host.cli(&["status", "--to", host.admin_url()]).await?.expect(64)?;
    assert!(none.stderr.contains("RIPOST_TOKEN"), "{none:?}");
    host.cli(&["status", "--to", "http://127.0.0.1:1", "--token", "rpt_x"]).await?.expect(69)?;
    let wrong = host.cli(&["status", "--to", host.admin_url(), "--token", "rpt_x"]).await?.expect(1)?;
    assert!(wrong.stderr.contains("ripost tokens add"), "{wrong:?}");
    Ok(())
}
