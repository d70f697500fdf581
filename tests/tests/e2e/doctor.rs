//! `ripost doctor`, with and without a gateway, and what it finds.

use crate::{Test, host};
use anyhow::{Context as _, Result};
use ripost_tests::{Output, cli, places};
use serde_json::Value;

/// One line of the answer.
fn line(output: &Output, check: &str) -> Result<Value> {
    let lines = output.json()?;
    let lines = lines.as_array().context("an array")?;
    lines.iter().find(|line| line["check"] == check).cloned().with_context(|| format!("no `{check}` in {lines:?}"))
}

async fn doctor(folder: &str, more: &[&str]) -> Result<Output> {
    let data = format!("{folder}/data");
    let plugins = format!("{folder}/plugins");
    let arguments = [&["doctor", "--data", &data, "--plugins", &plugins, "--listen", "127.0.0.1:0"], more].concat();
    cli::ripost(places::ripost()?, &arguments, &[]).await
}

#[tokio::test]
async fn it_answers_beside_a_running_gateway_and_where_none_has_run() -> Test {
    let host = host().start().await?;
    let output = host.cli(&["doctor", "--json"]).await?.expect(0)?;
    assert_eq!(line(&output, "data folder")?["level"], "warn", "the harness makes it 0755");
    let gateway = line(&output, "gateway")?;
    assert!(gateway["level"] == "ok" && gateway["says"].as_str().context("a text")?.contains("one runs"), "{gateway}");
    assert_eq!(line(&output, "wall")?["level"], "ok", "{output:?}");
    assert_eq!(line(&output, "key files")?["level"], "ok");
    // It has gone on as before.
    host.cli(&["status"]).await?.expect(0)?;

    let empty = tempfile::tempdir()?;
    let output = doctor(empty.path().to_str().context("a path")?, &["--json"]).await?.expect(1)?;
    let plugins = line(&output, "plugins folder")?;
    assert!(plugins["level"] == "fail" && plugins["says"].as_str().context("a text")?.contains("does not exist"));
    std::fs::create_dir(empty.path().join("plugins"))?;
    let output = doctor(empty.path().to_str().context("a path")?, &["--json"]).await?.expect(0)?;
    for check in ["program", "engines", "gateway", "data folder", "plugins folder", "clock", "landlock", "seccomp"] {
        assert_eq!(line(&output, check)?["level"], "ok", "{output:?}");
    }
    assert_eq!(std::fs::read_dir(empty.path())?.count(), 1, "it makes nothing");
    Ok(())
}

#[tokio::test]
async fn a_key_that_others_can_read_fails_it_and_the_line_says_what_to_do() -> Test {
    let stopped = host().start().await?.sigterm().await?;
    let key = stopped.data().join("master.key");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    let output = stopped.cli(&["doctor", "--listen", "127.0.0.1:0"]).await?.expect(1)?;
    let line = output.stdout.lines().find(|line| line.starts_with("fail")).context("a failed line")?;
    assert!(line.contains("master.key") && line.contains("chmod 0600"), "{line}");
    assert!(output.stderr.contains("one check failed"), "{output:?}");
    Ok(())
}
