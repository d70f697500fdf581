//! The document of one API: its call with its own schema, its price, how its answers come.

use super::consumers::{OF_A_CALL, of_a_call};
use super::operation::{Body, Operation, Security};
use super::{Served, components, paths, shapes};
use crate::plugins::{ActiveApi, DeliveryMode, PayloadForm};
use ripost_domain::units::format_duration;
use serde_json::{Value, json};

/// The document of this API, as its revision has it.
#[must_use]
pub fn of_api(api: &ActiveApi) -> Served {
    Served::new(&document(api))
}

fn document(api: &ActiveApi) -> Value {
    let (owner, slug) = (api.name.owner.as_str(), api.name.slug.as_str());
    let mut schemas = shapes::all();
    if let Some(schema) = api.schema.as_ref().and_then(|schema| serde_json::from_str(schema.json().get()).ok()) {
        schemas.insert("Call".to_owned(), within(schema));
    }
    let mut document = json!({
        "openapi": "3.1.1",
        "info": {
            "title": format!("{owner}/{slug}"),
            "version": api.version,
            "description": about(api),
        },
        "servers": [{ "url": "/" }],
        "paths": paths(&[call(api)]),
        "components": components::components(schemas),
    });
    if api.spec.delivery == DeliveryMode::Webhook {
        document["webhooks"] = json!({ "completed": webhook(api) });
    }
    document
}

/// Where the schema stands in the document.
const PLACE: &str = "#/components/schemas/Call";

/// A schema's references to itself, as they are from the document: few tools go by an `$id`.
fn within(mut schema: Value) -> Value {
    if let Some(members) = schema.as_object_mut() {
        members.remove("$id");
    }
    moved(&mut schema);
    schema
}

fn moved(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            for (name, member) in members {
                match (name.as_str(), &*member) {
                    ("$ref", Value::String(to)) if to == "#" => *member = PLACE.into(),
                    ("$ref", Value::String(to)) if to.starts_with("#/") => {
                        *member = format!("{PLACE}{}", to.trim_start_matches('#')).into();
                    }
                    // Values, not schemas.
                    ("const" | "enum" | "default" | "examples", _) => {}
                    _ => moved(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(moved),
        _ => {}
    }
}

fn about(api: &ActiveApi) -> String {
    let price = if api.spec.price.is_zero() { "Free.".to_owned() } else { format!("{} USDC a call.", api.spec.price) };
    let delivery = match api.spec.delivery {
        DeliveryMode::Webhook => {
            "Every accepted call is durable; its answer comes by webhook, by polling or by waiting."
        }
        DeliveryMode::Off => "Synchronous: the answer is on the connection that asked.",
    };
    let expires = format_duration(api.spec.expires_in);
    format!("{price} {delivery} A call that has no answer after {expires} ends as expired, and is not charged.")
}

fn call(api: &ActiveApi) -> Operation {
    let path = format!("/api/{}/api/{}", api.name.owner, api.name.slug);
    let body = match &api.schema {
        Some(_) => Body::json(shapes::reference("Call"), true),
        None => Body { content: vec![("*/*", json!({}))], required: false },
    };
    let delivery = match api.spec.delivery {
        DeliveryMode::Webhook => "webhook",
        DeliveryMode::Off => "off",
    };
    let operation = Operation::new("POST", &path, "call", "Call the API.", Security::Consumer)
        .about(&about(api))
        .with(of_a_call())
        .takes(body)
        .answers_as("default", "The owner's answer.", &[("*/*", json!({}))])
        .gives(OF_A_CALL.iter().copied())
        .extended("x-ripost-price-usdc", api.spec.price.to_string())
        .extended("x-ripost-delivery", delivery)
        .extended("x-ripost-expires-in", format_duration(api.spec.expires_in))
        .extended("x-ripost-revision", api.digest.to_string());
    match api.spec.delivery {
        DeliveryMode::Off => operation,
        DeliveryMode::Webhook => operation
            .answers(
                202,
                "Accepted: the result comes by webhook, by polling, or by the feed.",
                shapes::reference("Request"),
            )
            .says(
                202,
                &[
                    "Location",
                    "Retry-After",
                    "Ripost-Request-Id",
                    "RateLimit",
                    "RateLimit-Policy",
                    "Preference-Applied",
                ],
            ),
    }
}

/// What is sent to the consumer's webhook URL.
fn webhook(api: &ActiveApi) -> Value {
    let header = |name: &str, description: &str| json!({ "name": name, "in": "header", "required": true, "description": description, "schema": { "type": "string" } });
    let (kind, schema) = if !api.transforms.webhook.is_empty() {
        ("*/*", json!({}))
    } else {
        match api.spec.payload {
            PayloadForm::Request => ("application/json", shapes::reference("Request")),
            PayloadForm::Result => ("application/json", json!({})),
            PayloadForm::CloudEvents => (
                "application/cloudevents+json",
                json!({
                    "type": "object",
                    "required": ["specversion", "id", "source", "type", "data"],
                    "properties": { "specversion": { "const": "1.0" }, "id": { "type": "string" }, "source": { "type": "string" }, "type": { "type": "string" }, "data": shapes::reference("Request") },
                }),
            ),
        }
    };
    json!({ "post": {
        "operationId": "completed",
        "summary": "The request has ended, however.",
        "description": "Signed as Standard Webhooks has it: verify the raw body with the secret from `GET /consumer/webhook-secret`. The same `webhook-id` may come more than once.",
        "security": [],
        "parameters": [
            header("webhook-id", "The delivery; the same for each attempt."),
            header("webhook-timestamp", "Seconds since 1970 at which this attempt was signed."),
            header("webhook-signature", "`v1,` and the HMAC-SHA256, in base64; with spaces between several."),
        ],
        "requestBody": { "required": true, "content": { kind: { "schema": schema } } },
        "responses": {
            "2XX": { "description": "It is delivered." },
            "410": { "description": "This URL wants no more." },
            "default": { "description": "It is tried again later." },
        },
    } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_within_a_schema_are_to_where_it_stands() {
        let schema = json!({
            "$id": "https://example.com/s",
            "const": { "$ref": "#/x" },
            "properties": { "a": { "$ref": "#/$defs/a" }, "$ref": { "$ref": "#" } },
            "anyOf": [{ "$ref": "#anchor" }],
        });
        let expected = json!({
            "const": { "$ref": "#/x" },
            "properties": { "a": { "$ref": "#/components/schemas/Call/$defs/a" }, "$ref": { "$ref": PLACE } },
            "anyOf": [{ "$ref": "#anchor" }],
        });
        assert_eq!(within(schema), expected);
    }
}
