//! What commands print: a reader that goes away early changes nothing, and no text of a stranger steers the terminal.

use crate::Test;
use crate::echo::{call, start};
use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ripost_tests::{Consumer, Output, Plugin, Reply, cli, guests, places, until};
use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// Commands beside a gateway, none of whose standard output anybody reads.
struct Unread {
    data: Utf8PathBuf,
    /// All that were run, as they were written.
    run: Vec<String>,
}

impl Unread {
    async fn ends_with(&mut self, code: i32, arguments: &[&str]) -> Result<Output> {
        let environment = [("RIPOST_DATA", self.data.as_str())];
        let output = cli::ripost_unread(places::ripost()?, arguments, &environment).await?.expect(code)?;
        assert!(!output.stderr.contains("panicked"), "{arguments:?}: {output:?}");
        self.run.push(arguments.join(" "));
        Ok(output)
    }

    /// It does what it is for, and says nothing about the closed pipe.
    async fn is_quiet(&mut self, arguments: &[&str]) -> Test {
        let output = self.ends_with(0, arguments).await?;
        assert_eq!(output.stderr, "", "{arguments:?}");
        Ok(())
    }
}

/// Every command that help lists, such as `consumers keys add`.
async fn all_commands() -> Result<BTreeSet<String>> {
    let (mut open, mut found) = (vec![String::new()], BTreeSet::new());
    while let Some(command) = open.pop() {
        let arguments: Vec<&str> = command.split_whitespace().chain(["-h"]).collect();
        let help = cli::ripost(places::ripost()?, &arguments, &[]).await?.expect(0)?.stdout;
        let below = help.split_once("\nCommands:\n").map(|(_, list)| list.split("\n\n").next().unwrap_or_default());
        let Some(below) = below else {
            found.insert(command);
            continue;
        };
        let names = below.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
        open.extend(names.map(|name| format!("{command} {name}").trim().to_owned()));
    }
    Ok(found)
}

