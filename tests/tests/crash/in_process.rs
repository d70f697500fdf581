//! What stops half way without the process: an accept that is not committed yet, and a run that breaks down in the host.

use crate::Test;
use crate::scenario;
use anyhow::Context as _;
use ripost_tests::audit;
use serde_json::json;
use tokio::task::JoinSet;

#[tokio::test]
async fn while_an_accept_is_not_committed_its_key_is_in_progress_and_afterwards_names_one_request() -> Test {
    let point = "accept.before_commit";
    let host = scenario::host().failpoint(point).start().await?;
    let consumer = host.add_consumer("c1", "10").await?;
    let key = consumer.key().context("a key")?.to_owned();
    let (mut first, caller) = (JoinSet::new(), consumer.clone());
    first.spawn(async move {
        caller.call("demo/echo").json(&json!({ "n": 1 })).header("idempotency-key", "k").send().await
    });
    host.reached(point).await?;
    for body in [json!({ "n": 1 }), json!({ "n": 2 })] {
        let second = consumer.call("demo/echo").json(&body).header("idempotency-key", "\"k\"").send().await?;
        let second = second.expect(409)?;
        assert_eq!(second.problem()?, "request-in-progress");
        assert!(second.header("retry-after").is_some());
    }
    let host = host.restart().await?;
    assert!(first.join_all().await[0].is_err(), "it was never answered");
    let consumer = host.consumer(&key);
    let call = || consumer.call("demo/echo").json(&json!({ "n": 1 })).header("idempotency-key", "k");
    let id = call().header("prefer", "respond-async").accepted().await?;
    assert_eq!(call().header("prefer", "respond-async").accepted().await?, id);
    consumer.ended(&id).await?;
    audit::check(host.data())
}

#[tokio::test]
async fn a_run_that_breaks_down_inside_the_host_is_put_back_and_counted() -> Test {
    let host = scenario::host().failpoint("run.after_handler:1:panic").start().await?;
    let consumer = host.add_consumer("c1", "10").await?;
    let id = consumer.call("demo/echo").json(&json!({ "n": 1 })).header("prefer", "respond-async").accepted().await?;
    let view = consumer.ended(&id).await?;
    assert_eq!((&view["status"], &view["result"]), (&json!("completed"), &json!({ "n": 1 })));
    let runs = host.cli(&["runs", &id, "--json"]).await?.expect(0)?.json()?;
    let told: Vec<_> = (0..2).map(|index| (&runs[index]["attempt"], &runs[index]["outcome"])).collect();
    assert_eq!(told, [(&json!(1), &json!("host-failed")), (&json!(2), &json!("answered"))]);
    assert_eq!(consumer.get("/consumer").await?.json()?["limits"]["concurrency"]["used"], 0);
    audit::check(host.data())
}
