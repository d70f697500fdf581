//! `config check`, `doctor` and `serve` refuse and warn of the same; `ledger audit` says what it checked.

use crate::{Test, host};
use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use ripost_tests::{Api, Output, Plugin, cli, guests, places, until};
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

/// A configuration file in a folder of its own, with an environment.
struct Setting {
    _keep: tempfile::TempDir,
    root: Utf8PathBuf,
    environment: Vec<(&'static str, &'static str)>,
}

impl Setting {
    fn new(toml: &str, environment: &[(&'static str, &'static str)]) -> Result<Self> {
        let keep = tempfile::tempdir()?;
        let root = Utf8PathBuf::from_path_buf(keep.path().to_owned()).ok().context("a UTF-8 path")?;
        std::fs::write(root.join("empty.pem"), "no certificate\n")?;
        std::fs::create_dir(root.join("plugins"))?;
        let mut file = format!("data = \"{root}/data\"\n");
        if !toml.contains("plugins_folder") {
            file.push_str(&format!("plugins_folder = \"{root}/plugins\"\n"));
        }
        file.push_str(&toml.replace("ROOT", root.as_str()));
        std::fs::write(root.join("ripost.toml"), file)?;
        Ok(Self { _keep: keep, root, environment: environment.to_vec() })
    }

    async fn run(&self, command: &[&str]) -> Result<Output> {
        let file = self.root.join("ripost.toml");
        let arguments = [command, &["--config", file.as_str()]].concat();
        cli::ripost(places::ripost()?, &arguments, &self.environment).await
    }
}

#[tokio::test]
async fn what_serve_refuses_config_check_and_doctor_refuse_in_the_same_words() -> Test {
    let key = "RIPOST_MASTER_KEY";
    for (toml, environment, says) in [
        ("listen = \"nowhere\"", &[][..], "nowhere"),
        ("lisen = \"127.0.0.1:0\"", &[], "lisen"),
        ("dev_expose = true", &[], "--dev-expose"),
        ("public_url = \"https://x.example/path\"", &[], "public_url"),
        ("[connections]\ntrusted_proxies = [\"10.0.0.1/8\"]", &[], "trusted_proxies"),
        ("[cors]\norigins = [\"shop.example\"]", &[], "cors.origins"),
        ("[delivery]\nallow = [\"10.0.0.0/33\"]", &[], "delivery.allow"),
        ("[delivery]\ndeny = [\"lan\"]", &[], "delivery.deny"),
        ("[delivery]\nschedule = [\"soon\"]", &[], "delivery.schedule"),
        ("[delivery]\nca_file = \"/nowhere/ca.pem\"", &[], "/nowhere/ca.pem"),
        ("[delivery]\nca_file = \"ROOT/empty.pem\"", &[], "empty.pem"),
        ("[outbound]\nallow = [\"10.0.0.0/33\"]", &[], "outbound.allow"),
        ("[outbound]\nca_file = \"/nowhere/ca.pem\"", &[], "outbound.ca_file"),
        ("[upstream]\ndeny = [\"10.0.0.0/33\"]", &[], "upstream.deny"),
        ("[upstream]\nca_file = \"/nowhere/ca.pem\"", &[], "upstream.ca_file"),
        ("[alerts]\nurl = \"https://x.example/\"", &[], "alerts.secret"),
        ("[log]\nfilter = \"info,ripost::==\"", &[], "log.filter"),
        ("", &[("RIPOST_LOG", "info,ripost::==")], "RIPOST_LOG"),
        ("", &[(key, "abc")], key),
        ("[wall]\nmode = \"required\"\nread = [\"/nowhere/at/all\"]", &[], "/nowhere/at/all"),
        ("plugins_folder = \"ROOT/plugin\"", &[], "ROOT/plugin does not exist"),
        ("plugins_folder = \"ROOT/ripost.toml\"", &[], " a directory"),
        ("[plugins]\nrescan = \"0 s\"", &[], "plugins.rescan"),
        ("[compile]\nmemory = \"31 MiB\"", &[], "compile.memory"),
    ] {
        let toml =
            if toml.contains("listen =") { toml.to_owned() } else { format!("listen = \"127.0.0.1:0\"\n{toml}") };
        let setting = Setting::new(&toml, environment)?;
        let (serve, check) = (setting.run(&["serve"]).await?, setting.run(&["config", "check"]).await?);
        let (serve, check) = (serve.expect(64)?, check.expect(64)?);
        let says = says.replace("ROOT", setting.root.as_str());
        assert!(check.stderr.contains(&says), "{toml}: {check:?}");
        // Before it `serve` may have logged something.
        assert!(serve.stderr.ends_with(&check.stderr), "{toml}: {serve:?}, {check:?}");
        let doctor = setting.run(&["doctor"]).await?;
        let fails = doctor.stdout.lines().filter(|line| line.starts_with("fail")).collect::<Vec<_>>().join("\n");
        assert!(doctor.code != Some(0) && format!("{fails}{}", doctor.stderr).contains(&says), "{toml}: {doctor:?}");
        assert!(!setting.root.join("data/ripost.sqlite3").exists(), "{toml}: nothing was touched");
    }
    Ok(())
}