#[tokio::test]
async fn every_command_keeps_its_exit_code_when_nobody_reads_what_it_prints() -> Test {
    let (host, consumer, sink) = start(crate::QUICK).await?;
    let request = call(&consumer, &sink.url("/hook")).await?;
    consumer.delivery(&request, "delivered").await?;
    let receipt = consumer.get(&format!("/requests/{request}/receipt")).await?.expect(200)?.json()?;
    let files = host.stage().join("files");
    std::fs::create_dir_all(&files)?;
    let (receipt_file, secret_file) = (files.join("receipt.json"), files.join("secret"));
    std::fs::write(&receipt_file, receipt.to_string())?;
    std::fs::write(&secret_file, "value")?;
    let keys = host.demo().with_key(None).get("/.well-known/webhook-keys").await?.expect(200)?.json()?;
    let key = keys["whpk"][0].as_str().context("a key")?.to_owned();
    let gone = sink.url("/gone");
    sink.script([Reply::status(410)]);
    let abandoned = call(&consumer, &gone).await?;
    consumer.delivery(&abandoned, "abandoned").await?;
    let (one, other) = (host.stage().join("one"), host.stage().join("other"));
    Plugin::one("pushed", guests::echo()).write(&one)?;
    Plugin::one("pushed", guests::says("another")).write(&other)?;

    let mut unread = Unread { data: host.data().to_owned(), run: Vec::new() };
    let (config, endpoint) = (files.join("ripost.toml"), sink.url("/test"));
    std::fs::write(&config, "")?;
    let config = ["--config", config.as_str()];
    for arguments in [
        &["status"][..],
        &["owners"],
        &["limits"],
        &["config", "check", config[0], config[1]],
        &["config", "show", config[0], config[1]],
        &["check", one.as_str()],
        &["test", one.as_str()],
        &["plugins", "schema"],
        &["verify", receipt_file.as_str(), "--key", &key],
        &["requests", "list"],
        &["requests", "show", &request],
        &["runs", &request],
        &["replay", &request],
        &["deliveries", "list"],
        &["deliveries", "show", &request],
        &["deliveries", "redeliver", "--consumer", "c1", "--state", "exhausted"],
        &["deliveries", "enable-url", &gone, "--consumer", "c1"],
        &["webhook-test", &endpoint, "--consumer", "c1"],
        &["consumers", "add", "acme"],
        &["consumers", "list"],
        &["consumers", "credit", "acme", "5", "--reference", "in"],
        &["consumers", "debit", "acme", "5", "--reference", "out"],
        &["consumers", "subscribe", "acme", "demo/echo"],
        &["api", "subscribers", "demo/echo"],
        &["consumers", "unsubscribe", "acme", "demo/echo"],
        &["consumers", "limits", "acme"],
        &["consumers", "keys", "add", "acme", "--name", "second"],
        &["consumers", "keys", "list", "acme"],
        &["consumers", "keys", "revoke", "acme", "second"],
        &["erase", "consumer", "acme"],
        &["api", "list"],
        &["api", "pause", "demo/echo"],
        &["api", "resume", "demo/echo"],
        &["tokens", "add", "ops", "--role", "operator"],
        &["tokens", "list"],
        &["tokens", "remove", "ops"],
        &["secrets", "set", "demo", "TOKEN", "--value-file", secret_file.as_str()],
        &["secrets", "list"],
        &["secrets", "remove", "demo", "TOKEN"],
        &["upstream", "secret", "demo"],
        &["push", one.as_str()],
        &["push", other.as_str()],
        &["revisions"],
        &["rollback", "demo/pushed"],
        &["plugins", "list"],
        &["plugins", "stop", "demo/pushed"],
        &["plugins", "start", "demo/pushed"],
        &["plugins", "remove", "demo/pushed"],
        &["reload"],
        &["erase", "request", &request],
    ] {
        unread.is_quiet(arguments).await?;
    }
    // What they are for was done.
    let consumers = host.cli(&["consumers", "list"]).await?.expect(0)?.stdout;
    assert!(!consumers.contains("acme"), "{consumers}");
    host.cli(&["requests", "show", &request]).await?.expect(1)?;
    // Failures stay failures. What `doctor` finds depends on the machine.
    let refused = unread.ends_with(1, &["requests", "show", &request]).await?;
    assert!(refused.stderr.starts_with("ripost: "), "{refused:?}");
    let code = host.cli(&["doctor"]).await?.code.context("an exit code")?;
    unread.ends_with(code, &["doctor"]).await?;
    let host = host.sigterm().await?;
    unread.is_quiet(&["ledger", "audit"]).await?;
    drop(host);

    // These two print to standard error, and have tests of their own.
    let own_tests = ["listen", "serve"].map(str::to_owned);
    let run = |command: &String| {
        unread.run.iter().any(|run| run == command || run.starts_with(&format!("{command} ")))
            || own_tests.contains(command)
    };
    let all = all_commands().await?;
    let missed: Vec<&String> = all.iter().filter(|command| !run(command)).collect();
    assert!(all.len() > 40 && missed.is_empty(), "no case for {missed:?} of {all:?}");
    Ok(())
}

#[tokio::test]
async fn a_receiver_ends_at_the_first_webhook_that_nobody_reads() -> Test {
    let (host, _, _) = start(crate::QUICK).await?;
    let mut command = Command::new(places::ripost()?);
    command.args(["listen", "--listen", "127.0.0.1:0"]).kill_on_drop(true);
    let mut receiver = command.stdout(cli::closed_pipe()?).stderr(Stdio::piped()).spawn()?;
    let mut said = BufReader::new(receiver.stderr.take().context("its standard error")?).lines();
    let first = said.next_line().await?.context("where it listens")?;
    let url = first.split_whitespace().find(|word| word.starts_with("http://")).context("a URL")?;
    // It is answered all the same.
    host.cli(&["webhook-test", url.trim_end_matches(','), "--consumer", "c1"]).await?.expect(0)?;
    let ended = tokio::time::timeout(Duration::from_secs(10), receiver.wait()).await.context("it goes on")??;
    assert_eq!((ended.code(), said.next_line().await?), (Some(0), None));
    Ok(())
}

