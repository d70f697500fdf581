//! Compiling in a process of its own, who waits for it, and the cache of what came of it.

use crate::{Test, host};
use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::Utf8PathBuf;
use http::Method;
use ripost_tests::{Api, Consumer, Host, HostBuilder, Plugin, Stopped, guests, until};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::time::{Duration, Instant};

/// Long enough for a good component on a busy machine, far too short for a bomb.
const SHORT: &str = "[compile]\nwall = \"1500 ms\"\n";
/// The compiler has the lowest priority, and the other tests are busy.
const COMPILED_MAX: Duration = Duration::from_secs(150);
/// One function of so many: compiling it takes more than 32 MiB, and less than the address space that goes with them.
const LARGE_BRANCHES: usize = 6_000;
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
    assert!(
        reason.contains("compiling took longer than 1.5 s by the clock, the operator's limit `compile.wall`"),
        "{reason}"
    );
    assert_answers(&host).await?;
    let text = host.cli(&["status"]).await?.expect(0)?.stdout;
    assert!(text.contains("took longer than 1.5 s"), "{text}");
    assert!(host.log().contains("took longer than 1.5 s"), "the log says it too");
    worker.wait_for_end().await?;
    let metrics = host.metrics().await?;
    assert!(metrics.sum("ripost_compilations_total", "outcome=\"time\"") > 0.5);
    assert!(metrics.sum("ripost_compile_seconds_count", "") > 1.5);
    Ok(())
}

#[tokio::test]
async fn behind_the_whole_wall_a_component_that_needs_more_memory_than_compiling_may_take_is_refused() -> Test {
    // Between the limit and the address space that a worker has for it: only the bound of memory can refuse it.
    let large = Plugin::one("large", guests::compiles_large(LARGE_BRANCHES));
    for (memory, state) in [("32 MiB", "rejected"), ("256 MiB", "active")] {
        let config = format!("[wall]\nmode = \"required\"\n[compile]\nmemory = \"{memory}\"\nwall = \"60 s\"\n");
        let host = compiling(&config).start().await?;
        large.install(host.stage(), host.plugins())?;
        let told = until(&format!("large is {state} with {memory}"), Duration::from_secs(60), async || {
            let status = status(&host, "large").await?;
            Ok((status["state"] == "rejected" || status["state"] == "active").then_some(status))
        })
        .await?;
        assert_eq!(told["state"], state, "{told}");
        if state == "rejected" {
            let reason = told["reason"].as_str().unwrap_or_default();
            assert!(reason.contains("more than 32 MiB of memory, the operator's limit `compile.memory`"), "{reason}");
            assert!(host.metrics().await?.sum("ripost_compilations_total", "outcome=\"memory\"") > 0.5);
        }
        assert_answers(&host).await?;
    }
    Ok(())
}

#[tokio::test]
async fn behind_the_whole_wall_a_compile_worker_has_no_files_but_its_pipes() -> Test {
    // As if the gateway had been started with a file left open: this process is its parent.
    let left_open = std::fs::File::open("/proc/self/status")?;
    nix::fcntl::fcntl(&left_open, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()))?;
    let host = compiling(&format!("[wall]\nmode = \"required\"\n{LONG}")).start().await?;
    Plugin::one("bomb", guests::compile_bomb()).install(host.stage(), host.plugins())?;
    let worker = Worker::wait_for(&host).await?;
    until("a worker with its pipes only", Duration::from_secs(5), async || {
        let mut open: Vec<String> = Vec::new();
        for entry in std::fs::read_dir(format!("/proc/{}/fd", worker.0))? {
            open.push(entry?.file_name().to_string_lossy().into_owned());
        }
        open.sort();
        Ok((open == ["0", "1", "2"]).then_some(()))
    })
    .await
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
    let stopped = compiling(LONG).start().await?.sigterm().await?;
    // Before the other in every order.
    Plugin::one("a-bomb", guests::compile_bomb()).install(stopped.stage(), stopped.plugins())?;
    let host = stopped.start_ready().await?;
    assert_answers(&host).await?;
    let worker = Worker::wait_for(&host).await?;
    assert!(worker.runs(), "the bomb is still being compiled");
    assert!(host.log().contains("Some plugins are still being made ready"), "{}", host.log());
    let answer = host.demo().call("demo/a-bomb").json(&json!({})).send().await?.expect(503)?;
    assert_eq!(answer.json()?["type"], "urn:ripost:problem:api-compiling");
    assert_eq!(answer.headers.get("retry-after").map(http::HeaderValue::as_bytes), Some(&b"5"[..]));
    host.demo().get("/openapi/demo/a-bomb").await?.expect(503)?;
    host.demo().call("demo/another").json(&json!({})).send().await?.expect(404)?;
    host.sigterm().await?;
    worker.wait_for_end().await
}

