//! Tests of revisions that come a second time: after they were put aside, while they are being collected, and after they
//! failed.

use super::record::{Move, Record};
use super::tests::guest;
use super::*;
use crate::capability::NoGrants;
use camino::{Utf8Path, Utf8PathBuf};
use ripost_domain::api::ApiName;
use ripost_domain::time::SystemClock;
use ripost_runtime::RuntimeConfig;
use std::fs;
use std::time::Duration;

const SMOKE_WALL: Duration = Duration::from_millis(300);

const MANIFEST: &str =
    "[plugin]\nname = \"a\"\nversion = \"1\"\n\n[[api]]\nowner = \"demo\"\nslug = \"a\"\nhandler = \"a.wasm\"\n";

fn root(folder: &tempfile::TempDir) -> Utf8PathBuf {
    Utf8PathBuf::from_path_buf(folder.path().canonicalize().unwrap()).unwrap()
}

fn open(root: &Utf8Path) -> Arc<Plugins> {
    let config = PluginsConfig::new(root.join("plugins"), root.join("data/revisions"));
    let config = PluginsConfig { smoke_wall: SMOKE_WALL, pushed_per_owner_max: 2, ..config };
    let runtime = RuntimeConfig { instances_max: 4, pooling: false, ..RuntimeConfig::default() };
    let runtime = Arc::new(Runtime::start(runtime).unwrap());
    Plugins::open(config, runtime, Arc::new(NoGrants), Arc::new(SystemClock::start())).unwrap()
}

/// Puts a revision of `demo/a` into service.
async fn serve(root: &Utf8Path, plugins: &Arc<Plugins>, mark: &str) -> Digest {
    let folder = root.join("plugins/a");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("a.wasm"), guest::handler(mark)).unwrap();
    fs::write(folder.join("plugin.toml"), MANIFEST).unwrap();
    plugins.scan().await;
    plugins.registry().api("demo", "a").unwrap().digest
}

#[tokio::test]
async fn a_revision_that_was_put_aside_and_serves_again_answers_its_own_requests() {
    let folder = tempfile::tempdir().unwrap();
    let root = root(&folder);
    let plugins = open(&root);
    let api = ApiName { owner: "demo".parse().unwrap(), slug: "a".parse().unwrap() };
    let first = serve(&root, &plugins, "1").await;
    let second = serve(&root, &plugins, "2").await;
    // Nobody knows the requests here, so the move stays to be made.
    assert_eq!(plugins.rollback(&api).await.unwrap(), RolledBack { key: "a".to_owned(), from: second, to: first });
    assert_eq!(lock(&plugins.turn).moves, [Move { from: second, to: first }]);
    let third = serve(&root, &plugins, "3").await;
    assert_eq!(plugins.api_at(second, &api).await.unwrap().digest, first, "it is still aside");
    assert_eq!(serve(&root, &plugins, "2").await, second);
    assert_eq!(lock(&plugins.turn).moves, [], "what it accepts from now on is not to be moved");
    assert_eq!(serve(&root, &plugins, "4").await, plugins.registry().api("demo", "a").unwrap().digest);
    assert_eq!(plugins.api_at(second, &api).await.unwrap().digest, second);
    assert_eq!(plugins.api_at(third, &api).await.unwrap().digest, third);
    assert!(Record::read(plugins.revisions.folder()).unwrap().unwrap().moves.is_empty());
}

#[tokio::test]
async fn a_revision_that_comes_back_while_it_is_about_to_be_collected_stays() {
    let folder = tempfile::tempdir().unwrap();
    let root = root(&folder);
    let plugins = open(&root);
    let first = serve(&root, &plugins, "1").await;
    for mark in ["2", "3"] {
        serve(&root, &plugins, mark).await;
    }
    let nothing = HashSet::new();
    assert_eq!(plugins.collect(&nothing).await.unwrap(), [], "seen once");
    // As a push or a scan does it, which writes down only later who needs it.
    plugins.keep(&plugins.revisions.load(&first).unwrap()).unwrap();
    assert_eq!(plugins.collect(&nothing).await.unwrap(), []);
    assert!(plugins.revisions.load(&first).is_ok());
    assert_eq!(plugins.collect(&nothing).await.unwrap(), [first]);
}

