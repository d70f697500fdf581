//! The document of one API: its call with its own schema, its price, how its answers come.

use super::consumers::{OF_A_CALL, any_body, of_a_call};
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
    if let Some(schema) = &api.schema {
        let call = schema.components("Call", &schemas);
        schemas.extend(call);
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
        None => any_body(),
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
