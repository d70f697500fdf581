//! Owners see what their APIs were asked and what became of it; consumers see nothing of what an owner's code said.

use crate::{PAUSED, Test, host};
use anyhow::{Context as _, Result};
use http::Method;
use ripost_tests::{Answer, Api, Consumer, Host, Output, Plugin, Reply, Sink, guests};
use serde_json::{Value, json};

const SECRET: &str = "db password is hunter2";

/// The command line of somebody with a token, away from the data folder.
struct From<'h> {
    host: &'h Host,
    token: String,
}

impl<'h> From<'h> {
    async fn owner(host: &'h Host, owner: &str) -> Result<Self> {
        let added = host.cli(&["tokens", "add", owner, "--role", "owner", "--owner", owner, "--json"]).await?;
        let token = added.expect(0)?.json()?["token"].as_str().context("a token")?.to_owned();
        Ok(Self { host, token })
    }

    async fn cli(&self, arguments: &[&str]) -> Result<Output> {
        let to = ["--to", self.host.admin_url(), "--token", &self.token];
        self.host.cli(&[arguments, &to].concat()).await
    }

    async fn get(&self, path: &str) -> Result<Answer> {
        let anybody = Consumer::new(self.host.admin_url(), None);
        anybody.request(Method::GET, path).header("authorization", &format!("Bearer {}", self.token)).send().await
    }
}

