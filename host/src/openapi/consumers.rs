//! The operations of the data plane; a test holds them against the routes.

use super::components::{parameter, query};
use super::operation::{Body, Operation, Security};
use super::shapes::{reference, text, time};
use crate::problem::Kind;
use ripost_domain::request::State;
use serde_json::{Value, json};

/// What a request that is asked for by its id can be answered.
const OF_A_REQUEST: [Kind; 2] = [Kind::UnknownRequest, Kind::NotFound];
/// What can be wrong with a webhook URL.
const OF_A_URL: [Kind; 3] = [Kind::WebhookUrlInvalid, Kind::WebhookUrlForbidden, Kind::WebhookUrlDisabled];

/// What a call can be refused for, before an owner has a say.
pub(super) const OF_A_CALL: &[Kind] = &[
    Kind::UnknownApi,
    Kind::NotFound,
    Kind::InvalidPath,
    Kind::InvalidHeader,
    Kind::DuplicateField,
    Kind::InsufficientBalance,
    Kind::NotSubscribed,
    Kind::ApiPaused,
    Kind::RequestInProgress,
    Kind::PriceChanged,
    Kind::ContentsGone,
    Kind::UnsupportedMediaType,
    Kind::IdempotencyMismatch,
    Kind::SchemaMismatch,
    Kind::InvalidValue,
    Kind::MisplacedField,
    Kind::MisnamedField,
    Kind::WebhookUrlInvalid,
    Kind::WebhookUrlForbidden,
    Kind::WebhookUrlDisabled,
    Kind::WebhookEventsUnsupported,
    Kind::ConcurrencyLimited,
    Kind::QuotaExceeded,
    Kind::TransformFailed,
    Kind::HandlerTrapped,
    Kind::CpuLimit,
    Kind::MemoryLimit,
    Kind::WallLimit,
    Kind::StackOverflow,
    Kind::ResourceLimit,
    Kind::ResponseInvalid,
    Kind::CaptureInvalid,
    Kind::OwnerFailed,
    Kind::OwnerUnavailable,
    Kind::UpstreamFailed,
    Kind::ConsumerError,
    Kind::RevisionUnavailable,
    Kind::RunLost,
    Kind::Cancelled,
    Kind::PluginStopped,
    Kind::ApiCompiling,
    Kind::StorageFull,
    Kind::DeadlineExceeded,
    Kind::LoopDetected,
];

/// The headers of a `202`.
pub(super) const OF_ACCEPTED: &[&str] = &[
    "Location",
    "Retry-After",
    "Ripost-Request-Id",
    "RateLimit",
    "RateLimit-Policy",
    "Preference-Applied",
    "Idempotent-Replayed",
];

/// The parameters of a call.
pub(super) fn of_a_call() -> impl Iterator<Item = Value> {
    [
        "Idempotency-Key",
        "Prefer",
        "Ripost-Webhook-Url",
        "Ripost-Webhook-Events",
        "Ripost-Max-Price",
        "Ripost-Retry-Max-Age",
    ]
    .into_iter()
    .map(parameter)
}

/// A body of any type, described as JSON alone: of a call that is described as `*/*` too, or only, clients are made that
/// send that for a content type, and the gateway's fields in their JSON are not read.
pub(super) fn any_body() -> Body {
    Body::json(
        json!({ "description": "Any JSON. Bodies of other types are taken too, with what is for the gateway in headers." }),
        false,
    )
}

/// All of them.
pub(super) fn operations() -> Vec<Operation> {
    let mut operations = vec![call()];
    operations.extend(requests());
    operations.extend(webhooks());
    operations.extend(consumer());
    operations.extend(owners());
    operations.extend(public());
    operations
}

fn get(path: &str, id: &str, summary: &str) -> Operation {
    Operation::new("GET", path, id, summary, Security::Consumer)
}

fn post(path: &str, id: &str, summary: &str) -> Operation {
    Operation::new("POST", path, id, summary, Security::Consumer)
}

fn open(method: &'static str, path: &str, id: &str, summary: &str) -> Operation {
    Operation::new(method, path, id, summary, Security::Public)
}

