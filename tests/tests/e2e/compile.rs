//! Compiling in a process of its own, and the cache of what came of it.

use crate::{Test, host};
use anyhow::{Context as _, Result};
use camino::Utf8PathBuf;
use ripost_tests::{Host, HostBuilder, Plugin, Stopped, guests, until};
use serde_json::{Value, json};
use std::time::Duration;

/// Long enough for a good component on a busy machine, far too short for a bomb.
const SHORT: &str = "[compile]\nwall = \"1500 ms\"\n";
const LONG: &str = "[compile]\nwall = \"60 s\"\n";

fn compiling(config: &str) -> HostBuilder {
    host().config(config).plugin(&Plugin::one("word", guests::says("good")))
}

async fn assert_answers(host: &Host) -> Test {
    let answer = host.demo().call("demo/word").json(&json!({})).send().await?.expect(200)?;
    assert_eq!(answer.body, "good");
    Ok(())
}

/// What `ripost status` says of a plugin.
async fn status(host: &Host, plugin: &str) -> Result<Value> {
    let status = host.cli(&["status", "--json"]).await?.expect(0)?.json()?;
    let plugins = status["plugins"].as_array().cloned().unwrap_or_default();
    Ok(plugins.into_iter().find(|status| status["key"] == plugin).unwrap_or_default())
}

/// The reason for which a plugin was rejected, and at which stage.
async fn rejected(host: &Host, plugin: &str) -> Result<(String, String)> {
    until(&format!("{plugin} is rejected"), Duration::from_secs(15), async || {
        let status = status(host, plugin).await?;
        let text = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
        Ok((text("state") == "rejected").then(|| (text("stage"), text("reason"))))
    })
    .await
}

/// Compile workers whose parent this is or was, as long as they run.
struct Worker(u32);

impl Worker {
    fn of(host: &Host) -> Result<Option<Self>> {
        for entry in std::fs::read_dir("/proc").context("reading /proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let worker = Self(pid);
            if worker.runs() && worker.parent() == Some(host.pid()) {
                return Ok(Some(worker));
            }
        }
        Ok(None)
    }

    async fn wait_for(host: &Host) -> Result<Self> {
        until("a compile worker", Duration::from_secs(10), async || Self::of(host)).await
    }

    /// State and parent come after the name, which may have anything in it.
    fn stat(&self) -> Option<(String, u32)> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        let mut fields = stat.rsplit(") ").next()?.split(' ');
        Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
    }

    fn parent(&self) -> Option<u32> {
        Some(self.stat()?.1)
    }

    fn runs(&self) -> bool {
        let arguments = std::fs::read(format!("/proc/{}/cmdline", self.0)).unwrap_or_default();
        // One that has ended and that nobody has fetched yet has no arguments.
        arguments.windows(14).any(|part| part == b"compile-worker")
            && self.stat().is_some_and(|(state, _)| state != "Z")
    }

    async fn wait_for_end(&self) -> Test {
        until("the compile worker's end", Duration::from_secs(5), async || Ok((!self.runs()).then_some(()))).await
    }
}

/// The one file in the cache.
fn artefact(stopped: &Stopped) -> Result<Utf8PathBuf> {
    let entry = stopped.data().join("cache").read_dir_utf8()?.next().context("nothing was kept")??;
    Ok(entry.into_path())
}

#[tokio::test]
async fn a_compile_bomb_is_refused_with_its_reason_while_the_last_good_revision_answers() -> Test {
    let host = compiling(SHORT).start().await?;
    Plugin::one("word", guests::compile_bomb()).install(host.stage(), host.plugins())?;
    let worker = Worker::wait_for(&host).await?;
    assert_answers(&host).await?;
    assert!(worker.runs(), "the call was answered while it was compiled");
    let (stage, reason) = rejected(&host, "word").await?;
    assert_eq!(stage, "compile");
    assert!(reason.contains("compiling took longer than the limit of 1.5 s"), "{reason}");
    assert_answers(&host).await?;
    let text = host.cli(&["status"]).await?.expect(0)?.stdout;
    assert!(text.contains("took longer than the limit"), "{text}");
    assert!(host.log().contains("took longer than the limit"), "the log says it too");
    worker.wait_for_end().await?;
    let metrics = host.metrics().await?;
    assert!(metrics.sum("ripost_compilations_total", "outcome=\"time\"") > 0.5);
    assert!(metrics.sum("ripost_compile_seconds_count", "") > 1.5);
    Ok(())
}

