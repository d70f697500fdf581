//! The operations of the management API: a line for each endpoint, or this does not compile.

use super::routes::{Endpoint, ROUTES};
use super::{
    AddConsumer, AddConsumerKey, AddToken, AddedConsumer, AddedConsumerKey, AddedToken, AdjustBalance, AdjustedBalance,
    ApiLine, ConsumerLine, EraseConsumer, ErasedConsumer, ErasedRequest, KeyLine, LimitsShown, OwnerLine, PauseApi,
    RequestShown, RequestsShown, RevokeKey, RevokedKey, RunShown, SetLimits, SetSecret, StepShown, StoppedPlugin,
    SubscriberLine, TokenLine, UpstreamSecret,
};
use crate::openapi::{self, Body, Operation, Security};
use crate::problem::Kind;
use ripost_domain::request::State;
use schemars::generate::SchemaSettings;
use schemars::transform::ReplaceBoolSchemas;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Writes a shape down and refers to it.
type Shape = fn(&mut SchemaGenerator) -> Value;

/// What an endpoint answers.
enum Answers {
    /// JSON, with this status.
    Json(u16, Shape),
    /// 204.
    Nothing,
    /// Numbers for Prometheus.
    Metrics,
}

/// An endpoint in words and shapes.
struct Text {
    id: &'static str,
    summary: &'static str,
    takes: Option<(Shape, bool)>,
    answers: Answers,
    gives: &'static [Kind],
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// An object whose members are not written down here.
fn object(_: &mut SchemaGenerator) -> Value {
    json!({ "type": "object" })
}

fn objects(_: &mut SchemaGenerator) -> Value {
    json!({ "type": "array", "items": { "type": "object" } })
}

/// All of them, with the schemas that they refer to.
pub fn operations() -> (Vec<Operation>, Map<String, Value>) {
    let mut no_booleans = ReplaceBoolSchemas::default();
    no_booleans.skip_additional_properties = true;
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .with_transform(no_booleans);
    let mut generator = settings.into_generator();
    let mut operations: Vec<Operation> = ROUTES
        .iter()
        .map(|route| {
            let text = text(route.endpoint);
            let who = format!("For: {}.", route.who.as_str());
            let method = method(&route.method);
            let mut operation = Operation::new(method, route.path, text.id, text.summary, Security::Admin)
                .about(&who)
                .gives([Kind::NotFound])
                .gives(text.gives.iter().copied())
                .with(queries(route.endpoint))
                .extended("x-ripost-who", route.who.as_str());
            if route.path.contains("{id}") {
                operation = operation.gives([Kind::UnknownRequest]);
            }
            if route.endpoint == Endpoint::Push {
                operation = operation.takes(Body {
                    content: vec![(super::CONTENT_TYPE, json!({ "type": "string", "format": "binary" }))],
                    required: true,
                });
            } else if let Some((shape, required)) = text.takes {
                operation = operation.takes(Body::json(shape(&mut generator), required));
            }
            match text.answers {
                Answers::Json(status, shape) => operation.answers(status, "Done.", shape(&mut generator)),
                Answers::Nothing => operation.answers_nothing(204, "Done."),
                Answers::Metrics => operation.answers_as(
                    "200",
                    "OpenMetrics, or Prometheus' text format to who asks for `text/plain`.",
                    &[
                        ("application/openmetrics-text", json!({ "type": "string" })),
                        ("text/plain", json!({ "type": "string" })),
                    ],
                ),
            }
        })
        .collect();
    operations.extend(open());
    (operations, generator.take_definitions(true))
}

/// What the listener answers without a token.
fn open() -> [Operation; 4] {
    let get = |path, id, summary| Operation::new("GET", path, id, summary, Security::Public);
    let text = |kind| [(kind, json!({ "type": "string" }))];
    [
        get(openapi::PATH, "getOpenApi", "This document.")
            .answers(200, "The document.", json!({ "type": "object" }))
            .answers_nothing(304, "It is as the caller has it."),
        get("/problems/{slug}", "getProblem", "What a problem means and what to do.")
            .answers_as("200", "A page.", &text("text/html"))
            .gives([Kind::NotFound]),
        get("/healthz", "getHealth", "Whether the process is there.").answers_as("200", "It is.", &text("text/plain")),
        get("/readyz", "getReadiness", "Whether it takes calls, and what it lacks.")
            .answers_as("200", "It does: `ok`, or `degraded` with its reasons, a line each.", &text("text/plain"))
            .answers_as("503", "It does not: `not ready`, and why, a line each.", &text("text/plain")),
    ]
}

fn method(method: &http::Method) -> &'static str {
    match method.as_str() {
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "GET",
    }
}

