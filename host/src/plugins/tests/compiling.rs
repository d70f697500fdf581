//! Who waits for a compiler, and who does not.

use super::fixture::{Folders, Gate, View as _, manifest, name};
use super::guest;
use crate::plugins::{Absent, Look, PluginError, Plugins, PluginsConfig, PushKey, Stage, State};
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const UPSTREAM: &str = "[plugin]\nname = \"up\"\nversion = \"1\"\n\n[[api]]\nowner = \"demo\"\nslug = \"up\"\nupstream = \"http://127.0.0.1:9/\"\n";

fn held(mark: &str) -> Vec<u8> {
    guest::handler(&format!("{}-{mark}", Gate::HELD))
}

/// A plugin of one API, `{owner}/{plugin}`, as it is pushed.
async fn push(plugins: &Arc<Plugins>, owner: &str, plugin: &str, wasm: &[u8]) {
    let key = PushKey { owner: owner.parse().unwrap(), name: plugin.parse().unwrap() };
    let text = manifest(plugin, plugin).replace("\"demo\"", &format!("\"{owner}\""));
    let files = BTreeMap::from([("plugin.toml".to_owned(), text.into_bytes()), ("a.wasm".to_owned(), wasm.to_vec())]);
    plugins.push(key, files, None).await.unwrap();
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}: it did not come");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn serves(plugins: &Arc<Plugins>, owner: &str, slug: &str) -> bool {
    plugins.registry().api(owner, slug).is_some()
}

#[tokio::test]
async fn a_scan_waits_for_no_compiler_and_what_needs_none_serves_at_once() {
    let (folders, gate) = (Folders::new(), Arc::new(Gate::default()));
    folders.write_one("cached", &guest::handler("1"));
    folders.open_gated(folders.config(), &gate).scan().await;
    fs::remove_dir_all(folders.plugins.join("cached")).unwrap();
    fs::remove_dir_all(&folders.revisions).unwrap();

    let plugins = folders.open_gated(folders.config(), &gate);
    folders.write_one("a-slow", &held("1"));
    folders.write_one("b-bad", b"hello");
    folders.write_one("cached", &guest::handler("1"));
    folders.write("up", UPSTREAM, &[]);
    plugins.look(Look::settled()).await;
    assert!(plugins.find("cached").is_some() && plugins.find("up").is_some());
    assert_eq!(plugins.state("b-bad"), Some(State::Rejected), "and what is refused is told at once");
    gate.holds(1).await;
    let registry = plugins.registry();
    assert_eq!(registry.absent("demo", "a-slow"), Absent::Coming);
    assert_eq!(registry.absent("demo", "b-bad"), Absent::Unknown);
    assert_eq!(
        (plugins.state("a-slow"), plugins.about("a-slow").stage),
        (Some(State::Compiling), Some(Stage::Compile))
    );
    assert!(registry.awaited().is_empty(), "it has not served before");

    // Another change, and the same again, while it is compiled.
    folders.write("up", &UPSTREAM.replace("version = \"1\"", "version = \"2\""), &[]);
    plugins.look(Look::settled()).await;
    assert_eq!(plugins.api("up").version, "2");
    plugins.look(Look::again()).await;
    assert_eq!(gate.compiled.load(Ordering::SeqCst), 1);
    gate.open();
    plugins.settled().await;
    assert_eq!(plugins.state("a-slow"), Some(State::Active));
    assert_eq!(gate.compiled.load(Ordering::SeqCst), 2, "and it is compiled once");
}

#[tokio::test]
async fn a_push_of_another_owner_and_a_small_one_wait_for_no_flood() {
    let (folders, gate) = (Folders::new(), Arc::new(Gate::default()));
    let plugins = folders.open_gated(folders.config(), &gate);
    plugins.scan().await;
    for number in 0..5 {
        push(&plugins, "evil", &format!("p{number}"), &held(&number.to_string())).await;
    }
    gate.holds(2).await;
    push(&plugins, "good", "a", &guest::handler("1")).await;
    until("the other owner's serves", || serves(&plugins, "good", "a")).await;
    assert_eq!(gate.interrupted.load(Ordering::SeqCst), 1, "one of the two workers was taken back");
    gate.open();
    plugins.settled().await;
    assert!((0..5).all(|number| serves(&plugins, "evil", &format!("p{number}"))), "what was taken back begins again");
}

