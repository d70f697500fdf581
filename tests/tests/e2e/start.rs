//! Starts that cannot work: one clear line and an exit code each.

use crate::{Test, host};
use anyhow::Result;
use camino::Utf8PathBuf;
use ripost_tests::{Host, HostBuilder, Output, Stopped, cli, places};
use std::os::unix::ffi::OsStrExt as _;

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
async fn a_file_of_the_database_that_cannot_be_written_is_named_with_73() -> Test {
    for file in ["ripost.sqlite3", "ripost.sqlite3-wal"] {
        let stopped = host().start().await?.sigterm().await?;
        let path = stopped.data().join(file);
        // Root may write everything but a folder.
        let _ = std::fs::remove_file(&path);
        std::fs::create_dir(&path)?;
        let again = stopped.start_unready().await?.ended().await?;
        let line = last_line(&again);
        assert_eq!((again.status.code(), line.matches(path.as_str()).count()), (Some(73), 1), "{line}");
        assert!(line.ends_with(&format!("{file} cannot be written: Is a directory (os error 21)")), "{line}");
    }
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

/// All variables of the program.
const VARIABLES: [&str; 14] = [
    "RIPOST_CONFIG",
    "RIPOST_DATA",
    "RIPOST_LISTEN",
    "RIPOST_ADMIN_LISTEN",
    "RIPOST_PLUGINS",
    "RIPOST_PUBLIC_URL",
    "RIPOST_DEV",
    "RIPOST_DEV_EXPOSE",
    "RIPOST_LOG",
    "RIPOST_MASTER_KEY",
    "RIPOST_TO",
    "RIPOST_TOKEN",
    "RIPOST_CA_FILE",
    "RIPOST_KEY",
];

/// `config show` with these variables, away from every file that it would find.
async fn shown(environment: &[(&str, &str)]) -> Result<Output> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("ripost.toml");
    std::fs::write(&file, "dev = true\n")?;
    let arguments = ["config", "show", "--config", file.to_str().unwrap()];
    cli::ripost(places::ripost()?, &arguments, environment).await
}

#[tokio::test]
async fn a_switch_in_the_environment_takes_what_people_write_and_goes_before_the_file() -> Test {
    for (text, dev) in
        [("1", true), ("TRUE", true), ("yes", true), ("on", true), ("0", false), ("False", false), ("no", false)]
    {
        let show = shown(&[("RIPOST_DEV", text)]).await?.expect(0)?.stdout;
        assert!(show.contains(&format!("\ndev = {dev}\n")), "{text}: {show}");
    }
    Ok(())
}

#[tokio::test]
async fn an_empty_variable_is_one_that_is_not_set() -> Test {
    let empty = VARIABLES.map(|name| (name, ""));
    let (with, without) = (shown(&empty).await?.expect(0)?, shown(&[]).await?.expect(0)?);
    assert_eq!((with.stdout, with.stderr), (without.stdout, without.stderr));
    // Its own variables are told apart by the name that is asked for.
    let who = cli::ripost(places::ripost()?, &["webhook-test", "https://a.example"], &empty).await?.expect(64)?;
    assert!(who.stderr.contains("--key") && who.stderr.contains("--consumer"), "{who:?}");
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let status = ["status", "--data", data.to_str().unwrap()];
    cli::ripost(places::ripost()?, &status, &empty).await?.expect(69)?;
    let mut gateway = Host::builder().dev();
    for (name, _) in empty {
        gateway = gateway.env(name, "");
    }
    let gateway = gateway.start().await?;
    assert!(gateway.log().contains("Listening on"), "an empty filter is no filter: {}", gateway.log());
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_in_the_environment_is_named_by_its_variable() -> Test {
    for (name, value, said) in [
        ("RIPOST_LISTEN", "nonsense", "localhost:3000"),
        ("RIPOST_ADMIN_LISTEN", "127.0.0.1", "localhost:3000"),
        ("RIPOST_DEV", "maybe", "write 1 or 0"),
        ("RIPOST_PUBLIC_URL", "example", "https://gateway.example.com"),
        ("RIPOST_PUBLIC_URL", "localhost:3000", "https://gateway.example.com"),
    ] {
        let refused = shown(&[(name, value)]).await?.expect(64)?.stderr;
        assert!(refused.contains(name) && refused.contains(value) && refused.contains(said), "{refused}");
        assert!(!refused.replace("'--help'", "").contains("'--"), "{refused}");
    }
    let mut command = tokio::process::Command::new(places::ripost()?);
    command.args(["config", "show"]).env("RIPOST_LISTEN", std::ffi::OsStr::from_bytes(b"\xff"));
    let output = command.output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(64) && said.contains("RIPOST_LISTEN is not UTF-8"), "{said}");
    let flag = ripost(&["config", "show", "--listen", "nonsense"]).await?.expect(64)?.stderr;
    assert!(flag.contains("--listen") && !flag.contains("RIPOST_LISTEN"), "{flag}");
    let (code, line) = refused(host().env("RIPOST_LOG", "info,ripost::==")).await?;
    assert!(code == Some(64) && line.contains("RIPOST_LOG"), "{code:?} {line}");
    Ok(())
}

