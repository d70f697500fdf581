//! Files of the data folder that are lost, damaged or another's: the start says what to restore, and only what the
//! operator gives up by name is given up.

use crate::{Test, host};
use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ripost_tests::{Plugin, Sink, Stopped, audit, guests, verify};
use serde_json::json;
use std::fs;

/// How a start on this folder ends that is refused: its exit code and its last line.
async fn refused(stopped: Stopped) -> Result<(Stopped, Option<i32>, String)> {
    let stopped = stopped.start_unready().await?.ended().await?;
    let (code, line) = (stopped.status.code(), stopped.log().lines().last().unwrap_or_default().to_owned());
    Ok((stopped, code, line))
}

async fn doctor_fails(stopped: &Stopped, named: &str) -> Test {
    let doctor = stopped.cli(&["doctor"]).await?.expect(1)?.stdout;
    let line = doctor.lines().find(|line| line.contains(named)).with_context(|| format!("no {named} in {doctor}"))?;
    assert!(line.starts_with("fail"), "{line}");
    Ok(())
}

/// A folder that has a consumer and was used outside development mode.
async fn used() -> Result<(Stopped, String, String)> {
    let host = host().not_dev().plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let consumer = host.add_consumer("acme", "1").await?;
    let secret = consumer.webhook_secret().await?;
    let key = consumer.key().context("a key")?.to_owned();
    host.cli_with_input(&["secrets", "set", "demo", "TOKEN"], "sk_live").await?.expect(0)?;
    Ok((host.sigterm().await?, key, secret))
}

#[tokio::test]
async fn a_start_without_the_master_key_or_with_another_is_refused_until_it_is_restored() -> Test {
    let (stopped, key, secret) = used().await?;
    let (file, aside) = (stopped.data().join("master.key"), stopped.data().join("aside"));
    stopped.cli(&["doctor"]).await?;
    fs::rename(&file, &aside)?;
    let (stopped, code, line) = refused(stopped).await?;
    assert_eq!(code, Some(65), "{line}");
    for named in ["master key is missing", file.as_str(), "restore", "--new-master-key"] {
        assert!(line.contains(named), "{named}: {line}");
    }
    assert!(!file.exists(), "none is made in its place");
    doctor_fails(&stopped, "master key").await?;

    fs::write(&file, STANDARD.encode([7; 32]))?;
    let (stopped, code, line) = refused(stopped).await?;
    assert!(code == Some(65) && line.contains("is not the master key"), "{code:?} {line}");
    doctor_fails(&stopped, "master key").await?;
    fs::write(&file, "no key")?;
    let (stopped, code, line) = refused(stopped).await?;
    assert!(code == Some(65) && line.contains("base64"), "{code:?} {line}");
    assert_eq!(fs::read_to_string(&file)?, "no key");

    fs::rename(&aside, &file)?;
    let host = stopped.start().await?;
    assert_eq!(host.consumer(&key).webhook_secret().await?, secret);
    Ok(())
}

#[tokio::test]
async fn a_key_in_the_environment_counts_like_the_file() -> Test {
    let variable = "RIPOST_MASTER_KEY";
    let (own, other) = (STANDARD.encode([1; 32]), STANDARD.encode([2; 32]));
    let stopped = host().not_dev().env(variable, &own).start().await?.sigterm().await?;
    assert!(!stopped.data().join("master.key").exists());
    let (stopped, code, line) = refused(stopped.with(|host| host.env(variable, &other))).await?;
    assert!(code == Some(65) && line.contains(variable), "{code:?} {line}");
    let (stopped, code, line) = refused(stopped.with(|host| host.env(variable, "abc"))).await?;
    assert!(code == Some(64) && line.contains(variable), "{code:?} {line}");
    assert_eq!(line.matches("base64").count(), 1, "said once: {line}");
    stopped.with(|host| host.env(variable, &own)).start().await?;
    Ok(())
}

#[tokio::test]
async fn a_folder_of_an_earlier_version_takes_the_key_that_opens_what_is_sealed_in_it() -> Test {
    let (stopped, key, secret) = used().await?;
    let (file, aside) = (stopped.data().join("master.key"), stopped.data().join("aside"));
    let forget = |stopped: &Stopped| -> Test {
        let connection = rusqlite::Connection::open(audit::database(stopped.data()))?;
        assert_eq!(connection.execute("DELETE FROM marks WHERE name = 'master key'", [])?, 1, "it was kept");
        Ok(())
    };
    forget(&stopped)?;
    fs::rename(&file, &aside)?;
    for other in [None, Some(STANDARD.encode([7; 32]))] {
        other.map_or(Ok(()), |other| fs::write(&file, other))?;
    }
    let (stopped, code, line) = refused(stopped).await?;
    assert_eq!(code, Some(65), "{line}");
    fs::rename(&aside, &file)?;
    let host = stopped.start().await?;
    assert_eq!(host.consumer(&key).webhook_secret().await?, secret);
    forget(&host.sigterm().await?)?;
    Ok(())
}

