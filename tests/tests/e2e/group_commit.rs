//! Durable before the 202, and many in one sync: both counted at the system call.

use crate::{PAUSED, Test};
use anyhow::Result;
use ripost_tests::syncs::Syncs;
use ripost_tests::{Api, Host, Plugin, guests};
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinSet;

const CLIENTS: u64 = 64;
const CALLS: u64 = 20;

async fn paused(syncs: &Syncs, delay: Duration) -> Result<Host> {
    let api = Api::new("demo", "echo", guests::echo()).price("0.050000");
    let host = Host::builder().dev().show_log().config(PAUSED).plugin(&Plugin::new("echo", [api]));
    syncs.environment(delay).iter().fold(host, |host, (name, value)| host.env(name, value)).start().await
}

#[tokio::test]
async fn many_calls_at_once_share_their_commits_and_syncs() -> Test {
    let syncs = Syncs::new()?;
    let host = paused(&syncs, Duration::from_millis(3)).await?;
    let consumer = host.demo();
    // The first call opens what is opened once.
    consumer.call("demo/echo").json(&json!({})).header("prefer", "respond-async").accepted().await?;
    let (syncs_before, before) = (syncs.count()?, host.metrics().await?);
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let consumer = consumer.clone();
        clients.spawn(async move {
            for call in 0..CALLS {
                let body = json!({ "client": client, "call": call, "webhook_url": "http://127.0.0.1:9/" });
                consumer.call("demo/echo").json(&body).accepted().await?;
            }
            anyhow::Ok(())
        });
    }
    clients.join_all().await.into_iter().collect::<Result<()>>()?;
    let (made, after) = (syncs.count()? - syncs_before, host.metrics().await?);
    let grown = |name: &str| after.sum(name, "") - before.sum(name, "");
    let calls = (CLIENTS * CALLS) as f64;
    let (commits, operations) = (grown("ripost_store_commits_total"), grown("ripost_store_operations_total"));
    assert!(operations >= calls, "{operations} operations for {calls} calls");
    assert!(commits * 8.0 < calls, "{commits} commits for {calls} calls");
    assert!(made * 8 < CLIENTS * CALLS, "{made} syncs for {calls} calls");
    assert!(made as f64 >= commits, "{commits} commits were synced {made} times: each commit is a sync of its own");
    assert_eq!(ripost_tests::audit::count(host.data(), "requests")?, CLIENTS * CALLS + 1);
    ripost_tests::audit::check(host.data())?;
    Ok(())
}

#[tokio::test]
async fn no_202_comes_before_the_sync_that_makes_it_true() -> Test {
    const DELAY: Duration = Duration::from_millis(300);
    let syncs = Syncs::new()?;
    let host = paused(&syncs, DELAY).await?;
    let consumer = host.demo();
    let mut calls = JoinSet::new();
    for number in 0..24 {
        let consumer = consumer.clone();
        calls.spawn(async move {
            // At different moments, so that some come in the middle of another's commit.
            tokio::time::sleep(Duration::from_millis(20 * number)).await;
            let call = consumer.call("demo/echo").json(&json!({ "n": number, "webhook_url": "http://127.0.0.1:9/" }));
            call.send().await?.expect(202)
        });
    }
    let before = syncs.count()?;
    for answer in calls.join_all().await {
        let answer = answer?;
        assert!(answer.took >= DELAY, "a 202 after {:?}, with a sync of {DELAY:?}", answer.took);
    }
    assert!(syncs.count()? > before);
    Ok(())
}
