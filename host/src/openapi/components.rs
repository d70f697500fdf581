//! What operations refer to: schemas, headers, parameters, who may call.

use serde_json::{Map, Value, json};

/// The document's `components`.
pub(super) fn components(schemas: Map<String, Value>) -> Value {
    json!({
        "schemas": schemas,
        "headers": headers(),
        "parameters": parameters(),
        "securitySchemes": {
            "consumerKey": { "type": "apiKey", "in": "header", "name": "X-Consumer-Key", "description": "The key that the operator gave." },
            "adminToken": { "type": "http", "scheme": "bearer", "description": "A token that `ripost tokens add` gave, or the one in the file admin-token." },
        },
    })
}

fn headers() -> Value {
    let text = |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    json!({
        "RateLimit": text("What is left of each limit, and when it is whole again, as draft-ietf-httpapi-ratelimit-headers has it."),
        "RateLimit-Policy": text("The limits that hold, as draft-ietf-httpapi-ratelimit-headers has them."),
        "Retry-After": { "description": "Seconds after which to try again.", "schema": { "type": "string", "pattern": "^[0-9]+$" } },
        "ETag": text("What this representation is told apart by; for If-None-Match."),
        "Location": text("Where the request is."),
        "Preference-Applied": text("Which preferences were applied (RFC 7240)."),
        "Idempotent-Replayed": json!({ "description": "The Idempotency-Key named this request before.", "schema": { "type": "string", "enum": ["true"] } }),
        "Ripost-Request-Id": text("The id of the request."),
    })
}

fn parameters() -> Value {
    let header = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "header", "required": false, "description": description, "schema": schema });
    let text = || json!({ "type": "string" });
    json!({
        "Idempotency-Key": header("Idempotency-Key", "The same key and the same call: the same request, once. Printable ASCII.", json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" })),
        "Prefer": header("Prefer", "`wait=<seconds>` waits that long for the end; `respond-async` does not (RFC 7240).", text()),
        "If-None-Match": header("If-None-Match", "The ETag of what the caller has: 304 if it is that still.", text()),
        "Ripost-Webhook-Url": header("Ripost-Webhook-Url", "Where the result goes; in JSON objects also `webhook_url`.", json!({ "type": "string", "format": "uri" })),
        "Ripost-Webhook-Events": header("Ripost-Webhook-Events", "Which webhooks, with commas: completed, started, progress; in JSON objects also `webhook_events`.", text()),
        "Ripost-Max-Price": header("Ripost-Max-Price", "The most that the call may cost, in USDC; in JSON objects also `max_price_usdc`.", json!({ "type": "string", "pattern": "^[0-9]{1,9}(\\.[0-9]{1,6})?$" })),
        "Ripost-Retry-Max-Age": header("Ripost-Retry-Max-Age", "How long the webhook is tried: whole seconds from 1 to 604800, or a duration such as `2 h`.", text()),
    })
}

/// Refers to a parameter.
pub(super) fn parameter(name: &str) -> Value {
    json!({ "$ref": format!("#/components/parameters/{name}") })
}

/// A parameter of the query.
pub(super) fn query(name: &str, required: bool, schema: &Value) -> Value {
    json!({ "name": name, "in": "query", "required": required, "schema": schema })
}
