//! Plugins that come over the wire.

use super::fixture::{Folders, View as _, manifest};
use super::guest;
use crate::plugins::{Origin, PluginError, PushError, PushKey, Stage, State};
use std::collections::BTreeMap;
use std::fs;

fn key(name: &str) -> PushKey {
    PushKey { owner: "demo".parse().unwrap(), name: name.parse().unwrap() }
}

fn files(manifest: &str, others: &[(&str, &[u8])]) -> BTreeMap<String, Vec<u8>> {
    let others = others.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()));
    others.chain([("plugin.toml".to_owned(), manifest.as_bytes().to_vec())]).collect()
}

#[tokio::test]
async fn a_pushed_plugin_serves_and_survives_a_restart() {
    let folders = Folders::new();
    let plugins = folders.open();
    plugins.scan().await;
    let first =
        plugins.push(key("a"), files(&manifest("a", "a"), &[("a.wasm", &guest::handler("1"))]), None).await.unwrap();
    plugins.scan().await;
    assert_eq!(plugins.digest("a"), first);
    let status = plugins.plugin_status("demo/a").unwrap();
    assert_eq!((status.state, status.source, status.active), (State::Active, Origin::Push, Some(first)));
    let second =
        plugins.push(key("a"), files(&manifest("a", "a"), &[("a.wasm", &guest::handler("2"))]), None).await.unwrap();
    plugins.scan().await;
    assert_eq!((plugins.digest("a"), plugins.about("demo/a").previous), (second, Some(first)));
    drop(plugins);

    let plugins = folders.open();
    plugins.scan().await;
    assert_eq!(plugins.digest("a"), second);
    plugins.scan().await;
    assert_eq!(plugins.state("demo/a"), Some(State::Active), "it has no folder to be missing");
    plugins.remove("demo/a").await.unwrap();
    assert!(plugins.find("a").is_none() && plugins.plugin_status("demo/a").is_none());
    assert!(matches!(plugins.remove("demo/a").await, Err(PluginError::Unknown(_))));
    drop(plugins);
    let plugins = folders.open();
    plugins.scan().await;
    assert!(plugins.find("a").is_none());
}

/// How it is pushed, its files, and how the refusal begins.
type Bad<'a> = (&'a str, BTreeMap<String, Vec<u8>>, &'a str);

#[tokio::test]
async fn what_is_pushed_and_bad_is_refused_at_once_or_rejected_on_its_way() {
    let folders = Folders::new();
    let plugins = folders.open();
    let good = guest::handler("1");
    let text = manifest("a", "a");
    let refused: [Bad<'_>; 6] = [
        ("a", files("", &[]), "plugin.toml:1: there is no [plugin]"),
        ("a", BTreeMap::new(), "there is no plugin.toml in it"),
        ("a", files(&text, &[]), "the handler `a.wasm` is not in the folder"),
        (
            "a",
            files(&text, &[("a.wasm", &good), ("b.wasm", &good)]),
            "nothing in the manifest names `b.wasm`; leave it out",
        ),
        (
            "a",
            files(&text, &[("a.wasm", &good), ("../x", &good)]),
            "nothing in the manifest names `../x`; leave it out",
        ),
        ("b", files(&text, &[("a.wasm", &good)]), "the manifest says [plugin] name = \"a\" and it is pushed as `b`"),
    ];
    for (name, files, says) in refused {
        let error = plugins.push(key(name), files, None).await.unwrap_err();
        assert!(matches!(&error, PushError::Refused(told) if told.starts_with(says)), "{says}: {error}");
    }
    let foreign = files(&text.replace("\"demo\"", "\"other\""), &[("a.wasm", &good)]);
    assert!(matches!(plugins.push(key("a"), foreign, None).await, Err(PushError::Foreign { .. })));
    assert!(plugins.plugin_status("demo/a").is_none());

    let bad = plugins.push(key("a"), files(&text, &[("a.wasm", b"hello")]), None).await.unwrap();
    plugins.scan().await;
    let status = plugins.about("demo/a");
    assert_eq!((status.state, status.stage, status.candidate), (State::Rejected, Some(Stage::Admit), Some(bad)));
    assert_eq!((status.apis[0].state, status.apis[0].revision), (State::Rejected, None));
    plugins.push(key("a"), files(&text, &[("a.wasm", &good)]), None).await.unwrap();
    plugins.scan().await;
    assert_eq!(plugins.state("demo/a"), Some(State::Active));
}

#[tokio::test]
async fn who_serves_an_api_keeps_it_be_it_a_folder_or_pushed() {
    let folders = Folders::new();
    let plugins = folders.open();
    let folder = folders.write_one("a", &guest::handler("1"));
    plugins.scan().await;
    let first = plugins.digest("a");
    let pushed = files(&manifest("p", "a"), &[("a.wasm", &guest::handler("2"))]);
    plugins.push(key("p"), pushed, None).await.unwrap();
    plugins.scan().await;
    assert_eq!((plugins.digest("a"), plugins.state("demo/p")), (first, Some(State::Rejected)));
    assert_eq!(
        plugins.reason("demo/p"),
        "`demo/a` is offered by the plugin in folder `a` already; change owner or slug, or remove one of the two"
    );
    fs::remove_dir_all(folder).unwrap();
    plugins.remove("a").await.unwrap();
    plugins.scan().await;
    assert_eq!(plugins.state("demo/p"), Some(State::Active));
    folders.write_one("a", &guest::handler("1"));
    plugins.scan().await;
    assert!(plugins.reason("a").starts_with("`demo/a` is offered by the pushed plugin `demo/p` already"));
}
