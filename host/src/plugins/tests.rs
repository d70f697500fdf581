//! Plugins with real folders, a real watcher and the real runtime.

mod compiling;
mod fixture;
pub(crate) mod guest;
mod many;
mod operate;
mod push;
mod quarantine;
mod reload;
mod restart;
mod smoke;

use super::*;
use fixture::{Folders, View as _, manifest, name};
use ripost_runtime::Limits;
use std::fs;

#[tokio::test]
async fn a_plugin_in_the_folder_serves_its_apis() {
    let folders = Folders::new();
    let text = "[plugin]\nname = \"reports\"\nversion = \"1.2.0\"\n
        [[api]]\nowner = \"demo\"\nslug = \"daily\"\nhandler = \"a.wasm\"\nprice = \"0.05\"\n[api.config]\nregion = \"eu\"\n
        [[api]]\nowner = \"demo\"\nslug = \"weekly\"\nhandler = \"a.wasm\"\n[api.limits]\nconcurrency = 3\n";
    folders.write("reports", text, &[("a.wasm", &guest::handler("1"))]);
    folders.write_one("kv", &guest::asks_kv());
    let plugins = folders.open();
    assert!(plugins.registry().apis().is_empty(), "nothing serves before the first scan");
    let report = plugins.scan().await;
    assert_eq!((plugins.reloads().ok, report.rejected.len(), report.error), (2, 0, None));
    let registry = plugins.registry();
    let names: Vec<String> = registry.apis().iter().map(|api| api.name.to_string()).collect();
    assert_eq!(names, ["demo/daily", "demo/kv", "demo/weekly"]);
    let daily = plugins.api("daily");
    assert_eq!(
        (daily.plugin.as_str(), daily.version.as_str(), daily.spec.price.as_micros()),
        ("reports", "1.2.0", 50_000)
    );
    assert_eq!(daily.config.get("region").map(String::as_str), Some("eu"));
    assert_eq!(plugins.api("weekly").permits.available_permits(), 3);
    assert!(registry.api("demo", "dail").is_none() && registry.api("dem", "daily").is_none());
    let status = plugins.about("reports");
    assert_eq!((status.state, status.active, status.reason), (State::Active, Some(daily.digest), None));
    assert_eq!(plugins.about("kv").apis[0].not_granted, ["uses `kv`, needs `grants.kv`"]);
    assert_eq!(plugins.reloads(), Reloads { ok: 2, rejected: 0 });
    let json = serde_json::to_string(&plugins.status()).unwrap();
    assert_eq!(serde_json::from_str::<Vec<PluginStatus>>(&json).unwrap(), plugins.status());
}

#[tokio::test]
async fn the_cases_that_a_manifest_names_are_part_of_the_revision_and_other_files_are_not() {
    let folders = Folders::new();
    let text = format!("{}cases = \"cases\"\n", manifest("a", "a"));
    let folder = folders.write("a", &text, &[("a.wasm", &guest::handler("1"))]);
    let plugins = folders.open();
    plugins.scan().await;
    assert_eq!(plugins.reason("a"), "there is no case in the folder `cases`; write one, or leave out `cases`");
    fs::create_dir_all(folder.join("other")).unwrap();
    fs::create_dir(folder.join("cases")).unwrap();
    fs::write(folder.join("cases/one.json"), "{\"request\":{},\"expect\":{\"failure\":\"failed\"}}").unwrap();
    plugins.scan().await;
    let first = plugins.digest("a");
    assert!(folders.revisions.join(first.to_string()).join("cases/one.json").exists());
    for beside in ["cases/notes.txt", "cases/.one.json.swp", "cases/one.json~", "other/two.json", "README.md"] {
        fs::write(folder.join(beside), "{}").unwrap();
        plugins.scan().await;
        assert_eq!((plugins.digest("a"), plugins.state("a")), (first, Some(State::Active)), "{beside}");
    }
    fs::write(folder.join("cases/two.json"), "{\"request\":{},\"expect\":{\"failure\":\"failed\"}}").unwrap();
    plugins.scan().await;
    assert_ne!(plugins.digest("a"), first);
    for number in 0..100 {
        fs::write(folder.join(format!("cases/{number}.json")), "{}").unwrap();
    }
    plugins.scan().await;
    assert_eq!(plugins.reason("a"), "the folder `cases` has more than 100 cases; leave some out");
}

