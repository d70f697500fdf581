//! Schemas of bodies: what does not fit is refused with its places, before anything is held or written.

use crate::{Test, host};
use anyhow::{Context as _, Result};
use http::Method;
use ripost_tests::guests::transforms::{self, Kind};
use ripost_tests::plugin::rename_into_place;
use ripost_tests::{Answer, Api, Host, Plugin, Reply, Sink, audit, guests, until};
use serde_json::{Value, json};
use std::time::Duration;

const PRICE: &str = "0.050000";
/// What the demo consumer has.
const BALANCE: i64 = 1_000_000_000_000;

/// An API that echoes what fits.
fn echo(slug: &str) -> Api {
    Api::new("demo", slug, guests::echo()).line("schema = \"schema.json\"")
}

fn report() -> Value {
    json!({
        "type": "object",
        "required": ["action"],
        "additionalProperties": false,
        "properties": {
            "action": { "const": "make" },
            "pages": { "type": "array", "items": { "type": "integer" } }
        }
    })
}

async fn start(apis: impl IntoIterator<Item = Api>, schema: &Value) -> Result<Host> {
    host().plugin(&Plugin::new("s", apis).file("schema.json", schema.to_string())).start().await
}

fn errors(answer: &Answer) -> Result<Vec<Value>> {
    assert_eq!(answer.problem()?, "schema-mismatch");
    answer.json()?["errors"].as_array().cloned().context("errors")
}

/// Nothing was accepted, nothing held.
async fn nothing_was_written(host: &Host) -> Test {
    assert_eq!(host.demo().balances().await?, (BALANCE, 0));
    assert_eq!(audit::count(host.data(), "requests")?, 0, "rows of requests");
    Ok(())
}

#[tokio::test]
async fn a_body_that_does_not_fit_is_refused_with_its_places_and_nothing_is_held() -> Test {
    let host = start([echo("report").price(PRICE)], &report()).await?;
    let (demo, sink) = (host.demo(), Sink::start().await?);
    let call = || demo.call("demo/report").header("idempotency-key", "k");
    let secret = "a secret";
    let wrong = json!({ "pages": [1, secret, 3, null], "webhook_url": sink.url("/"), "max_price_usdc": "1" });
    let refused = call().json(&wrong).send().await?.expect(422)?;
    assert_eq!(
        errors(&refused)?,
        [
            json!({ "path": "", "message": "\"action\" is a required property", "keyword": "required" }),
            json!({ "path": "/pages/1", "message": "the value is not of type \"integer\"", "keyword": "type" }),
            json!({ "path": "/pages/3", "message": "the value is not of type \"integer\"", "keyword": "type" }),
        ]
    );
    assert!(!refused.body.windows(secret.len()).any(|part| part == secret.as_bytes()));
    let many: Vec<Value> = vec![json!("x"); 50];
    let refused = call().json(&json!({ "action": "make", "pages": many })).send().await?.expect(422)?;
    assert_eq!(errors(&refused)?.len(), 20);
    for (status, kind, wrong) in [
        (415, "unsupported-media-type", call().raw("text/plain", "{\"action\":\"make\"}")),
        (415, "unsupported-media-type", call().raw("application/x-www-form-urlencoded", "action=make")),
        (422, "schema-mismatch", call()),
        (422, "schema-mismatch", call().json(&json!([]))),
        (400, "invalid-json", call().raw("application/json", "{\"action\":\"make\",\"action\":\"make\"}")),
        (400, "invalid-json", call().raw("application/json", format!("{}1{}", "[".repeat(200), "]".repeat(200)))),
    ] {
        let refused = wrong.send().await?.expect(status)?;
        assert_eq!(refused.problem()?, kind);
    }
    nothing_was_written(&host).await?;
    // What was refused has not used the key up, and what is for the gateway is not in the body that has to fit.
    let fits = json!({ "action": "make", "webhook_url": sink.url("/"), "max_price_usdc": "1" });
    let id = call().json(&fits).accepted().await?;
    assert_eq!(demo.ended(&id).await?["result"], json!({ "action": "make" }));
    // Without a body there is nothing to check where none belongs.
    let got = demo.request(Method::GET, "/api/demo/api/report").send().await?.expect(200)?;
    assert!(got.body.is_empty());
    audit::check(host.data())
}