#[tokio::test]
async fn a_restart_compiles_nothing_again_and_a_forged_artefact_is_not_run() -> Test {
    let host = compiling(SHORT).start().await?;
    assert_answers(&host).await?;
    let metrics = host.metrics().await?;
    let counts = |metrics: &ripost_tests::Metrics| {
        let cache = |outcome: &str| metrics.sum("ripost_artefact_cache_total", &format!("outcome=\"{outcome}\""));
        [metrics.sum("ripost_compilations_total", ""), cache("hit"), cache("miss"), cache("rejected")]
            .map(|count| format!("{:.0}", count.abs()))
    };
    assert_eq!(counts(&metrics), ["1", "0", "1", "0"], "the first start compiles it");
    let host = host.sigterm().await?.start().await?;
    assert_eq!(counts(&host.metrics().await?), ["0", "1", "0", "0"], "the second one does not");
    assert_answers(&host).await?;

    let stopped = host.sigterm().await?;
    let path = artefact(&stopped)?;
    let mut bytes = std::fs::read(&path)?;
    *bytes.last_mut().context("an empty file")? ^= 1;
    std::fs::write(&path, bytes)?;
    let host = stopped.start().await?;
    assert_eq!(counts(&host.metrics().await?), ["1", "0", "1", "1"], "what was changed is compiled again");
    assert!(host.log().contains("is not what was kept there"), "and the operator is told");
    assert_answers(&host).await?;
    let host = host.sigterm().await?.start().await?;
    assert_eq!(counts(&host.metrics().await?), ["0", "1", "0", "0"], "and kept again");
    assert_answers(&host).await
}

#[tokio::test]
async fn a_cache_that_others_may_enter_is_not_used_and_one_can_do_without() -> Test {
    use std::os::unix::fs::PermissionsExt as _;
    let stopped = compiling(SHORT).start().await?.sigterm().await?;
    std::fs::set_permissions(stopped.data().join("cache"), std::fs::Permissions::from_mode(0o755))?;
    let host = stopped.start().await?;
    assert!(host.log().contains("is open to others (mode 755)"), "{}", host.log());
    assert_answers(&host).await?;
    assert!(host.metrics().await?.sum("ripost_compilations_total", "outcome=\"ok\"") > 0.5);

    let host = compiling("[compile]\ncache = \"0 B\"\n").start().await?;
    assert_answers(&host).await?;
    assert!(!host.data().join("cache").exists());
    Ok(())
}

#[tokio::test]
async fn machine_code_offered_as_a_plugin_is_refused_by_name() -> Test {
    let stopped = compiling(SHORT).start().await?.sigterm().await?;
    // Real machine code of this very host, as somebody who has seen the data folder would offer it.
    let kept = std::fs::read(artefact(&stopped)?)?;
    let at = kept.windows(4).position(|bytes| bytes == b"\x7fELF").context("an artefact without machine code")?;
    let host = stopped.start().await?;
    for (name, code) in [("code", &kept[at..]), ("file", &kept[..])] {
        Plugin::one(name, code).install(host.stage(), host.plugins())?;
        let (stage, reason) = rejected(&host, name).await?;
        assert_eq!(stage, "admit");
        let why = if name == "code" { "compiled machine code (`.cwasm`)" } else { "not a WebAssembly component" };
        assert!(reason.contains(why), "{reason}");
    }
    assert_answers(&host).await
}

#[tokio::test]
async fn no_compile_worker_outlives_a_gateway_that_is_killed_or_stopped() -> Test {
    let host = compiling(LONG).start().await?;
    Plugin::one("bomb", guests::compile_bomb()).install(host.stage(), host.plugins())?;
    let worker = Worker::wait_for(&host).await?;
    let stopped = host.sigkill()?;
    worker.wait_for_end().await?;

    // It is there again at the next start, and keeps that from being ready.
    let host = stopped.start_unready().await?;
    let worker = Worker::wait_for(&host).await?;
    let stopped = host.sigterm().await?;
    worker.wait_for_end().await?;

    std::fs::remove_dir_all(stopped.plugins().join("bomb"))?;
    let host = stopped.start().await?;
    Plugin::one("bomb", guests::compile_bomb()).install(host.stage(), host.plugins())?;
    let worker = Worker::wait_for(&host).await?;
    assert_answers(&host).await?;
    let stopped = host.sigterm().await?;
    assert!(stopped.status.success(), "{}", stopped.log());
    worker.wait_for_end().await
}

#[tokio::test]
async fn a_compile_bomb_found_at_the_start_keeps_nobody_from_being_served() -> Test {
    let config = "[compile]\nwall = \"60 s\"\n[plugins]\nstart_wait = \"100 ms\"\n";
    let stopped = compiling(config).start().await?.sigterm().await?;
    // Before the other in every order.
    Plugin::one("a-bomb", guests::compile_bomb()).install(stopped.stage(), stopped.plugins())?;
    let host = stopped.start().await?;
    assert_answers(&host).await?;
    let worker = Worker::wait_for(&host).await?;
    assert!(worker.runs(), "the bomb is still being compiled");
    assert!(host.log().contains("Some plugins are still being made ready"), "{}", host.log());
    host.sigterm().await?;
    worker.wait_for_end().await
}
