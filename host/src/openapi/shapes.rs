//! The shapes of the data plane. Objects may have more members than these: a client has to pass over what it does not know.

use crate::problem::Kind;
use ripost_domain::event::Event;
use ripost_domain::request::State;
use serde_json::{Map, Value, json};

/// Refers to a schema.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Members with `?` at the end of their name may be missing.
fn object(members: &[(&str, Value)]) -> Value {
    let required: Vec<&str> = members.iter().map(|(name, _)| *name).filter(|name| !name.ends_with('?')).collect();
    let members = members.iter().map(|(name, schema)| (name.trim_end_matches('?').to_owned(), schema.clone()));
    let mut object = json!({ "type": "object", "properties": members.collect::<Map<_, _>>() });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

fn list(of: &Value) -> Value {
    json!({ "type": "array", "items": of })
}

pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

fn text_or_null() -> Value {
    json!({ "type": ["string", "null"] })
}

fn time_or_null() -> Value {
    json!({ "type": ["string", "null"], "format": "date-time" })
}

fn integer() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn integer_or_null() -> Value {
    json!({ "type": ["integer", "null"], "minimum": 0 })
}

fn boolean() -> Value {
    json!({ "type": "boolean" })
}

pub(super) fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

/// All schemas of the data plane.
pub(super) fn all() -> Map<String, Value> {
    let shapes = [
        ("Problem", problem()),
        ("RequestId", json!({ "type": "string", "pattern": "^req_[0-9a-hjkmnp-tv-z]{26}$" })),
        (
            "Amount",
            json!({ "type": "string", "description": "USDC, six digits after the point.", "pattern": "^-?[0-9]+\\.[0-9]{6}$" }),
        ),
        ("RequestState", json!({ "type": "string", "enum": State::ALL.map(State::as_str) })),
        ("Request", request()),
        (
            "RequestPage",
            object(&[
                ("requests", list(&reference("Request"))),
                ("next", json!({ "anyOf": [reference("RequestId"), { "type": "null" }] })),
                ("more", boolean()),
            ]),
        ),
        ("Delivery", delivery()),
        ("Deliveries", object(&[("deliveries", list(&reference("Delivery")))])),
        (
            "Event",
            object(&[
                ("cursor", text()),
                ("requestId", reference("RequestId")),
                ("api", text()),
                ("delivery", reference("Delivery")),
                ("payload?", json!({ "description": "What is sent; null if it is too large for the page." })),
                ("payload_url?", text()),
            ]),
        ),
        ("Events", object(&[("events", list(&reference("Event"))), ("next", text()), ("more", boolean())])),
        ("Consumer", consumer()),
        (
            "WebhookSecret",
            object(&[
                ("secret", text()),
                ("createdAt", time()),
                ("rotation", object(&[("state", json!({ "enum": ["none", "overlapping"] }))])),
                ("previous", list(&object(&[("secret", text()), ("expiresAt", time())]))),
            ]),
        ),
        (
            "Receipt",
            json!({ "type": "object", "description": "Signed facts of a request; docs/receipts.md has its members." }),
        ),
        (
            "DisabledUrls",
            object(&[("disabled", list(&object(&[("url", text()), ("reason", text()), ("at", time())])))]),
        ),
        ("WebhookKeys", object(&[("keys", list(&json!({ "type": "object" }))), ("whpk", list(&text()))])),
        (
            "Tested",
            object(&[
                ("delivered", boolean()),
                ("status", integer_or_null()),
                ("errorClass", text_or_null()),
                ("detail", text_or_null()),
                ("durationMs", integer()),
                ("webhookId", text()),
                ("timestamp", json!({ "type": "integer" })),
                ("signature", text()),
                ("body", text()),
                ("response", text_or_null()),
                ("verify", text()),
            ]),
        ),
        ("Redelivered", object(&[("redelivered", integer()), ("more", boolean())])),
        ("CallbackTaken", object(&[("requestId", reference("RequestId")), ("status", reference("RequestState"))])),
        (
            "OpenApi",
            object(&[
                ("openapi", text()),
                ("info", json!({ "type": "object" })),
                ("paths", json!({ "type": "object" })),
            ]),
        ),
    ];
    shapes.map(|(name, shape)| (name.to_owned(), shape)).into_iter().collect()
}

fn problem() -> Value {
    let types: Vec<String> = Kind::ALL.iter().map(|kind| format!("urn:ripost:problem:{}", kind.slug())).collect();
    let mut problem = object(&[
        ("type", json!({ "type": "string", "format": "uri", "examples": types })),
        ("title", text()),
        ("status", json!({ "type": "integer", "minimum": 400, "maximum": 599 })),
        ("detail?", text()),
    ]);
    problem["description"] =
        "RFC 9457. `type` is stable: `urn:ripost:problem:…` is the gateway's, `urn:ripost:owner:…` an owner's.".into();
    problem
}

/// What a webhook's members `event` and `type` can be.
pub(super) fn events(events: &[Event], word: fn(Event) -> &'static str) -> Value {
    json!({ "type": "string", "enum": events.iter().map(|event| word(*event)).collect::<Vec<_>>() })
}

fn request() -> Value {
    let amount = || reference("Amount");
    object(&[
        // Of a webhook.
        ("event?", events(&Event::ALL, Event::as_str)),
        ("type?", events(&Event::ALL, Event::kind)),
        ("requestId", reference("RequestId")),
        ("status", reference("RequestState")),
        ("api", text()),
        ("createdAt", time()),
        ("expiresAt", time()),
        ("finishedAt?", time()),
        ("attempts?", integer()),
        ("next_attempt_at?", time()),
        (
            "progress?",
            object(&[
                ("percent", json!({ "type": ["integer", "null"], "minimum": 0, "maximum": 100 })),
                ("message", text()),
            ]),
        ),
        ("links", object(&[("self", text()), ("result", text()), ("webhook?", text()), ("deliveries?", text())])),
        (
            "delivery?",
            object(&[
                ("state", text()),
                ("id?", text()),
                ("attempts", integer()),
                ("nextAttemptAt", time_or_null()),
                ("lastStatus", integer_or_null()),
                ("lastError?", text()),
                ("reason?", text()),
            ]),
        ),
        (
            "settlement",
            object(&[
                ("state", text()),
                ("price_usdc", amount()),
                ("captured_usdc?", amount()),
                ("commission_usdc", amount()),
                ("owner_revenue_usdc", amount()),
                ("tx_hash", text_or_null()),
                ("chain", text_or_null()),
            ]),
        ),
        ("result?", json!({ "description": "The owner's answer: any JSON; null if it is at `result_url`." })),
        ("result_type?", text()),
        ("result_url?", json!({ "type": "string", "format": "uri" })),
        ("error?", reference("Problem")),
        ("delivered_to?", text()),
        ("delivery_latency_ms?", integer()),
    ])
}

fn delivery() -> Value {
    object(&[
        ("id", text()),
        ("copy_of?", text()),
        ("event", text()),
        ("url", text()),
        ("state", text()),
        ("reason", text_or_null()),
        ("attempts", integer()),
        ("nextAttemptAt", time_or_null()),
        ("lastStatus", integer_or_null()),
        ("lastError", text_or_null()),
        (
            "log?",
            list(&object(&[
                ("attempt", integer()),
                ("at", time()),
                ("durationMs", integer()),
                ("status", integer_or_null()),
                ("errorClass", text_or_null()),
                ("reused", boolean()),
                ("resent", boolean()),
            ])),
        ),
    ])
}

fn consumer() -> Value {
    object(&[
        ("id", text()),
        ("name", text()),
        ("createdAt", time()),
        ("balance", object(&[("available_usdc", reference("Amount")), ("held_usdc", reference("Amount"))])),
        ("limits", object(&[("body_bytes_max", integer()), ("idempotency_key_kept", text())])),
        ("webhook_signatures", list(&json!({ "enum": ["v1", "v1a"] }))),
    ])
}
