//! Answers that cost less than the price: what is captured, what goes back, and who is told.

use crate::upstream::{awaits, callback};
use crate::{Test, host};
use anyhow::{Context as _, Result};
use http::Method;
use ripost_tests::guests::{self, transforms};
use ripost_tests::{Answer, Api, Consumer, Delivery, Host, Plugin, Reply, Sink, audit};
use serde_json::{Value, json};

const PRICE: &str = "0.050000";

async fn captures(lines: &str) -> Result<Host> {
    let api = Api::new("demo", "meter", guests::captures()).price(PRICE).line(lines);
    host().plugin(&Plugin::new("meter", [api])).start().await
}

/// Calls it and waits for the end; the view.
async fn ended(consumer: &Consumer, amount: &str) -> Result<Value> {
    let call = consumer.call("demo/meter").header("prefer", "respond-async").raw("text/plain", amount.to_owned());
    let id = call.accepted().await?;
    consumer.ended(&id).await
}

fn shares(settlement: &Value) -> [&str; 5] {
    ["state", "price_usdc", "captured_usdc", "commission_usdc", "owner_revenue_usdc"]
        .map(|name| settlement[name].as_str().unwrap_or("-"))
}

#[tokio::test]
async fn an_answer_says_what_it_costs_and_the_rest_of_the_hold_goes_back() -> Test {
    let host = captures("").await?;
    let mut left = 1_000_000;
    let consumer = host.add_consumer("metered", "1").await?;
    for (amount, micros, shown) in [
        ("0.02", 20_000, ["captured", PRICE, "0.020000", "0.001000", "0.019000"]),
        ("0.000019", 19, ["captured", PRICE, "0.000019", "0.000000", "0.000019"]),
        ("0.050000", 50_000, ["captured", PRICE, PRICE, "0.002500", "0.047500"]),
        ("0", 0, ["released", PRICE, "0.000000", "0.000000", "0.000000"]),
    ] {
        let view = ended(&consumer, amount).await?;
        assert_eq!((&view["status"], shares(&view["settlement"])), (&json!("completed"), shown), "{amount}");
        left -= micros;
        assert_eq!(consumer.balances().await?, (left, 0), "{amount}");
    }
    audit::check(host.data())?;
    let stopped = host.sigterm().await?;
    let audited = stopped.cli(&["ledger", "audit"]).await?.expect(0)?;
    assert!(audited.stdout.contains("ok"), "{audited:?}");
    Ok(())
}

#[tokio::test]
async fn the_webhook_the_list_and_the_receipt_say_what_was_captured() -> Test {
    let (host, hook) = (captures("").await?, Sink::start().await?);
    let consumer = host.demo();
    let call = consumer.call("demo/meter").header("ripost-webhook-url", &hook.url("/hook"));
    let answer = call.raw("text/plain", "0.02").send().await?.expect(202)?;
    assert_eq!(shares(&answer.json()?["settlement"]), ["held", PRICE, "-", "0.002500", "0.047500"]);
    let id = answer.request_id()?;
    let shown = ["captured", PRICE, "0.020000", "0.001000", "0.019000"];
    assert_eq!(shares(&hook.first(&id).await?.json()?["settlement"]), shown);
    consumer.delivery(&id, "delivered").await?;
    let list = consumer.get("/requests").await?.expect(200)?.json()?;
    assert_eq!(shares(&list["requests"][0]["settlement"]), shown);
    let receipt = consumer.get(&format!("/requests/{id}/receipt")).await?.expect(200)?;
    let money = receipt.json()?["request"]["settlement"].clone();
    assert_eq!(money, json!({ "state": "captured", "price_usdc": PRICE, "captured_usdc": "0.020000" }));
    let folder = tempfile::tempdir()?;
    let path = camino::Utf8Path::from_path(folder.path()).context("a path")?.join("receipt.json");
    std::fs::write(&path, &receipt.body)?;
    let verified = host.cli(&["verify", path.as_str(), "--fetch"]).await?.expect(0)?.stdout;
    assert!(verified.contains("captured: 0.020000 USDC paid"), "{verified}");
    Ok(())
}

