//! The OpenAPI documents: valid, cached by their tag, and what the gateway really does.

use crate::{Test, host};
use anyhow::{Context as _, Result};
use http::Method;
use ripost_tests::peers::{Contract, Made, MadeCall, Operations, check_contract, validate_openapi};
use ripost_tests::{Api, Consumer, Host, Plugin, Sink, guests};
use serde_json::{Value, json};

fn echo(slug: &str) -> Api {
    Api::new("demo", slug, guests::echo())
}

fn schema() -> Value {
    json!({ "type": "object", "required": ["pages"], "properties": { "pages": { "$ref": "#/$defs/pages" } }, "$defs": { "pages": { "type": "integer" } } })
}

#[tokio::test]
async fn documents_are_public_valid_and_told_apart_by_their_tags() -> Test {
    let api = echo("report").line("schema = \"schema.json\"").price("0.050000");
    let plugin = Plugin::new("s", [api]).file("schema.json", schema().to_string());
    let host = host().plugin(&plugin).argument("--admin-listen").argument("127.0.0.1:0").start().await?;
    let nobody = host.demo().with_key(None);
    for path in ["/openapi.json", "/openapi/demo/report"] {
        let answer = nobody.get(path).await?.expect(200)?;
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        let document = answer.json()?;
        validate_openapi(&document).await?;
        let etag = answer.header("etag").unwrap_or_default();
        let again = nobody.request(Method::GET, path).header("if-none-match", etag).send().await?.expect(304)?;
        assert_eq!((again.header("etag"), again.body.len()), (Some(etag), 0));
        nobody.request(Method::GET, path).header("if-none-match", "\"other\"").send().await?.expect(200)?;
        assert_eq!(nobody.request(Method::POST, path).send().await?.expect(405)?.problem()?, "method-not-allowed");
    }
    let unknown = nobody.get("/openapi/demo/other").await?.expect(404)?;
    assert_eq!(unknown.problem()?, "unknown-api");
    let management = host.admin(Method::GET, "/openapi.json").await?.expect(200)?.json()?;
    validate_openapi(&management).await?;
    assert!(management["paths"]["/admin/v1/status"].is_object() && management["paths"]["/requests"].is_null());
    Ok(())
}

#[tokio::test]
async fn the_document_of_an_api_has_its_schema_its_price_and_its_webhook() -> Test {
    let api = echo("report").line("schema = \"schema.json\"").price("0.050000");
    let host = host()
        .plugin(
            &Plugin::new("s", [api, echo("free").line("delivery = \"off\"")]).file("schema.json", schema().to_string()),
        )
        .start()
        .await?;
    let report = host.demo().get("/openapi/demo/report").await?.expect(200)?.json()?;
    let call = &report["paths"]["/api/demo/api/report"]["post"];
    assert_eq!(call["x-ripost-price-usdc"], "0.050000");
    assert_eq!(call["requestBody"]["content"]["application/json"]["schema"]["$ref"], "#/components/schemas/Call");
    assert_eq!(report["components"]["schemas"]["Call"]["required"], json!(["pages"]));
    assert!(report["webhooks"]["completed"]["post"].is_object());
    let free = host.demo().get("/openapi/demo/free").await?.expect(200)?.json()?;
    assert_eq!(free["paths"]["/api/demo/api/free"]["post"]["x-ripost-delivery"], "off");
    assert!(free["webhooks"].is_null() && free["components"]["schemas"]["Call"].is_null());
    Ok(())
}

/// A schema with all that an owner may write and few makers of clients read: an earlier draft's tuples and definitions,
/// anchors, a part that refers to itself, booleans.
fn involved() -> Value {
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "required": ["pages"],
        "additionalProperties": false,
        "properties": {
            "pages": { "$ref": "#/definitions/pages" },
            "pair": { "type": "array", "items": [{ "type": "string" }, true], "additionalItems": false },
            "tree": { "$ref": "#/definitions/tree" },
            "any": true,
        },
        "definitions": {
            "pages": { "type": "integer" },
            "tree": { "type": "object", "properties": { "next": { "$ref": "#/definitions/tree" } } },
        },
    })
}

/// The clients' calls were accepted and their webhooks came.
async fn check_made(made: Made, clients: &[&str], sink: &Sink) -> Test {
    assert_eq!(made.keys().collect::<Vec<_>>(), clients);
    for (client, answer) in made {
        assert_eq!(answer["status"], 202, "{client}: {answer}");
        let id = answer["body"]["requestId"].as_str().with_context(|| format!("{client}: {answer}"))?;
        let payload = sink.first(id).await?.json()?;
        assert_eq!(payload["status"], "completed", "{client}");
        assert!(payload["result"].get("webhook_url").is_none(), "{client}: the owner does not see it: {payload}");
    }
    Ok(())
}

