//! Who may call what: subscriptions, paused APIs.

use crate::{Test, host};
use http::Method;
use ripost_tests::{Api, Consumer, Host, Plugin, guests};
use serde_json::{Value, json};

async fn with_members_and_open() -> anyhow::Result<Host> {
    let members = Api::new("demo", "members", guests::echo()).line("access = \"subscribed\"").price("0.050000");
    let open = Api::new("demo", "open", guests::echo()).price("0.050000");
    host().plugin(&Plugin::new("both", [members, open])).start().await
}

async fn refused(consumer: &Consumer, api: &str) -> anyhow::Result<(String, Value)> {
    let answer = consumer.call(api).json(&json!({})).send().await?.expect(403)?;
    Ok((answer.problem()?, answer.json()?))
}

async fn line(host: &Host, api: &str) -> anyhow::Result<Value> {
    let lines: Value = host.cli(&["api", "list", "--json"]).await?.expect(0)?.json()?;
    let found = lines.as_array().into_iter().flatten().find(|line| line["api"] == api);
    Ok(found.cloned().unwrap_or_default())
}

fn key(consumer: &Consumer) -> &str {
    consumer.key().unwrap_or_default()
}

#[tokio::test]
async fn an_api_for_subscribers_is_called_by_its_subscribers_alone() -> Test {
    let host = with_members_and_open().await?;
    let (blue, other) = (host.add_consumer("Blue Bottle", "10").await?, host.add_consumer("other", "10").await?);
    let (problem, body) = refused(&blue, "demo/members").await?;
    let detail = body["detail"].as_str().unwrap_or_default();
    assert_eq!((problem.as_str(), &body["api"]), ("not-subscribed", &json!("demo/members")));
    assert!(detail.contains("subscription") && detail.contains("Blue Bottle"), "{detail}");
    assert_eq!(blue.balances().await?, (10_000_000, 0), "nothing was accepted");

    host.cli(&["consumers", "subscribe", "Blue Bottle", "demo/members"]).await?.expect(0)?;
    host.cli(&["consumers", "subscribe", "Blue Bottle", "demo/members"]).await?.expect(0)?;
    blue.call("demo/members").json(&json!({})).send().await?.expect(200)?;
    assert_eq!(refused(&other, "demo/members").await?.0, "not-subscribed");
    assert_eq!(line(&host, "demo/members").await?["subscribers"], 1);
    let shown = host.cli(&["api", "subscribers", "demo/members"]).await?.expect(0)?.stdout;
    assert!(shown.contains("Blue Bottle") && !shown.contains("other"), "{shown}");

    let host = host.restart().await?;
    let (blue, other) = (host.consumer(key(&blue)), host.consumer(key(&other)));
    blue.call("demo/members").json(&json!({})).send().await?.expect(200)?;
    assert_eq!(refused(&other, "demo/members").await?.0, "not-subscribed");
    other.call("demo/open").json(&json!({})).send().await?.expect(200)?;

    host.cli(&["consumer", "unsubscribe", "Blue Bottle", "demo/members"]).await?.expect(0)?;
    assert_eq!(refused(&blue, "demo/members").await?.0, "not-subscribed");
    host.cli(&["consumers", "unsubscribe", "Blue Bottle", "demo/members"]).await?.expect(1)?;
    for (name, api, what) in [("nobody", "demo/members", "nobody"), ("other", "demo/none", "demo/none")] {
        let output = host.cli(&["consumers", "subscribe", name, api]).await?.expect(1)?;
        assert!(output.stderr.contains(what), "{output:?}");
    }
    host.cli(&["consumers", "subscribe", "other", "members"]).await?.expect(64)?;
    Ok(())
}

#[tokio::test]
async fn a_paused_api_takes_no_new_calls_and_ends_what_it_has_accepted() -> Test {
    let waits = Api::new("demo", "waits", guests::echo()).price("0.050000");
    let other = Api::new("demo", "other", guests::echo());
    let plugin = Plugin::new("both", [waits, other]);
    let host = Host::builder().dev().show_log().config(crate::PAUSED).plugin(&plugin).start().await?;
    let demo = host.demo();
    // Accepted, and nothing runs in this process.
    let accepted = demo.call("demo/waits").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    host.cli(&["api", "pause", "demo/waits", "--reason", "The supplier moves."]).await?.expect(0)?;
    let (problem, body) = refused(&demo, "demo/waits").await?;
    assert_eq!((problem.as_str(), &body["reason"]), ("api-paused", &json!("The supplier moves.")));
    assert!(body["detail"].as_str().unwrap_or_default().contains("The supplier moves."), "{body}");
    demo.call("demo/other").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    assert_eq!(demo.view(&accepted).await?["status"], "accepted", "what was accepted is shown as before");

    // Another process, which runs: the pause outlives the restart, and so does what was accepted.
    let host = host.sigkill()?.with(|builder| builder.only_config(crate::QUICK)).start().await?;
    let demo = host.demo();
    let view = demo.ended(&accepted).await?;
    assert_eq!((&view["status"], &view["settlement"]["state"]), (&json!("completed"), &json!("captured")));
    assert_eq!(refused(&demo, "demo/waits").await?.0, "api-paused");
    let shown = host.cli(&["api", "list"]).await?.expect(0)?.stdout;
    assert!(shown.contains("The supplier moves."), "{shown}");

    host.cli(&["api", "resume", "demo/waits"]).await?.expect(0)?;
    demo.call("demo/waits").json(&json!({})).send().await?.expect(200)?;
    assert_eq!(line(&host, "demo/waits").await?["paused"], Value::Null);
    host.cli(&["api", "resume", "demo/none"]).await?.expect(1)?;
    host.cli(&["api", "pause", "demo/none"]).await?.expect(1)?;
    // Over HTTP a reason may be left out.
    host.admin(Method::POST, "/admin/v1/apis/demo/waits/pause").await?.expect(204)?;
    assert_eq!(refused(&demo, "demo/waits").await?.1["reason"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn a_refused_call_costs_its_caller_no_body_and_no_idempotency_key() -> Test {
    let host = with_members_and_open().await?;
    let demo = host.demo();
    // Refused before the body is looked at: it is not even JSON.
    let broken = demo.call("demo/members").raw("application/json", "{").send().await?;
    assert_eq!(broken.expect(403)?.problem()?, "not-subscribed");
    let call = || demo.call("demo/members").header("idempotency-key", "one").json(&json!({ "n": 1 }));
    call().send().await?.expect(403)?;
    host.cli(&["consumers", "subscribe", "demo", "demo/members"]).await?.expect(0)?;
    call().send().await?.expect(200)?;
    Ok(())
}