#[tokio::test]
async fn a_revision_that_is_replaced_while_it_is_compiled_is_given_up() {
    let (folders, gate) = (Folders::new(), Arc::new(Gate::default()));
    let plugins = folders.open_gated(folders.config(), &gate);
    folders.write_one("a", &guest::handler("1"));
    plugins.scan().await;
    let first = plugins.digest("a");
    folders.write_one("a", &held("2"));
    plugins.look(Look::settled()).await;
    gate.holds(1).await;
    folders.write_one("a", &guest::handler("3"));
    plugins.scan().await;
    gate.holds(0).await;
    let third = plugins.digest("a");
    assert!(third != first && plugins.state("a") == Some(State::Active));

    // Back to what serves, and to nothing at all.
    for put_back in [true, false] {
        folders.write_one("a", &held("4"));
        plugins.look(Look::settled()).await;
        gate.holds(1).await;
        match put_back {
            true => drop(folders.write_one("a", &guest::handler("3"))),
            false => fs::remove_dir_all(folders.plugins.join("a")).unwrap(),
        }
        plugins.look(Look::settled()).await;
        gate.holds(0).await;
        plugins.settled().await;
        assert_eq!(plugins.digest("a"), third);
    }
    assert_eq!(gate.interrupted.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn after_a_start_without_the_cache_what_served_is_awaited_and_not_unknown() {
    let (folders, gate) = (Folders::new(), Arc::new(Gate::default()));
    gate.open();
    folders.write_one("slow", &held("1"));
    folders.write_one("cached", &guest::handler("1"));
    let plugins = folders.open_gated(folders.config(), &gate);
    plugins.scan().await;
    push(&plugins, "other", "pushed", &held("2")).await;
    plugins.scan().await;
    drop(plugins);

    let closed = Arc::new(Gate::default());
    let plugins = folders.open_gated(folders.config(), &closed);
    let awaited = |plugins: &Arc<Plugins>| {
        plugins.registry().awaited().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(awaited(&plugins), "demo/cached demo/slow other/pushed", "before anything is read");
    assert_eq!(plugins.registry().absent("other", "pushed"), Absent::Coming);
    plugins.look(Look::settled()).await;
    until("what compiles quickly serves", || serves(&plugins, "demo", "cached")).await;
    closed.holds(2).await;
    assert_eq!(awaited(&plugins), "demo/slow other/pushed");
    assert_eq!(plugins.registry().absent("demo", "slow"), Absent::Coming);
    // A request that was accepted under it waits for the same, and has it compiled no second time.
    let (waiting, api) = (plugins.clone(), name("slow"));
    let digest = plugins.about("slow").candidate.unwrap();
    let request = TaskTracker::new().spawn(async move { waiting.api_at(digest, &api).await });
    closed.open();
    plugins.settled().await;
    assert_eq!(request.await.unwrap().unwrap().digest, digest);
    assert_eq!(awaited(&plugins), "");
    assert_eq!(closed.compiled.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn what_served_before_serves_again_while_a_newer_revision_is_compiled() {
    let (folders, gate) = (Folders::new(), Arc::new(Gate::default()));
    folders.write_one("a", &guest::handler("1"));
    let plugins = folders.open_gated(folders.config(), &gate);
    plugins.scan().await;
    let first = plugins.digest("a");
    drop(plugins);
    folders.write_one("a", &held("2"));
    let plugins = folders.open_gated(folders.config(), &gate);
    plugins.look(Look::settled()).await;
    gate.holds(1).await;
    assert_eq!((plugins.digest("a"), plugins.state("a")), (first, Some(State::Compiling)));
    assert!(plugins.registry().awaited().is_empty());
    drop(plugins);

    // Without the cache the newer one comes first, and the one before is compiled if that fails.
    gate.forget();
    folders.write_one("a", &guest::handler("3")[..200]);
    let plugins = folders.open_gated(folders.config(), &gate);
    plugins.scan().await;
    assert_eq!((plugins.digest("a"), plugins.state("a")), (first, Some(State::Rejected)));
    gate.open();
}

#[tokio::test]
async fn a_rollback_and_an_old_request_wait_for_no_compiler_of_others() {
    let (folders, gate) = (Folders::new(), Arc::new(Gate::default()));
    let plugins = folders.open_gated(PluginsConfig { older_max: 0, ..folders.config() }, &gate);
    let mut digests = Vec::new();
    for mark in ["1", "2", "3"] {
        folders.write_one("a", &guest::handler(mark));
        plugins.scan().await;
        digests.push(plugins.digest("a"));
    }
    gate.forget();
    for number in 0..3 {
        push(&plugins, "evil", &format!("p{number}"), &held(&number.to_string())).await;
    }
    gate.holds(2).await;
    assert_eq!(plugins.api_at(digests[0], &name("a")).await.unwrap().digest, digests[0]);
    let back = plugins.rollback(&name("a")).await.unwrap();
    assert_eq!((back.to, plugins.digest("a")), (digests[1], digests[1]));
    gate.open();
}

#[tokio::test]
async fn an_owner_over_its_budget_is_told_when_it_is_compiled_and_nobody_else_is_held_up() {
    let (folders, gate) = (Folders::new(), Arc::new(Gate::default()));
    gate.costs_s.store(100, Ordering::SeqCst);
    let config = PluginsConfig { compile_budget: Duration::from_secs(60), ..folders.config() };
    let plugins = folders.open_gated(config.clone(), &gate);
    plugins.scan().await;
    push(&plugins, "evil", "one", &guest::handler("1")).await;
    until("the first serves", || serves(&plugins, "evil", "one")).await;
    push(&plugins, "evil", "two", &guest::handler("2")).await;
    until("the second is rejected", || {
        plugins.plugin_status("evil/two").is_some_and(|status| status.state == State::Rejected)
    })
    .await;
    let status = plugins.plugin_status("evil/two").unwrap();
    let reason = status.reason.unwrap();
    assert_eq!(status.stage, Some(Stage::Compile));
    assert!(reason.starts_with("the compile budget of evil is used up: what an owner pushes may take 1 m"), "{reason}");
    assert!(reason.contains("(compile.budget); it is compiled by itself at 20"), "{reason}");
    assert_eq!(plugins.registry().absent("evil", "two"), Absent::Coming, "it comes by itself");

    // What is compiled already costs nothing.
    push(&plugins, "evil", "three", &guest::handler("1")).await;
    until("it serves", || serves(&plugins, "evil", "three")).await;
    push(&plugins, "good", "four", &guest::handler("4")).await;
    until("the other owner's serves", || serves(&plugins, "good", "four")).await;
    let of_folder = manifest("folder", "folder").replace("\"demo\"", "\"evil\"");
    folders.write("folder", &of_folder, &[("a.wasm", &guest::handler("5"))]);
    plugins.scan().await;
    assert!(serves(&plugins, "evil", "folder"), "the operator answers for the folder");
    drop(plugins);

    // What served before has been paid for.
    gate.forget();
    let plugins = folders.open_gated(config, &gate);
    plugins.scan().await;
    assert!(serves(&plugins, "evil", "one") && serves(&plugins, "evil", "three"));
}

#[tokio::test]
async fn what_failed_for_want_of_a_compiler_is_tried_again_by_itself() {
    let (folders, gate) = (Folders::new(), Arc::new(Gate::default()));
    let plugins = folders.open_gated(folders.config(), &gate);
    plugins.scan().await;
    gate.is_missing.store(true, Ordering::SeqCst);
    push(&plugins, "demo", "a", &guest::handler("1")).await;
    until("it is rejected", || plugins.plugin_status("demo/a").is_some_and(|status| status.state == State::Rejected))
        .await;
    assert_eq!(plugins.registry().absent("demo", "a"), Absent::Coming);
    gate.is_missing.store(false, Ordering::SeqCst);
    // Nobody watches, scans or pushes.
    until("it serves", || serves(&plugins, "demo", "a")).await;
}

#[tokio::test]
async fn who_waits_for_the_compiler_when_the_host_stops_is_sent_away() {
    let (folders, gate) = (Folders::new(), Arc::new(Gate::default()));
    gate.open();
    folders.write_one("a", &held("1"));
    let plugins = folders.open_gated(folders.config(), &gate);
    plugins.scan().await;
    let (digest, api) = (plugins.digest("a"), name("a"));
    drop(plugins);

    let closed = Arc::new(Gate::default());
    let plugins = folders.open_gated(folders.config(), &closed);
    plugins.look(Look::settled()).await;
    closed.holds(1).await;
    let (tasks, token, waiting) = (TaskTracker::new(), CancellationToken::new(), plugins.clone());
    let request = tasks.spawn(async move { waiting.api_at(digest, &api).await });
    tasks.spawn(plugins.clone().run(token.clone()));
    token.cancel();
    let answered = tokio::time::timeout(Duration::from_secs(10), request).await.unwrap().unwrap();
    assert!(matches!(answered, Err(PluginError::NotNow { .. })), "{answered:?}");
    closed.open();
}
