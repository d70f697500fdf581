//! The receipt of every run, as the operator sees it.

use crate::{PAUSED, Test, host, upstream};
use anyhow::Context as _;
use http::Method;
use ripost_tests::guests::transforms::{self, Kind};
use ripost_tests::guests::{self, Failure};
use ripost_tests::{Api, Consumer, Host, Plugin, Reply, Sink};
use serde_json::{Value, json};

async fn ended(consumer: &Consumer, api: &str) -> anyhow::Result<String> {
    let id = consumer.call(api).json(&json!({ "n": 1 })).header("prefer", "respond-async").accepted().await?;
    consumer.ended(&id).await?;
    Ok(id)
}

/// The runs of a request, each with sane figures.
async fn runs(host: &Host, id: &str) -> anyhow::Result<Vec<Value>> {
    let shown = host.cli(&["runs", id, "--json"]).await?.expect(0)?.json()?;
    let runs = shown.as_array().cloned().unwrap_or_default();
    for run in &runs {
        let number = |name: &str| run[name].as_f64().unwrap_or(-1.0);
        assert!(number("cpu_ms") > 0.0 && number("cpu_ms") <= number("wall_ms") + 1.0, "{run}");
        assert!(number("wall_ms") > 0.0 && number("wall_ms") < 10_000.0, "{run}");
        assert!(number("memory_bytes") >= f64::from(2 << 16), "the guest begins with two pages: {run}");
        assert_eq!((number("outbound_calls"), number("outbound_bytes")), (0.0, 0.0), "{run}");
        assert!(run["started_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{run}");
    }
    assert_eq!(host.admin(Method::GET, &format!("/admin/v1/requests/{id}/runs")).await?.expect(200)?.json()?, shown);
    Ok(runs)
}

#[tokio::test]
async fn every_run_has_a_receipt_of_what_it_used_and_said() -> Test {
    let apis = [
        Api::new("demo", "completes", guests::logs_and_fails_first("one line", 0, Failure::Retry(None))),
        Api::new("demo", "traps", guests::logs_and_traps("the last words")),
        Api::new("demo", "second", guests::logs_and_fails_first("not yet", 1, Failure::Retry(Some(0)))),
    ];
    let host = host().plugin(&Plugin::new("runs", apis)).start().await?;
    let consumer = host.demo();
    let line = |message: &str| json!([{ "level": "info", "message": message, "fields": {} }]);

    let completed = ended(&consumer, "demo/completes").await?;
    let shown = runs(&host, &completed).await?;
    assert_eq!(shown.len(), 1);
    assert_eq!((&shown[0]["attempt"], &shown[0]["outcome"]), (&json!(1), &json!("answered")));
    assert_eq!((&shown[0]["log"], &shown[0]["host_calls"]), (&line("one line"), &json!(1)));
    assert!(shown[0]["log_bytes"].as_u64().is_some_and(|bytes| bytes >= 8), "{shown:?}");

    let trapped = ended(&consumer, "demo/traps").await?;
    let shown = runs(&host, &trapped).await?;
    assert_eq!(shown.len(), 1, "a trap is not run again");
    assert_eq!(shown[0]["outcome"], "handler-trapped");
    let log = shown[0]["log"].as_array().cloned().unwrap_or_default();
    assert_eq!(json!(&log[..1]), line("the last words"), "what the guest said comes first");
    assert!(log.len() > 1 && log[1..].iter().all(|line| line["by"] == "host"), "then what the gateway says: {log:?}");
    let last = log.last().and_then(|line| line["message"].as_str()).unwrap_or_default();
    assert!(last.starts_with("the handler trapped: wasm trap"), "{log:?}");

    let retried = ended(&consumer, "demo/second").await?;
    let outcomes = |runs: &[Value]| -> Vec<_> {
        runs.iter().map(|run| (run["attempt"].clone(), run["outcome"].clone(), run["log"].clone())).collect()
    };
    let expected = [(json!(1), json!("refused"), line("not yet")), (json!(2), json!("answered"), line("not yet"))];
    assert_eq!(outcomes(&runs(&host, &retried).await?), expected);

    let text = host.cli(&["runs", &retried]).await?.expect(0)?.stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].starts_with("run 1  ") && lines[0].contains("refused") && lines[0].contains(" ms"), "{text}");
    assert_eq!(lines[1].trim(), "info  not yet");
    assert!(lines[2].starts_with("run 2  ") && lines[2].contains("answered"), "{text}");

    // They are as durable as the request.
    let host = host.restart().await?;
    assert_eq!(outcomes(&runs(&host, &retried).await?), expected);
    Ok(())
}