#[tokio::test]
async fn more_than_the_price_or_what_is_no_amount_is_the_owners_failure_and_costs_nothing() -> Test {
    let host = captures("").await?;
    let consumer = host.add_consumer("metered", "1").await?;
    for amount in ["0.050001", "999999999999", "-0.01", "0.01 USDC", "0.0000001", "much", ""] {
        let view = ended(&consumer, amount).await?;
        let kind = &view["error"]["type"];
        assert_eq!(
            (&view["status"], kind),
            (&json!("failed"), &json!("urn:ripost:problem:capture-invalid")),
            "{amount}"
        );
        assert_eq!(shares(&view["settlement"])[..3], ["released", PRICE, "0.000000"], "{amount}");
        // What the owner's side said is for the owner.
        let id = view["requestId"].as_str().context("an id")?;
        let log = host.cli(&["runs", id]).await?.expect(0)?.stdout;
        assert!(log.contains("the amount to capture is"), "{log}");
        if amount.len() > 4 {
            assert!(!view["error"].to_string().contains(amount) && log.contains(amount), "{view} {log}");
        }
        let result = consumer.get(&format!("/requests/{id}/result")).await?;
        assert!(result.status != 200, "what could not be paid for is not given away: {result:?}");
    }
    assert_eq!(consumer.balances().await?, (1_000_000, 0));
    audit::check(host.data())?;
    Ok(())
}

#[tokio::test]
async fn a_plain_synchronous_call_costs_what_its_answer_says() -> Test {
    let host = captures("delivery = \"off\"").await?;
    let consumer = host.add_consumer("metered", "1").await?;
    let call = async |amount: &str| {
        let answer = consumer.call("demo/meter").raw("text/plain", amount.to_owned()).send().await?;
        anyhow::Ok((answer, consumer.balances().await?))
    };
    let (paid, balances) = call("0.02").await?;
    let paid = paid.expect(200)?;
    assert_eq!((&paid.body[..], balances), (&b"0.02"[..], (980_000, 0)));
    let id = paid.header("ripost-request-id").context("an id")?;
    assert_eq!(shares(&consumer.view(id).await?["settlement"])[..3], ["captured", PRICE, "0.020000"]);
    let (free, balances) = call("0").await?;
    assert_eq!(balances, (980_000, 0));
    let free = free.expect(200)?;
    let view = consumer.view(free.header("ripost-request-id").context("an id")?).await?;
    assert_eq!((&view["status"], shares(&view["settlement"])[0]), (&json!("completed"), "released"));
    for amount in ["0.050001", "much"] {
        let (refused, balances) = call(amount).await?;
        assert_eq!((refused.expect(502)?.problem()?.as_str(), balances), ("capture-invalid", (980_000, 0)));
    }
    audit::check(host.data())?;
    Ok(())
}

#[tokio::test]
async fn of_a_free_call_nothing_can_be_captured() -> Test {
    for lines in ["", "delivery = \"off\""] {
        let api = Api::new("demo", "meter", guests::captures()).line(lines);
        let host = host().plugin(&Plugin::new("meter", [api])).start().await?;
        let consumer = host.demo();
        let call = |amount: &str| consumer.call("demo/meter").raw("text/plain", amount.to_owned()).send();
        call("0").await?.expect(200)?;
        assert_eq!(call("0.000001").await?.expect(502)?.problem()?, "capture-invalid");
        audit::check(host.data())?;
    }
    Ok(())
}

