//! What a restart finds.

use super::fixture::{Folders, View as _, manifest};
use super::guest;
use crate::plugins::{PluginsConfig, State};
use ripost_runtime::Limits;
use std::fs;

#[tokio::test]
async fn a_restart_beside_a_bad_file_serves_the_last_good_revision() {
    let folders = Folders::new();
    let folder = folders.write_one("a", &guest::handler("1"));
    let plugins = folders.open();
    plugins.scan().await;
    let (first, component) = (plugins.digest("a"), plugins.api("a").target.handler().unwrap().digest().to_owned());
    let bad = guest::handler("2");
    let damages: [&dyn Fn(); 5] = [
        &|| fs::write(folder.join("a.wasm"), &bad[..bad.len() / 2]).unwrap(),
        &|| fs::write(folder.join("plugin.toml"), "nonsense").unwrap(),
        &|| fs::remove_file(folder.join("a.wasm")).unwrap(),
        &|| fs::remove_file(folder.join("plugin.toml")).unwrap(),
        &|| fs::remove_dir_all(&folder).unwrap(),
    ];
    for (damage, state) in
        damages.into_iter().zip([State::Rejected, State::Rejected, State::Rejected, State::Missing, State::Missing])
    {
        folders.write_one("a", &guest::handler("1"));
        damage();
        let plugins = folders.open();
        plugins.scan().await;
        assert_eq!(
            (plugins.digest("a"), plugins.api("a").target.handler().unwrap().digest()),
            (first, component.as_str())
        );
        let status = plugins.about("a");
        assert_eq!((status.state, status.active), (state, Some(first)));
        assert!(status.reason.is_some());
    }
    folders.write_one("a", &guest::handler("3"));
    let plugins = folders.open();
    plugins.scan().await;
    assert_ne!(plugins.digest("a"), first);
    assert_eq!(plugins.about("a").previous, Some(first));
}

#[tokio::test]
async fn a_restart_mends_what_the_data_folder_lost_from_the_plugins_folder() {
    let folders = Folders::new();
    folders.write_one("a", &guest::handler("1"));
    let plugins = folders.open();
    plugins.scan().await;
    let first = plugins.digest("a");
    let kept = folders.revisions.join(first.to_string()).join("a.wasm");
    let damages: [&dyn Fn(); 3] =
        [&|| fs::write(&kept, "damaged").unwrap(), &|| fs::remove_dir_all(kept.parent().unwrap()).unwrap(), &|| {
            fs::write(folders.revisions.join("active.json"), "{").unwrap()
        }];
    for damage in damages {
        damage();
        let plugins = folders.open();
        plugins.scan().await;
        assert_eq!((plugins.digest("a"), plugins.state("a")), (first, Some(State::Active)));
        assert_eq!(fs::read(&kept).unwrap(), guest::handler("1"));
        assert_eq!(plugins.about("a").previous, None);
    }
}

#[tokio::test]
async fn nothing_is_invented_when_both_folders_are_bad() {
    let folders = Folders::new();
    let folder = folders.write_one("a", &guest::handler("1"));
    let plugins = folders.open();
    plugins.scan().await;
    let kept = folders.revisions.join(plugins.digest("a").to_string());
    fs::write(kept.join("a.wasm"), "damaged").unwrap();
    fs::write(folder.join("a.wasm"), "damaged").unwrap();
    let plugins = folders.open();
    plugins.scan().await;
    assert!(plugins.registry().apis().is_empty());
    assert_eq!((plugins.state("a"), plugins.about("a").active), (Some(State::Rejected), None));
    fs::write(folder.join("a.wasm"), guest::handler("1")).unwrap();
    plugins.scan().await;
    assert_eq!(plugins.state("a"), Some(State::Active));
}

#[tokio::test]
async fn a_ceiling_lowered_between_two_starts_refuses_what_asks_for_more() {
    let folders = Folders::new();
    let text = format!("{}[api.limits]\nmemory = \"128 MiB\"\n", manifest("a", "a"));
    folders.write("a", &text, &[("a.wasm", &guest::handler("1"))]);
    let plugins = folders.open();
    plugins.scan().await;
    let (digest, api) = (plugins.digest("a"), plugins.api("a").name.clone());
    let ceiling = Limits { memory_bytes: 64 << 20, ..Limits::ceiling() };
    let plugins = folders.open_with(PluginsConfig { ceiling, ..folders.config() });
    plugins.scan().await;
    assert!(plugins.find("a").is_none());
    assert!(
        plugins.reason("a").contains("asks for 128 MiB and this host's ceiling is 64 MiB"),
        "{}",
        plugins.reason("a")
    );
    let accepted = plugins.api_at(digest, &api).await.unwrap();
    assert_eq!(accepted.limits.memory_bytes, 64 << 20, "what was accepted before runs to its end, within the ceiling");
}