fn queries(endpoint: Endpoint) -> Vec<Value> {
    let query = |name: &str, required: bool, schema: Value| json!({ "name": name, "in": "query", "required": required, "schema": schema });
    let text = || json!({ "type": "string" });
    match endpoint {
        Endpoint::Deliveries => vec![
            query("after", false, json!({ "type": "string", "pattern": "^evt_[0-9]{1,18}$" })),
            query("limit", false, json!({ "type": "integer", "minimum": 1, "maximum": 500 })),
            query("state", false, json!({ "enum": ["pending", "in_flight", "exhausted", "abandoned"] })),
            query("event", false, json!({ "enum": ["started", "completed"] })),
            query("api", false, text()),
            query("since", false, json!({ "type": "string", "format": "date-time" })),
            query("until", false, json!({ "type": "string", "format": "date-time" })),
            query("consumer", false, text()),
        ],
        Endpoint::Requests => vec![
            query("before", false, json!({ "type": "string", "pattern": "^req_" })),
            query("limit", false, json!({ "type": "integer", "minimum": 1, "maximum": 500 })),
            query("status", false, json!({ "enum": State::ALL })),
            query("api", false, text()),
            query("since", false, json!({ "type": "string", "format": "date-time" })),
            query("until", false, json!({ "type": "string", "format": "date-time" })),
            query("owner", false, text()),
            query("consumer", false, text()),
        ],
        Endpoint::EnableUrl => vec![query("consumer", true, text()), query("url", true, text())],
        Endpoint::Revisions => vec![query("api", false, text())],
        Endpoint::Push => vec![
            json!({ "name": "Content-Digest", "in": "header", "required": true, "description": "RFC 9530, sha-256.", "schema": { "type": "string" } }),
        ],
        _ => Vec::new(),
    }
}

const OF_PLUGINS: &[Kind] =
    &[Kind::PluginConflict, Kind::RevisionUnavailable, Kind::InvalidValue, Kind::PluginRefused, Kind::UnknownApi];
const OF_APIS: &[Kind] = &[Kind::UnknownApi, Kind::InvalidValue];
const OF_VALUES: &[Kind] = &[Kind::InvalidValue];
const OF_NAMES: &[Kind] = &[Kind::InvalidValue, Kind::NameTaken];
const OF_BALANCES: &[Kind] = &[Kind::InvalidValue, Kind::ReferenceTaken, Kind::BalanceTooLow];
const OF_PUSHES: &[Kind] = &[
    Kind::BodyTooLarge,
    Kind::InvalidArchive,
    Kind::InvalidValue,
    Kind::PluginRefused,
    Kind::PluginConflict,
    Kind::RequestTimeout,
    Kind::UnsupportedMediaType,
    Kind::UploadTorn,
    Kind::StorageFull,
];
const OF_DELIVERIES: &[Kind] = &[
    Kind::InvalidFilter,
    Kind::InvalidCursor,
    Kind::InvalidValue,
    Kind::WebhookUrlInvalid,
    Kind::WebhookUrlForbidden,
    Kind::WebhookUrlDisabled,
];