#[tokio::test]
async fn what_the_network_reaches_without_meaning_to_is_a_warning_in_all_three() -> Test {
    let setting = Setting::new("listen = \"0.0.0.0:0\"", &[])?;
    let check = setting.run(&["config", "check"]).await?.expect(0)?;
    assert_eq!(check.stdout, "ok\n");
    let doctor = setting.run(&["doctor"]).await?.expect(0)?;
    let line = doctor.stdout.lines().find(|line| line.starts_with("warn configuration")).context("a warning")?;
    let host = host().not_dev().listen("0.0.0.0:0").start_unready().await?;
    host.logged("set admin_listen").await?;
    for text in [check.stderr, line.to_owned(), host.log()] {
        for setting in ["public_url is not set", "admin_listen is not set", "/admin/v1"] {
            assert!(text.contains(setting), "`{setting}` is not in {text}");
        }
    }
    for settled in ["", "listen = \"0.0.0.0:0\"\npublic_url = \"https://api.example\"\nadmin_listen = \"127.0.0.1:0\""]
    {
        let check = Setting::new(settled, &[])?.run(&["config", "check"]).await?.expect(0)?;
        assert!(!check.stderr.contains("warning"), "{check:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_audit_says_what_it_checked_and_refuses_what_it_does_not_know() -> Test {
    let host = host()
        .not_dev()
        .plugin(&Plugin::new("echo", [Api::new("demo", "echo", guests::echo()).price("0.100000")]))
        .start()
        .await?;
    let consumer = host.add_consumer("acme", "10").await?;
    consumer.call("demo/echo").json(&json!({})).send().await?.expect(200)?;
    let stopped = host.sigterm().await?;
    let audit = stopped.cli(&["ledger", "audit"]).await?.expect(0)?;
    let sums =
        "USDC: consumers 9.900000 available and 0.000000 held, owners 0.095000, platform 0.005000; paid in 10.000000";
    assert!(audit.stdout.starts_with("ok: 1 request (0 not ended), "), "{audit:?}");
    assert!(audit.stdout.contains(" transfers, ") && audit.stdout.ends_with(&format!("{sums}\n")), "{audit:?}");

    let database = rusqlite::Connection::open(stopped.data().join("ripost.sqlite3"))?;
    let version: i64 = database.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for (other, says) in [(99, "newer version (schema 99"), (version - 1, "older version")] {
        database.pragma_update(None, "user_version", other)?;
        let audit = stopped.cli(&["ledger", "audit"]).await?.expect(65)?;
        assert!(audit.stderr.contains(says) && audit.stdout.is_empty(), "{audit:?}");
    }
    database.pragma_update(None, "user_version", 99)?;
    let doctor = stopped.cli(&["doctor", "--listen", "127.0.0.1:0"]).await?.expect(1)?;
    assert!(doctor.stdout.contains("fail database: ") && doctor.stdout.contains("schema 99"), "{doctor:?}");

    let nowhere = cli::ripost(places::ripost()?, &["ledger", "audit", "--data", "/nowhere"], &[]).await?.expect(66)?;
    assert!(nowhere.stderr.contains("--data"), "{nowhere:?}");
    Ok(())
}

/// Runs the program as a user who may not read the folder: the tests may run as root, who may read all.
async fn as_stranger(folder: &Utf8Path, arguments: &[&str]) -> Result<Output> {
    let mut command = tokio::process::Command::new(places::ripost()?);
    command.args(arguments).args(["--data", folder.as_str()]).current_dir("/");
    if nix::unistd::geteuid().is_root() {
        command.uid(65_534).gid(65_534);
    } else {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o000))?;
    }
    let output = cli::run(command).await;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    output
}

