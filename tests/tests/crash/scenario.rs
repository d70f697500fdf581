//! How each point is reached, and what must be true after the restart.
//!
//! A point that is not reached fails its test: [`Host::reached`] waits for the line that the host prints there.

use crate::Test;
use anyhow::{Context as _, Result};
use ripost_tests::guests::{self, Failure};
use ripost_tests::{Api, Consumer, Host, HostBuilder, Plugin, Reply, Sink, audit, until, verify};
use serde_json::json;
use std::time::Duration;

/// On which side of a commit.
#[derive(Clone, Copy)]
pub(crate) enum Stop {
    Before,
    After,
}

pub(crate) const QUICK: &str = "[delivery]\nschedule = [\"0 ms\", \"50 ms\", \"50 ms\", \"100 ms\", \"200 ms\"]\nsweep = \"50 ms\"\n[runs]\nsweep = \"50 ms\"\n";
pub(crate) const PAUSED: &str = "[delivery]\nschedule = [\"0 ms\", \"50 ms\", \"50 ms\", \"100 ms\", \"200 ms\"]\nsweep = \"50 ms\"\n[runs]\nsweep = \"50 ms\"\npaused = true\n";

/// The price of every API here, in micro-USDC.
const PRICE: i64 = 50_000;
/// What an answer of `demo/part` costs of it.
const PART: i64 = 20_000;
/// What the consumer begins with, in micro-USDC.
const CREDIT: i64 = 10_000_000;
/// Requests that were accepted before the point is reached, so that there is something to lose.
const BYSTANDERS: usize = 3;

fn plugin() -> Plugin {
    let apis = [
        ("echo", guests::echo()),
        ("second", guests::fails_first(1, Failure::Retry(Some(0)))),
        ("large", guests::answers_bytes(100_000)),
        ("traps", guests::traps()),
        ("part", guests::answers(200, &[("ripost-capture-usdc", "0.02")], b"{}")),
    ];
    let apis = apis.map(|(slug, component)| Api::new("demo", slug, component).price("0.050000"));
    let plain = Api::new("demo", "plain", guests::echo()).price("0.050000").line("delivery = \"off\"");
    Plugin::new("crash", apis.into_iter().chain([plain]))
}

pub(crate) fn host() -> HostBuilder {
    Host::builder().dev().show_log().config(QUICK).plugin(&plugin())
}

/// What was promised so far: the consumer, where its webhooks go, and the ids that came with a 202.
pub(crate) struct Promises {
    key: String,
    pub(crate) sink: Sink,
    pub(crate) accepted: Vec<String>,
    /// Priced calls that were answered on their own connections.
    paid_directly: i64,
}

impl Promises {
    /// Prepares a folder with a consumer and some requests that have ended, without any failpoint.
    pub(crate) async fn prepare() -> Result<(Host, Self)> {
        let host = host().start().await?;
        let consumer = host.add_consumer("c1", "10").await?;
        let key = consumer.key().context("a key")?.to_owned();
        let mut promises = Self { key, sink: Sink::start().await?, accepted: Vec::new(), paid_directly: 0 };
        for _ in 0..BYSTANDERS {
            let id = promises.call(&consumer, "demo/echo").accepted().await?;
            consumer.delivery(&id, "delivered").await?;
            promises.accepted.push(id);
        }
        Ok((host, promises))
    }

    pub(crate) fn consumer(&self, host: &Host) -> Consumer {
        host.consumer(&self.key)
    }

