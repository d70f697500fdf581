//! `cargo xtask demo`: the first call, told step by step while it really happens.

mod edit;
mod json;
mod place;
mod told;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use camino::Utf8Path;
use ripost_tests::{Consumer, Delivery, Host, Sink, cli::DEMO_KEY, plugin::rename_into_place, verify};
use serde_json::{Value, json};

use self::told::{heading, say};
use crate::{guests, products, terminal};

/// What the seed calls.
const API: &str = "demo/bb-webhook-receiver";
const PLUGIN: &str = "reports";
/// A gateway that takes longer for something of this demonstration does not do what it promises.
const LIMIT: Duration = Duration::from_secs(15);

/// Builds, shows, and leaves the gateway running unless it is to end.
///
/// # Errors
/// The first step that was not as promised, in one line.
pub(crate) fn run(once: bool, listen: SocketAddr) -> Result<()> {
    heading("Building");
    let built = products::for_the_demo()?;
    let plugin = built.iter().find(|plugin| plugin.name == PLUGIN).context("examples/reports was not built")?;
    say(&format!("gateway  {}", told::relative(&ripost_tests::places::ripost()?)));
    say(&format!(
        "plugin   {} ({} KB, imports {})",
        told::relative(&plugin.dir),
        plugin.first().size_bytes / 1000,
        plugin.first().imports.len()
    ));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting tokio")?;
    runtime.block_on(async {
        tokio::select! {
            shown = show(once, listen) => shown,
            stop = tokio::signal::ctrl_c() => {
                stop.context("waiting for Ctrl-C")?;
                say("\nStopped.");
                Ok(())
            }
        }
    })
}

async fn show(once: bool, listen: SocketAddr) -> Result<()> {
    heading("A gateway on an empty folder");
    let folder = place::fresh()?;
    let listen = place::free(listen)?;
    let plugin_dir = products::plugins_dir().join(PLUGIN);
    let host = Host::builder().dev().listen(&listen).folder(&folder).plugin_dir(plugin_dir).start();
    let host = host.await.context("starting the gateway")?;
    let sink = Sink::start().await.context("starting the receiver")?;
    host.serves(&host.demo(), API).await?;
    say(&format!("gateway   {}   process {}, folder {}", host.url(), host.pid(), told::relative(&folder)));
    say(&format!("receiver  {}   in this program", sink.url("/hook")));

    let consumer = host.demo();
    let secret = consumer.webhook_secret().await.context("asking for the secret that webhooks are signed with")?;
    let url = sink.url("/hook");
    heading("The call");
    let title = first_call(&host, &consumer, &sink, &secret, &url).await?;
    heading("A longer one, watched from GET /requests/{id}");
    watched_call(&consumer, &sink, &secret, &url).await?;
    heading("A new revision, without a restart");
    new_revision(&host, &consumer, &sink, &secret, &title).await?;

    if once {
        let log = folder.join("host.log");
        let stopped = host.sigterm().await.context("stopping the gateway")?;
        ensure!(
            stopped.status.success(),
            "the gateway ended with {} (its log: {})",
            stopped.status,
            told::relative(&log)
        );
        heading("Everything was as promised; the gateway was stopped with SIGTERM");
        return Ok(());
    }
    stay(&host, &sink, &secret, &folder).await
}

/// The seed's call as it stands there, with this gateway's address and this receiver's.
fn seeds_call(url: &str) -> Value {
    json!({ "action": "generate-report", "format": "json", "webhook_url": url })
}

async fn first_call(host: &Host, consumer: &Consumer, sink: &Sink, secret: &str, url: &str) -> Result<String> {
    say(&told::curl(host.url(), API, DEMO_KEY, url));
    let answer = consumer.call(API).json(&seeds_call(url)).send().await?;
    say(&format!("\n{} after {:.1} ms", answer.status, answer.took.as_secs_f64() * 1000.0));
    told::headers(&answer.headers, &["location", "retry-after", "ripost-request-id"]);
    say(&json::pretty(&answer.body));
    let answer = answer.expect(202).context("the seed's call was not accepted")?;
    let webhook = sink.first(&answer.request_id()?).await?;

    heading("The webhook, as it arrived");
    say(&format!("{} {}", webhook.method, webhook.path));
    told::headers(
        &webhook.headers,
        &[
            "content-type",
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
            "ripost-request-id",
            "ripost-attempt",
        ],
    );
    say(&json::pretty(&webhook.body));
    let title = check(&webhook, secret)?;
    say("\nsignature verified with whsec_… (the consumer's secret, from GET /consumer/webhook-secret; hidden here)");
    Ok(title)
}

/// The title of a report that arrived signed and paid.
fn check(webhook: &Delivery, secret: &str) -> Result<String> {
    verify(webhook, secret).context("the signature of the webhook")?;
    let payload = webhook.json()?;
    ensure!(payload["status"] == "completed", "the request ended as {}: {}", payload["status"], payload["error"]);
    let settled = &payload["settlement"]["state"];
    ensure!(*settled == "captured", "the price of a completed request is {settled}");
    let title = payload["result"]["report"]["title"].as_str().context("the report has no title")?;
    Ok(title.to_owned())
}

