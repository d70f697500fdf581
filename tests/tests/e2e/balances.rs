//! Credits and debits by hand.

use crate::{Test, host};
use anyhow::{Context as _, Result};
use http::Method;
use ripost_tests::{Answer, Api, Host, Plugin, audit, guests};
use serde_json::{Value, json};

async fn adjust(host: &Host, kind: &str, name: &str, amount: &str, reference: &str) -> Result<Answer> {
    let body = json!({ "amount": amount, "reference": reference });
    host.admin_json(Method::POST, &format!("/admin/v1/consumers/{name}/{kind}"), &body).await
}

#[tokio::test]
async fn a_balance_is_credited_and_debited_once_for_each_reference() -> Test {
    let host = host().start().await?;
    let consumer = host.add_consumer("acme", "1").await?;
    let credit = ["consumers", "credit", "acme", "2.5", "--reference", "inv-1"];
    let told = host.cli(&credit).await?.expect(0)?.stdout;
    assert!(told.contains("credit: 2.500000 USDC for acme, reference inv-1"), "{told}");
    assert!(told.contains("available: 3.500000 USDC\nheld: 0.000000 USDC"), "{told}");
    let again = host.cli(&credit).await?.expect(0)?.stdout;
    assert!(
        again.starts_with("nothing changed: the credit of 2.500000 USDC with reference inv-1 was made at "),
        "{again}"
    );
    assert_eq!(consumer.balances().await?, (3_500_000, 0));
    let debit = ["consumers", "debit", "acme", "0.5", "--reference", "out-1", "--json"];
    for repeated in [false, true] {
        let told: Value = host.cli(&debit).await?.expect(0)?.json()?;
        assert_eq!((&told["kind"], &told["repeated"]), (&json!("debit"), &json!(repeated)));
        assert_eq!((&told["amount"], &told["available"]), (&json!("0.500000"), &json!("3.000000")));
    }
    // Over a restart too.
    let host = host.restart().await?;
    let again = host.cli(&credit).await?.expect(0)?.stdout;
    assert!(again.starts_with("nothing changed"), "{again}");
    let stopped = host.sigterm().await?;
    audit::check(stopped.data())?;
    stopped.cli(&["ledger", "audit"]).await?.expect(0)?;
    Ok(())
}

#[tokio::test]
async fn a_reference_that_was_used_for_something_else_is_refused_with_what_that_was() -> Test {
    let host = host().start().await?;
    let (one, _other) = (host.add_consumer("one", "1").await?, host.add_consumer("other", "1").await?);
    adjust(&host, "credit", "one", "2", "inv-1").await?.expect(200)?;
    for (kind, name, amount) in [("credit", "one", "2.000001"), ("debit", "one", "2"), ("credit", "other", "2")] {
        let refused = adjust(&host, kind, name, amount, "inv-1").await?.expect(409)?;
        let problem = refused.json()?;
        assert_eq!((refused.problem()?.as_str(), &problem["kind"]), ("reference-taken", &json!("credit")));
        assert_eq!(problem["amount_usdc"], "2.000000");
    }
    assert_eq!(one.balances().await?, (3_000_000, 0));
    Ok(())
}

#[tokio::test]
async fn a_debit_above_what_is_available_is_refused_with_the_sums() -> Test {
    let apis = [Api::new("demo", "echo", guests::echo()).price("0.4")];
    let host = host().only_config(crate::PAUSED).plugin(&Plugin::new("priced", apis)).start().await?;
    let consumer = host.add_consumer("acme", "1").await?;
    consumer.call("demo/echo").header("prefer", "respond-async").json(&json!({})).accepted().await?;
    let refused = adjust(&host, "debit", "acme", "0.7", "out-1").await?.expect(409)?;
    let problem = refused.json()?;
    assert_eq!(refused.problem()?, "balance-too-low");
    let sums = ["amount_usdc", "available_usdc", "held_usdc"].map(|name| problem[name].clone());
    assert_eq!(sums, [json!("0.700000"), json!("0.600000"), json!("0.400000")]);
    // What was refused has used no reference.
    adjust(&host, "debit", "acme", "0.6", "out-1").await?.expect(200)?;
    assert_eq!(consumer.balances().await?, (0, 400_000));
    audit::check(host.data())?;
    Ok(())
}

#[tokio::test]
async fn what_is_no_amount_or_no_reference_is_refused_and_changes_nothing() -> Test {
    let host = host().start().await?;
    let consumer = host.add_consumer("acme", "1").await?;
    for amount in ["-1", "+1", "1e3", "1,0", "0.0000001", " 1", "NaN", "1 USDC", "", "99999999999999999999"] {
        adjust(&host, "credit", "acme", amount, "x").await?.expect(400).with_context(|| format!("{amount:?}"))?;
        let told = host.cli(&["consumers", "credit", "acme", amount, "--reference", "x"]).await?.expect(64)?;
        assert!(told.stderr.contains("amount"), "{told:?}");
    }
    for amount in ["0", "0.000000", "1000000000.000001", "9223372036854.775807"] {
        let refused = adjust(&host, "credit", "acme", amount, "x").await?.expect(422)?;
        assert_eq!(refused.problem()?, "invalid-value", "{amount}");
    }
    for reference in ["", " x", "x\n", "\u{1b}[31m", &"x".repeat(201)] {
        let refused = adjust(&host, "credit", "acme", "1", reference).await?.expect(422)?;
        assert_eq!(refused.problem()?, "invalid-value", "{reference:?}");
    }
    let as_number = json!({ "amount": 1, "reference": "x" });
    host.admin_json(Method::POST, "/admin/v1/consumers/acme/credit", &as_number).await?.expect(400)?;
    adjust(&host, "credit", "nobody", "1", "x").await?.expect(404)?;
    host.cli(&["consumers", "credit", "acme", "1"]).await?.expect(64)?;
    host.cli(&["consumers", "add", "rich", "--credit", "1000000001"]).await?.expect(1)?;
    assert_eq!(consumer.balances().await?, (1_000_000, 0));
    Ok(())
}

#[tokio::test]
async fn what_messages_say_to_do_about_a_balance_can_be_done() -> Test {
    let apis = [Api::new("demo", "echo", guests::echo()).price("0.4")];
    let host = host().plugin(&Plugin::new("priced", apis)).start().await?;
    let consumer = host.add_consumer("acme", "0.1").await?;
    let poor = consumer.call("demo/echo").json(&json!({})).send().await?.expect(402)?;
    assert!(poor.json()?["detail"].as_str().is_some_and(|text| text.contains("ripost consumers credit")), "{poor:?}");
    host.cli(&["consumers", "credit", "acme", "0.5", "--reference", "inv-1"]).await?.expect(0)?;
    consumer.call("demo/echo").json(&json!({})).send().await?.expect(200)?;
    let refused = host.cli(&["erase", "consumer", "acme"]).await?.expect(1)?.stderr;
    assert!(refused.contains("ripost consumers debit acme 0.200000"), "{refused}");
    host.cli(&["consumers", "debit", "acme", "0.2", "--reference", "paid-back"]).await?.expect(0)?;
    host.cli(&["erase", "consumer", "acme"]).await?.expect(0)?;
    audit::check(host.data())?;
    Ok(())
}