    pub(crate) fn call<'c>(&self, consumer: &'c Consumer, api: &str) -> ripost_tests::consumer::Call<'c> {
        consumer.call(api).json(&json!({ "n": 1, "webhook_url": self.sink.url("/") }))
    }

    /// After the restart: everything that was accepted has ended once, was paid or released once, and its webhook has
    /// come, with one id over all attempts.
    pub(crate) async fn are_kept(self, host: Host) -> Test {
        let consumer = self.consumer(&host);
        let secret = consumer.webhook_secret().await?;
        let mut paid = PRICE * self.paid_directly;
        for id in &self.accepted {
            let view = consumer.ended(id).await.with_context(|| format!("{id} was accepted"))?;
            paid += match view["status"] == "completed" {
                true if view["api"] == "demo/part" => PART,
                true => PRICE,
                false => 0,
            };
            consumer.delivery(id, "delivered").await?;
            let attempts = self.sink.wait(id, 1).await?;
            for attempt in &attempts {
                assert_eq!(attempt.id(), attempts[0].id(), "one id over all attempts");
                assert_eq!(attempt.body, attempts[0].body, "the same bytes in all attempts");
                verify(attempt, &secret)?;
            }
            let sent = consumer.get(&format!("/requests/{id}/webhooks/completed")).await?.expect(200)?;
            assert_eq!(sent.body, attempts[0].body);
        }
        until("the money is where it belongs", Duration::from_secs(10), async || {
            Ok((consumer.balances().await? == (CREDIT - paid, 0)).then_some(()))
        })
        .await?;
        none_is_unfinished(&consumer).await?;
        let stopped = host.sigterm().await?;
        audit::check(stopped.data())?;
        stopped.cli(&["ledger", "audit"]).await?.expect(0)?;
        Ok(())
    }
}

/// What counts against a limit of what may be there at once: the count is in memory, and right after any crash.
pub(crate) async fn none_is_unfinished(consumer: &Consumer) -> Test {
    until("no request counts as unfinished", Duration::from_secs(10), async || {
        let shown = consumer.get("/consumer").await?.expect(200)?.json()?;
        Ok((shown["limits"]["concurrency"]["used"] == 0).then_some(()))
    })
    .await
}

/// The point lies around the one commit of a priced call that is answered on its own connection: before it nothing has
/// happened, after it the call is paid for and its result is there.
pub(crate) async fn answering_directly(point: &str) -> Test {
    let (host, mut promises) = Promises::prepare().await?;
    let host = host.sigterm().await?.with(|host| host.failpoint(point)).start().await?;
    let consumer = promises.consumer(&host);
    tokio::select! {
        answer = consumer.call("demo/plain").json(&json!({})).send() => anyhow::bail!("{point} was not reached before this answer: {answer:?}"),
        reached = host.reached(point) => reached,
    }?;
    let host = host.restart().await?;
    let consumer = promises.consumer(&host);
    let listed = consumer.get("/requests?api=demo/plain").await?.expect(200)?.json()?;
    let listed = listed["requests"].as_array().context("a list")?.clone();
    if point.contains("before") {
        assert_eq!(listed, [] as [serde_json::Value; 0], "it was never accepted");
    } else {
        assert_eq!(listed.len(), 1);
        let id = listed[0]["requestId"].as_str().context("an id")?;
        consumer.get(&format!("/requests/{id}/result")).await?.expect(200)?;
        promises.paid_directly = 1;
    }
    promises.are_kept(host).await
}

/// The point lies between a run and the webhook that tells of its start: that webhook is sent, and once is enough.
pub(crate) async fn telling_of_a_start(point: &str) -> Test {
    let (host, promises) = Promises::prepare().await?;
    let host = host.sigterm().await?.with(|host| host.failpoint(point)).start().await?;
    let consumer = promises.consumer(&host);
    let sink = Sink::start().await?;
    let body = json!({ "webhook_url": sink.url("/"), "webhook_events": ["started", "completed"] });
    let id = consumer.call("demo/echo").json(&body).accepted().await?;
    host.reached(point).await?;
    let host = host.restart().await?;
    let consumer = promises.consumer(&host);
    consumer.delivery(&id, "delivered").await?;
    for event in ["started", "completed"] {
        until(&format!("{event} is delivered"), Duration::from_secs(10), async || {
            Ok((consumer.delivery_of(&id, event).await?["state"] == "delivered").then_some(()))
        })
        .await?;
    }
    let ids: std::collections::BTreeSet<String> = sink.of(&id).iter().map(|sent| sent.id().to_owned()).collect();
    assert_eq!(ids.len(), 2, "one id for each event");
    let stopped = host.sigterm().await?;
    stopped.cli(&["ledger", "audit"]).await?.expect(0)?;
    Ok(())
}