/// A plugin's folder that is to be pushed.
fn to_push(host: &Host, owner: &str, name: &str, component: impl Into<Vec<u8>>) -> Result<String> {
    let plugin = Plugin::new(name, [Api::new(owner, name, component)]);
    let folder = host.stage().join(format!("of-{owner}")).join(name);
    plugin.write(&folder)?;
    Ok(folder.into_string())
}

/// Sends it and does not wait for what becomes of it: the plugin's key.
async fn push(host: &Host, owner: &str, name: &str, component: impl Into<Vec<u8>>) -> Result<String> {
    let folder = to_push(host, owner, name, component)?;
    let (files, token) = (archive(&folder)?, std::fs::read_to_string(host.data().join("admin-token"))?);
    let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&files)));
    let operator = Consumer::new(host.admin_url(), None);
    let call = operator.request(Method::PUT, &format!("/admin/v1/plugins/{owner}/{name}"));
    let call = call.header("authorization", &format!("Bearer {}", token.trim())).header("content-digest", &digest);
    call.raw("application/x-tar", files).send().await?.expect(202)?;
    Ok(format!("{owner}/{name}"))
}

fn archive(folder: &str) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for entry in Utf8PathBuf::from(folder).read_dir_utf8()? {
        let entry = entry?;
        archive.append_path_with_name(entry.path(), entry.file_name())?;
    }
    Ok(archive.into_inner()?)
}

async fn wait_until(host: &Host, plugin: &str, state: &str) -> Test {
    until(&format!("{plugin} is {state}"), COMPILED_MAX, async || {
        Ok((status(host, plugin).await?["state"] == state).then_some(()))
    })
    .await
}

#[tokio::test]
async fn one_owners_flood_of_slow_components_holds_up_no_other_owner_and_no_folder() -> Test {
    let host = compiling("").start().await?;
    let mut flood = Vec::new();
    for mark in 0..4 {
        flood.push(push(&host, "evil", &format!("slow-{mark}"), guests::compiles_slowly(3, mark)).await?);
    }
    Worker::wait_for(&host).await?;
    let sent = Instant::now();
    push(&host, "good", "small", guests::says("small")).await?;
    wait_until(&host, "good/small", "active").await?;
    let small = sent.elapsed();
    Plugin::one("folder", guests::says("folder")).install(host.stage(), host.plugins())?;
    wait_until(&host, "folder", "active").await?;
    let mut waiting = 0;
    for plugin in &flood {
        waiting += usize::from(status(&host, plugin).await?["state"] == "compiling");
    }
    assert!(waiting >= 3, "only {waiting} of the flood still wait; the small one served after {small:?}");
    for plugin in &flood {
        wait_until(&host, plugin, "active").await?;
    }
    assert!(host.metrics().await?.sum("ripost_compilations_total", "outcome=\"interrupted\"") > 0.5);
    Ok(())
}