/// Calls an API through clients made of the gateway's document and of the API's own, in each of these languages.
async fn call_with_clients(python: bool) -> Test {
    let apis = [echo("free"), echo("report").line("schema = \"schema.json\"")];
    let plugin = Plugin::new("s", apis).file("schema.json", involved().to_string());
    let (host, sink) = (host().plugin(&plugin).start().await?, Sink::start().await?);
    let consumer = host.add_consumer("generated", "1").await?;
    let (base, key, url) = (host.url(), consumer.key().context("key")?, sink.url("/hook"));
    let document = async |path: &str| host.demo().get(path).await?.expect(200)?.json();
    let (whole, free, report) =
        tokio::try_join!(document("/openapi.json"), document("/openapi/demo/free"), document("/openapi/demo/report"),)?;
    // In the body where it may be anything, else in the header: a schema's additional properties are the owner's to say.
    let in_body = json!({ "mode": "json", "webhook_url": url, "webhook_events": ["completed"], "max_price_usdc": "1" });
    let typed = json!({ "pages": 3, "pair": ["a", 1], "tree": { "next": {} } });
    for (document, api, body, webhook_url) in [
        (&whole, Some("demo/free"), &in_body, None),
        (&free, None, &in_body, None),
        (&report, None, &typed, Some(&*url)),
    ] {
        let call = MadeCall { document, api, base, key, body: body.clone(), webhook_url };
        if python {
            check_made(call.in_python().await?, &["openapi-python-client"], &sink).await?;
        } else {
            check_made(call.in_typescript().await?, &["hey-api", "orval"], &sink).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_client_made_for_python_calls_as_it_should() -> Test {
    call_with_clients(true).await
}

#[tokio::test]
async fn clients_made_for_typescript_compile_and_call_as_they_should() -> Test {
    call_with_clients(false).await
}

/// What would send to addresses that are made up, takes a body that cannot be made up, or would lock the caller out: the
/// names of consumers, keys and tokens are learned from the answers.
const LEFT_OUT: &[&str] =
    &["testWebhook", "redeliver", "redeliverMany", "pushPlugin", "eraseConsumer", "revokeConsumerKey", "removeToken"];

/// Checks operations of the document at a path, with these parameters.
async fn check(host: &Host, key: &str, path: &str, parameters: &[(&str, &str)], operations: Operations<'_>) -> Test {
    let token = std::fs::read_to_string(host.data().join("admin-token"))?;
    let contract = Contract {
        document: &format!("{}{path}", host.url()),
        consumer_key: key,
        admin_token: token.trim(),
        parameters,
        operations,
    };
    let output = check_contract(contract).await?;
    assert_eq!(output.code, Some(0), "{path}: {}{}", output.stdout, output.stderr);
    Ok(())
}

async fn offering() -> Result<(Host, Consumer, Sink)> {
    let apis = [echo("report").line("schema = \"schema.json\""), echo("other").line("schema = \"schema.json\"")];
    let host = host().plugin(&Plugin::new("s", apis).file("schema.json", schema().to_string())).start().await?;
    let consumer = host.add_consumer("contract", "1000").await?;
    Ok((host, consumer, Sink::start().await?))
}

#[tokio::test]
async fn whatever_is_sent_the_gateway_answers_as_its_document_says() -> Test {
    let (host, consumer, sink) = offering().await?;
    let (key, url) = (consumer.key().context("key")?, sink.url("/"));
    let parameters = [("header.Ripost-Webhook-Url", &*url)];
    check(&host, key, "/openapi.json", &parameters, Operations::Without(LEFT_OUT)).await
}

#[tokio::test]
async fn about_what_there_is_the_gateway_answers_as_its_document_says() -> Test {
    let (host, consumer, sink) = offering().await?;
    let (key, url) = (consumer.key().context("key")?, sink.url("/"));
    let call = consumer.call("demo/report").json(&json!({ "pages": 3, "webhook_url": url }));
    let id = call.accepted().await?;
    consumer.delivery(&id, "delivered").await?;
    let parameters = [
        ("path.id", &*id),
        ("path.owner", "demo"),
        ("path.slug", "report"),
        ("path.event", "completed"),
        ("header.Ripost-Webhook-Url", &url),
    ];
    // Or it would soon be gone, or paused.
    let without = [LEFT_OUT, &["eraseRequest", "pauseApi"]].concat();
    check(&host, key, "/openapi.json", &parameters, Operations::Without(&without)).await?;
    assert_eq!(consumer.view(&id).await?["status"], "completed", "it is there still");
    check(&host, key, "/openapi/demo/report", &parameters[4..], Operations::Without(&[])).await
}

#[tokio::test]
async fn what_ends_a_key_or_a_token_answers_as_its_document_says() -> Test {
    let (host, consumer, _sink) = offering().await?;
    let parameters = [("path.consumer", "contract"), ("path.name", "spare")];
    let only = Operations::Only(&["revokeConsumerKey", "removeToken"]);
    check(&host, consumer.key().context("key")?, "/openapi.json", &parameters, only).await
}