/// Folder, manifest, files; how far it comes and how the reason begins.
type Bad<'a> = (&'a str, String, &'a [(&'a str, &'a [u8])], Stage, &'a str);

#[tokio::test]
async fn what_is_wrong_with_a_plugin_is_said_and_harms_no_other() {
    let good = guest::handler("1");
    let table: [Bad<'_>; 8] = [
        (
            "a-bad-key",
            manifest("a", "a-bad-key").replace("slug", "slag"),
            &[("a.wasm", &good)],
            Stage::Manifest,
            "a-bad-key/plugin.toml:7: unknown key `slag` in [[api]]; did you mean `slug`?",
        ),
        (
            "b-no-file",
            manifest("b", "b-no-file"),
            &[],
            Stage::Discover,
            "the handler `a.wasm` is not in the folder; build it, or correct its name",
        ),
        (
            "c-text",
            manifest("c", "c-text"),
            &[("a.wasm", b"hello")],
            Stage::Admit,
            "`a.wasm`: the file is not a WebAssembly component",
        ),
        (
            "d-module",
            manifest("d", "d-module"),
            &[("a.wasm", &guest::module())],
            Stage::Admit,
            "`a.wasm`: the file is a core WebAssembly module, not a component",
        ),
        ("e-world", manifest("e", "e-world"), &[("a.wasm", &guest::of_another_world())], Stage::Admit, "`a.wasm`: "),
        ("f-half", manifest("f", "f-half"), &[("a.wasm", &good[..good.len() / 2])], Stage::Admit, "`a.wasm`: "),
        (
            "g-large",
            format!("{}[api.limits]\ncomponent = \"1 KiB\"\n", manifest("g", "g-large")),
            &[("a.wasm", &[0; 1025])],
            Stage::Discover,
            "the handler `a.wasm` has 1025 bytes and the limit `component` is 1 KiB; make it smaller, or raise",
        ),
        ("h-empty", String::new(), &[], Stage::Manifest, "h-empty/plugin.toml:1: there is no [plugin]"),
    ];
    let folders = Folders::new();
    for (folder, manifest, files, ..) in &table {
        folders.write(folder, manifest, files);
    }
    for folder in ["i-nothing", "lost+found"] {
        fs::create_dir(folders.plugins.join(folder)).unwrap();
    }
    folders.write_one("i-component", &good);
    fs::remove_file(folders.plugins.join("i-component/plugin.toml")).unwrap();
    fs::write(folders.plugins.join("j.wasm"), &good).unwrap();
    fs::write(folders.plugins.join("README"), "no plugin").unwrap();
    folders.write_one("k-good", &good);
    let plugins = folders.open();
    let report = plugins.scan().await;
    assert_eq!(plugins.reloads().ok, 1);
    assert_eq!(report.rejected.len(), table.len() + 2);
    assert_eq!(plugins.registry().apis().len(), 1);
    for (folder, .., stage, reason) in &table {
        let status = plugins.about(folder);
        assert_eq!((status.state, status.stage, status.active), (State::Rejected, Some(*stage), None), "{folder}");
        assert!(status.reason.as_deref().is_some_and(|told| told.starts_with(reason)), "{folder}: {:?}", status.reason);
        assert!(status.apis.iter().all(|api| api.revision.is_none()), "{folder}");
    }
    assert_eq!(plugins.reason("i-component"), "there is no plugin.toml in it");
    assert_eq!((plugins.state("i-nothing"), plugins.state("lost+found")), (None, None));
    assert_eq!(*plugins.strays(), ["i-nothing"], "a note and no rejection");
    assert!(
        plugins
            .reason("j.wasm")
            .starts_with("j.wasm has no manifest: put it into a folder of its own with a plugin.toml")
    );
    assert_eq!(plugins.state("README"), None);
    let kept = fs::read_dir(&folders.revisions).unwrap().count();
    assert_eq!(kept, 2, "of the bad ones nothing is kept: one revision and the record");

    // The same again is no news.
    let told = plugins.reloads();
    assert_eq!(told.rejected, table.len() as u64 + 2);
    plugins.scan().await;
    assert_eq!(plugins.reloads(), told);
}

