//! The document of one API: its call with its own schema, its price, how its answers come.

use super::consumers::{OF_A_CALL, OF_ACCEPTED, any_body, of_a_call};
use super::operation::{Body, Operation, Security};
use super::{Served, components, paths, shapes};
use crate::plugins::{ActiveApi, DeliveryMode, PayloadForm};
use ripost_domain::event::Event;
use ripost_domain::units::format_duration;
use serde_json::{Map, Value, json};

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
        let webhooks = TOLD.iter().map(|told| (told.subscription.to_owned(), webhook(api, told)));
        document["webhooks"] = webhooks.collect::<Map<_, _>>().into();
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
            .says(202, OF_ACCEPTED),
    }
}

/// A webhook that can be asked for, and what it tells.
struct Told {
    subscription: &'static str,
    summary: &'static str,
    events: &'static [Event],
}

const TOLD: [Told; 3] = [
    Told { subscription: "started", summary: "The first run has begun.", events: &[Event::Started] },
    Told {
        subscription: "progress",
        summary: "The request is so far. It is sent once, and not tried again.",
        events: &[Event::Progress],
    },
    Told {
        subscription: "completed",
        summary: "The request has ended, however.",
        events: &[Event::Completed, Event::Failed, Event::Cancelled, Event::Expired],
    },
];

/// What is sent to the consumer's webhook URL.
fn webhook(api: &ActiveApi, told: &Told) -> Value {
    let header = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "header", "required": true, "description": description, "schema": schema });
    let text = shapes::text;
    let is_end = told.events.len() > 1;
    let (kind, schema) = if !api.transforms.webhook.is_empty() {
        ("*/*", json!({}))
    } else {
        match api.spec.payload {
            PayloadForm::Request => ("application/json", shapes::reference("Request")),
            PayloadForm::Result if is_end => ("application/json", json!({})),
            PayloadForm::Result => ("application/json", shapes::reference("Request")),
            PayloadForm::CloudEvents => (
                "application/cloudevents+json",
                json!({
                    "type": "object",
                    "required": ["specversion", "id", "source", "type", "data"],
                    "properties": { "specversion": { "const": "1.0" }, "id": { "type": "string" }, "source": { "type": "string" }, "type": shapes::events(told.events, Event::kind), "data": shapes::reference("Request") },
                }),
            ),
        }
    };
    json!({ "post": {
        "operationId": told.subscription,
        "summary": told.summary,
        "description": "Signed as Standard Webhooks has it: verify the raw body with the secret from `GET /consumer/webhook-secret`. The same `webhook-id` may come more than once.",
        "security": [],
        "parameters": [
            header("webhook-id", "The webhook; the same for each attempt, and when it is sent again.", text()),
            header("webhook-timestamp", "Seconds since 1970 at which this attempt was signed.", text()),
            header("webhook-signature", "`v1,` and the HMAC-SHA256 in base64, and `v1a,` with an Ed25519 signature if you asked for it; with spaces between several.", text()),
            header("Ripost-Event", "What it tells, as the member `event` of a request object does.", shapes::events(told.events, Event::as_str)),
            header("Ripost-Request-Id", "The request.", shapes::reference("RequestId")),
            header("Ripost-Attempt", "Which attempt it is, from 1.", json!({ "type": "string", "pattern": "^[0-9]+$" })),
        ],
        "requestBody": { "required": true, "content": { kind: { "schema": schema } } },
        "responses": {
            "2XX": { "description": "It is delivered." },
            "410": { "description": "This URL wants no more." },
            "default": { "description": "It is tried again later." },
        },
    } })
}