fn ids(page: &Value) -> Vec<String> {
    let requests = page["requests"].as_array().map(Vec::as_slice).unwrap_or_default();
    requests.iter().map(|line| line["request_id"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn what_a_handler_says_when_it_breaks_is_its_owners_and_reaches_no_consumer() -> Test {
    let sink = Sink::start().await?;
    let apis = [
        Api::new("demo", "panics", guests::panics(SECRET)),
        Api::new("demo", "direct", guests::panics(SECRET)).line("delivery = \"off\""),
        Api::new("demo", "invalid", guests::answers(200, &[("x hunter2", "x")], b"")),
    ];
    let host = host().plugin(&Plugin::new("broken", apis)).start().await?;
    let consumer = host.demo();
    let alice = From::owner(&host, "demo").await?;
    let mut read = Vec::new();

    // An answer that is waited for, and one at once.
    for (api, kind) in
        [("demo/panics", "handler-trapped"), ("demo/direct", "handler-trapped"), ("demo/invalid", "response-invalid")]
    {
        let answer = consumer.call(api).json(&json!({})).send().await?.expect(502)?;
        assert_eq!(answer.problem()?, kind, "{api}");
        let id = answer.request_id()?;
        let problem = answer.json()?;
        assert_eq!(problem["requestId"], id, "{api}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(&format!("ripost runs {id}")), "{api} says where the owner looks: {detail}");
        read.push(answer.body);
    }
    // By webhook, by polling, in the list, as events.
    let call = consumer.call("demo/panics").json(&json!({ "webhook_url": sink.url("/hook") }));
    let id = call.accepted().await?;
    read.push(sink.first(&id).await?.body);
    for path in ["", "/events", "/webhooks/completed", "/deliveries", "/receipt"] {
        read.push(consumer.get(&format!("/requests/{id}{path}")).await?.expect(200)?.body);
    }
    read.push(consumer.get("/requests").await?.expect(200)?.body);
    for body in &read {
        let text = String::from_utf8_lossy(body);
        assert!(!text.contains("hunter2") && !text.contains("charge_card") && !text.contains("unreachable"), "{text}");
    }

    // The owner has all of it.
    let runs = alice.cli(&["runs", &id]).await?.expect(0)?.stdout;
    for told in [SECRET, "charge_card", "wasm `unreachable` instruction executed", "handler-trapped"] {
        assert!(runs.contains(told), "{told}: {runs}");
    }
    let shown = alice.cli(&["requests", "show", &id]).await?.expect(0)?.stdout;
    assert!(shown.contains(SECRET) && shown.contains("demo/panics: failed: handler-trapped"), "{shown}");
    Ok(())
}

#[tokio::test]
async fn a_case_that_panics_is_rejected_with_its_words() -> Test {
    let host = host().start().await?;
    let alice = From::owner(&host, "demo").await?;
    let case = json!({ "name": "breaks", "request": {}, "expect": { "status": 200 } });
    let api = Api::new("demo", "panics", guests::panics(SECRET)).line("cases = \"cases\"");
    let plugin = Plugin::new("panics", [api]).file("cases/one.json", case.to_string());
    let folder = host.stage().join("pushed");
    plugin.write(&folder)?;
    let refused = alice.cli(&["push", folder.as_str()]).await?.expect(1)?;
    let told = format!("{}{}", refused.stdout, refused.stderr);
    assert!(told.contains(SECRET) && told.contains("the handler trapped"), "{told}");
    Ok(())
}

async fn with_two_owners(sink: &Sink) -> Result<(Host, Vec<String>, String)> {
    let own = Plugin::new(
        "own",
        [
            Api::new("demo", "echo", guests::echo()).price("0.050000"),
            Api::new("demo", "traps", guests::traps()).price("0.050000"),
        ],
    );
    let other = Plugin::new("theirs", [Api::new("other", "theirs", guests::echo()).price("1.000000")]);
    let host = host().plugin(&own).plugin(&other).start().await?;
    let consumer = host.add_consumer("Blue Bottle", "100").await?;
    let mut own = Vec::new();
    for api in ["demo/echo", "demo/traps", "demo/echo"] {
        let id = consumer.call(api).json(&json!({ "webhook_url": sink.url("/hook") })).accepted().await?;
        sink.first(&id).await?;
        consumer.delivery(&id, "delivered").await?;
        own.insert(0, id);
    }
    let theirs = consumer.call("other/theirs").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    consumer.ended(&theirs).await?;
    Ok((host, own, theirs))
}

#[tokio::test]
async fn an_owner_lists_and_reads_the_requests_of_its_apis_and_no_others() -> Test {
    let sink = Sink::start().await?;
    let (host, own, theirs) = with_two_owners(&sink).await?;
    let alice = From::owner(&host, "demo").await?;
    let listed = async |arguments: &[&str]| {
        let page = alice.cli(&[&["requests", "list", "--json"], arguments].concat()).await?.expect(0)?.json()?;
        anyhow::Ok(page)
    };
    let page = listed(&[]).await?;
    assert_eq!(ids(&page), own);
    let text = page.to_string();
    assert!(!text.contains("Blue Bottle") && !text.contains(sink.url("").as_str()), "{text}");
    let consumer = page["requests"][0]["consumer"].as_str().context("a consumer")?;
    assert!(consumer.starts_with("cus_"), "the opaque id that handlers see: {consumer}");
    assert_eq!(page["requests"][0]["owner_revenue_usdc"], "0.047500");
    assert_eq!(ids(&listed(&["--status", "failed"]).await?), own[1..2]);
    assert_eq!(ids(&listed(&["--api", "demo/echo"]).await?), [own[0].clone(), own[2].clone()]);
    assert_eq!(ids(&listed(&["--since", "1h"]).await?), own);
    assert!(ids(&listed(&["--until", "1h"]).await?).is_empty());
    assert_eq!(ids(&listed(&["--limit", "1"]).await?), own[..1]);
    assert_eq!(ids(&listed(&["--before", &own[1]]).await?), own[2..]);
    assert!(ids(&listed(&["--api", "other/theirs"]).await?).is_empty());
    for wrong in [&["--status", "done"][..], &["--owner", "other"], &["--consumer", "Blue Bottle"]] {
        let refused = alice.cli(&[&["requests", "list"], wrong].concat()).await?.expect(1)?;
        assert!(refused.stderr.contains("filter"), "{wrong:?}: {refused:?}");
    }
    let table = alice.cli(&["requests", "list"]).await?.expect(0)?.stdout;
    assert!(table.lines().count() == 4 && table.contains("failed: handler-trapped"), "{table}");

    // All that there is of one; where its webhook goes is a hash, the one of the receipt.
    let shown = alice.get(&format!("/admin/v1/requests/{}", own[1])).await?.expect(200)?.json()?;
    assert_eq!(shown["error"]["type"], "urn:ripost:problem:handler-trapped");
    assert_eq!((&shown["runs"][0]["outcome"], &shown["steps"]), (&json!("handler-trapped"), &json!([])));
    let receipt = alice.get(&format!("/admin/v1/requests/{}/receipt", own[1])).await?.expect(200)?.json()?;
    let commitment = receipt["deliveries"][0]["attempts"][0]["urlCommitment"].clone();
    assert!(commitment.is_string(), "{receipt}");
    let delivery = &shown["deliveries"][0];
    assert_eq!((&delivery["state"], &delivery["url_commitment"]), (&json!("delivered"), &commitment));
    let attempt = &delivery["log"][0];
    assert_eq!((&attempt["status"], &attempt["url_commitment"]), (&json!(200), &commitment));
    for hidden in ["peer", "excerpt"] {
        assert_eq!(attempt[hidden], Value::Null, "{attempt}");
    }
    let text = shown.to_string();
    assert!(!text.contains(&sink.address().to_string()) && !text.contains("Blue Bottle"), "{text}");
    for part in ["runs", "steps", "deliveries", "input", "replay"] {
        alice.get(&format!("/admin/v1/requests/{}/{part}", own[0])).await?.expect(200)?;
    }
    let lines = alice.cli(&["deliveries", "show", &own[0]]).await?.expect(0)?.stdout;
    assert!(lines.contains("url hash ") && !lines.contains("http"), "{lines}");

    // Another owner's request is as unknown as one that never was.
    let never = format!("{}{}", &own[0][..26], if own[0].ends_with("0000") { "1111" } else { "0000" });
    for part in ["", "/runs", "/steps", "/deliveries", "/input", "/replay", "/receipt"] {
        let of = async |id: &str| alice.get(&format!("/admin/v1/requests/{id}{part}")).await?.expect(404)?.json();
        assert_eq!(of(&theirs).await?, of(&never).await?, "{part}");
    }
    let refused = alice.cli(&["requests", "show", &theirs]).await?.expect(1)?;
    assert!(refused.stderr.contains("no such request"), "{refused:?}");
    alice.get(&format!("/admin/v1/requests/{}/erase", own[0])).await?.expect(404)?;
    Ok(())
}

#[tokio::test]
async fn an_operator_lists_everybodys_requests_with_the_names_of_consumers() -> Test {
    let sink = Sink::start().await?;
    let (host, own, theirs) = with_two_owners(&sink).await?;
    let listed = async |arguments: &[&str]| {
        let page = host.cli(&[&["requests", "list", "--json"], arguments].concat()).await?.expect(0)?.json()?;
        anyhow::Ok(page)
    };
    let all = [std::slice::from_ref(&theirs), &own[..]].concat();
    let page = listed(&[]).await?;
    assert_eq!(ids(&page), all);
    assert_eq!(page["requests"][0]["consumer"], "Blue Bottle");
    assert_eq!(ids(&listed(&["--owner", "demo"]).await?), own);
    assert_eq!(ids(&listed(&["--consumer", "Blue Bottle", "--status", "failed"]).await?), own[1..2]);
    assert_eq!(ids(&listed(&["--status", "failed"]).await?), own[1..2]);
    assert_eq!(ids(&listed(&["--api", "other/theirs"]).await?), std::slice::from_ref(&theirs));
    // A page at a time, by what the page before says.
    let (mut seen, mut path) = (Vec::new(), "/admin/v1/requests?limit=3".to_owned());
    loop {
        let page = host.admin(Method::GET, &path).await?.expect(200)?.json()?;
        seen.extend(ids(&page));
        if page["more"] != true {
            break;
        }
        path = format!("/admin/v1/requests?limit=3&before={}", page["next"].as_str().context("a cursor")?);
    }
    assert_eq!(seen, all);
    let shown = host.cli(&["requests", "show", &own[0]]).await?.expect(0)?.stdout;
    assert!(shown.contains("Blue Bottle") && shown.contains(&sink.url("/hook")), "{shown}");
    host.admin(Method::GET, "/admin/v1/requests?consumer=nobody").await?.expect(404)?;
    Ok(())
}

#[tokio::test]
async fn an_owner_sees_what_it_has_earned_and_an_operator_what_all_have() -> Test {
    let sink = Sink::start().await?;
    let (host, ..) = with_two_owners(&sink).await?;
    let alice = From::owner(&host, "demo").await?;
    let of = |owner: &str, apis: u32, earned: &str| json!({ "owner": owner, "apis": apis, "earned_usdc": earned });
    let demo = of("demo", 2, "0.095000");
    assert_eq!(alice.cli(&["owners", "--json"]).await?.expect(0)?.json()?, json!([demo]));
    assert_eq!(alice.get("/admin/v1/owners/demo/balance").await?.expect(200)?.json()?, demo);
    alice.get("/admin/v1/owners/other/balance").await?.expect(403)?;
    let all = json!([demo, of("other", 1, "0.950000")]);
    assert_eq!(host.cli(&["owners", "--json"]).await?.expect(0)?.json()?, all);
    let table = host.cli(&["owners"]).await?.expect(0)?.stdout;
    assert!(table.lines().any(|line| line.starts_with("other ") && line.ends_with("0.950000")), "{table}");
    // And how many failed, on the day.
    let status = alice.cli(&["status"]).await?.expect(0)?.stdout;
    assert!(status.contains("demo/traps: in the last 24 h 1 failed, 0 expired"), "{status}");
    let status = host.cli(&["status", "--json"]).await?.expect(0)?.json()?;
    assert_eq!(status["failures"], json!([{ "api": "demo/traps", "failed": 1, "expired": 0 }]));
    Ok(())
}

#[tokio::test]
async fn what_is_undelivered_is_listed_for_the_owner_without_where_it_goes() -> Test {
    let sink = Sink::start().await?;
    sink.otherwise(Reply::status(500));
    let own = Plugin::new("own", [Api::new("demo", "echo", guests::echo())]);
    let other = Plugin::new("theirs", [Api::new("other", "theirs", guests::echo())]);
    let host = host().plugin(&own).plugin(&other).start().await?;
    let mut undelivered = Vec::new();
    for api in ["demo/echo", "other/theirs"] {
        let id = host.demo().call(api).json(&json!({ "webhook_url": sink.url("/hook") })).accepted().await?;
        sink.first(&id).await?;
        host.demo().delivery(&id, "pending").await?;
        undelivered.push(id);
    }
    let alice = From::owner(&host, "demo").await?;
    let page = alice.get("/admin/v1/deliveries").await?.expect(200)?.json()?;
    let events = page["events"].as_array().cloned().unwrap_or_default();
    assert_eq!(events.len(), 1, "{page}");
    assert_eq!(events[0]["requestId"], undelivered[0]);
    assert!(events[0]["consumer"].as_str().is_some_and(|id| id.starts_with("cus_")), "{page}");
    assert!(!page.to_string().contains("http"), "{page}");
    alice.get("/admin/v1/deliveries?consumer=demo").await?.expect(400)?;
    assert!(alice.cli(&["deliveries", "list"]).await?.expect(0)?.stdout.contains("url hash "));
    Ok(())
}

#[tokio::test]
async fn a_request_that_waits_for_its_run_is_listed_as_it_stands() -> Test {
    let host = Host::builder().dev().show_log().config(PAUSED).plugin(&Plugin::one("echo", guests::echo()));
    let host = host.start().await?;
    let id = host.demo().call("demo/echo").json(&json!({})).header("prefer", "respond-async").accepted().await?;
    let page = host.admin(Method::GET, "/admin/v1/requests").await?.expect(200)?.json()?;
    assert_eq!((ids(&page), &page["requests"][0]["status"]), (vec![id.clone()], &json!("accepted")));
    let shown = host.cli(&["requests", "show", &id]).await?.expect(0)?.stdout;
    assert!(shown.contains("no run has ended") && shown.contains("expires"), "{shown}");
    Ok(())
}
