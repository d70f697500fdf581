//! The plugins folder itself is replaced, switched or taken away while the gateway runs, with the wall up and without.

use crate::{Test, host};
use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use ripost_tests::{Host, HostBuilder, Plugin, guests, until};
use serde_json::json;
use std::os::unix::fs::symlink;
use std::time::Duration;

const OFF: &str = "[wall]\nmode = \"off\"\n";

/// All of the wall, and these folders that can be read besides.
fn walled(read: &[&Utf8Path]) -> String {
    format!("[wall]\nmode = \"required\"\nread = {read:?}\n")
}

/// With a rescan that a test need not wait for.
fn quick(config: &str) -> HostBuilder {
    host().config("[plugins]\nrescan = \"200 ms\"\n").config(config)
}

fn word(text: &str) -> Plugin {
    Plugin::one("word", guests::says(text))
}

async fn until_said(host: &Host, text: &str) -> Test {
    let consumer = host.demo();
    until(&format!("word says {text}"), Duration::from_secs(15), async || {
        let answer = consumer.call("demo/word").json(&json!({})).header("prefer", "wait=1").send().await?;
        Ok((answer.status == 200 && answer.body == text.as_bytes()).then_some(()))
    })
    .await
}

/// A root folder whose `plugins` is a link to a release with this word.
fn linked(first: &str) -> Result<(tempfile::TempDir, Utf8PathBuf)> {
    let keep = tempfile::tempdir()?;
    let root = Utf8PathBuf::from_path_buf(keep.path().canonicalize()?).ok().context("a UTF-8 path")?;
    release(&root, "1", first)?;
    symlink("releases/1", root.join("plugins"))?;
    Ok((keep, root))
}

fn release(root: &Utf8Path, name: &str, text: &str) -> Test {
    let folder = root.join("releases").join(name);
    word(text).write(&folder.join("word"))
}

fn switch(root: &Utf8Path, name: &str) -> Test {
    symlink(format!("releases/{name}"), root.join("next"))?;
    std::fs::rename(root.join("next"), root.join("plugins"))?;
    Ok(())
}

/// As `rm -rf plugins; mkdir plugins; cp -r …` does it.
fn replace(host: &Host, text: &str) -> Test {
    std::fs::remove_dir_all(host.plugins())?;
    std::fs::create_dir(host.plugins())?;
    word(text).write(&host.plugins().join("word"))
}

/// Everything that shows that the folder cannot be read, and what to do.
async fn assert_told(host: &Host, remedy: &str) -> Test {
    let reload = host.cli(&["reload"]).await?.expect(1)?;
    assert!(reload.stderr.contains("not reloaded: the plugins folder") && reload.stderr.contains(remedy), "{reload:?}");
    let status = host.cli(&["status"]).await?.expect(0)?.stdout;
    assert!(status.contains("DEGRADED (plugins-folder)") && status.contains(remedy), "{status}");
    let ready = host.demo().get("/readyz").await?.expect(200)?;
    let text = String::from_utf8(ready.body.to_vec())?;
    assert!(text.starts_with("degraded\nplugins-folder: "), "{text}");
    assert!(!text.contains(host.plugins().as_str()), "it names no path: {text}");
    let not_ready = host.metrics().await?.sum("ripost_not_ready", "reason=\"plugins-folder\"");
    assert!(not_ready > 0.5, "{not_ready}");
    host.logged("The plugins folder cannot be read").await
}

async fn assert_well(host: &Host) -> Test {
    host.cli(&["reload"]).await?.expect(0)?;
    let ready = host.demo().get("/readyz").await?.expect(200)?;
    assert_eq!(ready.body, "ok\n");
    let not_ready = host.metrics().await?.sum("ripost_not_ready", "reason=\"plugins-folder\"");
    assert!(not_ready < 0.5, "{not_ready}");
    Ok(())
}

#[tokio::test]
async fn a_folder_that_another_took_the_place_of_is_told_behind_the_wall_and_read_after_a_restart() -> Test {
    let host = quick(&walled(&[])).plugin(&word("one")).start().await?;
    until_said(&host, "one").await?;
    replace(&host, "two")?;
    assert_told(&host, "restart the gateway").await?;
    until_said(&host, "one").await?;
    let host = host.restart().await?;
    until_said(&host, "two").await?;
    assert_well(&host).await
}

