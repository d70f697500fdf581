//! A thousand requests on their way, and SIGKILL in the middle of it: nothing is lost, and what comes twice was in
//! flight when the host was killed.

use crate::{Test, scenario};
use anyhow::Context as _;
use ripost_tests::{Reply, Sink, audit, until, verify};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::task::JoinSet;

const REQUESTS: usize = 1000;
const KILLS: usize = 3;
/// Calls at once.
const ABREAST: usize = 32;

#[tokio::test]
async fn with_a_thousand_in_flight_nothing_is_lost_and_only_what_was_in_flight_comes_twice() -> Test {
    // Long enough that most of the thousand are under way or waiting at each kill.
    let slow = Duration::from_millis(40);
    let mut host = scenario::host().start().await?;
    let key = host.add_consumer("c1", "1000").await?.key().context("a key")?.to_owned();
    let sinks = [Sink::start().await?, Sink::start().await?, Sink::start().await?];
    for sink in &sinks {
        sink.otherwise(Reply::status(200).after(slow));
    }
    let consumer = host.consumer(&key);
    let mut calls = JoinSet::new();
    for client in 0..ABREAST {
        let consumer = consumer.clone();
        let urls: Vec<String> = sinks.iter().map(|sink| sink.url("/")).collect();
        calls.spawn(async move {
            let mut accepted = Vec::new();
            for number in (client..REQUESTS).step_by(ABREAST) {
                let body = json!({ "n": number, "webhook_url": urls[number % urls.len()] });
                accepted.push(consumer.call("demo/echo").json(&body).accepted().await?);
            }
            anyhow::Ok(accepted)
        });
    }
    let mut accepted = BTreeSet::new();
    for ids in calls.join_all().await {
        accepted.extend(ids?);
    }
    assert_eq!(accepted.len(), REQUESTS);
    let mut in_flight = 0;
    for kill in 0..KILLS {
        let stopped = host.sigkill()?;
        in_flight += audit::count(stopped.data(), "deliveries WHERE state = 'in_flight'")?;
        audit::check(stopped.data()).with_context(|| format!("after kill {kill}"))?;
        host = stopped.start().await?;
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    for sink in &sinks {
        sink.otherwise(Reply::status(200));
    }
    let arrivals = || sinks.iter().flat_map(Sink::deliveries).collect::<Vec<_>>();
    until("every accepted id has reached a sink", Duration::from_secs(30), async || {
        let seen: BTreeSet<String> = arrivals().iter().map(|sent| sent.request_id().to_owned()).collect();
        Ok((seen == accepted).then_some(()))
    })
    .await?;
    until("all of them are recorded", Duration::from_secs(30), async || {
        let open = audit::count(host.data(), "deliveries WHERE state <> 'delivered'")?;
        Ok((open == 0).then_some(()))
    })
    .await?;
    let secret = host.consumer(&key).webhook_secret().await?;
    let mut of_request: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for sent in arrivals() {
        of_request.entry(sent.request_id().to_owned()).or_default().push(sent);
    }
    let mut twice = 0;
    for (id, attempts) in &of_request {
        let first = &attempts[0];
        verify(first, &secret)?;
        assert!(attempts.iter().all(|sent| sent.id() == first.id() && sent.body == first.body), "{id}");
        twice += attempts.len() as u64 - 1;
    }
    assert!(in_flight > 0, "nothing was in flight at any kill: the test has shown nothing");
    assert!(twice <= in_flight, "{twice} came again, and {in_flight} were in flight");
    let stopped = host.sigterm().await?;
    audit::check(stopped.data())?;
    stopped.cli(&["ledger", "audit"]).await?.expect(0)?;
    Ok(())
}
