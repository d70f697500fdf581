//! Tests of revisions that come a second time: after they were put aside, and while they are being collected.

use super::record::{Move, Record};
use super::tests::guest;
use super::*;
use crate::capability::NoGrants;
use camino::Utf8Path;
use ripost_domain::time::SystemClock;
use ripost_runtime::RuntimeConfig;
use std::fs;

fn root(folder: &tempfile::TempDir) -> Utf8PathBuf {
    Utf8PathBuf::from_path_buf(folder.path().canonicalize().unwrap()).unwrap()
}

fn open(root: &Utf8Path) -> Arc<Plugins> {
    let config = PluginsConfig::new(root.join("plugins"), root.join("data/revisions"));
    let runtime = RuntimeConfig { instances_max: 4, pooling: false, ..RuntimeConfig::default() };
    let runtime = Arc::new(Runtime::start(runtime).unwrap());
    Plugins::open(config, runtime, Arc::new(NoGrants), Arc::new(SystemClock::start())).unwrap()
}

/// Puts a revision of `demo/a` into service.
async fn serve(root: &Utf8Path, plugins: &Arc<Plugins>, mark: &str) -> Digest {
    let folder = root.join("plugins/a");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("a.wasm"), guest::handler(mark)).unwrap();
    let manifest =
        "[plugin]\nname = \"a\"\nversion = \"1\"\n\n[[api]]\nowner = \"demo\"\nslug = \"a\"\nhandler = \"a.wasm\"\n";
    fs::write(folder.join("plugin.toml"), manifest).unwrap();
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