fn anything() -> [(&'static str, Value); 1] {
    [("*/*", json!({}))]
}

fn call() -> Operation {
    post("/api/{owner}/api/{slug}", "call", "Call an API.")
        .about("Any other method is a call too, and so is any path below this one: the owner's code sees both. Without a wait it is answered 202 as soon as it is on disk; what a wait, or an API with `delivery = \"off\"`, brings is the owner's answer, of whatever status and type.")
        .with(of_a_call())
        .takes(any_body())
        .answers(202, "Accepted: the result comes by webhook, by polling, or by the feed.", reference("Request"))
        .says(202, OF_ACCEPTED)
        .answers_as("default", "The owner's answer.", &anything())
        .gives(OF_A_CALL.iter().copied())
}

fn requests() -> Vec<Operation> {
    vec![
        get("/requests", "listRequests", "Your requests, newest first.")
            .with([
                query("before", false, &reference("RequestId")),
                query("limit", false, &json!({ "type": "integer", "minimum": 1, "maximum": 500 })),
                query("status", false, &json!({ "enum": State::ALL.map(State::as_str) })),
                query("api", false, &text()),
                query("since", false, &time()),
                query("until", false, &time()),
            ])
            .answers(200, "A page.", reference("RequestPage"))
            .gives([Kind::InvalidCursor, Kind::InvalidFilter, Kind::KeyIsPublic]),
        get("/requests/{id}", "getRequest", "A request as it stands, or as soon as it changes.")
            .with(["Prefer", "If-None-Match"].map(parameter))
            .answers(200, "The request.", reference("Request"))
            .says(200, &["ETag", "Preference-Applied"])
            .answers_nothing(304, "It is as the caller has it.")
            .says(304, &["ETag", "Preference-Applied"])
            .gives(OF_A_REQUEST),
        get("/requests/{id}/result", "getResult", "The owner's answer, with its own status and type.")
            .answers_as("200", "The answer.", &anything())
            .answers_as("default", "The answer, of an owner that answered with another status.", &anything())
            .gives(OF_A_REQUEST)
            .gives([Kind::NotFinished, Kind::ContentsGone]),
        get("/requests/{id}/webhooks/{event}", "getWebhook", "A webhook's payload, as it is sent.")
            .answers_as("200", "The payload.", &anything())
            .gives(OF_A_REQUEST)
            .gives([Kind::PayloadUnmade, Kind::ContentsGone]),
        get("/requests/{id}/deliveries", "getDeliveries", "A request's deliveries with each attempt.")
            .answers(200, "The deliveries.", reference("Deliveries"))
            .gives(OF_A_REQUEST)
            .gives([Kind::KeyIsPublic]),
        get("/requests/{id}/receipt", "getReceipt", "Signed facts of a request and its deliveries.")
            .answers(200, "The receipt.", reference("Receipt"))
            .gives(OF_A_REQUEST)
            .gives([Kind::KeyIsPublic]),
        get("/requests/{id}/events", "streamRequest", "A request's changes as they happen (server-sent events).")
            .answers_as("200", "The stream.", &[("text/event-stream", text())])
            .gives(OF_A_REQUEST)
            .gives([Kind::TooManyStreams]),
        post("/requests/{id}/cancel", "cancelRequest", "Withdraw a request.")
            .answers(200, "The request, withdrawn.", reference("Request"))
            .gives(OF_A_REQUEST)
            .gives([Kind::TooLateToCancel, Kind::KeyIsPublic]),
        post("/requests/{id}/redeliver", "redeliver", "Send a request's webhook again.")
            .takes(Body::json(
                json!({ "type": "object", "additionalProperties": false, "properties": { "event": { "type": "string" }, "url": { "type": "string", "format": "uri" }, "retry": { "type": "boolean", "description": "Whether what was delivered is tried by the whole schedule when it is sent again; once unless you say." } } }),
                false,
            ))
            .answers(202, "It is due.", reference("Delivery"))
            .gives(OF_A_REQUEST)
            .gives(OF_A_URL)
            .gives([Kind::DeliveryInFlight, Kind::PayloadUnmade, Kind::ContentsGone, Kind::InvalidValue, Kind::InvalidFilter, Kind::KeyIsPublic, Kind::TransformFailed, Kind::RevisionUnavailable]),
    ]
}

fn webhooks() -> Vec<Operation> {
    let filters = || {
        [
            query("after", false, &json!({ "type": "string", "pattern": "^evt_[0-9]{1,18}$" })),
            query("limit", false, &json!({ "type": "integer", "minimum": 1, "maximum": 500 })),
            query("state", false, &json!({ "enum": ["pending", "in_flight", "exhausted", "abandoned"] })),
            query("event", false, &json!({ "enum": ["started", "completed"] })),
            query("api", false, &text()),
            query("since", false, &time()),
            query("until", false, &time()),
        ]
    };
    vec![
        get("/events", "listEvents", "Everything undelivered, page by page, with what would have been sent.")
            .with([parameter("Prefer")])
            .with(filters())
            .answers(200, "A page.", reference("Events"))
            .says(200, &["Preference-Applied"])
            .gives([Kind::InvalidCursor, Kind::InvalidFilter, Kind::KeyIsPublic]),
        post("/deliveries/redeliver", "redeliverMany", "Send all again that fit.")
            .takes(Body::json(json!({
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "id": text(), "state": { "enum": ["pending", "exhausted", "abandoned"] }, "event": { "enum": ["started", "completed"] },
                    "api": text(), "since": time(), "until": time(),
                    "url": { "type": "string", "format": "uri" }, "limit": { "type": "integer", "minimum": 1 },
                },
            }), false))
            .answers(202, "So many are due.", reference("Redelivered"))
            .gives(OF_A_URL)
            .gives([Kind::InvalidFilter, Kind::InvalidValue, Kind::KeyIsPublic, Kind::NotFound]),
        post("/webhooks/test", "testWebhook", "Send one signed test webhook and see what came of it.")
            .takes(Body::json(
                json!({ "type": "object", "required": ["url"], "additionalProperties": false, "properties": { "url": { "type": "string", "format": "uri" } } }),
                true,
            ))
            .answers(200, "What came of it.", reference("Tested"))
            .gives(OF_A_URL)
            .gives([Kind::InvalidValue, Kind::KeyIsPublic]),
    ]
}