#[tokio::test]
async fn a_start_without_the_cache_answers_at_once_and_says_what_is_still_compiled() -> Test {
    let slow = Plugin::one("slow", guests::compiles_slowly(4, 1));
    let host = compiling("").plugin(&slow).start_within(COMPILED_MAX).start().await?;
    let stopped = host.sigterm().await?;
    std::fs::remove_dir_all(stopped.data().join("cache"))?;
    let started = Instant::now();
    let host = stopped.start_listening().await?;
    let listening = started.elapsed();
    let not_ready = host.demo().get("/readyz").await?.expect(503)?;
    let text = String::from_utf8(not_ready.body.to_vec())?;
    assert!(text.starts_with("not ready\ncompiling: ") && text.contains("demo/slow"), "{text}");
    let answer = host.demo().call("demo/slow").json(&json!({})).send().await?.expect(503)?;
    assert_eq!(answer.json()?["type"], "urn:ripost:problem:api-compiling");
    assert!(answer.headers.contains_key("retry-after"));
    // The small one does not wait for it.
    host.serves(&host.demo(), "demo/word").await?;
    let status = host.cli(&["status"]).await?.expect(0)?.stdout;
    assert!(status.contains("NOT READY (compiling): 1 API that served before: demo/slow"), "{status}");
    let status = host.cli(&["status", "--json"]).await?.expect(0)?.json()?;
    assert_eq!(status["readiness"]["reasons"][0]["code"], "compiling");
    let compiling = |metrics: &ripost_tests::Metrics| metrics.sum("ripost_not_ready", "reason=\"compiling\"") > 0.5;
    assert!(compiling(&host.metrics().await?));
    assert!(!host.log().contains("is gone"), "{}", host.log());

    until("readiness", COMPILED_MAX, async || Ok((host.demo().get("/readyz").await?.status == 200).then_some(())))
        .await?;
    assert!(listening < started.elapsed() / 2, "it listened after {listening:?}");
    host.demo().call("demo/slow").json(&json!({})).send().await?.expect(200)?;
    assert!(!compiling(&host.metrics().await?));
    Ok(())
}

#[tokio::test]
async fn a_gateway_killed_while_it_compiles_goes_on_with_what_was_pushed() -> Test {
    let host = compiling("").start().await?;
    let pushed = push(&host, "demo", "pushed", guests::compiles_slowly(3, 2)).await?;
    let worker = Worker::wait_for(&host).await?;
    let stopped = host.sigkill()?;
    worker.wait_for_end().await?;
    let host = stopped.start_ready().await?;
    host.demo().call("demo/pushed").json(&json!({})).send().await?.expect(503)?;
    assert_answers(&host).await?;
    wait_until(&host, &pushed, "active").await?;
    host.demo().call("demo/pushed").json(&json!({})).send().await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn an_owner_that_has_used_up_its_budget_is_told_when_it_goes_on() -> Test {
    let host = compiling("[compile]\nbudget = \"1 s\"\n").start().await?;
    let first = push(&host, "evil", "first", guests::compiles_slowly(8, 1)).await?;
    wait_until(&host, &first, "active").await?;
    let folder = to_push(&host, "evil", "second", guests::says("second"))?;
    let output = host.cli(&["push", &folder]).await?.expect(1)?;
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(said.contains("the compile budget of evil is used up") && said.contains("compile.budget"), "{said}");
    assert!(said.contains("it is compiled by itself at 20"), "{said}");
    let second = host.demo().call("evil/second").json(&json!({})).send().await?.expect(503)?;
    assert_eq!(second.json()?["type"], "urn:ripost:problem:api-compiling");
    // What was compiled before, other owners and the folder are no part of it.
    let again = to_push(&host, "evil", "again", guests::compiles_slowly(8, 1))?;
    host.cli(&["push", &again]).await?.expect(0)?;
    let other = to_push(&host, "good", "other", guests::says("second"))?;
    host.cli(&["push", &other]).await?.expect(0)?;
    let of_folder = Plugin::new("of-folder", [Api::new("evil", "of-folder", guests::says("folder"))]);
    of_folder.install(host.stage(), host.plugins())?;
    wait_until(&host, "of-folder", "active").await
}
