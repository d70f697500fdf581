//! Starts that cannot work: one clear line and an exit code each.

use crate::{Test, host};
use anyhow::Result;
use camino::Utf8PathBuf;
use ripost_tests::{Host, HostBuilder, Output, Stopped, cli, places};

/// Runs a host that must end by itself: its exit code and what it said.
async fn refused(host: HostBuilder) -> Result<(Option<i32>, String)> {
    let stopped = host.start_unready().await?.ended().await?;
    Ok((stopped.status.code(), last_line(&stopped)))
}

fn last_line(stopped: &Stopped) -> String {
    stopped.log().lines().last().unwrap_or_default().to_owned()
}

async fn ripost(arguments: &[&str]) -> Result<Output> {
    cli::ripost(places::ripost()?, arguments, &[]).await
}

#[tokio::test]
async fn an_address_that_is_taken_ends_the_start_with_69() -> Test {
    let first = host().start().await?;
    let address = first.url().strip_prefix("http://").unwrap().to_owned();
    let (code, line) = refused(Host::builder().dev().listen(&address)).await?;
    assert_eq!(code, Some(69), "{line}");
    assert!(line.contains(&address) && line.contains("--listen"), "{line}");
    first.demo().get("/healthz").await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn a_data_folder_that_is_in_use_ends_the_start_with_69() -> Test {
    let folder = tempfile::tempdir()?;
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
    let first = host().folder(&path).start().await?;
    let data = path.join("data");
    let output = ripost(&["serve", "--dev", "--listen", "127.0.0.1:0", "--data", data.as_str()]).await?.expect(69)?;
    assert!(output.stderr.contains("in use"), "{output:?}");
    first.demo().get("/healthz").await?.expect(200)?;
    // The one that was refused took nothing away.
    first.cli(&["status"]).await?.expect(0)?;
    Ok(())
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_written_ends_the_start_with_73() -> Test {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder")?;
    let data = format!("{}/data", file.display());
    let output = ripost(&["serve", "--listen", "127.0.0.1:0", "--data", &data]).await?.expect(73)?;
    assert!(output.stderr.contains(&data) || output.stderr.contains("file"), "{output:?}");
    Ok(())
}

#[tokio::test]
async fn a_data_folder_of_a_newer_version_is_left_alone_with_65() -> Test {
    let stopped = host().start().await?.sigterm().await?;
    let database = ripost_tests::audit::database(stopped.data());
    let connection = rusqlite::Connection::open(&database)?;
    connection.pragma_update(None, "user_version", 9_999)?;
    drop(connection);
    let again = stopped.start_unready().await?.ended().await?;
    assert_eq!(again.status.code(), Some(65), "{}", last_line(&again));
    assert!(last_line(&again).contains("newer"), "{}", last_line(&again));
    Ok(())
}

#[tokio::test]
async fn plugins_of_a_newer_version_are_left_alone_with_65() -> Test {
    let stopped = host().start().await?.sigterm().await?;
    let record = stopped.data().join("revisions/active.json");
    let newer = "{\"version\":9999,\"plugins\":{},\"more\":true}";
    std::fs::write(&record, newer)?;
    let again = stopped.start_unready().await?.ended().await?;
    assert_eq!(again.status.code(), Some(65), "{}", last_line(&again));
    assert!(last_line(&again).contains("newer version"), "{}", last_line(&again));
    assert_eq!(std::fs::read_to_string(record)?, newer, "what it says is not lost");
    Ok(())
}

#[tokio::test]
async fn a_wrong_configuration_ends_the_start_with_64_and_names_the_place() -> Test {
    for (toml, named) in [
        ("[runs]\nconcurency = 3", "concurency"),
        ("lissten = \"127.0.0.1:0\"", "lissten"),
        ("[delivery]\nschedule = []", "schedule"),
        ("[delivery]\ndeadline = \"soon\"", "deadline"),
        ("[limits\nbody = 3", "ripost.toml"),
        ("public_url = \"ftp://example.com\"", "public_url"),
    ] {
        let (code, line) = refused(Host::builder().config(toml)).await?;
        assert_eq!(code, Some(64), "{toml}: {line}");
        let check = {
            let folder = tempfile::tempdir()?;
            let path = folder.path().join("ripost.toml");
            std::fs::write(&path, toml)?;
            ripost(&["config", "check", "--config", path.to_str().unwrap()]).await?.expect(64)?
        };
        assert!(check.stderr.contains(named), "{toml}: {check:?}");
    }
    ripost(&["serve", "--config", "/nowhere/ripost.toml"]).await?.expect(64)?;
    ripost(&["serve", "--no-such-flag"]).await?.expect(64)?;
    Ok(())
}

#[tokio::test]
async fn development_mode_does_not_listen_to_the_world_by_mistake() -> Test {
    let (code, line) = refused(Host::builder().dev().listen("0.0.0.0:0")).await?;
    assert_eq!(code, Some(64));
    assert!(line.contains("--dev-expose"), "{line}");
    Ok(())
}

#[tokio::test]
async fn the_configuration_in_effect_can_be_shown_and_read_again() -> Test {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("ripost.toml");
    let path = path.to_str().unwrap();
    std::fs::write(path, "[runs]\nconcurrency = 7\n")?;
    let shown = ripost(&["config", "show", "--config", path, "--listen", "127.0.0.1:4000"]).await?.expect(0)?;
    assert!(shown.stdout.contains("concurrency = 7") && shown.stdout.contains("127.0.0.1:4000"), "{shown:?}");
    std::fs::write(path, &shown.stdout)?;
    assert_eq!(ripost(&["config", "check", "--config", path]).await?.expect(0)?.stdout.trim(), "ok");
    assert_eq!(ripost(&["config", "show", "--config", path]).await?.expect(0)?.stdout, shown.stdout);
    Ok(())
}

#[tokio::test]
async fn the_environment_goes_before_the_file_and_flags_before_both() -> Test {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("ripost.toml");
    std::fs::write(&path, "listen = \"127.0.0.1:4000\"\n")?;
    let environment =
        [("RIPOST_CONFIG", path.to_str().unwrap()), ("RIPOST_LISTEN", "127.0.0.1:4001"), ("RIPOST_DEV", "true")];
    let show = cli::ripost(places::ripost()?, &["config", "show"], &environment).await?.expect(0)?.stdout;
    assert!(show.contains("127.0.0.1:4001") && show.contains("dev = true"), "{show}");
    let show = cli::ripost(places::ripost()?, &["config", "show", "--listen", "127.0.0.1:4002"], &environment).await?;
    assert!(show.expect(0)?.stdout.contains("127.0.0.1:4002"));
    Ok(())
}