fn consumer() -> Vec<Operation> {
    vec![
        get("/consumer", "getConsumer", "Who you are: balance, limits, signatures.")
            .answers(200, "The consumer.", reference("Consumer"))
            .gives([Kind::KeyIsPublic]),
        Operation::new("PATCH", "/consumer", "changeConsumer", "Choose how webhooks are signed.", Security::Consumer)
            .takes(Body::json(
                json!({
                    "type": "object",
                    "required": ["webhook_signatures"],
                    "additionalProperties": false,
                    "properties": { "webhook_signatures": {
                        "type": "array", "items": { "type": "string", "enum": ["v1", "v1a"] }, "contains": { "const": "v1" }, "minItems": 1, "uniqueItems": true,
                    } },
                }),
                true,
            ))
            .answers(200, "The consumer.", reference("Consumer"))
            .gives([Kind::InvalidValue, Kind::KeyIsPublic]),
        get("/consumer/webhook-secret", "getWebhookSecret", "What your webhooks are signed with.")
            .answers(200, "The secrets.", reference("WebhookSecret"))
            .gives([Kind::KeyIsPublic]),
        post("/consumer/webhook-secret/rotate", "rotateWebhookSecret", "Sign with another secret from now on.")
            .takes(Body::json(
                json!({ "type": "object", "additionalProperties": false, "properties": { "overlap": { "type": ["string", "null"] }, "secret": { "type": ["string", "null"] } } }),
                false,
            ))
            .answers(200, "The secrets.", reference("WebhookSecret"))
            .gives([Kind::InvalidValue, Kind::TooManySecrets, Kind::KeyIsPublic]),
        get("/consumer/disabled-urls", "listDisabledUrls", "Webhook URLs that answered 410 and get no more.")
            .answers(200, "The URLs.", reference("DisabledUrls"))
            .gives([Kind::KeyIsPublic]),
        Operation::new("DELETE", "/consumer/disabled-urls", "enableUrl", "Send to a URL again.", Security::Consumer)
            .with([query("url", true, &json!({ "type": "string", "format": "uri" }))])
            .answers_nothing(204, "It gets webhooks again.")
            .gives([Kind::InvalidValue, Kind::NotFound, Kind::KeyIsPublic]),
    ]
}