#[tokio::test]
async fn what_the_request_transforms_make_is_what_has_to_fit() -> Test {
    let appends =
        |slug, file: &str| echo(slug).price(PRICE).line(&format!("transforms = {{ request = [\"{file}.wasm\"] }}"));
    let schema = json!({ "type": "integer", "minimum": 10, "maximum": 19 });
    let plugin = Plugin::new("s", [appends("digit", "x-digit"), appends("breaks", "x-breaks")])
        .file("x-digit.wasm", transforms::appends(Kind::Request, "0"))
        .file("x-breaks.wasm", transforms::appends(Kind::Request, "}"))
        .file("schema.json", schema.to_string());
    let host = host().plugin(&plugin).start().await?;
    let demo = host.demo();
    let refused = demo.call("demo/digit").json(&json!(2)).send().await?.expect(422)?;
    assert_eq!(errors(&refused)?[0]["keyword"], "maximum");
    let detail = refused.json()?["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains("request transforms"), "{detail}");
    // The owner's mistake, and told as that.
    let broken = demo.call("demo/breaks").json(&json!(15)).send().await?.expect(502)?;
    assert_eq!(broken.problem()?, "transform-failed");
    nothing_was_written(&host).await?;
    // 1 alone would not fit.
    assert_eq!(demo.call("demo/digit").json(&json!(1)).send().await?.expect(200)?.body, "10");
    audit::check(host.data())
}

#[tokio::test]
async fn it_holds_for_apis_that_answer_at_once_and_for_upstreams() -> Test {
    let service = Sink::start().await?;
    service.otherwise(Reply::status(200).header("content-type", "application/json").body("{}"));
    let upstream = |slug: &str, lines: &str| {
        format!(
            "\n[[api]]\nowner = \"demo\"\nslug = \"{slug}\"\nupstream = \"{}\"\nschema = \"schema.json\"\n{lines}\n",
            service.url("/process")
        )
    };
    let upstreams = upstream("up", "price = \"0.05\"") + &upstream("up-off", "delivery = \"off\"");
    let plugin = Plugin::new("s", [echo("off").price(PRICE).line("delivery = \"off\"")])
        .with_manifest(|manifest| manifest + &upstreams)
        .file("schema.json", report().to_string());
    let host = host().plugin(&plugin).start().await?;
    let demo = host.demo();
    for api in ["off", "up", "up-off"] {
        let call = || demo.call(&format!("demo/{api}"));
        assert_eq!(errors(&call().json(&json!({ "action": "break" })).send().await?.expect(422)?)?.len(), 1, "{api}");
        let refused = call().header("idempotency-key", "k").json(&json!({})).send().await?.expect(422)?;
        assert_eq!(errors(&refused)?[0]["keyword"], "required", "{api}");
        call().raw("text/plain", "x").send().await?.expect(415)?;
    }
    assert_eq!(service.count(), 0);
    nothing_was_written(&host).await?;
    let fits = json!({ "action": "make" });
    assert_eq!(demo.call("demo/off").json(&fits).send().await?.expect(200)?.json()?, fits);
    demo.call("demo/up").json(&fits).send().await?.expect(200)?;
    demo.call("demo/up-off").json(&fits).send().await?.expect(200)?;
    assert_eq!(service.count(), 2);
    Ok(())
}

#[tokio::test]
async fn a_large_body_is_checked_while_other_calls_are_answered() -> Test {
    let host = start([echo("report"), Api::new("demo", "free", guests::echo())], &report()).await?;
    let demo = host.demo();
    // A little less than the limit of a body.
    let pages: Vec<u32> = (0..150_000).collect();
    let mut wrong: Vec<Value> = pages.iter().map(|page| json!(page)).collect();
    wrong[140_000] = json!("x");
    let (fits, wrong) = (json!({ "action": "make", "pages": pages }), json!({ "action": "make", "pages": wrong }));
    let (fitting, refused, other) = tokio::join!(
        demo.call("demo/report").json(&fits).send(),
        demo.call("demo/report").json(&wrong).send(),
        demo.call("demo/free").json(&json!(1)).send(),
    );
    assert_eq!(fitting?.expect(200)?.json()?, fits);
    let refused = refused?.expect(422)?;
    assert_eq!(errors(&refused)?[0]["path"], "/pages/140000");
    assert_eq!(other?.expect(200)?.body, "1");
    Ok(())
}

async fn reason(host: &Host) -> Result<Option<String>> {
    let status = host.cli(&["status", "--json"]).await?.expect(0)?.json()?;
    Ok(status["plugins"][0]["reason"].as_str().map(str::to_owned))
}

#[tokio::test]
async fn a_bad_schema_leaves_the_last_good_one_in_force_and_status_says_why() -> Test {
    let host = start([echo("report")], &report()).await?;
    let demo = host.demo();
    let path = host.plugins().join("s/schema.json");
    let two_links = json!({ "$defs": { "a": { "$ref": "http://127.0.0.1:9/a.json" } }, "$ref": "#/$defs/a" });
    for (bad, why) in [
        ("{".to_owned(), "not JSON"),
        (json!({ "type": "strang" }).to_string(), "at /type"),
        (two_links.to_string(), "leads out of the file, to `http://127.0.0.1:9/a.json`"),
        (json!({ "pattern": "(?!a)" }).to_string(), "pattern"),
        (json!({ "description": "x".repeat(300_000) }).to_string(), "at most 256 KiB"),
    ] {
        rename_into_place(host.stage(), &path, bad.as_bytes())?;
        until(why, Duration::from_secs(10), async || {
            let reason = reason(&host).await?;
            Ok(reason.is_some_and(|reason| reason.contains(why) && reason.contains("schema.json")).then_some(()))
        })
        .await?;
        demo.call("demo/report").json(&json!({ "action": "make" })).send().await?.expect(200)?;
        demo.call("demo/report").json(&json!({ "action": "new" })).send().await?.expect(422)?;
    }
    let other = report().to_string().replace("make", "new");
    rename_into_place(host.stage(), &path, other.as_bytes())?;
    until("the new schema", Duration::from_secs(10), async || {
        let answer = demo.call("demo/report").json(&json!({ "action": "new" })).send().await?;
        Ok((answer.status == 200).then_some(()))
    })
    .await?;
    demo.call("demo/report").json(&json!({ "action": "make" })).send().await?.expect(422)?;
    assert_eq!(reason(&host).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_schema_is_checked_tested_and_pushed_with_its_plugin() -> Test {
    let host = host().start().await?;
    let folder = host.stage().join("p");
    let case = |body: Value, expect: Value| json!({ "request": { "body": body }, "expect": expect }).to_string();
    let plugin = Plugin::new("p", [echo("report").line("cases = \"cases\"")])
        .file("schema.json", report().to_string())
        .file("cases/fits.json", case(json!({ "action": "make" }), json!({ "status": 200 })))
        .file(
            "cases/not.json",
            case(json!({ "action": 1 }), json!({ "failure": "invalid", "problem": "schema-mismatch" })),
        );
    plugin.write(&folder)?;
    let checked = host.cli(&["check", folder.as_str()]).await?.expect(0)?.stdout;
    assert!(checked.contains("schema.json: ") && checked.contains("JSON Schema (Draft202012)"), "{checked}");
    let digest = |text: &str| text.split_whitespace().find(|word| word.len() == 64).map(str::to_owned);
    let tested = host.cli(&["test", folder.as_str()]).await?.expect(0)?.stdout;
    assert_eq!(tested.matches("ok ").count(), 2, "{tested}");
    host.cli(&["push", folder.as_str()]).await?.expect(0)?;
    let demo = host.demo();
    demo.call("demo/report").json(&json!({ "action": "make" })).send().await?.expect(200)?;
    demo.call("demo/report").json(&json!({ "action": 1 })).send().await?.expect(422)?;
    // A schema alone makes another revision.
    let open = Plugin::file(plugin.clone(), "schema.json", "{}")
        .file("cases/not.json", case(json!(1), json!({ "status": 200 })));
    open.write(&folder)?;
    assert_ne!(digest(&host.cli(&["check", folder.as_str()]).await?.expect(0)?.stdout), digest(&checked));
    host.cli(&["push", folder.as_str()]).await?.expect(0)?;
    demo.call("demo/report").json(&json!({ "action": 1 })).send().await?.expect(200)?;
    let host = host.restart().await?;
    let demo = host.demo();
    demo.call("demo/report").raw("text/plain", "x").send().await?.expect(415)?;
    // What leads out of its file is refused by all of them, in the same words.
    let leads_out = plugin.file("schema.json", json!({ "$ref": "https://example.com/s.json" }).to_string());
    leads_out.write(&folder)?;
    for (command, code) in [("check", 1), ("push", 1)] {
        let said = host.cli(&[command, folder.as_str()]).await?.expect(code)?;
        let said = said.stdout + &said.stderr;
        assert!(said.contains("leads out of the file, to `https://example.com/s.json`"), "{command}: {said}");
    }
    demo.call("demo/report").json(&json!({ "action": 1 })).send().await?.expect(200)?;
    Ok(())
}