#[expect(clippy::too_many_lines, reason = "a line or two for each endpoint")]
fn text(endpoint: Endpoint) -> Text {
    let reads = |id, summary, shape| Text { id, summary, takes: None, answers: Answers::Json(200, shape), gives: &[] };
    let does = |id, summary, gives| Text { id, summary, takes: None, answers: Answers::Nothing, gives };
    match endpoint {
        Endpoint::Routes => reads("listRoutes", "All routes, and who may use them.", object),
        Endpoint::Metrics => Text {
            answers: Answers::Metrics,
            ..reads("getMetrics", "Numbers for Prometheus; without a token from this machine.", object)
        },
        Endpoint::Status => reads("getStatus", "Version, plugins and what is queued.", object),
        Endpoint::Reload => reads("reload", "Read the plugins' folder now.", object),
        Endpoint::Apis => reads("listApis", "What is offered.", of::<Vec<ApiLine>>),
        Endpoint::PauseApi => {
            Text { takes: Some((of::<PauseApi>, false)), ..does("pauseApi", "Take no new calls of an API.", OF_APIS) }
        }
        Endpoint::ResumeApi => does("resumeApi", "Take calls of an API again.", OF_APIS),
        Endpoint::Subscribers => {
            Text { gives: OF_APIS, ..reads("listSubscribers", "Who may call an API.", of::<Vec<SubscriberLine>>) }
        }
        Endpoint::Subscribe => does("subscribe", "Let a consumer call an API.", OF_APIS),
        Endpoint::Unsubscribe => does("unsubscribe", "Let a consumer call an API no longer.", OF_APIS),
        Endpoint::Plugin => Text { gives: OF_VALUES, ..reads("getPlugin", "Where a pushed plugin stands.", object) },
        Endpoint::Push => Text {
            answers: Answers::Json(202, object),
            gives: OF_PUSHES,
            ..reads("pushPlugin", "Put a plugin's folder on, as a gzipped tar.", object)
        },
        Endpoint::RemovePlugin => does("removePlugin", "Take a pushed plugin off.", OF_PLUGINS),
        Endpoint::Consumers => reads("listConsumers", "All consumers.", of::<Vec<ConsumerLine>>),
        Endpoint::AddConsumer => Text {
            takes: Some((of::<AddConsumer>, true)),
            answers: Answers::Json(201, of::<AddedConsumer>),
            gives: OF_NAMES,
            ..reads("addConsumer", "Add a consumer; its key is shown this once.", object)
        },
        Endpoint::EraseConsumer => Text {
            takes: Some((of::<EraseConsumer>, false)),
            gives: &[Kind::BalanceLeft, Kind::NotFinished],
            ..reads("eraseConsumer", "Erase a consumer and all that is kept of it.", of::<ErasedConsumer>)
        },
        Endpoint::CreditConsumer => Text {
            takes: Some((of::<AdjustBalance>, true)),
            gives: OF_BALANCES,
            ..reads("creditConsumer", "Add to a balance, once for each reference.", of::<AdjustedBalance>)
        },
        Endpoint::DebitConsumer => Text {
            takes: Some((of::<AdjustBalance>, true)),
            gives: OF_BALANCES,
            ..reads("debitConsumer", "Take from what is available, once for each reference.", of::<AdjustedBalance>)
        },
        Endpoint::ConsumerKeys => {
            reads("listConsumerKeys", "A consumer's keys, without the keys themselves.", of::<Vec<KeyLine>>)
        }
        Endpoint::AddConsumerKey => Text {
            takes: Some((of::<AddConsumerKey>, false)),
            answers: Answers::Json(201, of::<AddedConsumerKey>),
            gives: OF_NAMES,
            ..reads("addConsumerKey", "Add a key beside those there are; it is shown this once.", object)
        },
        Endpoint::RevokeConsumerKey => Text {
            takes: Some((of::<RevokeKey>, false)),
            gives: &[Kind::InvalidValue, Kind::LastKey],
            ..reads("revokeConsumerKey", "End a key, at once or after a while.", of::<RevokedKey>)
        },
        Endpoint::EraseRequest => Text {
            gives: &[Kind::NotFinished],
            ..reads("eraseRequest", "Erase a request's contents.", of::<ErasedRequest>)
        },
        Endpoint::ConsumerLimits => reads("getLimits", "A consumer's limits.", of::<LimitsShown>),
        Endpoint::SetConsumerLimits => Text {
            takes: Some((of::<SetLimits>, true)),
            gives: OF_VALUES,
            ..reads("setLimits", "Change a consumer's limits.", of::<LimitsShown>)
        },
        Endpoint::Tokens => reads("listTokens", "All admin tokens.", of::<Vec<TokenLine>>),
        Endpoint::AddToken => Text {
            takes: Some((of::<AddToken>, true)),
            answers: Answers::Json(201, of::<AddedToken>),
            gives: OF_NAMES,
            ..reads("addToken", "Add a token; it is shown this once.", object)
        },
        Endpoint::RemoveToken => does("removeToken", "Let a token in no longer.", OF_VALUES),
        Endpoint::Deliveries => Text {
            gives: OF_DELIVERIES,
            ..reads("listDeliveries", "Everything undelivered; for an owner of its APIs.", object)
        },
        Endpoint::Redeliver => Text {
            takes: Some((object, true)),
            answers: Answers::Json(202, object),
            gives: OF_DELIVERIES,
            ..reads("redeliverDeliveries", "Send all again that fit.", object)
        },
        Endpoint::DisabledUrls => reads("listAllDisabledUrls", "Webhook URLs that get no more.", object),
        Endpoint::EnableUrl => does("enableConsumerUrl", "Send to a URL again.", OF_VALUES),
        Endpoint::TestWebhook => Text {
            takes: Some((object, true)),
            gives: OF_DELIVERIES,
            ..reads("testConsumerWebhook", "Send a test webhook as a consumer's.", object)
        },
        Endpoint::Secrets => reads("listSecrets", "Names of owners' secrets.", objects),
        Endpoint::OwnerSecrets => {
            Text { gives: OF_VALUES, ..reads("listOwnerSecrets", "Names of an owner's secrets.", objects) }
        }
        Endpoint::SetSecret => {
            Text { takes: Some((of::<SetSecret>, true)), ..does("setSecret", "Set an owner's secret.", OF_VALUES) }
        }
        Endpoint::RemoveSecret => does("removeSecret", "Remove an owner's secret.", OF_VALUES),
        Endpoint::KvUsage => {
            Text { gives: OF_VALUES, ..reads("getKvUsage", "What an owner's state takes up.", object) }
        }
        Endpoint::UpstreamSecret => Text {
            gives: OF_VALUES,
            ..reads("getUpstreamSecret", "What an owner's service verifies calls with.", of::<UpstreamSecret>)
        },
        Endpoint::Owners => {
            reads("listOwners", "Owners, and what each has earned; for an owner itself alone.", of::<Vec<OwnerLine>>)
        }
        Endpoint::OwnerBalance => {
            Text { gives: OF_VALUES, ..reads("getOwnerBalance", "What an owner has earned.", of::<OwnerLine>) }
        }
        Endpoint::Requests => Text {
            gives: &[Kind::InvalidFilter, Kind::InvalidCursor],
            ..reads("listAllRequests", "Requests, newest first; for an owner those of its APIs.", of::<RequestsShown>)
        },
        Endpoint::Request => reads(
            "getAnyRequest",
            "A request with its runs, logs, steps and deliveries, as its reader may see them.",
            of::<RequestShown>,
        ),
        Endpoint::RequestDeliveries => reads("getRequestDeliveries", "A request's deliveries.", object),
        Endpoint::RequestRuns => reads("getRequestRuns", "A request's runs.", of::<Vec<RunShown>>),
        Endpoint::RequestSteps => reads("getRequestSteps", "A request's committed steps.", of::<Vec<StepShown>>),
        Endpoint::RequestInput => {
            Text { gives: &[Kind::ContentsGone], ..reads("getRequestInput", "What was sent with a request.", object) }
        }
        Endpoint::Receipt => reads("getRequestReceipt", "A request's receipt, without the consumer's part.", object),
        Endpoint::Replay => Text {
            gives: &[Kind::ContentsGone, Kind::RevisionUnavailable],
            ..reads("getReplay", "A request with what another run of it needs.", object)
        },
        Endpoint::Revisions => {
            Text { gives: &[Kind::InvalidFilter], ..reads("listRevisions", "Kept revisions.", objects) }
        }
        Endpoint::RollBack => {
            Text { gives: OF_PLUGINS, ..reads("rollBack", "Go back to the revision before.", object) }
        }
        Endpoint::StopPlugin => Text {
            gives: OF_PLUGINS,
            ..reads("stopPlugin", "Stop a plugin; what it had not ended ends.", of::<StoppedPlugin>)
        },
        Endpoint::StartPlugin => does(
            "startPlugin",
            "Serve again what was stopped or put aside; with an owner's token only what was put aside.",
            OF_PLUGINS,
        ),
        Endpoint::RemoveByKey => does("removePluginByKey", "Remove a plugin, by its folder's name.", OF_PLUGINS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::{Scope, document};

    #[test]
    fn every_route_has_exactly_its_operation() {
        let document = document(Scope::Management);
        for route in ROUTES {
            let operation = &document["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
            assert_eq!(operation["operationId"], text(route.endpoint).id, "{} {}", route.method, route.path);
            assert_eq!(operation["x-ripost-who"], route.who.as_str());
        }
        let operations: usize =
            document["paths"].as_object().unwrap().values().map(|item| item.as_object().unwrap().len()).sum();
        assert_eq!(operations, ROUTES.len() + open().len());
    }
}