#[tokio::test]
async fn a_header_says_the_same_and_consumers_never_see_it() -> Test {
    let meter = guests::answers(200, &[("ripost-capture-usdc", "0.02"), ("x-mine", "1")], b"{}");
    let twice = guests::answers(200, &[("ripost-capture-usdc", "0.02"), ("ripost-capture-usdc", "0.02")], b"{}");
    let apis = [("meter", meter), ("twice", twice)].map(|(slug, guest)| Api::new("demo", slug, guest).price(PRICE));
    let host = host().plugin(&Plugin::new("meter", apis)).start().await?;
    let consumer = host.add_consumer("metered", "1").await?;
    let answer = consumer.call("demo/meter").json(&json!({})).send().await?.expect(200)?;
    assert_eq!((answer.header("x-mine"), answer.header("ripost-capture-usdc")), (Some("1"), None));
    assert_eq!(consumer.balances().await?, (980_000, 0));
    let id = answer.header("ripost-request-id").context("an id")?;
    let raw = consumer.get(&format!("/requests/{id}/result")).await?.expect(200)?;
    assert_eq!(raw.header("ripost-capture-usdc"), None);
    let twice = consumer.call("demo/twice").json(&json!({})).send().await?.expect(502)?;
    assert_eq!(twice.problem()?, "capture-invalid");
    Ok(())
}

#[tokio::test]
async fn a_response_transform_hands_the_amount_on() -> Test {
    let api = Api::new("demo", "meter", guests::captures()).price(PRICE);
    let plugin = Plugin::new("meter", [api.line("transforms = { response = [\"more.wasm\"] }")])
        .file("more.wasm", transforms::appends(transforms::Kind::Response, "!"));
    let host = host().plugin(&plugin).start().await?;
    let view = ended(&host.demo(), "0.01").await?;
    assert_eq!(shares(&view["settlement"])[..3], ["captured", PRICE, "0.010000"]);
    Ok(())
}

fn upstream(url: &str, lines: &str) -> Plugin {
    let manifest = format!(
        "[plugin]\nname = \"up\"\nversion = \"1\"\n\n[[api]]\nowner = \"demo\"\nslug = \"up\"\nupstream = \"{url}\"\nprice = \"{PRICE}\"\n{lines}\n"
    );
    Plugin::new("up", []).with_manifest(|_| manifest)
}

#[tokio::test]
async fn a_service_says_it_with_a_header_when_it_answers_at_once() -> Test {
    for lines in ["", "delivery = \"off\""] {
        let service = Sink::start().await?;
        service.script([
            Reply::status(200).header("ripost-capture-usdc", "0.03").body("some"),
            Reply::status(200).header("ripost-capture-usdc", "0.06").body("too much"),
        ]);
        let host = host().plugin(&upstream(&service.url("/work"), lines)).start().await?;
        let consumer = host.add_consumer("metered", "1").await?;
        let call = || consumer.call("demo/up").json(&json!({})).send();
        let answer = call().await?.expect(200)?;
        assert_eq!((&answer.body[..], answer.header("ripost-capture-usdc")), (&b"some"[..], None));
        assert_eq!(consumer.balances().await?, (970_000, 0));
        assert_eq!(call().await?.expect(502)?.problem()?, "capture-invalid");
        assert_eq!(consumer.balances().await?, (970_000, 0));
        audit::check(host.data())?;
    }
    Ok(())
}

async fn post(host: &Host, forwarded: &Delivery, amounts: &[&str]) -> Result<Answer> {
    let service = Consumer::new(host.url(), None);
    let path = callback(host, forwarded)?;
    let mut call = service.request(Method::POST, &path);
    for amount in amounts {
        call = call.header("ripost-capture-usdc", amount);
    }
    call.raw("application/json", "{}").send().await
}

#[tokio::test]
async fn a_service_that_calls_back_is_told_at_once_when_its_amount_cannot_be_captured() -> Test {
    let service = Sink::start().await?;
    service.otherwise(Reply::status(202));
    let host = host().plugin(&upstream(&service.url("/work"), "")).start().await?;
    let consumer = host.add_consumer("metered", "1").await?;
    let id = consumer.call("demo/up").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    awaits(&consumer, &id).await?;
    let forwarded = service.first(&id).await?;
    for amounts in [&["0.06"][..], &["much"], &["0.01", "0.01"]] {
        let refused = post(&host, &forwarded, amounts).await?.expect(422)?;
        assert_eq!(refused.problem()?, "invalid-value");
        assert_eq!(consumer.view(&id).await?["status"], "awaiting_callback", "nothing was taken");
    }
    post(&host, &forwarded, &["0.04"]).await?.expect(200)?;
    assert_eq!(shares(&consumer.ended(&id).await?["settlement"])[..3], ["captured", PRICE, "0.040000"]);
    assert_eq!(consumer.balances().await?, (960_000, 0));
    // The same again is welcome, another amount is another result.
    post(&host, &forwarded, &["0.04"]).await?.expect(200)?;
    assert_eq!(post(&host, &forwarded, &["0.03"]).await?.expect(409)?.problem()?, "callback-conflict");
    audit::check(host.data())?;
    Ok(())
}

