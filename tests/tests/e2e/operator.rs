//! The operator's side: consumers, status, metrics, logs, and what lies on the disk.

use crate::{Test, host};
use anyhow::Context as _;
use camino::Utf8Path;
use http::Method;
use ripost_tests::{Api, Consumer, Host, Plugin, Sink, Terminal, Wire, guests, places, until};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

#[tokio::test]
async fn a_consumer_that_is_added_on_the_command_line_can_call_at_once() -> Test {
    let api = Api::new("demo", "echo", guests::echo()).price("0.050000");
    let host = Host::builder().show_log().plugin(&Plugin::new("echo", [api])).start().await?;
    let text = host.cli(&["consumer", "add", "Blue Bottle", "--credit", "10"]).await?.expect(0)?.stdout;
    let key = text.lines().find_map(|line| line.strip_prefix("key: ")).context("a line with the key")?;
    let consumer = host.consumer(key);
    consumer.call("demo/echo").json(&json!({})).send().await?.expect(200)?;
    assert_eq!(consumer.balances().await?, (9_950_000, 0));

    let twice = host.cli(&["consumer", "add", "Blue Bottle"]).await?.expect(1)?;
    assert!(twice.stderr.contains("Blue Bottle"), "{twice:?}");
    let list = host.cli(&["consumer", "list"]).await?.expect(0)?.stdout;
    assert!(list.contains("Blue Bottle") && list.contains("9.950000") && !list.contains(key), "{list}");
    for credit in ["-1", "1.0000001", "a lot", "1e3"] {
        host.cli(&["consumer", "add", "wrong", "--credit", credit]).await?.expect(64)?;
    }
    assert!(!host.cli(&["consumer", "list"]).await?.stdout.contains("wrong"));
    Ok(())
}