#[tokio::test]
async fn cases_without_end_hold_up_one_scan_and_not_each_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let root = root(&folder);
    let cases = root.join("plugins/slow/cases");
    fs::create_dir_all(&cases).unwrap();
    fs::write(cases.join("one.json"), "{\"request\":{},\"expect\":{\"status\":200}}").unwrap();
    fs::write(root.join("plugins/slow/a.wasm"), guest::spins()).unwrap();
    let manifest = format!("{}cases = \"cases\"\n", MANIFEST.replace("\"a\"", "\"slow\""));
    fs::write(root.join("plugins/slow/plugin.toml"), manifest).unwrap();
    let plugins = open(&root);
    let took = async |again: bool| {
        let begun = std::time::Instant::now();
        if again {
            plugins.reload().await
        } else {
            plugins.scan().await
        };
        assert_eq!(plugins.plugin_status("slow").unwrap().stage, Some(Stage::Smoke));
        begun.elapsed()
    };
    assert!(took(false).await >= SMOKE_WALL);
    assert!(took(false).await < SMOKE_WALL, "not yet");
    assert!(took(true).await >= SMOKE_WALL, "but when it is asked for");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(took(false).await >= SMOKE_WALL, "and by itself after a while");
}

#[tokio::test]
async fn an_owner_has_so_many_pushed_plugins_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let root = root(&folder);
    let plugins = open(&root);
    let push = async |name: &str| {
        let key = PushKey { owner: "demo".parse().unwrap(), name: name.parse().unwrap() };
        let text = MANIFEST.replace("\"a\"", &format!("\"{name}\"")).into_bytes();
        let files = [("plugin.toml".to_owned(), text), ("a.wasm".to_owned(), guest::handler(name))];
        plugins.push(key, files.into(), None).await
    };
    push("one").await.unwrap();
    push("two").await.unwrap();
    let kept = plugins.revisions.list().unwrap();
    assert!(matches!(push("three").await, Err(PushError::TooMany { max: 2, .. })));
    assert_eq!(plugins.revisions.list().unwrap(), kept, "nothing is kept of it");
    push("two").await.unwrap();
    plugins.remove("demo/one").await.unwrap();
    push("three").await.unwrap();
}

#[tokio::test]
async fn an_owner_rolls_back_what_is_its_own_and_was_before() {
    let folder = tempfile::tempdir().unwrap();
    let root = root(&folder);
    let plugins = open(&root);
    let api = ApiName { owner: "demo".parse().unwrap(), slug: "a".parse().unwrap() };
    let [demo, other] = ["demo", "other"].map(|name| name.parse().unwrap());
    let others = MANIFEST.split_once("[[api]]").unwrap().1.replace("\"demo\"", "\"other\"");
    fs::create_dir_all(root.join("plugins/a")).unwrap();
    fs::write(root.join("plugins/a/a.wasm"), guest::handler("0")).unwrap();
    fs::write(root.join("plugins/a/plugin.toml"), format!("{MANIFEST}\n[[api]]{others}")).unwrap();
    plugins.scan().await;
    assert!(plugins.registry().api("other", "a").is_some());
    // What serves is all its own by now, and the revision before was not.
    serve(&root, &plugins, "1").await;
    assert!(matches!(plugins.rollback_of(&api, Some(&demo)).await, Err(PluginError::Shared(_))));
    let second = serve(&root, &plugins, "2").await;
    assert!(matches!(plugins.rollback_of(&api, Some(&other)).await, Err(PluginError::Shared(_))));
    assert_eq!(plugins.rollback_of(&api, Some(&demo)).await.unwrap().from, second);
    assert!(plugins.plugin_status("a").unwrap().reason.unwrap().starts_with("the owner rolled it back"));
}