#[tokio::test]
async fn a_rate_that_changes_meanwhile_is_not_that_of_what_was_accepted_before() -> Test {
    let service = Sink::start().await?;
    service.otherwise(Reply::status(202));
    let host = host().plugin(&upstream(&service.url("/work"), "")).start().await?;
    let consumer = host.add_consumer("metered", "1").await?;
    let id = consumer.call("demo/up").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    awaits(&consumer, &id).await?;
    let path = callback(&host, &service.first(&id).await?)?;
    let config = format!("{}[settlement]\nfee_bps = 2000\n", crate::QUICK);
    let host = host.sigkill()?.with(|builder| builder.only_config(&config)).start().await?;
    let consumer = host.consumer(consumer.key().context("a key")?);
    let service = Consumer::new(host.url(), None);
    let posted = service.request(Method::POST, &path).header("ripost-capture-usdc", "0.02");
    posted.raw("application/json", "{}").send().await?.expect(200)?;
    let shown = ["captured", PRICE, "0.020000", "0.001000", "0.019000"];
    assert_eq!(shares(&consumer.ended(&id).await?["settlement"]), shown);
    Ok(())
}

#[tokio::test]
async fn cases_and_replays_know_what_an_answer_costs() -> Test {
    let folder = tempfile::tempdir()?;
    let root = camino::Utf8Path::from_path(folder.path()).context("a path")?;
    let plugin = |name: &str, amount: &str, expect: &str| -> Result<camino::Utf8PathBuf> {
        let api = Api::new("demo", "meter", guests::captures()).price(PRICE).line("cases = \"cases\"");
        let case = format!(r#"{{"request":{{"text":"{amount}"}},"expect":{expect}}}"#);
        let path = root.join(name);
        Plugin::new("meter", [api]).file("cases/one.json", case).write(&path)?;
        Ok(path)
    };
    let host = captures("").await?;
    let good = plugin("good", "0.02", r#"{"captured_usdc":"0.02"}"#)?;
    host.cli(&["test", good.as_str()]).await?.expect(0)?;
    let other = host.cli(&["test", plugin("other", "0.03", r#"{"captured_usdc":"0.02"}"#)?.as_str()]).await?;
    let told = format!("{}{}", other.stdout, other.stderr);
    assert!(other.code != Some(0) && told.contains("captured_usdc: expected 0.020000, got 0.030000"), "{told}");
    let above = host.cli(&["test", plugin("above", "0.06", r#"{"status":200}"#)?.as_str()]).await?;
    let told = format!("{}{}", above.stdout, above.stderr);
    assert!(above.code != Some(0) && told.contains("the amount to capture is 0.060000 USDC"), "{told}");
    let expected = plugin("failure", "0.06", r#"{"failure":"failed","problem":"capture-invalid"}"#)?;
    host.cli(&["test", expected.as_str()]).await?.expect(0)?;

    let view = ended(&host.demo(), "0.02").await?;
    let id = view["requestId"].as_str().context("an id")?;
    host.cli(&["replay", id]).await?.expect(0)?;
    let silent = root.join("silent");
    Plugin::new("meter", [Api::new("demo", "meter", guests::echo()).price(PRICE)]).write(&silent)?;
    let told = host.cli(&["replay", id, "--plugin", silent.as_str()]).await?.expect(1)?.stdout;
    assert!(told.contains("captured: stored 0.020000 USDC, now 0.050000 USDC"), "{told}");
    Ok(())
}
