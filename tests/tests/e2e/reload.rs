//! Handlers that change while the host runs.

use crate::{PAUSED, QUICK, Test, host};
use anyhow::{Context as _, Result, ensure};
use ripost_tests::plugin::rename_into_place;
use ripost_tests::{Api, Consumer, Host, Plugin, Sink, guests, until};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

async fn start(plugin: &Plugin) -> Result<(Host, Consumer)> {
    let host = host().plugin(plugin).start().await?;
    let consumer = host.demo();
    Ok((host, consumer))
}

async fn said(consumer: &Consumer, api: &str) -> Result<String> {
    let answer = consumer.call(api).json(&json!({})).send().await?.expect(200)?;
    Ok(String::from_utf8(answer.body.to_vec())?)
}

async fn until_said(consumer: &Consumer, api: &str, text: &str) -> Test {
    until(&format!("{api} says {text}"), Duration::from_secs(10), async || {
        // A short wait: an answer of the revision before may take its time.
        let answer = consumer.call(api).json(&json!({})).header("prefer", "wait=1").send().await?;
        Ok((answer.status == 200 && answer.body == text.as_bytes()).then_some(()))
    })
    .await
}

/// What `ripost status` says of a plugin.
async fn status(host: &Host, plugin: &str) -> Result<Value> {
    let status = host.cli(&["status", "--json"]).await?.expect(0)?.json()?;
    let plugins = status["plugins"].as_array().cloned().unwrap_or_default();
    Ok(plugins.into_iter().find(|status| status["key"] == plugin).unwrap_or_default())
}

#[tokio::test]
async fn a_component_that_is_renamed_into_place_answers_next_and_no_call_fails_meanwhile() -> Test {
    let (host, consumer) = start(&Plugin::one("word", guests::says("one"))).await?;
    assert_eq!(said(&consumer, "demo/word").await?, "one");
    let digest = status(&host, "word").await?["active"].clone();
    for (now, next) in [("one", "two"), ("two", "three")] {
        rename_into_place(host.stage(), &host.plugins().join("word/word.wasm"), &guests::says(next))?;
        let mut seen = vec![now.to_owned()];
        until(next, Duration::from_secs(5), async || {
            seen.push(said(&consumer, "demo/word").await?);
            Ok((seen.last().map(String::as_str) == Some(next)).then_some(()))
        })
        .await?;
        seen.dedup();
        assert_eq!(seen, [now, next], "one swap, and never back");
    }
    assert_ne!(status(&host, "word").await?["active"], digest);
    Ok(())
}