#[tokio::test]
async fn a_handler_is_inside_its_folder_wherever_links_lead() {
    let folders = Folders::new();
    let outside = folders.stage.join("outside.wasm");
    fs::write(&outside, guest::handler("1")).unwrap();
    let bad = folders.write("bad", &manifest("bad", "bad"), &[]);
    std::os::unix::fs::symlink(&outside, bad.join("a.wasm")).unwrap();
    let pipe = folders.write("pipe", &manifest("pipe", "pipe"), &[]);
    fs::create_dir(pipe.join("a.wasm")).unwrap();
    let good = folders.write("good", &manifest("good", "good"), &[("real-1.wasm", &guest::handler("1"))]);
    std::os::unix::fs::symlink("real-1.wasm", good.join("a.wasm")).unwrap();
    let plugins = folders.open();
    plugins.scan().await;
    assert_eq!(
        plugins.reason("bad"),
        "`a.wasm` is a link that leads out of the plugin's folder; put the file itself there"
    );
    assert_eq!(plugins.reason("pipe"), "`a.wasm` is not a file; put the component itself there");
    assert_eq!(plugins.state("good"), Some(State::Active));

    let before = plugins.digest("good");
    fs::write(good.join("real-2.wasm"), guest::handler("2")).unwrap();
    std::os::unix::fs::symlink("real-2.wasm", folders.stage.join("link")).unwrap();
    fs::rename(folders.stage.join("link"), good.join("a.wasm")).unwrap();
    plugins.scan().await;
    assert_ne!(plugins.digest("good"), before, "a link that was turned is a change");
}

#[tokio::test]
async fn of_two_plugins_that_claim_one_api_the_first_keeps_it() {
    let folders = Folders::new();
    folders.write("b", &manifest("b", "shared"), &[("a.wasm", &guest::handler("b"))]);
    let plugins = folders.open();
    plugins.scan().await;
    let first = plugins.digest("shared");

    let two = format!("{}\n[[api]]\nowner = \"demo\"\nslug = \"own\"\nhandler = \"a.wasm\"\n", manifest("a", "shared"));
    folders.write("a", &two, &[("a.wasm", &guest::handler("a"))]);
    plugins.scan().await;
    assert_eq!(plugins.digest("shared"), first);
    assert!(plugins.find("own").is_none(), "a plugin is swapped all or none");
    let status = plugins.about("a");
    assert_eq!((status.state, status.stage), (State::Rejected, Some(Stage::Admit)));
    assert_eq!(
        status.reason.unwrap(),
        "`demo/shared` is offered by the plugin in folder `b` already; change owner or slug, or remove one of the two"
    );

    // Also after a restart, although `a` now comes first by its name.
    let plugins = folders.open();
    plugins.scan().await;
    assert_eq!((plugins.digest("shared"), plugins.state("a")), (first, Some(State::Rejected)));

    // The name moves with both manifests in one scan, and comes free for a plugin that was rejected before.
    folders.write("b", &manifest("b", "other"), &[("a.wasm", &guest::handler("b"))]);
    plugins.scan().await;
    assert_ne!(plugins.digest("shared"), first);
    assert_eq!((plugins.state("a"), plugins.state("b")), (Some(State::Active), Some(State::Active)));
    assert_eq!(plugins.registry().apis().len(), 3);
}

#[tokio::test]
async fn a_bare_component_is_an_api_in_development_mode_only() {
    let folders = Folders::new();
    fs::write(folders.plugins.join("hello.wasm"), guest::handler("1")).unwrap();
    fs::write(folders.plugins.join("Not_A_Name.wasm"), guest::handler("1")).unwrap();
    let plugins = folders.open_with(PluginsConfig { bare: Bare::Serve, ..folders.config() });
    plugins.scan().await;
    assert!(plugins.registry().api("local", "hello").is_some());
    assert!(
        plugins.reason("Not_A_Name.wasm").starts_with("Not_A_Name.wasm cannot be the API local/Not_A_Name: `name`: ")
    );
    let plugins = folders.open();
    plugins.scan().await;
    assert!(plugins.reason("hello.wasm").contains("only development mode serves bare components"));
}

