//! What an operator decides about a plugin.

use super::fixture::{Folders, View as _, manifest, name};
use super::guest;
use crate::plugins::{Absent, PluginError, State};
use std::fs;

#[tokio::test]
async fn a_stopped_plugin_serves_nothing_until_another_revision_comes() {
    let folders = Folders::new();
    let folder = folders.write_one("a", &guest::handler("1"));
    let plugins = folders.open();
    plugins.scan().await;
    let first = plugins.digest("a");
    fs::write(folder.join("a.wasm"), guest::handler("2")).unwrap();
    plugins.scan().await;
    let second = plugins.digest("a");
    let mut revisions = plugins.stop("a").await.unwrap();
    let mut both = vec![first, second];
    revisions.sort_unstable();
    both.sort_unstable();
    assert_eq!(revisions, both, "requests may name either");
    assert_eq!((plugins.find("a").is_none(), plugins.state("a")), (true, Some(State::Stopped)));
    assert!(
        plugins.registry().absent("demo", "a") == Absent::Stopped
            && plugins.registry().absent("demo", "b") != Absent::Stopped
    );
    plugins.reload().await;
    assert!(plugins.find("a").is_none());
    // Its names stay its own.
    folders.write("b", &manifest("b", "a"), &[("a.wasm", &guest::handler("3"))]);
    plugins.scan().await;
    assert_eq!(plugins.state("b"), Some(State::Rejected));
    assert!(plugins.find("a").is_none());
    drop(plugins);

    let plugins = folders.open();
    plugins.scan().await;
    assert_eq!((plugins.find("a").is_none(), plugins.state("a")), (true, Some(State::Stopped)));
    assert!(plugins.registry().absent("demo", "a") == Absent::Stopped);
    for revision in [first, second] {
        assert!(matches!(plugins.api_at(revision, &name("a")).await, Err(PluginError::Stopped(_))), "its requests end");
        assert!(matches!(plugins.api_bound(revision, &name("a")).await, Err(PluginError::Stopped(_))));
        assert_eq!(plugins.api_of(revision, &name("a")).await.unwrap().digest, revision);
    }
    fs::write(folder.join("a.wasm"), guest::handler("4")).unwrap();
    plugins.scan().await;
    assert_eq!(plugins.state("a"), Some(State::Active));
    assert!(plugins.registry().absent("demo", "a") != Absent::Stopped);
    assert_eq!(plugins.api_at(second, &name("a")).await.unwrap().digest, second);
}

#[tokio::test]
async fn a_stopped_plugin_is_started_again_by_the_operator() {
    let folders = Folders::new();
    folders.write_one("a", &guest::handler("1"));
    let plugins = folders.open();
    plugins.scan().await;
    let first = plugins.digest("a");
    plugins.stop("a").await.unwrap();
    plugins.stop("a").await.unwrap();
    plugins.start("a").await.unwrap();
    plugins.settled().await;
    assert_eq!((plugins.digest("a"), plugins.state("a")), (first, Some(State::Active)));
    plugins.stop("a").await.unwrap();
    drop(plugins);
    let plugins = folders.open();
    plugins.scan().await;
    plugins.start("a").await.unwrap();
    plugins.settled().await;
    assert_eq!((plugins.digest("a"), plugins.state("a")), (first, Some(State::Active)));
    assert!(matches!(plugins.stop("b").await, Err(PluginError::Unknown(_))));
    assert!(matches!(plugins.start("b").await, Err(PluginError::Unknown(_))));
}