/// The point lies between the wish for another delivery and its answer: either it was heard or it was not.
pub(crate) async fn redelivering(point: &str) -> Test {
    let (host, promises) = Promises::prepare().await?;
    let host = host.sigterm().await?.with(|host| host.failpoint(point)).start().await?;
    let consumer = promises.consumer(&host);
    let id = promises.accepted[0].clone();
    tokio::select! {
        answer = consumer.redeliver(&id).send() => anyhow::bail!("{point} was not reached before this answer: {answer:?}"),
        reached = host.reached(point) => reached,
    }?;
    let host = host.restart().await?;
    if point.contains("after") {
        promises.sink.wait(&id, 2).await?;
    }
    promises.are_kept(host).await
}

/// The point lies between the wish to cancel and its answer: either the request is cancelled for good, or it runs.
pub(crate) async fn cancelling(point: &str) -> Test {
    let (host, mut promises) = Promises::prepare().await?;
    let host = host.sigterm().await?.with(|host| host.failpoint(point).only_config(PAUSED)).start().await?;
    let consumer = promises.consumer(&host);
    let id = promises.call(&consumer, "demo/echo").accepted().await?;
    let cancel = consumer.request(http::Method::POST, &format!("/requests/{id}/cancel"));
    tokio::select! {
        answer = cancel.send() => anyhow::bail!("{point} was not reached before this answer: {answer:?}"),
        reached = host.reached(point) => reached,
    }?;
    let host = host.sigkill()?.with(|host| host.only_config(QUICK)).start().await?;
    let expected = if point.contains("after") { "cancelled" } else { "completed" };
    assert_eq!(promises.consumer(&host).ended(&id).await?["status"], expected);
    promises.accepted.push(id);
    promises.are_kept(host).await
}

/// The point lies between the call and its 202: the caller hears nothing, and may call again with its key.
pub(crate) async fn accepting(point: &str) -> Test {
    let (host, mut promises) = Promises::prepare().await?;
    let host = host.sigterm().await?.with(|host| host.failpoint(point)).start().await?;
    let consumer = promises.consumer(&host);
    let key = "one-intent";
    let call = promises.call(&consumer, "demo/echo").header("idempotency-key", key);
    let unanswered = tokio::select! {
        answer = call.send() => anyhow::bail!("{point} was not reached before this answer: {answer:?}"),
        reached = host.reached(point) => reached,
    };
    unanswered?;
    let host = host.restart().await?;
    let consumer = promises.consumer(&host);
    let again = promises.call(&consumer, "demo/echo").header("idempotency-key", key).accepted().await?;
    let same = promises.call(&consumer, "demo/echo").header("idempotency-key", key).accepted().await?;
    assert_eq!(again, same, "one intent is one request");
    assert_eq!(audit::count(host.data(), "requests")?, BYSTANDERS as u64 + 1, "whether it was committed or not");
    promises.accepted.push(again);
    promises.are_kept(host).await
}

/// The point lies after the 202 of a call of an API, in this process.
async fn after_accept(point: &str, api: &str) -> Test {
    let (host, mut promises) = Promises::prepare().await?;
    let host = host.sigterm().await?.with(|host| host.failpoint(point)).start().await?;
    let consumer = promises.consumer(&host);
    promises.accepted.push(promises.call(&consumer, api).accepted().await?);
    host.reached(point).await?;
    promises.are_kept(host.restart().await?).await
}

