//! Back to the revision before: by the operator, or by its own failures.

use super::fixture::{Folders, View as _, name};
use super::guest;
use crate::plugins::{Kept, Pins, PluginError, Plugins, PluginsConfig, Ran, RolledBack, State};
use ripost_domain::api::{ApiName, Digest, Name};
use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Remembers what was moved; fails as often as it is told to.
#[derive(Default)]
struct Moved {
    moves: Mutex<Vec<(Digest, Digest, Vec<ApiName>)>>,
    fails: Mutex<u32>,
}

#[async_trait::async_trait]
impl Pins for Moved {
    async fn repin(&self, from: Digest, to: Digest, apis: Vec<ApiName>) -> anyhow::Result<u64> {
        let mut fails = self.fails.lock().unwrap();
        if *fails > 0 {
            *fails -= 1;
            anyhow::bail!("the store is closed");
        }
        self.moves.lock().unwrap().push((from, to, apis));
        Ok(1)
    }

    async fn in_use(&self) -> anyhow::Result<HashMap<Digest, u64>> {
        Ok(self.moves.lock().unwrap().iter().map(|(_, to, _)| (*to, 7)).collect())
    }
}

/// Revision 1, then 2, of `demo/a`.
async fn two(folders: &Folders, plugins: &Arc<Plugins>) -> (Digest, Digest) {
    let folder = folders.write_one("a", &guest::handler("1"));
    plugins.scan().await;
    let first = plugins.digest("a");
    fs::write(folder.join("a.wasm"), guest::handler("2")).unwrap();
    plugins.scan().await;
    (first, plugins.digest("a"))
}

#[tokio::test]
async fn a_rollback_serves_the_revision_before_and_holds_until_another_comes() {
    let folders = Folders::new();
    let plugins = folders.open();
    let pins = Arc::new(Moved::default());
    plugins.set_pins(pins.clone()).await;
    let (first, second) = two(&folders, &plugins).await;
    let running = plugins.api("a");
    let rolled_back = plugins.rollback(&name("a")).await.unwrap();
    assert_eq!(rolled_back, RolledBack { key: "a".to_owned(), from: second, to: first });
    assert_eq!((plugins.digest("a"), plugins.state("a")), (first, Some(State::Quarantined)));
    assert_eq!(
        plugins.reason("a"),
        "the operator rolled it back; another revision ends that, or `ripost plugins start a`"
    );
    assert_eq!(running.digest, second, "who has it keeps it to the end");
    assert_eq!(pins.moves.lock().unwrap().as_slice(), [(second, first, vec![name("a")])]);
    assert_eq!(plugins.api_at(second, &name("a")).await.unwrap().digest, first, "what waits goes with it");
    // One that was accepted with the registry of before, and committed after the move, is looked for again.
    plugins.accepted_under(second).await;
    plugins.accepted_under(first).await;
    assert_eq!(
        pins.moves.lock().unwrap().as_slice(),
        [(second, first, vec![name("a")]), (second, first, vec![name("a")])]
    );
    let bound = plugins.api_bound(second, &name("a")).await.unwrap();
    assert_eq!(bound.digest, second, "but not what a committed step binds");
    // The files are still those of the second.
    plugins.reload().await;
    assert_eq!(plugins.digest("a"), first);
    assert!(matches!(plugins.rollback(&name("a")).await, Err(PluginError::NoPrevious(_))));
    let revisions = plugins.revisions(Some(&name("a"))).await.unwrap();
    let told: Vec<_> = revisions.iter().map(|it| (it.digest, it.state, it.requests)).collect();
    assert_eq!(told, [(first, Kept::Active, 7), (second, Kept::Held, 0)]);

    // A restart changes nothing.
    drop((plugins, running, bound));
    let plugins = folders.open();
    plugins.scan().await;
    assert_eq!((plugins.digest("a"), plugins.state("a")), (first, Some(State::Quarantined)));
    assert_eq!(plugins.api_at(second, &name("a")).await.unwrap().digest, first);
    assert_eq!(plugins.api_bound(second, &name("a")).await.unwrap().digest, second, "from the data folder");

    fs::write(folders.plugins.join("a/a.wasm"), guest::handler("3")).unwrap();
    plugins.scan().await;
    assert_eq!(plugins.state("a"), Some(State::Active));
    let third = plugins.digest("a");
    assert!(third != first && third != second);
    assert_eq!(plugins.rollback(&name("a")).await.unwrap().to, first);
}