/// For services of owners, which have a callback URL and no key.
fn owners() -> Vec<Operation> {
    let of_a_callback =
        [Kind::UnknownCallback, Kind::CallbackConflict, Kind::CallbackStale, Kind::CallbackExpired, Kind::InvalidValue];
    vec![
        open("POST", "/callbacks/{token}", "callBack", "Give a request's result, from an owner's service.")
            .with([
                json!({ "name": "Ripost-Status", "in": "header", "description": "The result's status, if it is not 200.", "schema": { "type": "integer", "minimum": 200, "maximum": 599 } }),
                json!({ "name": "Ripost-Progress", "in": "header", "description": "A percentage: what is posted is no result.", "schema": { "type": "integer", "minimum": 0, "maximum": 100 } }),
            ])
            .about("A result of any other type is taken as it is, with its content type.")
            .takes(any_body())
            .answers(200, "It was taken, or had been.", reference("CallbackTaken"))
            .gives(of_a_callback),
        open("POST", "/callbacks/{token}/progress", "callBackWithProgress", "Say how far a request is.")
            .takes(Body::json(
                json!({ "type": "object", "properties": { "progress": { "type": ["integer", "null"], "minimum": 0, "maximum": 100 }, "message": { "type": "string" } } }),
                false,
            ))
            .answers(200, "It was taken.", reference("CallbackTaken"))
            .gives(of_a_callback),
    ]
}

fn public() -> Vec<Operation> {
    let page = || [("text/html", text())];
    let documented = |operation: Operation| {
        operation
            .with([parameter("If-None-Match")])
            .answers(200, "The document.", reference("OpenApi"))
            .says(200, &["ETag"])
            .answers_nothing(304, "It is as the caller has it.")
            .says(304, &["ETag"])
    };
    vec![
        open(
            "GET",
            "/results/{token}",
            "getLinkedResult",
            "A result by its link, which works for a while without a key.",
        )
        .answers_as("200", "The answer.", &anything())
        .answers_as("default", "The answer, of an owner that answered with another status.", &anything())
        .gives([Kind::NotFound, Kind::LinkExpired, Kind::ContentsGone]),
        open(
            "GET",
            "/.well-known/webhook-keys",
            "getWebhookKeys",
            "The gateway's public keys, for signatures v1a and receipts.",
        )
        .answers(200, "The keys.", reference("WebhookKeys")),
        open("GET", "/problems", "listProblems", "All kinds of problems.").answers_as("200", "A page.", &page()),
        open("GET", "/problems/{slug}", "getProblem", "What a problem means and what to do.")
            .answers_as("200", "A page.", &page())
            .gives([Kind::NotFound]),
        documented(open("GET", super::PATH, "getOpenApi", "This document.")),
        documented(open("GET", "/openapi/{owner}/{slug}", "getOpenApiOfApi", "The document of one API.")).gives([
            Kind::UnknownApi,
            Kind::NotFound,
            Kind::PluginStopped,
            Kind::ApiCompiling,
        ]),
        open("GET", "/healthz", "getHealth", "Whether the process is there.").answers_as(
            "200",
            "It is.",
            &[("text/plain", text())],
        ),
        open("GET", "/readyz", "getReadiness", "Whether it takes calls, and what it lacks.")
            .answers_as("200", "It does: `ok`, or `degraded` with its reasons, a line each.", &[("text/plain", text())])
            .answers_as("503", "It does not: `not ready`, and why, a line each.", &[("text/plain", text())]),
    ]
}