pub(crate) async fn running(point: &str) -> Test {
    after_accept(point, "demo/echo").await?;
    // The same for a request that fails: its hold is released once.
    after_accept(point, "demo/traps").await
}

pub(crate) async fn putting_back(point: &str) -> Test {
    after_accept(point, "demo/second").await
}

pub(crate) async fn finishing_large(point: &str) -> Test {
    after_accept(point, "demo/large").await
}

/// The point lies between an upstream's acknowledgement and what follows from it: its callback URL stays good.
pub(crate) async fn awaiting(point: &str) -> Test {
    let service = Sink::start().await?;
    service.otherwise(Reply::status(202));
    let manifest = format!(
        "[plugin]\nname = \"up\"\nversion = \"1\"\n\n[[api]]\nowner = \"demo\"\nslug = \"up\"\nupstream = \"{}\"\nprice = \"0.050000\"\n",
        service.url("/")
    );
    let upstream = Plugin::new("up", []).with_manifest(|_| manifest);
    let (host, mut promises) = Promises::prepare().await?;
    let stopped = host.sigterm().await?;
    upstream.install(stopped.stage(), stopped.plugins())?;
    let host = stopped.with(|host| host.failpoint(point)).start().await?;
    let consumer = promises.consumer(&host);
    let id = promises.call(&consumer, "demo/up").accepted().await?;
    host.reached(point).await?;
    let url = service.first(&id).await?.header("ripost-callback-url").to_owned();
    let path = url.find("/callbacks/").map(|at| &url[at..]).context("a callback URL")?;
    let host = host.restart().await?;
    let owner = Consumer::new(host.url(), None);
    let posted = owner.request(http::Method::POST, path).json(&json!({ "made": 1 })).send().await?.expect(200)?;
    assert_eq!(posted.json()?["status"], "completed");
    promises.accepted.push(id);
    promises.are_kept(host).await
}

/// Claims are for what an earlier process accepted and did not run.
pub(crate) async fn claiming_runs(point: &str) -> Test {
    let (host, mut promises) = Promises::prepare().await?;
    let host = host.sigterm().await?.with(|host| host.only_config(PAUSED)).start().await?;
    let consumer = promises.consumer(&host);
    for _ in 0..5 {
        promises.accepted.push(promises.call(&consumer, "demo/echo").accepted().await?);
    }
    let stopped = host.sigkill()?.with(|host| host.only_config(QUICK).failpoint(point));
    let host = stopped.start_unready().await?;
    host.reached(point).await?;
    promises.are_kept(host.restart().await?).await
}

/// Claims are for every attempt after the first.
pub(crate) async fn claiming_deliveries(point: &str) -> Test {
    let (host, mut promises) = Promises::prepare().await?;
    let host = host.sigterm().await?.with(|host| host.failpoint(point)).start().await?;
    let consumer = promises.consumer(&host);
    promises.sink.script([Reply::status(500)]);
    promises.accepted.push(promises.call(&consumer, "demo/echo").accepted().await?);
    host.reached(point).await?;
    promises.are_kept(host.restart().await?).await
}

/// A new revision comes while requests wait that were accepted under the old one.
pub(crate) async fn activating(point: &str) -> Test {
    let (host, mut promises) = Promises::prepare().await?;
    let host = host.sigterm().await?.with(|host| host.only_config(PAUSED)).start().await?;
    let consumer = promises.consumer(&host);
    let old = promises.call(&consumer, "demo/echo").accepted().await?;
    promises.accepted.push(old.clone());
    let stopped = host.sigkill()?;
    let new = Plugin::new("crash", [Api::new("demo", "echo", guests::says("new")).price("0.050000")]);
    new.install(stopped.stage(), stopped.plugins())?;
    let stopped = stopped.with(|host| host.only_config(QUICK).failpoint(point));
    let host = stopped.start_unready().await?;
    host.reached(point).await?;
    let host = host.restart().await?;
    let consumer = promises.consumer(&host);
    host.serves(&consumer, "demo/echo").await?;
    let id = until("the new revision answers", Duration::from_secs(5), async || {
        let id = promises.call(&consumer, "demo/echo").accepted().await?;
        let view = consumer.ended(&id).await?;
        promises.accepted.push(id.clone());
        Ok((view["result"] == "new").then_some(id))
    })
    .await?;
    assert_ne!(id, old);
    assert_eq!(consumer.ended(&old).await?["result"], json!({ "n": 1 }), "the old request keeps its revision");
    promises.are_kept(host).await
}