async fn watched_call(consumer: &Consumer, sink: &Sink, secret: &str, url: &str) -> Result<()> {
    let mut call = seeds_call(url);
    call["rows"] = 1_000_000.into();
    let id = consumer.call(API).json(&call).accepted().await.context("a call with \"rows\": 1000000")?;
    say(&format!("{id} with \"rows\": 1000000"));
    let started = Instant::now();
    let mut last = String::new();
    let mut percents = 0;
    loop {
        let view = consumer.view(&id).await?;
        let line = told::progress(&view);
        if line != last {
            say(&format!("  {:>5} ms  {line}", started.elapsed().as_millis()));
            percents += u32::from(view["progress"]["percent"].is_u64());
            last = line;
        }
        if view["status"] != "accepted" && view["status"] != "running" && view["delivery"]["state"] == "delivered" {
            break;
        }
        ensure!(started.elapsed() < LIMIT, "{id} was not delivered within {} s: {line}", LIMIT.as_secs(), line = last);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    ensure!(percents > 0, "no progress of {id} was to be seen");
    check(&sink.first(&id).await?, secret)?;
    say("  its webhook arrived too, signature verified");
    Ok(())
}

async fn new_revision(host: &Host, consumer: &Consumer, sink: &Sink, secret: &str, title: &str) -> Result<()> {
    let before = told::status(host).await?;
    let edited = edit::edit(title)?;
    say(&format!("{}, a copy of examples/reports:", told::relative(&edited.source)));
    say(&format!("  - {}\n  + {}", edited.old_line, edited.new_line));
    // It is compiled now: the new title has this moment in it.
    let fresh = tokio::task::block_in_place(|| {
        terminal::task("rebuilding the plugin", |progress| guests::build(&edited.dir, &edited.out, progress))
    })?;
    say(&format!("rebuilt in {}", terminal::seconds(fresh.took)));

    let name = fresh.first().path.file_name().context("a component has a name")?;
    let bytes = std::fs::read(&fresh.first().path).with_context(|| format!("reading {}", fresh.first().path))?;
    let place = host.plugins().join(PLUGIN).join(name);
    rename_into_place(host.stage(), &place, &bytes)?;
    let renamed = Instant::now();
    let calls = first_answer_of(consumer, &edited.title).await?;
    say(&format!(
        "renamed into {}; the first answer of the new revision came {} ms later, call {calls} of those made meanwhile",
        told::relative(Utf8Path::new(&place)),
        renamed.elapsed().as_millis(),
    ));

    let id = consumer.call(API).json(&seeds_call(&sink.url("/hook"))).accepted().await?;
    let now = check(&sink.first(&id).await?, secret)?;
    ensure!(now == edited.title, "the webhook of {id} has the title `{now}`, not `{}`", edited.title);
    let after = told::status(host).await?;
    say(&format!(
        "\n             title                                  revision\n  before     {title:<37}  {}",
        before.digest
    ));
    say(&format!("  now        {now}\n             {:<37}  {}", "", after.digest));
    ensure!(before.digest != after.digest, "`ripost status` shows the same revision before and after");
    ensure!(before.started_at == after.started_at, "the gateway was started again meanwhile");
    say(&format!("  process    {} all the time, started {}", host.pid(), after.started_at));
    Ok(())
}

/// Calls until an answer has the new title; every one of these calls must be answered.
async fn first_answer_of(consumer: &Consumer, title: &str) -> Result<u32> {
    let started = Instant::now();
    let call = json!({ "action": "generate-report", "format": "json", "rows": 1 });
    let mut calls = 0;
    while started.elapsed() < LIMIT {
        calls += 1;
        let answer = consumer.call(API).header("prefer", "wait=10").json(&call).send().await?;
        let answer = answer.expect(200).context("a call while the plugin was replaced")?;
        if answer.json()?["report"]["title"] == title {
            return Ok(calls);
        }
    }
    bail!("no answer of the new revision came within {} s", LIMIT.as_secs())
}

async fn stay(host: &Host, sink: &Sink, secret: &str, folder: &Utf8Path) -> Result<()> {
    /// The receiver keeps what it prints; beyond that it only counts.
    const SHOWN_MAX: usize = 10_000;
    heading("Everything was as promised; gateway and receiver stay until Ctrl-C");
    say(&told::what_next(host, folder));
    let (consumer, mut shown, mut silent_since) = (host.demo(), sink.count(), None);
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        match (consumer.get("/readyz").await.is_ok(), silent_since) {
            (true, _) => silent_since = None,
            (false, None) => silent_since = Some(Instant::now()),
            (false, Some(since)) => {
                ensure!(since.elapsed() < LIMIT, "the gateway does not answer any more (its log: {folder}/host.log)");
            }
        }
        if sink.count() == shown || shown >= SHOWN_MAX {
            continue;
        }
        for webhook in sink.deliveries().into_iter().skip(shown) {
            let verified = if verify(&webhook, secret).is_ok() { "verified" } else { "NOT verified" };
            let status = webhook.json().map(|payload| payload["status"].as_str().unwrap_or("?").to_owned());
            say(&format!(
                "webhook {} of {}: {}, {verified}",
                webhook.id(),
                webhook.request_id(),
                status.unwrap_or_default()
            ));
            shown += 1;
        }
        if shown >= SHOWN_MAX {
            sink.forget();
            say("more webhooks are received and no longer shown");
        }
    }
}
