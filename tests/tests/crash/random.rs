//! SIGKILL under load, at moments that nobody chose.

use crate::Test;
use crate::scenario::{self, none_is_unfinished};
use anyhow::{Context as _, Result};
use ripost_tests::{Consumer, Host, Sink, audit, until, verify};
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::task::JoinSet;

/// How often the host is killed.
const KILLS: u64 = 8;
/// Clients that call all the time.
const CLIENTS: u64 = 16;

/// One client: calls until its connection breaks; what it was promised, by idempotency key.
async fn client(consumer: Consumer, number: u64, kill: u64, url: String) -> HashMap<String, String> {
    let mut accepted = HashMap::new();
    for call in 0_u64.. {
        let apis = ["demo/echo", "demo/second", "demo/traps", "demo/large", "demo/part"];
        let api = apis[usize::try_from(call % 5).unwrap()];
        let key = format!("{kill}-{number}-{call}");
        let body = json!({ "key": key, "webhook_url": url });
        let Ok(answer) = consumer.call(api).json(&body).header("idempotency-key", &key).send().await else { break };
        match answer.expect(202).and_then(|answer| answer.request_id()) {
            Ok(id) => drop(accepted.insert(key, id)),
            Err(_) => break,
        }
    }
    accepted
}

#[tokio::test]
async fn killed_at_any_moment_under_load_no_promise_is_broken() -> Test {
    // The money of the test's consumer lasts for all it can call.
    let mut host = scenario::host().start().await?;
    let key = host.add_consumer("c1", "100000").await?.key().context("a key")?.to_owned();
    let sink = Sink::start().await?;
    let mut promised: HashMap<String, String> = HashMap::new();
    for kill in 0..KILLS {
        let consumer = host.consumer(&key);
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            clients.spawn(client(consumer.clone(), number, kill, sink.url("/")));
        }
        // Different moments after the first answers, spread by a multiplier without a pattern.
        tokio::time::sleep(Duration::from_millis(80 + kill * 137 % 240)).await;
        let stopped = host.sigkill()?;
        for accepted in clients.join_all().await {
            promised.extend(accepted);
        }
        audit::check(stopped.data()).with_context(|| format!("after kill {kill}"))?;
        host = stopped.start().await?;
    }
    assert!(promised.len() > 50, "only {} requests were accepted: the load was no load", promised.len());
    let ids: HashSet<&String> = promised.values().collect();
    assert_eq!(ids.len(), promised.len(), "one request for each key");
    all_end_once(&host, &host.consumer(&key), &sink, &promised).await?;
    none_is_unfinished(&host.consumer(&key)).await?;
    let stopped = host.sigterm().await?;
    audit::check(stopped.data())?;
    stopped.cli(&["ledger", "audit"]).await?.expect(0)?;
    Ok(())
}

async fn all_end_once(host: &Host, consumer: &Consumer, sink: &Sink, promised: &HashMap<String, String>) -> Result<()> {
    until("everything has ended and was delivered", Duration::from_secs(15), async || {
        let queues = host.cli(&["status", "--json"]).await?.expect(0)?.json()?["queues"].clone();
        let waiting: u64 = ["requests_accepted", "requests_running", "deliveries_pending", "deliveries_in_flight"]
            .iter()
            .map(|name| queues[name].as_u64().unwrap_or(u64::MAX / 8))
            .sum();
        Ok((waiting == 0).then_some(()))
    })
    .await?;
    let secret = consumer.webhook_secret().await?;
    let mut webhooks: HashMap<String, Vec<ripost_tests::Delivery>> = HashMap::new();
    for delivery in sink.deliveries() {
        webhooks.entry(delivery.request_id().to_owned()).or_default().push(delivery);
    }
    for (key, id) in promised {
        let attempts = webhooks.get(id).with_context(|| format!("{id} of {key} was accepted and no webhook came"))?;
        let first = &attempts[0];
        assert!(attempts.iter().all(|attempt| attempt.id() == first.id() && attempt.body == first.body), "{id}");
        verify(first, &secret)?;
        let view = consumer.view(id).await?;
        assert!(matches!(view["status"].as_str(), Some("completed" | "failed")), "{id}: {view}");
        assert_eq!(first.json()?["status"], view["status"], "{id}");
    }
    Ok(())
}
