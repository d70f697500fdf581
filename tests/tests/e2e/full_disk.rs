//! A disk that is full to the last block, for real: a small file system in memory under the data folder. It takes root to
//! mount one; without it these tests say so and pass, and what the store does with a refused write is tested beside it.

use crate::{QUICK, Test};
use anyhow::{Context as _, Result, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use ripost_tests::{Api, Consumer, Host, Plugin, audit, guests, until};
use serde_json::json;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::process::Command;
use std::time::Duration;

/// A folder whose `data` is a disk of its own; the disk goes first.
struct Disk {
    root: tempfile::TempDir,
}

impl Disk {
    /// `None`: this user may not mount.
    fn mount() -> Result<Option<Self>> {
        let root = tempfile::Builder::new().prefix("ripost-disk-").tempdir()?;
        let disk = Self { root };
        std::fs::create_dir(disk.data())?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m", "tmpfs", disk.data().as_str()])
            .output()
            .context("running mount")?;
        if !mounted.status.success() {
            eprintln!("not run: mounting a small disk takes root: {}", String::from_utf8_lossy(&mounted.stderr));
            return Ok(None);
        }
        Ok(Some(disk))
    }

    fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.root.path()).expect("a UTF-8 path")
    }

    fn data(&self) -> Utf8PathBuf {
        self.path().join("data")
    }

    /// Takes all room that there is.
    fn fill(&self) -> Test {
        let mut file = File::options().create(true).append(true).open(self.data().join("filler"))?;
        for size in [1 << 20, 4096, 1] {
            let block = vec![0; size];
            loop {
                match file.write(&block) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    fn make_room(&self) -> Test {
        Ok(std::fs::remove_file(self.data().join("filler"))?)
    }

    fn remount(&self, how: &str) -> Test {
        let option = format!("remount,{how}");
        let status = Command::new("mount").args(["-o", &option, self.data().as_str()]).status()?;
        ensure!(status.success(), "remounting");
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open keeps nobody waiting.
        let _ = Command::new("umount").args(["-l", self.data().as_str()]).status();
    }
}

fn plugin() -> Plugin {
    let apis = [
        Api::new("demo", "echo", guests::echo()).price("0.050000"),
        Api::new("demo", "slow", guests::sleeps(1500)),
        Api::new("demo", "free", guests::echo()).line("delivery = \"off\""),
    ];
    Plugin::new("full", apis)
}

/// A body that is not in the room that a commit of a small one finds.
fn large() -> serde_json::Value {
    json!({ "text": "x".repeat(500_000) })
}

/// Whatever room the gateway gives back, or still has in its own files, is taken until it refuses.
async fn refuses(disk: &Disk, host: &Host, consumer: &Consumer) -> Test {
    let refused = until("a refused call", Duration::from_secs(10), async || {
        disk.fill()?;
        let answer = consumer.call("demo/echo").json(&large()).header("prefer", "respond-async").send().await?;
        Ok((answer.status != 202).then_some(answer))
    });
    assert_eq!(refused.await?.expect(503)?.problem()?, "store-unavailable");
    let ready = consumer.get("/readyz").await?.expect(503)?;
    let told = String::from_utf8_lossy(&ready.body).into_owned();
    assert!(told.contains("store-refuses") && !told.contains(host.data().as_str()), "{told}");
    // What writes nothing goes on.
    assert_eq!(
        consumer.call("demo/free").json(&json!({ "n": 1 })).send().await?.expect(200)?.json()?,
        json!({ "n": 1 })
    );
    Ok(())
}

#[tokio::test]
async fn a_full_disk_is_told_everywhere_serves_what_can_be_read_also_after_a_restart_and_is_recovered_from() -> Test {
    let Some(disk) = Disk::mount()? else { return Ok(()) };
    let config = format!("{QUICK}[storage]\nfree_min = \"0 B\"\n");
    let host = Host::builder().dev().show_log().config(&config).plugin(&plugin()).folder(disk.path()).start().await?;
    let consumer = host.demo();
    let call = consumer.call("demo/echo").json(&json!({ "n": 7 })).header("prefer", "respond-async");
    let before = call.accepted().await?;
    consumer.ended(&before).await?;
    let running =
        consumer.call("demo/slow").json(&json!({ "n": 8 })).header("prefer", "respond-async").accepted().await?;
    crate::requests_running(&consumer, &running).await?;
    refuses(&disk, &host, &consumer).await?;
    host.logged("The store refuses writes").await?;
    assert!(host.log().contains("disk-full"), "with its cause");
    let shown = host.cli(&["status"]).await?.expect(0)?.stdout;
    assert!(shown.contains("NOT READY (store-refuses): the disk is full"), "{shown}");
    assert!(host.metrics().await?.sum("ripost_store_refused_total", "reason=\"disk-full\"") >= 1.0);

    let host = host.sigkill()?.start_on_the_same_address().await?;
    let consumer = Consumer::new(host.url(), consumer.key());
    refuses(&disk, &host, &consumer).await?;
    assert_eq!(consumer.view(&before).await?["result"], json!({ "n": 7 }));
    consumer.get(&format!("/requests/{before}/result")).await?.expect(200)?;
    assert_ne!(consumer.view(&running).await?["status"], "completed");

    disk.make_room()?;
    until("it recovers by itself", Duration::from_secs(10), async || {
        Ok((consumer.get("/readyz").await?.status == 200).then_some(()))
    })
    .await?;
    assert_eq!(consumer.ended(&running).await?["result"], json!({ "n": 8 }));
    consumer.call("demo/echo").json(&large()).send().await?.expect(200)?;
    let stopped = host.sigterm().await?;
    audit::check(stopped.data())?;
    Ok(())
}

#[tokio::test]
async fn an_end_that_finds_the_disk_full_is_written_when_there_is_room() -> Test {
    let Some(disk) = Disk::mount()? else { return Ok(()) };
    let config = format!("{QUICK}[storage]\nfree_min = \"0 B\"\n");
    let host = Host::builder().dev().show_log().config(&config).plugin(&plugin()).folder(disk.path()).start().await?;
    let consumer = host.demo();
    let running = consumer.call("demo/slow").json(&large()).header("prefer", "respond-async").accepted().await?;
    crate::requests_running(&consumer, &running).await?;
    disk.fill()?;
    host.logged("could not be written; it is tried again").await?;
    assert_eq!(consumer.view(&running).await?["status"], "running");
    disk.make_room()?;
    let ended = consumer.ended(&running).await?;
    assert_eq!(ended["status"], "completed", "{ended}");
    let runs = host.cli(&["runs", &running, "--json"]).await?.expect(0)?.json()?;
    assert_eq!(runs.as_array().map(Vec::len), Some(1), "it was not run again");
    Ok(())
}

#[tokio::test]
async fn a_read_only_disk_is_named_as_one() -> Test {
    let Some(disk) = Disk::mount()? else { return Ok(()) };
    let host = Host::builder().dev().show_log().folder(disk.path()).start().await?;
    let stopped = host.sigterm().await?;
    disk.remount("ro")?;
    let stopped = stopped.start_unready().await?.ended().await?;
    let log = stopped.log();
    let line = log.lines().last().unwrap_or_default();
    assert_eq!(stopped.status.code(), Some(73), "{line}");
    assert!(line.ends_with("Read-only file system (os error 30)"), "{line}");
    assert!(line.contains("mount its disk for writing") && line.contains(stopped.data().as_str()), "{line}");
    disk.remount("rw")?;
    stopped.start().await?;
    Ok(())
}