#[tokio::test]
async fn an_output_that_cannot_be_written_is_an_error() -> Test {
    let full = || std::fs::File::options().write(true).open("/dev/full");
    for arguments in [&["plugins", "schema"][..], &["--help"], &["status", "--help"], &["--version"]] {
        let mut command = Command::new(places::ripost()?);
        command.args(arguments).stdin(Stdio::null()).stdout(full()?).stderr(Stdio::piped());
        let output = command.spawn()?.wait_with_output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(73), "{arguments:?}: {said}");
        assert!(said.contains("standard output") && said.contains("No space left"), "{arguments:?}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_gateway_serves_on_when_nobody_reads_its_log() -> Test {
    let folder = tempfile::tempdir()?;
    let root = Utf8Path::from_path(folder.path()).context("a path")?;
    let (data, plugins) = (root.join("data"), root.join("plugins"));
    Plugin::one("echo", guests::echo()).write(&plugins.join("echo"))?;
    let mut command = Command::new(places::ripost()?);
    command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data", data.as_str(), "--plugins", plugins.as_str()]);
    command.env("RIPOST_LOG", "debug").stdin(Stdio::null()).kill_on_drop(true);
    let mut gateway = command.stdout(cli::closed_pipe()?).stderr(cli::closed_pipe()?).spawn()?;
    let url =
        until("an address", Duration::from_secs(10), async || Ok(std::fs::read_to_string(data.join("address")).ok()));
    let consumer = Consumer::new(url.await?.trim(), Some(cli::DEMO_KEY));
    let call = async || consumer.call("demo/echo").json(&serde_json::json!({})).send().await;
    // Until it is compiled.
    until("an answer", Duration::from_secs(20), async || Ok((call().await?.status == 200).then_some(()))).await?;
    for _ in 0..3 {
        call().await?.expect(200)?;
    }
    let pid = gateway.id().context("it has ended")?;
    kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM)?;
    let ended = tokio::time::timeout(Duration::from_secs(10), gateway.wait()).await.context("it goes on")??;
    assert_eq!(ended.code(), Some(0));
    Ok(())
}

/// Nothing in it moves the cursor, sets a colour or turns the direction of reading.
fn is_harmless(text: &str) -> bool {
    !text.chars().any(|letter| (letter.is_control() && !matches!(letter, '\n' | '\t')) || letter == '\u{202e}')
}

#[tokio::test]
async fn no_manifest_and_no_name_of_a_folder_steers_the_terminal() -> Test {
    let (host, _, _) = start(crate::QUICK).await?;
    let steering = "\u{1b}[31mred\u{9b}0m\u{202e}";
    let key = |manifest: String| manifest.replacen("[plugin]\n", "[plugin]\n\"\\u001b[31mred\" = 1\n", 1);
    let name = |manifest: String| manifest.replacen("version = \"1.0.0\"", "version = \"1\\u001b[2J\\u202e\"", 1);
    let manifests = [
        ("key", Plugin::one("echo", guests::echo()).with_manifest(key)),
        ("version", Plugin::one("echo", guests::echo()).with_manifest(name)),
        (
            "file",
            Plugin::one("echo", guests::echo()).with_manifest(|text| text.replacen("echo.wasm", "\\u001b[2J.wasm", 1)),
        ),
    ];
    for (what, plugin) in &manifests {
        plugin.write(&host.plugins().join(what))?;
        plugin.write(&host.stage().join(what))?;
    }
    Plugin::one("echo", guests::echo()).write(&host.plugins().join(steering))?;
    std::fs::create_dir(host.stage().join(steering))?;
    let reload = host.cli(&["reload"]).await?;
    assert!(reload.code == Some(1) && reload.stdout.contains("\\u001b[31mred"), "{reload:?}");
    let folders = ["key", "version", "file", steering].map(|name| host.stage().join(name));
    let mut commands = vec![vec!["reload"], vec!["reload", "--json"], vec!["status"], vec!["status", "--json"]];
    commands.extend([vec!["plugins", "list"], vec!["revisions"], vec!["api", "list"]]);
    for folder in &folders {
        commands.extend([vec!["check", folder.as_str()], vec!["check", "--json", folder.as_str()]]);
        commands.extend([vec!["test", folder.as_str()], vec!["push", folder.as_str()]]);
    }
    for command in &commands {
        let output = host.cli(command).await?;
        assert!(is_harmless(&output.stdout) && is_harmless(&output.stderr), "{command:?}: {output:?}");
        assert!(!output.stdout.is_empty() || !output.stderr.is_empty(), "{command:?}");
        if command.contains(&"--json") {
            output.json()?;
        }
    }
    Ok(())
}