#[tokio::test]
async fn a_new_master_key_says_what_is_lost_and_makes_the_gateway_work_again() -> Test {
    let (stopped, key, secret) = used().await?;
    fs::remove_file(stopped.data().join("master.key"))?;
    let to_loopback = "[delivery]\nschedule = [\"0 ms\"]\nallow = [\"127.0.0.0/8\"]\nplain_http = true\n";
    let stopped = stopped.with(|host| host.only_config(to_loopback));
    let host = stopped.with(|host| host.argument("--new-master-key")).start().await?;
    let log = host.log();
    for named in ["\"acme\"", "demo/TOKEN", "receipts", "webhook secret"] {
        assert!(log.to_lowercase().contains(&named.to_lowercase().replace('"', "")), "{named}: {log}");
    }
    let (consumer, sink) = (host.consumer(&key), Sink::start().await?);
    let new = consumer.webhook_secret().await?;
    assert_ne!(new, secret);
    let id = consumer.call("demo/echo").json(&json!({ "webhook_url": sink.url("/") })).accepted().await?;
    verify(&sink.first(&id).await?, &new)?;
    assert_eq!(host.cli(&["secrets", "list", "--json"]).await?.expect(0)?.json()?, json!([]));

    // A flag that was left in the unit renews nothing again.
    let host = host.sigterm().await?.start().await?;
    host.logged("--new-master-key has nothing to do").await?;
    assert_eq!(host.consumer(&key).webhook_secret().await?, new);
    Ok(())
}

#[tokio::test]
async fn an_empty_admin_token_is_replaced_and_a_short_one_refused() -> Test {
    let stopped = host().start().await?.sigterm().await?;
    let file = stopped.data().join("admin-token");
    let before = fs::read_to_string(&file)?;
    fs::write(&file, "")?;
    let host = stopped.start().await?;
    let now = fs::read_to_string(&file)?;
    assert!(now.starts_with("rat_") && now != before);
    host.logged("The file of the admin token was empty").await?;
    host.cli(&["status"]).await?.expect(0)?;
    let stopped = host.sigterm().await?;
    fs::write(&file, "x\n")?;
    let (stopped, code, line) = refused(stopped).await?;
    assert!(code == Some(65) && line.contains("admin-token") && line.contains("24"), "{code:?} {line}");
    doctor_fails(&stopped, "admin token").await
}

#[tokio::test]
async fn a_running_gateway_misses_the_key_that_its_next_start_needs() -> Test {
    let host = host().start().await?;
    let (file, aside) = (host.data().join("master.key"), host.data().join("aside"));
    fs::rename(&file, &aside)?;
    host.logged("A file of the data folder is lost").await?;
    let shown = host.cli(&["status"]).await?.expect(0)?.stdout;
    assert!(shown.contains("DEGRADED (master-key)") && shown.contains(file.as_str()), "{shown}");
    let ready = host.demo().get("/readyz").await?.expect(200)?;
    let told = String::from_utf8_lossy(&ready.body).into_owned();
    assert!(told.contains("master-key") && !told.contains(file.as_str()), "{told}");
    fs::rename(&aside, &file)?;
    ripost_tests::until("nothing is missed any more", std::time::Duration::from_secs(10), async || {
        Ok(host.cli(&["status"]).await?.expect(0)?.stdout.contains("DEGRADED").then_some(()).xor(Some(())))
    })
    .await
}

#[tokio::test]
async fn a_log_that_is_damaged_before_its_end_is_told_and_left_as_it_is() -> Test {
    let host = host().plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let consumer = host.demo();
    let mut ids = Vec::new();
    for n in 0..20 {
        let call = consumer.call("demo/echo").json(&json!({ "n": n })).header("prefer", "respond-async");
        ids.push(call.accepted().await?);
    }
    for id in &ids {
        consumer.ended(id).await?;
    }
    let stopped = host.sigkill()?;
    let log = stopped.data().join("ripost.sqlite3-wal");
    let whole = fs::read(&log)?;
    let mut damaged = whole.clone();
    // In the page of the second frame.
    damaged[32 + 4120 + 24 + 100] ^= 1;
    fs::write(&log, &damaged)?;
    let (stopped, code, line) = refused(stopped).await?;
    assert_eq!(code, Some(65), "{line}");
    assert!(line.contains(log.as_str()) && line.contains("backup") && line.contains("ledger audit"), "{line}");
    assert_eq!(fs::read(&log)?, damaged);
    fs::write(&log, &whole)?;
    let host = stopped.start().await?;
    let consumer = host.demo();
    for id in &ids {
        assert_eq!(consumer.view(id).await?["status"], "completed");
    }
    audit::check(host.sigterm().await?.data())?;
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_none_is_damaged_data() -> Test {
    let stopped = host().start().await?.sigterm().await?;
    let database = audit::database(stopped.data());
    fs::write(&database, "not a database, and longer than a header of one hundred bytes: ".repeat(4))?;
    let (_, code, line) = refused(stopped).await?;
    assert!(code == Some(65) && line.contains(database.as_str()) && line.contains("backup"), "{code:?} {line}");
    Ok(())
}

#[tokio::test]
async fn a_folder_of_revisions_that_was_deleted_is_missed() -> Test {
    let host = host().plugin(&Plugin::one("slow", guests::sleeps(60_000))).start().await?;
    host.demo().call("demo/slow").json(&json!({})).header("prefer", "respond-async").accepted().await?;
    let stopped = host.sigkill()?;
    let revisions = stopped.data().join("revisions");
    fs::remove_dir_all(&revisions)?;
    let (stopped, code, line) = refused(stopped).await?;
    assert_eq!(code, Some(65), "{line}");
    for named in [revisions.as_str(), "1 unfinished", "--new-revisions"] {
        assert!(line.contains(named), "{named}: {line}");
    }
    let host = stopped.with(|host| host.argument("--new-revisions")).start().await?;
    assert!(revisions.join("active.json").exists());
    host.sigkill()?;
    Ok(())
}