#[tokio::test]
async fn a_folder_that_may_not_be_read_is_not_one_without_a_gateway() -> Test {
    let host = host().start().await?;
    std::fs::set_permissions(host.data(), std::fs::Permissions::from_mode(0o700))?;
    for command in [&["status"][..], &["reload"], &["ledger", "audit"]] {
        let refused = as_stranger(host.data(), command).await?.expect(66)?;
        assert!(
            refused.stderr.contains("Permission denied") && refused.stderr.contains("the user that runs"),
            "{refused:?}"
        );
        assert!(!refused.stderr.contains("no gateway runs"), "{refused:?}");
    }
    let doctor = as_stranger(host.data(), &["doctor"]).await?.expect(1)?;
    assert!(doctor.stdout.contains("fail database: "), "{doctor:?}");
    // And where there is none, that is said.
    let nowhere = cli::ripost(places::ripost()?, &["status", "--data", "/nowhere"], &[]).await?.expect(69)?;
    assert!(nowhere.stderr.contains("no gateway runs on the data folder /nowhere"), "{nowhere:?}");
    Ok(())
}

#[tokio::test]
async fn a_store_from_the_future_is_warned_of_and_the_next_attempt_is_listed() -> Test {
    let host = host()
        .plugin(&Plugin::one("echo", guests::echo()))
        .only_config("[delivery]\nschedule = [\"0 s\", \"3 h\"]\nsweep = \"50 ms\"\n")
        .start()
        .await?;
    let consumer = host.demo();
    // Nobody listens there.
    let body = json!({ "webhook_url": "http://127.0.0.1:9/hook" });
    let id = consumer.call("demo/echo").json(&body).accepted().await?;
    let listed = until("a failed attempt", Duration::from_secs(20), async || {
        let listed = host.cli(&["deliveries", "list"]).await?.expect(0)?.stdout;
        Ok(listed.contains(" 1 attempt ").then_some(listed))
    })
    .await?;
    assert!(listed.contains("  next 20"), "{listed}");
    let shown = host.cli(&["deliveries", "show", &id]).await?.expect(0)?.stdout;
    assert!(shown.contains("  next 20"), "{shown}");

    let stopped = host.sigterm().await?;
    assert!(!stopped.log().contains("from the future"));
    let database = rusqlite::Connection::open(stopped.data().join("ripost.sqlite3"))?;
    // The time is in the first bytes of an id: some years on.
    database.pragma_update(None, "foreign_keys", false)?;
    database.execute("UPDATE requests SET id = CAST(x'03' || substr(id, 2) AS BLOB)", [])?;
    drop(database);
    let doctor = stopped.cli(&["doctor", "--listen", "127.0.0.1:0"]).await?;
    assert!(doctor.stdout.contains("warn clock: ") && doctor.stdout.contains("in the database"), "{doctor:?}");
    let host = stopped.start_unready().await?;
    host.logged("from the future").await
}