#[tokio::test]
async fn after_a_rollback_the_operator_can_let_the_newer_one_serve_again() {
    let folders = Folders::new();
    let plugins = folders.open();
    let (first, second) = two(&folders, &plugins).await;
    plugins.rollback(&name("a")).await.unwrap();
    plugins.start("a").await.unwrap();
    plugins.settled().await;
    assert_eq!((plugins.digest("a"), plugins.state("a")), (second, Some(State::Active)));
    assert_eq!(plugins.api_at(second, &name("a")).await.unwrap().digest, second);
    assert_eq!(plugins.rollback(&name("a")).await.unwrap().to, first);
    assert!(matches!(plugins.rollback(&name("b")).await, Err(PluginError::NotServed(_))));
}

#[tokio::test]
async fn an_owner_may_undo_the_rollback_of_what_is_all_its_own_and_no_stop() {
    let (owner, other): (Name, Name) = ("demo".parse().unwrap(), "other".parse().unwrap());
    let folders = Folders::new();
    let plugins = folders.open();
    let (first, second) = two(&folders, &plugins).await;
    assert_eq!(plugins.rollback_of(&name("a"), Some(&owner)).await.unwrap().to, first);
    assert!(matches!(plugins.start_of("a", Some(&other)).await, Err(PluginError::Unknown(_))));
    assert_eq!(plugins.state("a"), Some(State::Quarantined));
    plugins.start_of("a", Some(&owner)).await.unwrap();
    plugins.settled().await;
    assert_eq!((plugins.digest("a"), plugins.state("a")), (second, Some(State::Active)));
    plugins.stop("a").await.unwrap();
    assert!(matches!(plugins.start_of("a", Some(&owner)).await, Err(PluginError::OperatorsStop(_))));
    assert_eq!(plugins.state("a"), Some(State::Stopped));
}

#[tokio::test]
async fn requests_that_could_not_be_moved_are_moved_after_a_restart() {
    let folders = Folders::new();
    let plugins = folders.open();
    let pins = Arc::new(Moved { fails: Mutex::new(1), ..Moved::default() });
    plugins.set_pins(pins.clone()).await;
    let (first, second) = two(&folders, &plugins).await;
    plugins.rollback(&name("a")).await.unwrap();
    assert!(pins.moves.lock().unwrap().is_empty());
    drop(plugins);
    let plugins = folders.open();
    plugins.set_pins(pins.clone()).await;
    assert_eq!(pins.moves.lock().unwrap().as_slice(), [(second, first, vec![name("a")])]);
    plugins.carry_out_moves().await;
    assert_eq!(pins.moves.lock().unwrap().len(), 1, "once it is done it is done");
}

#[tokio::test]
async fn a_new_revision_that_keeps_breaking_down_is_put_aside() {
    let folders = Folders::new();
    let plugins = folders.open();
    let (first, second) = two(&folders, &plugins).await;
    for _ in 0..4 {
        plugins.ran(second, &name("a"), Ran::Answered);
        plugins.ran(second, &name("a"), Ran::Broke);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(plugins.digest("a"), second);
    plugins.ran(second, &name("a"), Ran::Broke);
    until(|| plugins.digest("a") == first).await;
    until(|| plugins.quarantines() == 1).await;
    assert_eq!(plugins.state("a"), Some(State::Quarantined));
    assert_eq!(
        plugins.reason("a"),
        "5 of its first 9 runs of `demo/a` trapped or came to a limit; another revision ends that, or `ripost plugins start a`"
    );
    plugins.reload().await;
    assert_eq!(plugins.digest("a"), first);
    drop(plugins);
    let plugins = folders.open();
    plugins.scan().await;
    assert_eq!(plugins.digest("a"), first);
}

#[tokio::test]
async fn no_failures_put_aside_what_is_old_or_mostly_works_or_has_nothing_before_it() {
    let folders = Folders::new();
    let plugins = folders.open_with(PluginsConfig { probation: Duration::ZERO, ..folders.config() });
    let (_, second) = two(&folders, &plugins).await;
    let breaks = |plugins: &Arc<Plugins>, digest, times| {
        for _ in 0..times {
            plugins.ran(digest, &name("a"), Ran::Broke);
        }
    };
    breaks(&plugins, second, 50);
    drop(plugins);

    let plugins = folders.open();
    plugins.scan().await;
    for _ in 0..100 {
        plugins.ran(second, &name("a"), Ran::Answered);
    }
    breaks(&plugins, second, 50);

    let folders = Folders::new();
    let other = folders.open();
    folders.write_one("a", &guest::handler("1"));
    other.scan().await;
    breaks(&other, other.digest("a"), 50);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((plugins.digest("a"), plugins.state("a")), (second, Some(State::Active)));
    assert_eq!((other.state("a"), other.quarantines(), plugins.quarantines()), (Some(State::Active), 0, 0));
}

async fn until(condition: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("not in time");
}