#[tokio::test]
async fn an_unknown_variable_is_told_and_those_of_container_links_are_not() -> Test {
    let told = shown(&[("RIPOST_LISTNE", "127.0.0.1:1")]).await?.expect(0)?.stderr;
    assert!(told.contains("RIPOST_LISTNE") && told.contains("did you mean RIPOST_LISTEN?"), "{told}");
    let links = [
        ("RIPOST_SERVICE_HOST", "10.0.0.7"),
        ("RIPOST_SERVICE_PORT", "3000"),
        ("RIPOST_PORT", "tcp://10.0.0.7:3000"),
        ("RIPOST_PORT_3000_TCP_ADDR", "10.0.0.7"),
    ];
    assert_eq!(shown(&links).await?.expect(0)?.stderr, "");
    // A gateway says it in its log, which a collector can read.
    let gateway = host().env("RIPOST_LISTNE", "127.0.0.1:1").env(links[2].0, links[2].1).start().await?;
    let log = gateway.log();
    let line = log.lines().find(|line| line.contains("RIPOST_LISTNE")).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(line)?["level"], "WARN");
    assert!(!log.contains("RIPOST_PORT"), "{log}");
    Ok(())
}

#[tokio::test]
async fn an_address_can_be_a_name_of_this_machine_or_a_port_alone() -> Test {
    for address in ["localhost:0", ":0", "0"] {
        let gateway = host().listen(address).start().await?;
        assert!(gateway.url().starts_with("http://127.0.0.1:"), "{address}: {}", gateway.url());
    }
    let show = ["config", "show", "--listen", "localhost:4000", "--admin-listen", ":4001"];
    let show = ripost(&show).await?.expect(0)?.stdout;
    assert!(show.contains("listen = \"127.0.0.1:4000\"") && show.contains("\"127.0.0.1:4001\""), "{show}");
    Ok(())
}

#[tokio::test]
async fn the_default_plugins_folder_is_made_and_a_named_one_must_be_there() -> Test {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let named = folder.path().join("plugnis");
    let serve = ["serve", "--dev", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    for (arguments, environment) in [
        ([&serve[..], &["--plugins", named.to_str().unwrap()]].concat(), None),
        (serve.to_vec(), Some(("RIPOST_PLUGINS", named.to_str().unwrap()))),
    ] {
        let refused = cli::ripost(places::ripost()?, &arguments, environment.as_slice()).await?.expect(64)?.stderr;
        assert!(refused.contains("plugnis does not exist") && refused.contains("--plugins"), "{refused}");
        assert!(!named.exists() && !data.exists());
    }
    std::fs::write(&named, "not a folder")?;
    let refused = ripost(&[&serve[..], &["--plugins", named.to_str().unwrap()]].concat()).await?.expect(64)?.stderr;
    assert!(refused.contains("plugnis cannot be used"), "{refused}");
    let mut command = tokio::process::Command::new(places::ripost()?);
    command.args(serve).current_dir(folder.path()).kill_on_drop(true);
    let _gateway = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn()?;
    ripost_tests::until("a gateway", std::time::Duration::from_secs(10), async || {
        Ok(data.join("address").exists().then_some(()))
    })
    .await?;
    assert!(folder.path().join("plugins").is_dir());
    Ok(())
}

#[tokio::test]
async fn a_start_that_fails_says_its_cause_once() -> Test {
    let first = host().start().await?;
    let address = first.url().strip_prefix("http://").unwrap().to_owned();
    let (_, line) = refused(Host::builder().dev().listen(&address)).await?;
    assert_eq!(line.matches("Address already in use").count(), 1, "{line}");
    let stopped = first.sigterm().await?;
    let revisions = stopped.data().join("revisions");
    std::fs::remove_dir_all(&revisions)?;
    std::fs::write(&revisions, "not a folder")?;
    let again = stopped.with(|host| host.argument("--new-revisions")).start_unready().await?.ended().await?;
    let line = last_line(&again);
    assert_eq!((again.status.code(), line.matches(revisions.as_str()).count()), (Some(73), 1), "{line}");
    assert_eq!(line.matches("os error").count(), 1, "{line}");
    Ok(())
}