#[tokio::test]
async fn an_older_revision_is_there_for_what_was_accepted_under_it() {
    let folders = Folders::new();
    let plugins = folders.open();
    let mut digests = Vec::new();
    for mark in ["1", "2", "3"] {
        folders.write_one("a", &guest::handler(mark));
        plugins.scan().await;
        digests.push((plugins.digest("a"), plugins.api("a").target.handler().unwrap().digest().to_owned()));
    }
    for (digest, component) in &digests {
        let api = plugins.api_at(*digest, &name("a")).await.unwrap();
        assert_eq!((api.digest, api.target.handler().unwrap().digest()), (*digest, component.as_str()));
        assert!(Arc::ptr_eq(&api.permits, &plugins.api("a").permits), "all revisions share the API's permits");
    }
    let first = digests[0].0;
    assert!(matches!(plugins.api_at(first, &name("b")).await, Err(PluginError::NoSuchApi { .. })));
    let unknown = Digest::from_bytes([7; 32]);
    assert!(matches!(
        plugins.api_at(unknown, &name("a")).await,
        Err(PluginError::Revision(RevisionError::Missing(digest))) if digest == unknown
    ));

    // After a restart they come from the data folder, under a ceiling that was lowered meanwhile as well.
    let config = PluginsConfig { ceiling: Limits { memory_bytes: 1 << 20, ..Limits::ceiling() }, ..folders.config() };
    let plugins = folders.open_with(config);
    plugins.scan().await;
    let api = name("a");
    let call = || plugins.api_at(first, &api);
    let found = tokio::join!(call(), call(), call(), call());
    let found = [found.0, found.1, found.2, found.3].map(Result::unwrap);
    assert_eq!(
        (found[0].target.handler().unwrap().digest(), found[0].limits.memory_bytes),
        (digests[0].1.as_str(), 1 << 20)
    );
    assert!(found.iter().all(|api| Arc::ptr_eq(api, &found[0])), "it is made ready once");

    // A damaged one is never run.
    fs::write(folders.revisions.join(digests[1].0.to_string()).join("a.wasm"), guest::handler("evil")).unwrap();
    assert!(matches!(
        plugins.api_at(digests[1].0, &name("a")).await,
        Err(PluginError::Revision(RevisionError::Damaged(_)))
    ));
}

#[tokio::test]
async fn collecting_keeps_what_is_in_use() {
    let folders = Folders::new();
    let plugins = folders.open_with(PluginsConfig { older_max: 2, ..folders.config() });
    let (mut digests, mut held) = (Vec::new(), None);
    for mark in ["1", "2", "3", "4", "5"] {
        folders.write_one("a", &guest::handler(mark));
        plugins.scan().await;
        digests.push(plugins.digest("a"));
        if mark == "2" {
            held = Some(plugins.api("a"));
        }
    }
    let in_use = std::collections::HashSet::from([digests[0]]);
    assert_eq!(plugins.collect(&in_use).await.unwrap(), [], "nothing goes at the first call");
    assert_eq!(
        plugins.collect(&in_use).await.unwrap(),
        [digests[2]],
        "in use, held by a call, unused, previous, active"
    );
    drop(held);
    assert_eq!(plugins.collect(&in_use).await.unwrap(), []);
    assert_eq!(plugins.collect(&in_use).await.unwrap(), [digests[1]]);
    for _ in 0..3 {
        assert_eq!(plugins.collect(&in_use).await.unwrap(), []);
    }
    for (digest, there) in digests.iter().zip([true, false, false, true, true]) {
        assert_eq!(plugins.api_at(*digest, &name("a")).await.is_ok(), there);
    }
}

#[tokio::test]
async fn a_reload_changes_concurrency_without_doubling_it() {
    let folders = Folders::new();
    let with = |concurrency: u32| format!("{}[api.limits]\nconcurrency = {concurrency}\n", manifest("a", "a"));
    let wasm = guest::handler("1");
    folders.write("a", &with(4), &[("a.wasm", &wasm)]);
    let plugins = folders.open();
    plugins.scan().await;
    let before = plugins.api("a");
    let running: Vec<_> = (0..3).map(|_| before.permits.clone().try_acquire_owned().unwrap()).collect();
    folders.write("a", &with(2), &[("a.wasm", &wasm)]);
    plugins.scan().await;
    let after = plugins.api("a");
    assert!(after.permits.clone().try_acquire_owned().is_err(), "three still run");
    drop(running);
    assert_eq!((after.spec.concurrency, after.permits.available_permits()), (2, 2));
}
