//! What happens in the folder while the host runs.

use super::fixture::{Folders, View as _, manifest, write};
use super::guest;
use crate::plugins::{PluginsConfig, Stage, State, WatchMode};
use std::fs::{self, File};
use std::io::Write as _;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_renamed_into_place_serves_at_once() {
    let folders = Folders::new();
    let folder = folders.write_one("a", &guest::handler("1"));
    let watching = folders.watching().await;
    let (first, snapshot) = (watching.digest("a"), watching.plugins().registry());
    folders.rename_into(&folder.join("a.wasm"), &guest::handler("2"));
    let took = watching
        .until("swapped", |plugins| plugins.digest("a") != first && plugins.state("a") == Some(State::Active))
        .await;
    assert!(took < watching.plugins().config.quiet, "no quiet time is needed: {took:?}");
    assert_eq!(snapshot.api("demo", "a").unwrap().digest, first, "a call keeps the registry that it took");
    let status = watching.about("a");
    assert_eq!((status.state, status.previous), (State::Active, Some(first)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_written_in_pieces_serves_when_it_is_whole() {
    let folders = Folders::new();
    let folder = folders.write_one("a", &guest::handler("1"));
    let watching = folders.watching().await;
    let first = watching.digest("a");
    let bytes = guest::handler("2");
    let mut file = File::create(folder.join("a.wasm")).unwrap();
    for piece in bytes.chunks(bytes.len() / 8 + 1) {
        file.write_all(piece).unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(watching.state("a"), Some(State::Active), "half a file is not even looked at");
    }
    watching.until("swapped", |plugins| plugins.digest("a") != first).await;
    assert_eq!(watching.plugins().reloads().rejected, 0, "nothing half written was looked at");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_leaves_the_last_good_one_serving_and_says_why() {
    let folders = Folders::new();
    let folder = folders.write_one("a", &guest::handler("1"));
    let watching = folders.watching().await;
    let first = watching.digest("a");
    folders.rename_into(&folder.join("a.wasm"), b"\0asm garbage");
    watching.until("rejected", |plugins| plugins.state("a") == Some(State::Rejected)).await;
    let status = watching.about("a");
    assert_eq!((status.active, status.stage), (Some(first), Some(Stage::Admit)));
    assert!(status.candidate.is_some_and(|candidate| candidate != first) && status.reason.is_some());
    assert_eq!(watching.digest("a"), first);

    // An error in the manifest, and back to what served: that is no reload, and no longer a rejection.
    folders.rename_into(&folder.join("plugin.toml"), b"[plugin]\nnane = \"a\"\n");
    watching.until("rejected", |plugins| plugins.about("a").stage == Some(Stage::Manifest)).await;
    assert!(watching.reason("a").contains("did you mean `name`?"));
    folders.rename_into(&folder.join("a.wasm"), &guest::handler("1"));
    folders.rename_into(&folder.join("plugin.toml"), manifest("a", "a").as_bytes());
    watching.until("active", |plugins| plugins.state("a") == Some(State::Active)).await;
    assert_eq!((watching.digest("a"), watching.about("a").candidate), (first, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_editor_that_writes_a_draft_and_renames_is_understood() {
    let folders = Folders::new();
    let folder = folders.write_one("a", &guest::handler("1"));
    let watching = folders.watching().await;
    let first = watching.digest("a");
    // vim: a probe, a backup by rename, the file anew, the backup removed.
    fs::write(folder.join("4913"), "").unwrap();
    fs::remove_file(folder.join("4913")).unwrap();
    fs::rename(folder.join("plugin.toml"), folder.join("plugin.toml~")).unwrap();
    fs::write(folder.join("plugin.toml"), manifest("a", "a").replace("version = \"1\"", "version = \"2\"")).unwrap();
    fs::remove_file(folder.join("plugin.toml~")).unwrap();
    watching.until("swapped", |plugins| plugins.digest("a") != first).await;
    assert_eq!(watching.api("a").version, "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_is_deleted_serves_on_and_may_come_back() {
    let folders = Folders::new();
    let folder = folders.write_one("a", &guest::handler("1"));
    let watching = folders.watching().await;
    let first = watching.digest("a");
    fs::remove_dir_all(&folder).unwrap();
    let took = watching.until("missing", |plugins| plugins.state("a") == Some(State::Missing)).await;
    assert!(took >= watching.plugins().config.deleted_grace, "not before the grace period: {took:?}");
    assert_eq!((watching.digest("a"), watching.about("a").active), (first, Some(first)));
    folders.write_one("a", &guest::handler("2"));
    watching.until("back", |plugins| plugins.state("a") == Some(State::Active)).await;
    assert_ne!(watching.digest("a"), first);

    // Only a plugin whose folder is gone can be removed.
    assert!(watching.plugins().remove("a").await.is_err());
    assert!(watching.plugins().remove("b").await.is_err());
    fs::remove_dir_all(&folder).unwrap();
    watching.plugins().remove("a").await.unwrap();
    assert!(watching.find("a").is_none() && watching.state("a").is_none());
    let restarted = folders.open();
    restarted.scan().await;
    assert!(restarted.registry().apis().is_empty(), "a removed plugin stays away");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_is_deleted_and_written_again_at_once_is_only_changed() {
    let folders = Folders::new();
    let folder = folders.write_one("a", &guest::handler("1"));
    let watching = folders.watching().await;
    let first = watching.digest("a");
    fs::remove_dir_all(&folder).unwrap();
    folders.write_one("a", &guest::handler("2"));
    watching.until("swapped", |plugins| plugins.digest("a") != first).await;
    assert_eq!(watching.plugins().reloads().rejected, 0, "nothing half written was looked at");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_folder_is_replaced_by_renames() {
    let folders = Folders::new();
    let folder = folders.write_one("a", &guest::handler("1"));
    let watching = folders.watching().await;
    for mark in ["2", "3", "4"] {
        let before = watching.digest("a");
        let next = folders.stage.join("a");
        write(&next, &manifest("a", "a"), &[("a.wasm", &guest::handler(mark))]);
        let old = folders.stage.join(format!("old-{mark}"));
        fs::rename(&folder, &old).unwrap();
        fs::rename(&next, &folder).unwrap();
        let took = watching.until("swapped", |plugins| plugins.digest("a") != before).await;
        assert!(took < watching.plugins().config.quiet, "no quiet time is needed: {took:?}");
    }
    // The new folder is watched like the first.
    let before = watching.digest("a");
    folders.rename_into(&folder.join("a.wasm"), &guest::handler("5"));
    watching.until("swapped", |plugins| plugins.digest("a") != before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_got_another_name_has_its_api_again_once_the_old_one_is_missing() {
    let folders = Folders::new();
    let folder = folders.write_one("a", &guest::handler("1"));
    let watching = folders.watching().await;
    fs::rename(&folder, folders.plugins.join("b")).unwrap();
    watching.until("rejected", |plugins| plugins.state("b") == Some(State::Rejected)).await;
    assert!(watching.find("a").is_some(), "in between the old one serves");
    watching.until("given way", |plugins| plugins.state("b") == Some(State::Active)).await;
    assert_eq!(watching.state("a"), None);
    assert!(watching.find("a").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_events_the_rescan_finds_what_changed() {
    let folders = Folders::new();
    let config = PluginsConfig { rescan: Duration::from_millis(100), ..folders.config() };
    let watching = super::fixture::Watching::start(folders.open_with(config)).await;
    // The plugins folder itself is replaced: the watcher is left with the old one.
    fs::rename(&folders.plugins, folders.stage.join("old")).unwrap();
    fs::create_dir(&folders.plugins).unwrap();
    let folder = folders.write_one("a", &guest::handler("1"));
    watching.until("found", |plugins| plugins.find("a").is_some()).await;
    let first = watching.digest("a");
    folders.rename_into(&folder.join("a.wasm"), &guest::handler("2"));
    watching.until("swapped", |plugins| plugins.digest("a") != first).await;
    fs::remove_dir_all(&folders.plugins).unwrap();
    watching.until("missing", |plugins| plugins.state("a") == Some(State::Missing)).await;
    assert!(watching.find("a").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_whatever_links_in_the_folder_lead_to() {
    use std::os::unix::fs::symlink;
    let folders = Folders::new();
    let folder = folders.write_one("a", &guest::handler("1"));
    symlink(&folders.plugins, folders.plugins.join("selfdir")).unwrap();
    fs::create_dir(folders.plugins.join("loop")).unwrap();
    symlink("..", folders.plugins.join("loop/up")).unwrap();
    write(&folders.stage.join("far"), &manifest("far", "far"), &[("a.wasm", &guest::handler("1"))]);
    symlink(folders.stage.join("far"), folders.plugins.join("far")).unwrap();
    let watching = folders.watching().await;
    for (key, place, mark) in [("a", folder, "2"), ("far", folders.stage.join("far"), "3")] {
        let first = watching.digest(key);
        folders.rename_into(&place.join("a.wasm"), &guest::handler(mark));
        let took = watching.until("swapped", |plugins| plugins.digest(key) != first).await;
        assert!(took < Duration::from_millis(900), "no rescan found it, an event did: {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_another_takes_the_place_of_is_found_by_its_own_event() {
    let folders = Folders::new();
    let folder = folders.write_one("a", &guest::handler("1"));
    let watching = folders.watching().await;
    for mark in ["2", "3"] {
        let first = watching.digest("a");
        let next = folders.stage.join("next");
        write(&next.join("a"), &manifest("a", "a"), &[("a.wasm", &guest::handler(mark))]);
        fs::rename(&folders.plugins, folders.stage.join(mark)).unwrap();
        fs::rename(&next, &folders.plugins).unwrap();
        let took = watching.until("swapped", |plugins| plugins.digest("a") != first).await;
        assert!(took < Duration::from_secs(20), "not by the rescan: {took:?}");
    }
    let third = watching.digest("a");
    folders.rename_into(&folder.join("a.wasm"), &guest::handler("4"));
    let took = watching.until("swapped", |plugins| plugins.digest("a") != third).await;
    assert!(took < Duration::from_millis(900), "the new folder is watched: {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_swapped_is_one_swap_and_both_files_are_of_one_folder() {
    use std::os::unix::fs::symlink;
    let folders = Folders::new();
    for mark in ["1", "2"] {
        write(&folders.stage.join(mark), &manifest("a", "a"), &[("a.wasm", &guest::handler(mark))]);
    }
    symlink(folders.stage.join("1"), folders.plugins.join("a")).unwrap();
    let watching = folders.watching().await;
    let first = watching.digest("a");
    // As a deploy does it that never leaves a name without a target.
    symlink(folders.stage.join("2"), folders.stage.join("next")).unwrap();
    fs::rename(folders.stage.join("next"), folders.plugins.join("a")).unwrap();
    watching.until("swapped", |plugins| plugins.digest("a") != first).await;
    // A link behind the link: no event tells of it, the rescan does.
    symlink("1", folders.stage.join("current")).unwrap();
    symlink(folders.stage.join("current"), folders.stage.join("next")).unwrap();
    fs::rename(folders.stage.join("next"), folders.plugins.join("a")).unwrap();
    watching.until("back", |plugins| plugins.digest("a") == first).await;
    symlink("2", folders.stage.join("next")).unwrap();
    fs::rename(folders.stage.join("next"), folders.stage.join("current")).unwrap();
    watching.plugins().scan().await;
    assert_ne!(watching.digest("a"), first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_come_by_copies_with_other_names_first_are_seen_when_they_have_their_own() {
    let folders = Folders::new();
    let folder = folders.write_one("a", &guest::handler("1"));
    let watching = folders.watching().await;
    let first = watching.digest("a");
    // As rsync does it: a hidden name beside, then a rename.
    let draft = folder.join(".a.wasm.Xk29Qs");
    let whole = guest::handler("2");
    fs::write(&draft, &whole[..whole.len() / 2]).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((watching.digest("a"), watching.state("a")), (first, Some(State::Active)));
    fs::write(&draft, &whole).unwrap();
    fs::rename(&draft, folder.join("a.wasm")).unwrap();
    let took = watching.until("swapped", |plugins| plugins.digest("a") != first).await;
    assert!(took < Duration::from_millis(900), "a rename needs no quiet time: {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_watcher_the_folder_is_read_and_a_torn_write_waits_until_it_looks_the_same_twice() {
    let folders = Folders::new();
    let folder = folders.write_one("a", &guest::handler("1"));
    let config = PluginsConfig {
        watch: WatchMode::Poll,
        rescan: Duration::from_millis(50),
        quiet: Duration::from_millis(50),
        ..folders.config()
    };
    let plugins = folders.open_with(config);
    plugins.scan().await;
    let first = plugins.digest("a");
    let token = tokio_util::sync::CancellationToken::new();
    let polling = tokio_util::task::TaskTracker::new().spawn(plugins.clone().run(token.clone()));
    fs::write(folder.join("a.wasm"), guest::handler("2")).unwrap();
    for _ in 0..10_000 {
        if plugins.digest("a") != first {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_ne!(plugins.digest("a"), first);
    assert_eq!(plugins.reloads().rejected, 0);
    token.cancel();
    polling.await.unwrap();
}
