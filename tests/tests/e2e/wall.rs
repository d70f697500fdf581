//! What a running gateway has given up, and that it serves all the same.

use crate::echo::call;
use crate::{Test, host};
use anyhow::{Context as _, Result};
use ripost_tests::plugin::rename_into_place;
use ripost_tests::{Api, Host, Plugin, Sink, guests, until};
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::time::Duration;

const REQUIRED: &str = "[wall]\nmode = \"required\"\n";

async fn until_status(host: &Host, plugin: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
    until(&format!("status of {plugin}"), Duration::from_secs(10), async || {
        let status = host.cli(&["status", "--json"]).await?.expect(0)?.json()?;
        let plugins = status["plugins"].as_array().context("plugins")?;
        Ok(plugins.iter().find(|status| status["key"] == plugin && holds(status)).cloned())
    })
    .await
}

#[tokio::test]
async fn behind_the_whole_wall_a_gateway_serves_reloads_and_delivers() -> Test {
    let word = Plugin::one("word", guests::says("one"));
    let host = host().config(REQUIRED).plugin(&Plugin::one("echo", guests::echo())).plugin(&word).start().await?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid()))?;
    assert!(status.contains("NoNewPrivs:\t1\n") && status.contains("Seccomp:\t2\n"), "{status}");
    assert!(host.log().contains("Put up the wall"), "it is said at the start");
    // Every thread, not only the first.
    for thread in std::fs::read_dir(format!("/proc/{}/task", host.pid()))? {
        let status = std::fs::read_to_string(thread?.path().join("status"))?;
        assert!(status.contains("NoNewPrivs:\t1\n") && status.contains("Seccomp:\t2\n"), "{status}");
    }

    let sink = Sink::start().await?;
    let consumer = host.demo();
    let id = call(&consumer, &sink.url("/")).await?;
    sink.wait(&id, 1).await?;

    rename_into_place(host.stage(), &host.plugins().join("word/word.wasm"), &guests::says("two"))?;
    until("the new word", Duration::from_secs(10), async || {
        let answer = consumer.call("demo/word").json(&json!({})).send().await?.expect(200)?;
        Ok((answer.body == "two").then_some(()))
    })
    .await?;
    host.cli(&["consumer", "add", "c1", "--credit", "1"]).await?.expect(0)?;
    host.restart().await?.demo().call("demo/echo").json(&json!({})).send().await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn a_plugin_that_is_a_link_out_of_the_folders_says_which_setting_lets_it_in() -> Test {
    let elsewhere = tempfile::tempdir()?;
    let elsewhere = elsewhere.path().canonicalize()?;
    let folder = camino::Utf8PathBuf::from_path_buf(elsewhere.join("echo")).ok().context("a UTF-8 path")?;
    Plugin::one("echo", guests::echo()).write(&folder)?;
    let host = host().config(REQUIRED).start().await?;
    symlink(&folder, host.plugins().join("echo"))?;
    let status = until_status(&host, "echo", |status| status["state"] == "rejected").await?;
    let reason = status["reason"].as_str().context("a reason")?;
    assert!(reason.contains("wall.read") && reason.contains("echo"), "{reason}");

    let stopped = host.sigterm().await?;
    let named = format!("{REQUIRED}read = [\"{}\"]\n", elsewhere.display());
    let host = stopped.with(|settings| settings.only_config(&named)).start().await?;
    host.serves(&host.demo(), "demo/echo").await
}

#[tokio::test]
async fn a_component_that_is_a_link_out_of_its_folder_is_rejected_with_the_reason() -> Test {
    let elsewhere = tempfile::tempdir()?;
    let file = elsewhere.path().join("echo.wasm");
    std::fs::write(&file, guests::echo())?;
    let host = host().start().await?;
    let plugin = Plugin::new("echo", [Api::new("demo", "echo", guests::echo())]).without_file("echo.wasm");
    let draft = host.stage().join("echo");
    plugin.write(&draft)?;
    symlink(&file, draft.join("echo.wasm"))?;
    std::fs::rename(&draft, host.plugins().join("echo"))?;
    let status = until_status(&host, "echo", |status| status["state"] == "rejected").await?;
    let reason = status["reason"].as_str().context("a reason")?;
    assert!(reason.contains("echo.wasm") && reason.contains("leads out"), "{reason}");
    Ok(())
}

#[tokio::test]
async fn a_required_wall_with_a_hole_ends_the_start_with_64_and_an_automatic_one_says_so() -> Test {
    let hole = "read = [\"/nowhere/at/all\"]\n";
    let stopped = host().config(REQUIRED).config(hole).start_unready().await?.ended().await?;
    assert_eq!(stopped.status.code(), Some(64), "{}", stopped.log());
    let log = stopped.log();
    let line = log.lines().last().context("a line")?;
    assert!(line.contains("/nowhere/at/all") && line.contains("ripost doctor"), "{line}");

    let host = host().config("[wall]").config(hole).start().await?;
    assert!(host.log().contains("Put up a part of the wall") && host.log().contains("/nowhere/at/all"));
    Ok(())
}

#[tokio::test]
async fn without_a_wall_a_gateway_says_so_and_gives_nothing_up() -> Test {
    let host = host().config("[wall]\nmode = \"off\"").start().await?;
    assert!(host.log().contains("The wall is off"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid()))?;
    assert!(status.contains("NoNewPrivs:\t0\n") || status.contains("Seccomp:\t0\n"), "{status}");
    Ok(())
}