#[tokio::test]
async fn a_folder_that_another_took_the_place_of_is_read_where_the_wall_lets_it() -> Test {
    let keep = tempfile::tempdir()?;
    let root = Utf8PathBuf::from_path_buf(keep.path().canonicalize()?).ok().context("a UTF-8 path")?;
    for config in [OFF.to_owned(), walled(&[&root])] {
        let host = quick(&config).folder(&root).plugin(&word("one")).start().await?;
        until_said(&host, "one").await?;
        for text in ["two", "three"] {
            replace(&host, text)?;
            until_said(&host, text).await?;
            assert_well(&host).await?;
        }
        // Without a rescan between: a command looks at what is there now.
        replace(&host, "four")?;
        host.cli(&["reload"]).await?.expect(0)?;
        until_said(&host, "four").await?;
        std::fs::remove_dir_all(host.plugins())?;
        std::fs::remove_dir_all(host.data())?;
    }
    Ok(())
}

#[tokio::test]
async fn a_link_that_is_switched_to_another_release_is_followed_where_the_wall_lets_it() -> Test {
    for wall_is_up in [false, true] {
        let (_keep, root) = linked("one")?;
        let config = if wall_is_up { walled(&[&root.join("releases")]) } else { OFF.to_owned() };
        let host = quick(&config).folder(&root).start().await?;
        until_said(&host, "one").await?;
        release(&root, "2", "two")?;
        switch(&root, "2")?;
        until_said(&host, "two").await?;
        assert_well(&host).await?;
        // And what changes in the new one is seen.
        word("three").install(host.stage(), &root.join("releases/2"))?;
        until_said(&host, "three").await?;
        switch(&root, "1")?;
        host.cli(&["reload"]).await?.expect(0)?;
        until_said(&host, "one").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_link_that_is_switched_to_where_the_wall_lets_nothing_through_is_told() -> Test {
    let (_keep, root) = linked("one")?;
    let host = quick(&walled(&[])).folder(&root).start().await?;
    until_said(&host, "one").await?;
    release(&root, "2", "two")?;
    switch(&root, "2")?;
    assert_told(&host, "restart the gateway").await?;
    until_said(&host, "one").await?;
    // Back to the one of the start.
    switch(&root, "1")?;
    assert_well(&host).await?;
    host.logged("The plugins folder can be read again").await
}

#[tokio::test]
async fn a_folder_that_is_gone_is_told_and_its_plugins_are_missing_and_serve() -> Test {
    let host = quick("deleted_grace = \"200 ms\"\n").plugin(&word("one")).start().await?;
    until_said(&host, "one").await?;
    std::fs::rename(host.plugins(), host.stage().join("away"))?;
    assert_told(&host, "make it again").await?;
    until("word is missing", Duration::from_secs(10), async || {
        Ok(host.cli(&["status"]).await?.expect(0)?.stdout.contains("word 1.0.0: missing").then_some(()))
    })
    .await?;
    until_said(&host, "one").await?;
    // The very folder comes back.
    std::fs::rename(host.stage().join("away"), host.plugins())?;
    until("word is active", Duration::from_secs(10), async || {
        Ok(host.cli(&["status"]).await?.expect(0)?.stdout.contains("word 1.0.0: active").then_some(()))
    })
    .await?;
    assert_well(&host).await
}

#[tokio::test]
async fn a_folder_that_never_was_a_plugin_is_a_note_and_no_rejection() -> Test {
    let host = quick("").plugin(&word("one")).start().await?;
    std::fs::create_dir_all(host.plugins().join("shared/schemas"))?;
    std::fs::create_dir(host.plugins().join("lost+found"))?;
    let reload = host.cli(&["reload"]).await?.expect(0)?;
    let note = "note: \"shared\" in the plugins folder has no plugin.toml, so it is not a plugin";
    assert!(reload.stdout.contains(note) && !reload.stdout.contains("lost+found"), "{reload:?}");
    let status = host.cli(&["status", "--json"]).await?.expect(0)?.json()?;
    assert_eq!(status["strays"], json!(["shared"]));
    assert_eq!(status["plugins"].as_array().context("plugins")?.len(), 1);

    // A component without a manifest was meant to serve.
    std::fs::write(host.plugins().join("shared/word.wasm"), guests::says("shared"))?;
    let reload = host.cli(&["reload"]).await?.expect(1)?;
    assert!(reload.stdout.contains("there is no plugin.toml in it") && !reload.stdout.contains("note:"), "{reload:?}");
    Plugin::one("shared", guests::says("shared")).install(host.stage(), host.plugins())?;
    host.cli(&["reload"]).await?.expect(0)?;
    host.serves(&host.demo(), "demo/shared").await
}