#[tokio::test]
async fn a_component_that_is_written_in_place_is_never_served_torn() -> Test {
    let (host, consumer) = start(&Plugin::one("word", guests::says("one"))).await?;
    let (path, whole) = (host.plugins().join("word/word.wasm"), guests::says("two"));
    let (first, second) = whole.split_at(whole.len() / 2);
    std::fs::write(&path, first)?;
    for _ in 0..10 {
        assert_eq!(said(&consumer, "demo/word").await?, "one");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    std::io::Write::write_all(&mut std::fs::File::options().append(true).open(&path)?, second)?;
    until_said(&consumer, "demo/word", "two").await
}

#[tokio::test]
async fn whatever_is_wrong_with_a_plugin_the_last_good_one_serves_and_status_says_why() -> Test {
    let good = Plugin::one("word", guests::says("good"));
    let (host, consumer) = start(&good).await?;
    let (place, stage) = (host.plugins().to_owned(), host.stage().to_owned());
    let says = || Plugin::one("word", guests::says("bad"));
    for (what, plugin, reason) in [
        ("an unknown key", says().with_manifest(|text| text.replace("slug =", "slugg = \"a\"\nslug =")), "slugg"),
        ("no TOML", says().with_manifest(|text| text + "\n[["), "plugin.toml"),
        ("no handler file", says().without_file("word.wasm"), "word.wasm"),
        (
            "a price with too many decimals",
            Plugin::new("word", [Api::new("demo", "word", guests::echo()).price("0.0000001")]),
            "price",
        ),
        ("a file that is no WebAssembly", Plugin::one("word", b"hello".to_vec()), "word.wasm"),
        ("a core module", Plugin::one("word", guests::no_component()), "component"),
        ("another world", Plugin::one("word", guests::of_another_world()), "handle"),
        ("a stranger's import", Plugin::one("word", guests::imports_a_stranger()), "acme:thing/stuff"),
        (
            "a limit above the ceiling",
            Plugin::new("word", [Api::new("demo", "word", guests::echo()).limit("memory = \"8 GiB\"")]),
            "memory",
        ),
    ] {
        plugin.install(&stage, &place)?;
        let found = until(&format!("a reason for {what}"), Duration::from_secs(10), async || {
            let status = status(&host, "word").await?;
            Ok(status["reason"].as_str().map(str::to_owned))
        })
        .await?;
        assert!(found.contains(reason), "{what}: `{found}` does not name `{reason}`");
        assert_eq!(said(&consumer, "demo/word").await?, "good", "{what}");
        let text = host.cli(&["status"]).await?.expect(0)?.stdout;
        assert!(text.contains(reason), "{what}: {text}");
        good.install(&stage, &place)?;
        until(&format!("no reason after {what}"), Duration::from_secs(10), async || {
            Ok(status(&host, "word").await?["reason"].is_null().then_some(()))
        })
        .await?;
    }
    assert!(host.log().contains("acme:thing/stuff"), "the log says it too");
    assert!(host.metrics().await?.sum("ripost_plugin_reloads_total", "rejected") >= 9.0);
    Ok(())
}

#[tokio::test]
async fn a_bad_plugin_at_the_start_harms_no_other() -> Test {
    let bad = Plugin::one("bad", b"no component".to_vec());
    let host = host().plugin(&bad).plugin(&Plugin::one("good", guests::says("good"))).start().await?;
    let consumer = host.demo();
    assert_eq!(said(&consumer, "demo/good").await?, "good");
    consumer.call("demo/bad").json(&json!({})).send().await?.expect(404)?;
    assert!(status(&host, "bad").await?["reason"].is_string());
    Plugin::one("bad", guests::says("better")).install(host.stage(), host.plugins())?;
    until_said(&consumer, "demo/bad", "better").await
}

#[tokio::test]
async fn a_bad_file_leaves_the_last_good_revision_serving_after_a_restart_too() -> Test {
    let (host, consumer) = start(&Plugin::one("word", guests::says("good"))).await?;
    assert_eq!(said(&consumer, "demo/word").await?, "good");
    let stopped = host.sigkill()?;
    let torn = guests::says("never");
    std::fs::write(stopped.plugins().join("word/word.wasm"), &torn[..torn.len() / 2])?;
    let host = stopped.start().await?;
    let consumer = host.demo();
    assert_eq!(said(&consumer, "demo/word").await?, "good");
    assert!(status(&host, "word").await?["reason"].as_str().is_some_and(|reason| reason.contains("word.wasm")));
    rename_into_place(host.stage(), &host.plugins().join("word/word.wasm"), &guests::says("mended"))?;
    until_said(&consumer, "demo/word", "mended").await
}

#[tokio::test]
async fn a_plugin_that_comes_later_is_served_and_one_that_is_deleted_stays_until_it_comes_back() -> Test {
    let (host, consumer) = start(&Plugin::one("word", guests::says("one"))).await?;
    Plugin::one("late", guests::says("late")).install(host.stage(), host.plugins())?;
    until_said(&consumer, "demo/late", "late").await?;

    let folder = host.plugins().join("word");
    std::fs::remove_dir_all(&folder)?;
    for _ in 0..20 {
        assert_eq!(said(&consumer, "demo/word").await?, "one");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Plugin::one("word", guests::says("two")).install(host.stage(), host.plugins())?;
    until_said(&consumer, "demo/word", "two").await?;

    // A file that is deleted and comes back, as editors and compilers do.
    let path = host.plugins().join("word/word.wasm");
    std::fs::remove_file(&path)?;
    for _ in 0..20 {
        assert_eq!(said(&consumer, "demo/word").await?, "two");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    rename_into_place(host.stage(), &path, &guests::says("three"))?;
    until_said(&consumer, "demo/word", "three").await
}

#[tokio::test]
async fn what_was_accepted_finishes_on_its_revision() -> Test {
    let slow = Plugin::one("word", guests::sleeps(3000));
    let (host, consumer) = start(&slow).await?;
    let id =
        consumer.call("demo/word").json(&json!({ "old": true })).header("prefer", "respond-async").accepted().await?;
    rename_into_place(host.stage(), &host.plugins().join("word/word.wasm"), &guests::says("new"))?;
    until_said(&consumer, "demo/word", "new").await?;
    assert_eq!(consumer.view(&id).await?["status"], "running", "the swap came first");
    let view = consumer.ended(&id).await?;
    assert_eq!((&view["status"], &view["result"]), (&json!("completed"), &json!({ "old": true })));
    Ok(())
}

#[tokio::test]
async fn what_was_accepted_finishes_on_its_revision_after_a_crash_too() -> Test {
    let host = host().only_config(PAUSED).plugin(&Plugin::one("word", guests::says("old"))).start().await?;
    let (consumer, sink) = (host.demo(), Sink::start().await?);
    let id = consumer.call("demo/word").json(&json!({ "webhook_url": sink.url("/") })).accepted().await?;
    let stopped = host.sigkill()?;
    Plugin::one("word", guests::says("new")).install(stopped.stage(), stopped.plugins())?;
    let host = stopped.with(|host| host.only_config(QUICK)).start().await?;
    let consumer = host.demo();
    assert_eq!(sink.first(&id).await?.json()?["result"], "old");
    assert_eq!(said(&consumer, "demo/word").await?, "new");
    Ok(())
}

#[tokio::test]
async fn what_was_accepted_finishes_although_its_plugin_is_gone() -> Test {
    let host = host().only_config(PAUSED).plugin(&Plugin::one("word", guests::says("old"))).start().await?;
    let (consumer, sink) = (host.demo(), Sink::start().await?);
    let id = consumer.call("demo/word").json(&json!({ "webhook_url": sink.url("/") })).accepted().await?;
    let stopped = host.sigkill()?;
    std::fs::remove_dir_all(stopped.plugins().join("word"))?;
    let _host = stopped.with(|host| host.only_config(QUICK)).start().await?;
    assert_eq!(sink.first(&id).await?.json()?["result"], "old");
    Ok(())
}

#[tokio::test]
async fn a_manifest_is_reloaded_with_its_files_all_or_none() -> Test {
    let old =
        Plugin::new("pair", [Api::new("demo", "a", guests::says("a1")), Api::new("demo", "b", guests::says("b1"))]);
    let (host, consumer) = start(&old).await?;
    // One of two is bad: neither is swapped.
    let half = Plugin::new("pair", [Api::new("demo", "a", guests::says("a2")), Api::new("demo", "b", b"bad".to_vec())]);
    half.install(host.stage(), host.plugins())?;
    until("a reason", Duration::from_secs(10), async || {
        Ok(status(&host, "pair").await?["reason"].is_string().then_some(()))
    })
    .await?;
    assert_eq!((said(&consumer, "demo/a").await?, said(&consumer, "demo/b").await?), ("a1".into(), "b1".into()));
    let new = Plugin::new("pair", [Api::new("demo", "a", guests::says("a3")).price("0.050000")]);
    new.install(host.stage(), host.plugins())?;
    until_said(&consumer, "demo/a", "a3").await?;
    consumer.call("demo/b").json(&json!({})).send().await?.expect(404)?;
    let answer =
        consumer.call("demo/a").json(&json!({})).header("prefer", "respond-async").send().await?.expect(202)?;
    assert_eq!(answer.json()?["settlement"]["price_usdc"], "0.050000");
    Ok(())
}

#[tokio::test]
async fn in_development_mode_a_bare_component_is_an_api() -> Test {
    let (host, consumer) = start(&Plugin::one("word", guests::says("one"))).await?;
    rename_into_place(host.stage(), &host.plugins().join("hello.wasm"), &guests::says("bare"))?;
    until_said(&consumer, "local/hello", "bare").await?;
    rename_into_place(host.stage(), &host.plugins().join("hello.wasm"), &guests::says("bare again"))?;
    until_said(&consumer, "local/hello", "bare again").await
}

/// The number that handler and transform of one revision both say.
fn number(body: &[u8]) -> Result<usize> {
    let text = std::str::from_utf8(body)?;
    let (handler, transform) = text.split_once('-').with_context(|| format!("`{text}`"))?;
    ensure!(handler == transform, "`{text}` is of two revisions");
    Ok(handler.parse()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_swaps_under_load_fail_no_call_and_never_mix_two_revisions() -> Test {
    const SWAPS: usize = 200;
    const CONNECTIONS: usize = 64;
    let revision = |number: usize| {
        let api = Api::new("demo", "word", guests::says(&number.to_string()));
        let api = api.line("transforms = { response = [\"x-after.wasm\"] }").limit("concurrency = 64");
        let after = guests::transforms::appends(guests::transforms::Kind::Response, &format!("-{number}"));
        Plugin::new("word", [api]).file("x-after.wasm", after)
    };
    let host = host().plugin(&revision(0)).start().await?;
    let consumer = host.demo();
    let load = Arc::new(Load::default());
    let mut callers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        callers.spawn(load.clone().call_on(host.demo()));
    }
    for next in 1..=SWAPS {
        load.may_serve.store(next, Ordering::SeqCst);
        revision(next).install(host.stage(), host.plugins())?;
        until(&format!("revision {next}"), Duration::from_secs(20), async || {
            let answer = consumer.call("demo/word").json(&json!({})).send().await?.expect(200)?;
            Ok((number(&answer.body)? == next).then_some(()))
        })
        .await?;
        load.serves.store(next, Ordering::SeqCst);
    }
    load.over.store(true, Ordering::SeqCst);
    for caller in callers.join_all().await {
        caller?;
    }
    assert!(load.calls.load(Ordering::SeqCst) > SWAPS, "{load:?}");
    Ok(())
}

/// Calls that go on while revisions are swapped.
#[derive(Debug, Default)]
struct Load {
    /// What surely serves.
    serves: AtomicUsize,
    /// The youngest that may.
    may_serve: AtomicUsize,
    calls: AtomicUsize,
    over: AtomicBool,
}

impl Load {
    async fn call_on(self: Arc<Self>, consumer: Consumer) -> Test {
        while !self.over.load(Ordering::SeqCst) {
            let at_least = self.serves.load(Ordering::SeqCst);
            let answer = consumer.call("demo/word").json(&json!({})).send().await?.expect(200)?;
            let (number, at_most) = (number(&answer.body)?, self.may_serve.load(Ordering::SeqCst));
            ensure!((at_least..=at_most).contains(&number), "{number} is not within {at_least} and {at_most}");
            self.calls.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_hangup_and_a_command_read_the_folder_although_nothing_is_watched() -> Test {
    let config = "[plugins]\nwatch = \"off\"\n";
    let host = host().config(config).plugin(&Plugin::one("word", guests::says("one"))).start().await?;
    let consumer = host.demo();
    assert_eq!(said(&consumer, "demo/word").await?, "one");
    Plugin::one("word", guests::says("two")).install(host.stage(), host.plugins())?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(said(&consumer, "demo/word").await?, "one");
    let text = host.cli(&["reload"]).await?.expect(0)?.stdout;
    assert!(text.starts_with("word 1.0.0: active"), "{text}");
    assert_eq!(said(&consumer, "demo/word").await?, "two");
    Plugin::one("word", guests::says("three")).install(host.stage(), host.plugins())?;
    let pid = nix::unistd::Pid::from_raw(i32::try_from(host.pid())?);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP)?;
    until_said(&consumer, "demo/word", "three").await
}

#[tokio::test]
async fn a_volume_that_swaps_a_link_is_one_swap() -> Test {
    use std::os::unix::fs::symlink;
    let host = host().plugin(&Plugin::one("other", guests::says("other"))).start().await?;
    let consumer = host.demo();
    // As Kubernetes mounts a volume: files are links into `..data`, which is a link to a folder with a date.
    let place = host.plugins().join("word");
    let set = |name: &str, text: &str| -> Result<()> {
        let made =
            Plugin::one("word", guests::says(text)).install(host.stage(), host.stage().join("made").as_path())?;
        std::fs::create_dir_all(&place)?;
        std::fs::rename(made, place.join(name))?;
        symlink(name, place.join("..data_tmp"))?;
        std::fs::rename(place.join("..data_tmp"), place.join("..data"))?;
        Ok(())
    };
    std::fs::create_dir(host.stage().join("made"))?;
    set("..2026_1", "one")?;
    for file in ["plugin.toml", "word.wasm"] {
        symlink(format!("..data/{file}"), place.join(file))?;
    }
    until_said(&consumer, "demo/word", "one").await?;
    set("..2026_2", "two")?;
    until_said(&consumer, "demo/word", "two").await
}
