//! The gateway's own fields: taken out of the body, or given in headers.

use crate::{Test, host};
use ripost_tests::{Api, Host, Plugin, Sink, guests};
use serde_json::json;

async fn echo() -> anyhow::Result<Host> {
    let apis = [
        Api::new("demo", "echo", guests::echo()),
        Api::new("demo", "mirror", guests::mirror()),
        Api::new("demo", "priced", guests::echo()).price("0.050000"),
    ];
    host().plugin(&Plugin::new("fields", apis)).start().await
}

#[tokio::test]
async fn what_is_left_of_a_body_is_byte_for_byte_what_was_sent() -> Test {
    let (host, sink) = (echo().await?, Sink::start().await?);
    let consumer = host.demo();
    let (url, events) = (sink.url("/,{\"}"), r#""webhook_events":["completed"]"#);
    let url = serde_json::Value::from(url).to_string();
    for (sent, seen) in [
        (format!(r#"{{"webhook_url":{url},"b":1.50,"a":[1,2 ]}}"#), r#"{"b":1.50,"a":[1,2 ]}"#),
        (format!(r#"{{"b":1.50,"webhook_url":{url},"z":"\u00e9","b2":1e3}}"#), r#"{"b":1.50,"z":"\u00e9","b2":1e3}"#),
        (format!(r#"{{"b":"webhook_url","webhook_url":{url}}}"#), r#"{"b":"webhook_url"}"#),
        (
            format!(r#"{{"webhook_url":{url},"a":{{"webhook_url":1}},{events},"max_price_usdc":"1"}}"#),
            r#"{"a":{"webhook_url":1}}"#,
        ),
        (format!(r#"{{"webhook_url":{url},{events}}}"#), "{}"),
        (format!("{{\n  \"a\": 1,\n  \"webhook_url\": {url},\n  \"b\": 2\n}}\n"), "{\n  \"a\": 1,\n  \"b\": 2\n}\n"),
    ] {
        let id = consumer.call("demo/echo").raw("application/json", sent.clone()).accepted().await?;
        consumer.ended(&id).await?;
        let raw = consumer.get(&format!("/requests/{id}/result")).await?.expect(200)?;
        let raw = std::str::from_utf8(&raw.body)?;
        // How much of the white space around a cut goes with it is nobody's business.
        if sent.contains('\n') {
            assert_eq!(
                raw.split_whitespace().collect::<Vec<_>>(),
                seen.split_whitespace().collect::<Vec<_>>(),
                "{sent}"
            );
        } else {
            assert_eq!(raw, seen, "{sent}");
        }
        sink.first(&id).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_not_json_has_its_fields_in_headers_which_the_owner_does_not_see() -> Test {
    let (host, sink) = (echo().await?, Sink::start().await?);
    let consumer = host.demo();
    let body = r#"{"webhook_url": not json at all"#;
    let call = consumer.call("demo/mirror").raw("text/plain", body).header("ripost-webhook-url", &sink.url("/hook"));
    let id = call.header("ripost-webhook-events", "completed").header("ripost-max-price", "0.1").accepted().await?;
    let payload = sink.first(&id).await?.json()?;
    let seen = payload["result"].as_str().unwrap();
    assert!(seen.ends_with(&format!("\n\n{body}")), "{seen}");
    assert!(!seen.contains("ripost-") && !seen.contains(&sink.address().to_string()), "{seen}");
    Ok(())
}

#[tokio::test]
async fn a_field_twice_is_refused_in_one_place_or_two() -> Test {
    let host = echo().await?;
    let consumer = host.demo();
    let twice = r#"{"webhook_url":"http://127.0.0.1:9/","webhook_url":"http://127.0.0.1:9/"}"#;
    let answer = consumer.call("demo/echo").raw("application/json", twice).send().await?.expect(400)?;
    assert_eq!(answer.problem()?, "duplicate-field");
    let call = consumer.call("demo/echo").json(&json!({ "webhook_url": "http://127.0.0.1:9/" }));
    let answer = call.header("ripost-webhook-url", "http://127.0.0.1:9/").send().await?.expect(400)?;
    assert_eq!(answer.problem()?, "duplicate-field");
    Ok(())
}

#[tokio::test]
async fn events_that_there_are_not_are_refused() -> Test {
    let host = echo().await?;
    let consumer = host.demo();
    for events in [json!(["finished"]), json!(["completed", "nonsense"]), json!([]), json!("completed")] {
        let body = json!({ "webhook_url": "http://127.0.0.1:9/", "webhook_events": events });
        let answer = consumer.call("demo/echo").json(&body).send().await?.expect(422)?;
        assert_eq!(answer.problem()?, "webhook-events-unsupported", "{events}");
    }
    Ok(())
}

#[tokio::test]
async fn a_field_that_would_not_be_read_is_refused_and_nothing_is_held() -> Test {
    let host = echo().await?;
    let consumer = host.add_consumer("mistaken", "1").await?;
    let part = "--x\r\nContent-Disposition: form-data; name=\"webhook_url\"\r\n\r\nhttp://127.0.0.1:9/\r\n--x--\r\n";
    let json = r#"{"a":1,"webhook_url":"http://127.0.0.1:9/"}"#;
    let form = "application/x-www-form-urlencoded";
    for (api, content_type, body, field) in [
        ("demo/priced", form, "a=1&webhook_url=http%3A%2F%2F127.0.0.1%3A9%2F", "webhook_url"),
        ("demo/priced", form, json, "webhook_url"),
        ("demo/priced", "*/*", json, "webhook_url"),
        ("demo/priced", "text/plain; charset=utf-8", r#"{"max_price_usdc":"0.01"}"#, "max_price_usdc"),
        ("demo/priced", "multipart/form-data; boundary=x", part, "webhook_url"),
        ("demo/priced?webhook_events=started", "application/json", "{}", "webhook_events"),
        ("demo/priced/rest?a=1&max_price_usdc=0.01", "text/plain", "a", "max_price_usdc"),
    ] {
        let call = consumer.call(api).raw(content_type, body).header("idempotency-key", "one");
        let answer = call.send().await?.expect(422)?;
        assert_eq!(answer.problem()?, "misplaced-field", "{api} {content_type} {body}");
        assert_eq!(answer.json()?["field"], field, "{api} {content_type} {body}");
    }
    assert_eq!(consumer.balances().await?, (1_000_000, 0));
    assert!(consumer.get("/requests").await?.expect(200)?.json()?["requests"].as_array().unwrap().is_empty());
    let call = consumer.call("demo/priced").json(&json!({ "a": 1 })).header("idempotency-key", "one");
    call.send().await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn a_field_with_nearly_the_name_is_refused_unless_the_api_has_it() -> Test {
    let schema = json!({ "properties": { "callback_url": { "type": "string" } } });
    let apis = [
        Api::new("demo", "strict", guests::echo()).price("0.050000"),
        Api::new("demo", "lenient", guests::echo()).line("near_miss = \"allow\""),
        Api::new("demo", "named", guests::echo()).line("schema = \"schema.json\""),
    ];
    let plugin = Plugin::new("near", apis).file("schema.json", schema.to_string());
    let (host, sink) = (host().plugin(&plugin).start().await?, Sink::start().await?);
    let consumer = host.add_consumer("mistaken", "1").await?;
    for (given, field) in [
        ("webhookUrl", "webhook_url"),
        ("webhook-url", "webhook_url"),
        ("callback_url", "webhook_url"),
        ("webhookEvents", "webhook_events"),
        ("maxPriceUsdc", "max_price_usdc"),
    ] {
        for call in [
            consumer.call("demo/strict").json(&json!({ given: "http://127.0.0.1:9/" })),
            consumer.call(&format!("demo/strict?{given}=1")).json(&json!({})),
            consumer.call("demo/strict").raw("application/x-www-form-urlencoded", format!("{given}=1")),
        ] {
            let answer = call.send().await?.expect(422)?;
            assert_eq!(answer.problem()?, "misnamed-field", "{given}");
            let said = answer.json()?;
            assert_eq!((&said["given"], &said["field"]), (&json!(given), &json!(field)));
        }
    }
    assert_eq!(consumer.balances().await?, (1_000_000, 0));

    let callback = json!({ "callback_url": "mine" });
    for api in ["demo/lenient", "demo/named"] {
        assert_eq!(consumer.call(api).json(&callback).send().await?.expect(200)?.json()?, callback, "{api}");
    }
    let answer = consumer.call("demo/named").json(&json!({ "webhookUrl": "x" })).send().await?.expect(422)?;
    assert_eq!(answer.problem()?, "misnamed-field", "the schema names another");
    let both = json!({ "callback_url": "mine", "webhook_url": sink.url("/hook") });
    let id = consumer.call("demo/strict").json(&both).accepted().await?;
    assert_eq!(sink.first(&id).await?.json()?["result"], callback);
    Ok(())
}

#[tokio::test]
async fn a_price_above_the_callers_maximum_holds_nothing() -> Test {
    let host = echo().await?;
    let consumer = host.add_consumer("careful", "1").await?;
    let answer =
        consumer.call("demo/priced").json(&json!({ "max_price_usdc": "0.049999" })).send().await?.expect(409)?;
    assert_eq!(answer.problem()?, "price-changed");
    assert_eq!(consumer.balances().await?, (1_000_000, 0));
    consumer.call("demo/priced").json(&json!({ "max_price_usdc": "0.05" })).send().await?.expect(200)?;
    assert_eq!(consumer.balances().await?, (950_000, 0));
    Ok(())
}