#[tokio::test]
async fn a_scraper_has_the_metrics_in_the_format_that_it_asks_for() -> Test {
    let host = host().start().await?;
    let scraper = Consumer::new(host.admin_url(), None);
    let scrape = async |accept: &str| {
        scraper.request(Method::GET, "/metrics").header("accept", accept).send().await?.expect(200)
    };
    let text = scrape("text/plain;version=0.0.4;q=0.9,*/*;q=0.1").await?;
    assert_eq!(text.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let page = std::str::from_utf8(&text.body)?;
    assert!(page.contains("# TYPE ripost_store_commits_total counter\n"), "{page}");
    assert!(!page.contains("# EOF"));
    for accept in ["", "*/*", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"] {
        let open = scrape(accept).await?;
        assert!(open.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text")));
        assert!(open.body.ends_with(b"# EOF\n"), "{accept}");
        assert!(std::str::from_utf8(&open.body)?.contains("# TYPE ripost_store_commits counter\n"), "{accept}");
    }
    Ok(())
}

#[tokio::test]
async fn commands_beside_no_host_say_so_with_69() -> Test {
    let stopped = host().start().await?.sigterm().await?;
    for arguments in [&["status"][..], &["consumer", "list"], &["consumer", "add", "x"]] {
        let output = stopped.cli(arguments).await?.expect(69)?;
        assert!(output.stderr.contains("ripost serve"), "{output:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_management_api_answers_the_token_and_nobody_else() -> Test {
    let host = host().start().await?;
    let anybody = Consumer::new(host.admin_url(), None);
    for path in ["/admin/v1/status", "/admin/v1/consumers", "/admin/v1/reload", "/admin/v1/nothing", "/admin"] {
        let answer = anybody.get(path).await?.expect(401)?;
        assert_eq!(answer.problem()?, "missing-token", "{path}");
        let call = anybody.request(Method::POST, path).header("authorization", "Bearer rat_wrong");
        call.send().await?.expect(401)?;
        // A consumer's key is no token.
        let call = anybody.request(Method::GET, path).header("authorization", "Bearer demo-public-key-2026");
        call.send().await?.expect(401)?;
    }
    host.admin(Method::GET, "/admin/v1/status").await?.expect(200)?;
    host.admin(Method::GET, "/admin/v1/nothing").await?.expect(404)?;
    for (name, mode) in [("admin-token", 0o600), ("master.key", 0o600)] {
        let permissions = std::fs::metadata(host.data().join(name))?.permissions();
        assert_eq!(permissions.mode() & 0o777, mode, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn the_admin_plane_can_be_moved_to_an_address_of_its_own() -> Test {
    let host = host().argument("--admin-listen").argument("127.0.0.1:0").start().await?;
    assert_ne!(host.url(), host.admin_url());
    let data_plane = Consumer::new(host.url(), None);
    for path in ["/admin/v1/status", "/metrics"] {
        assert_eq!(data_plane.get(path).await?.status, 404, "{path} is not on the data plane");
    }
    host.admin(Method::GET, "/admin/v1/status").await?.expect(200)?;
    host.cli(&["status"]).await?.expect(0)?;
    assert!(host.metrics().await?.has("ripost_store_commits_total"));
    Ok(())
}

#[tokio::test]
async fn the_metrics_count_what_happened() -> Test {
    let apis = [Api::new("demo", "echo", guests::echo()), Api::new("demo", "traps", guests::traps())];
    let host = host().plugin(&Plugin::new("both", apis)).start().await?;
    let (consumer, sink) = (host.demo(), Sink::start().await?);
    for api in ["demo/echo", "demo/echo", "demo/traps"] {
        let id = consumer.call(api).json(&json!({ "webhook_url": sink.url("/") })).accepted().await?;
        consumer.delivery(&id, "delivered").await?;
    }
    consumer.call("demo/none").send().await?.expect(404)?;
    let metrics = host.metrics().await?;
    for (series, labels, value) in [
        ("ripost_requests_accepted_total", "", 3.0),
        ("ripost_requests_finished_total", "state=\"completed\"", 2.0),
        ("ripost_requests_finished_total", "state=\"failed\"", 1.0),
        ("ripost_runs_total", "", 3.0),
        ("ripost_delivery_attempts_total", "", 3.0),
        ("ripost_requests_refused_total", "", 1.0),
        ("ripost_plugin_reloads_total", "outcome=\"ok\"", 1.0),
    ] {
        assert!((metrics.sum(series, labels) - value).abs() < 0.5, "{series}{{{labels}}}: {metrics:?}");
    }
    for series in
        ["ripost_store_commits_total", "ripost_store_operations_total", "ripost_requests", "ripost_deliveries"]
    {
        assert!(metrics.has(series), "{series}");
    }
    Ok(())
}

#[tokio::test]
async fn each_request_has_one_line_in_the_log_with_its_outcome_and_duration() -> Test {
    let apis = [Api::new("demo", "echo", guests::echo()), Api::new("demo", "traps", guests::traps())];
    let host = host().plugin(&Plugin::new("both", apis)).start().await?;
    let consumer = host.demo();
    for (api, outcome) in [("demo/echo", "completed"), ("demo/traps", "failed")] {
        let id = consumer
            .call(api)
            .json(&json!({ "secret": "in the body" }))
            .header("prefer", "respond-async")
            .accepted()
            .await?;
        consumer.ended(&id).await?;
        let line = until("the line", Duration::from_secs(5), async || {
            let lines = host.log();
            let ended = |line: &&str| line.contains(&id) && line.contains("duration_ms");
            Ok(lines.lines().find(ended).map(str::to_owned))
        })
        .await?;
        let line: Value = serde_json::from_str(&line).context("a log that nobody watches is JSON")?;
        let text = line.to_string();
        assert!(text.contains(outcome), "{line}");
    }
    let log = host.log();
    assert!(!log.contains("demo-public-key") && !log.contains("in the body"), "neither keys nor bodies are logged");
    Ok(())
}

#[tokio::test]
async fn keys_and_secrets_do_not_lie_on_the_disk_as_they_are() -> Test {
    let host = host().plugin(&Plugin::one("echo", guests::echo())).start().await?;
    let consumer = host.add_consumer("c1", "1").await?;
    let secret = consumer.webhook_secret().await?;
    let raw = secret.strip_prefix("whsec_").unwrap().to_owned();
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &raw)?;
    consumer.call("demo/echo").json(&json!({})).send().await?.expect(200)?;
    let key = consumer.key().unwrap().as_bytes().to_vec();
    let stopped = host.sigterm().await?;
    let mut files = 0;
    for entry in stopped.data().read_dir_utf8()? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        files += 1;
        let content = std::fs::read(entry.path())?;
        for (what, needle) in [("key", &key[..]), ("secret as text", raw.as_bytes()), ("secret", &bytes[..])] {
            let found = content.windows(needle.len()).any(|window| window == needle);
            assert!(!found, "the {what} lies in {}", entry.path());
        }
    }
    assert!(files >= 2, "there are files to look into");
    Ok(())
}

#[tokio::test]
async fn health_and_readiness_are_for_everybody() -> Test {
    let host = host().start().await?;
    let anybody = host.demo().with_key(None);
    anybody.get("/healthz").await?.expect(200)?;
    anybody.get("/readyz").await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn links_begin_with_the_public_url() -> Test {
    let plugin = Plugin::one("echo", guests::echo());
    let host = host().argument("--public-url").argument("https://api.example.com").plugin(&plugin).start().await?;
    let answer =
        host.demo().call("demo/echo").json(&json!({})).header("prefer", "respond-async").send().await?.expect(202)?;
    let link = answer.json()?["links"]["self"].as_str().unwrap_or_default().to_owned();
    assert_eq!(link, format!("https://api.example.com/requests/{}", answer.request_id()?));
    Ok(())
}

#[tokio::test]
async fn the_metrics_are_for_the_token_and_for_this_machine_by_a_loopback_name() -> Test {
    let host = host().start().await?;
    let asked = async |fields: &str| {
        let mut wire = Wire::open(host.url()).await?;
        wire.send(format!("GET /metrics HTTP/1.1\r\n{fields}\r\n").as_bytes()).await;
        wire.answer().await
    };
    for open in ["host: 127.0.0.1", "host: 127.0.0.1:3000", "host: localhost:3000", "host: [::1]:3000"] {
        let answer = asked(&format!("{open}\r\n")).await?;
        assert_eq!(answer.status, 200, "{open}");
        assert!(String::from_utf8(answer.body)?.contains("ripost_store_commits"), "{open}");
    }
    for closed in [
        // A page whose name leads to this machine.
        "host: evil.example\r\norigin: http://evil.example",
        "host: evil.example",
        "host: 127.0.0.1.evil.example",
        "host: 127.0.0.1\r\nhost: evil.example",
        "host: 10.0.0.1",
        // Those who come through a proxy.
        "host: 127.0.0.1\r\nx-forwarded-for: 192.0.2.1",
        "host: 127.0.0.1\r\nforwarded: for=192.0.2.1",
        "x: none",
    ] {
        let answer = asked(&format!("{closed}\r\n")).await?;
        assert_eq!((answer.status, answer.problem()?.as_str()), (401, "missing-token"), "{closed}");
        assert!(answer.json()?["detail"].as_str().is_some_and(|detail| detail.contains("loopback")), "{closed}");
        let token = std::fs::read_to_string(host.data().join("admin-token"))?;
        let answer = asked(&format!("{closed}\r\nauthorization: Bearer {}\r\n", token.trim())).await?;
        assert_eq!(answer.status, 200, "{closed}, with the token");
    }
    Ok(())
}

#[tokio::test]
async fn the_admin_token_is_shown_on_a_terminal_and_never_in_a_log() -> Test {
    let host = host().start().await?;
    let token = std::fs::read_to_string(host.data().join("admin-token"))?;
    let (log, file) = (host.log(), host.data().join("admin-token"));
    assert!(!log.contains(token.trim()) && log.contains(file.as_str()), "{log}");
    drop(host);

    let folder = tempfile::tempdir()?;
    let data = Utf8Path::from_path(folder.path()).context("a path")?.join("data");
    let mut terminal = Terminal::open()?;
    let _gateway = on_terminals(&data, &terminal, &Terminal::open()?, "")?;
    let shown = terminal.shows("\n").await?;
    let token = std::fs::read_to_string(data.join("admin-token"))?;
    assert!(shown.starts_with("admin token") && shown.contains(token.trim()), "{shown}");
    Ok(())
}

/// A gateway beside whose data folder there is nothing, with a value of `NO_COLOR`.
fn on_terminals(data: &Utf8Path, out: &Terminal, log: &Terminal, no_color: &str) -> anyhow::Result<Child> {
    let mut command = Command::new(places::ripost()?);
    command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data", data.as_str()]).env("NO_COLOR", no_color);
    command.current_dir(data.parent().context("a folder")?).stdin(Stdio::null()).kill_on_drop(true);
    Ok(command.stdout(out.other_end()?).stderr(log.other_end()?).spawn()?)
}

#[tokio::test]
async fn the_log_has_colours_on_a_terminal_unless_no_color_is_set() -> Test {
    for (no_color, coloured) in [("", true), ("1", false)] {
        let folder = tempfile::tempdir()?;
        let data = Utf8Path::from_path(folder.path()).context("a path")?.join("data");
        let mut log = Terminal::open()?;
        let _gateway = on_terminals(&data, &Terminal::open()?, &log, no_color)?;
        let shown = log.shows("Listening on").await?;
        assert_eq!(shown.contains('\u{1b}'), coloured, "{shown}");
    }
    Ok(())
}