/// The operator hears nothing, looks, and adds the consumer if it is not there.
pub(crate) async fn adding_a_consumer(point: &str) -> Test {
    // Not development mode: that adds a consumer of its own at the first start.
    let host = Host::builder().show_log().config(QUICK).plugin(&plugin()).failpoint(point).start().await?;
    let interrupted = tokio::select! {
        output = host.cli(&["consumer", "add", "c1", "--credit", "10", "--json"]) => {
            anyhow::bail!("{point} was not reached before this answer: {output:?}")
        }
        reached = host.reached(point) => reached,
    };
    interrupted?;
    let host = host.restart().await?;
    let list = host.cli(&["consumer", "list", "--json"]).await?.expect(0)?.json()?;
    let listed = list.as_array().map_or(0, Vec::len);
    let committed = point.ends_with("after_commit");
    assert_eq!(listed, usize::from(committed), "{list}");
    let name = if committed { "c2" } else { "c1" };
    let consumer = host.add_consumer(name, "10").await?;
    let key = consumer.key().context("a key")?.to_owned();
    // The webhook needs development mode's loopback: the ledger is what counts here.
    let id = consumer.call("demo/echo").json(&json!({})).header("prefer", "respond-async").accepted().await?;
    assert_eq!(host.consumer(&key).ended(&id).await?["status"], "completed");
    assert_eq!(consumer.balances().await?, (CREDIT - PRICE, 0));
    let stopped = host.sigterm().await?;
    audit::check(stopped.data())?;
    stopped.cli(&["ledger", "audit"]).await?.expect(0)?;
    Ok(())
}

/// The operator hears nothing and says the same again: the reference is credited once, whichever side it was killed on.
pub(crate) async fn crediting(point: &str) -> Test {
    let host = host().start().await?;
    let consumer = host.add_consumer("c1", "10").await?;
    let key = consumer.key().context("a key")?.to_owned();
    let host = host.sigterm().await?.with(|host| host.failpoint(point)).start().await?;
    let credit = ["consumers", "credit", "c1", "2.5", "--reference", "inv-1", "--json"];
    let interrupted = tokio::select! {
        output = host.cli(&credit) => anyhow::bail!("{point} was not reached before this answer: {output:?}"),
        reached = host.reached(point) => reached,
    };
    interrupted?;
    let host = host.restart().await?;
    let again = host.cli(&credit).await?.expect(0)?.json()?;
    assert_eq!(again["repeated"], point.ends_with("after_commit"), "{again}");
    assert_eq!(host.consumer(&key).balances().await?, (CREDIT + 2_500_000, 0));
    let stopped = host.sigterm().await?;
    audit::check(stopped.data())?;
    stopped.cli(&["ledger", "audit"]).await?.expect(0)?;
    Ok(())
}

pub(crate) async fn seeding(stop: Stop) -> Test {
    let point = match stop {
        Stop::Before => "consumer.before_commit",
        Stop::After => "consumer.after_commit",
    };
    let host = host().failpoint(point).start_unready().await?;
    host.reached(point).await?;
    let host = host.restart().await?;
    assert_eq!(host.demo().balances().await?, (1_000_000_000_000, 0), "once, whichever side it was killed on");
    let stopped = host.sigterm().await?;
    audit::check(stopped.data())
}