#[tokio::test]
async fn a_request_without_a_run_says_so_and_an_unknown_one_too() -> Test {
    let host = Host::builder().dev().show_log().config(PAUSED).plugin(&Plugin::one("echo", guests::echo()));
    let host = host.start().await?;
    let id = host.demo().call("demo/echo").json(&json!({})).header("prefer", "respond-async").accepted().await?;
    assert_eq!(host.cli(&["runs", &id]).await?.expect(0)?.stdout, "no run has ended\n");
    let other = format!("{}{}", &id[..id.len() - 4], if id.ends_with("0000") { "1111" } else { "0000" });
    let refused = host.cli(&["runs", &other]).await?.expect(1)?;
    assert!(refused.stderr.contains("no such request"), "{refused:?}");
    host.cli(&["runs", "nonsense"]).await?.expect(64)?;
    Ok(())
}

/// What `ripost runs` shows of a request that has no row, or whose row says nothing of this run.
async fn shown(host: &Host, id: &str) -> anyhow::Result<String> {
    Ok(host.cli(&["runs", id]).await?.expect(0)?.stdout)
}

#[tokio::test]
async fn a_request_transform_that_broke_is_shown_by_the_id_that_its_caller_was_told() -> Test {
    let api = Api::new("demo", "traps", guests::echo()).line("transforms = { request = [\"x.wasm\"] }");
    let plugin = Plugin::new("t", [api]).file("x.wasm", transforms::traps(Kind::Request));
    let host = host().plugin(&plugin).start().await?;
    let refused = host.demo().call("demo/traps").json(&json!({})).send().await?.expect(502)?;
    let problem = refused.json()?;
    let id = problem["requestId"].as_str().context("the caller is told an id")?;
    let runs = shown(&host, id).await?;
    assert!(runs.starts_with("run 1  ") && runs.contains("transform-failed") && runs.contains("wasm trap"), "{runs}");
    assert!(!problem.to_string().contains("wasm trap"), "{problem}");
    Ok(())
}

#[tokio::test]
async fn a_synchronous_call_that_an_upstream_did_not_answer_is_shown_with_its_cause() -> Test {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let host = upstream::host(&format!("http://{closed}/"), "delivery = \"off\"").start().await?;
    let refused = host.demo().call("demo/up").json(&json!({})).send().await?.expect(502)?;
    let runs = shown(&host, refused.header("ripost-request-id").context("an id")?).await?;
    assert!(runs.contains("connect-refused") && runs.contains(&format!("connecting to {closed}")), "{runs}");
    assert!(!refused.json()?.to_string().contains(&closed.port().to_string()), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn a_transform_that_broke_on_a_posted_result_is_shown_with_the_run_that_forwarded_it() -> Test {
    let service = Sink::start().await?;
    service.otherwise(Reply::status(202));
    let plugin = upstream::plugin(&service.url("/work"), "transforms = { response = [\"x.wasm\"] }")
        .file("x.wasm", transforms::traps(Kind::Response));
    let host = host().plugin(&plugin).start().await?;
    let consumer = host.demo();
    let id = consumer.call("demo/up").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    upstream::awaits(&consumer, &id).await?;
    let path = upstream::callback(&host, &service.first(&id).await?)?;
    let answer = upstream::result(&host, &path, "{}").await?;
    assert!(!answer.body.windows(9).any(|part| part == b"wasm trap"), "{answer:?}");
    let runs = shown(&host, &id).await?;
    assert!(runs.contains("transform-failed") && runs.contains("wasm trap"), "{runs}");
    Ok(())
}
