//! Which of our resources a path names.

use super::callbacks;
use crate::{openapi, problem};
use ripost_domain::id::RequestId;

/// A resource of the data plane.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route<'p> {
    Api {
        owner: &'p str,
        slug: &'p str,
        rest: &'p str,
    },
    Requests,
    Request(RequestId),
    /// Below `/requests/`, and what stands for the id is none.
    NoRequest(&'p str),
    Result(RequestId),
    Webhook(RequestId, &'p str),
    Deliveries(RequestId),
    Receipt(RequestId),
    Redeliver(RequestId),
    RequestEvents(RequestId),
    Cancel(RequestId),
    LinkedResult(&'p str),
    Callback(&'p str, callbacks::Part),
    Events,
    RedeliverMany,
    WebhookTest,
    WebhookKeys,
    Consumer,
    WebhookSecret,
    RotateSecret,
    DisabledUrls,
    Problems,
    Problem(&'p str),
    OpenApi,
    OpenApiOfApi {
        owner: &'p str,
        slug: &'p str,
    },
    Healthz,
    Readyz,
    Unknown,
}

/// Reads a path.
pub(super) fn route(path: &str) -> Route<'_> {
    if let Some(rest) = path.strip_prefix("/api/") {
        return api(rest).unwrap_or(Route::Unknown);
    }
    if let Some(rest) = path.strip_prefix("/requests/") {
        let (id, part) = rest.split_once('/').unwrap_or((rest, ""));
        let Ok(id) = id.parse() else {
            return if id.is_empty() { Route::Unknown } else { Route::NoRequest(id) };
        };
        return match part {
            "" if !rest.ends_with('/') => Route::Request(id),
            "result" => Route::Result(id),
            "deliveries" => Route::Deliveries(id),
            "receipt" => Route::Receipt(id),
            "redeliver" => Route::Redeliver(id),
            "events" => Route::RequestEvents(id),
            "cancel" => Route::Cancel(id),
            part => match part.strip_prefix("webhooks/") {
                Some(event) if !event.is_empty() && !event.contains('/') => Route::Webhook(id, event),
                _ => Route::Unknown,
            },
        };
    }
    if let Some(token) = path.strip_prefix("/results/") {
        return Route::LinkedResult(token);
    }
    if let Some(token) = path.strip_prefix("/callbacks/") {
        return match token.strip_suffix("/progress") {
            Some(token) => Route::Callback(token, callbacks::Part::Progress),
            None => Route::Callback(token, callbacks::Part::Callback),
        };
    }
    if let Some(slug) = path.strip_prefix(problem::pages::PATH) {
        return Route::Problem(slug);
    }
    if let Some(name) = path.strip_prefix(openapi::API_PREFIX) {
        let name = name.split_once('/').filter(|(owner, slug)| !owner.is_empty() && !slug.is_empty());
        return name.map_or(Route::Unknown, |(owner, slug)| Route::OpenApiOfApi { owner, slug });
    }
    match path {
        openapi::PATH => Route::OpenApi,
        "/problems" => Route::Problems,
        "/requests" => Route::Requests,
        "/events" => Route::Events,
        "/deliveries/redeliver" => Route::RedeliverMany,
        "/webhooks/test" => Route::WebhookTest,
        "/.well-known/webhook-keys" => Route::WebhookKeys,
        "/consumer/webhook-secret/rotate" => Route::RotateSecret,
        "/consumer/disabled-urls" => Route::DisabledUrls,
        "/consumer" => Route::Consumer,
        "/consumer/webhook-secret" => Route::WebhookSecret,
        "/healthz" => Route::Healthz,
        "/readyz" => Route::Readyz,
        _ => Route::Unknown,
    }
}

fn api(path: &str) -> Option<Route<'_>> {
    let (owner, path) = path.split_once('/')?;
    let path = path.strip_prefix("api/")?;
    let (slug, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
    (!owner.is_empty() && !slug.is_empty()).then_some(Route::Api { owner, slug, rest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_what_the_contract_says() {
        let id = "req_01jd6g0000e0g0g0g0g0g0g0g0";
        let request: RequestId = id.parse().unwrap();
        for (path, expected) in [
            ("/api/demo/api/a".to_owned(), Route::Api { owner: "demo", slug: "a", rest: "" }),
            ("/api/demo/api/a/b/c".to_owned(), Route::Api { owner: "demo", slug: "a", rest: "/b/c" }),
            ("/api/demo/api/a/".to_owned(), Route::Api { owner: "demo", slug: "a", rest: "/" }),
            ("/api/demo/a".to_owned(), Route::Unknown),
            ("/api//api/a".to_owned(), Route::Unknown),
            ("/api/demo/api/".to_owned(), Route::Unknown),
            (format!("/requests/{id}"), Route::Request(request)),
            (format!("/requests/{id}/"), Route::Unknown),
            (format!("/requests/{id}/result"), Route::Result(request)),
            (format!("/requests/{id}/webhooks/completed"), Route::Webhook(request, "completed")),
            (format!("/requests/{id}/deliveries"), Route::Deliveries(request)),
            (format!("/requests/{id}/receipt"), Route::Receipt(request)),
            (format!("/requests/{id}/redeliver"), Route::Redeliver(request)),
            ("/requests".to_owned(), Route::Requests),
            (format!("/requests/{id}/cancel"), Route::Cancel(request)),
            (format!("/requests/{id}/events"), Route::RequestEvents(request)),
            (format!("/requests/{id}/webhooks/"), Route::Unknown),
            ("/events".to_owned(), Route::Events),
            ("/results/abc.1.x".to_owned(), Route::LinkedResult("abc.1.x")),
            ("/callbacks/abc.1.x".to_owned(), Route::Callback("abc.1.x", callbacks::Part::Callback)),
            ("/callbacks/abc.1.x/progress".to_owned(), Route::Callback("abc.1.x", callbacks::Part::Progress)),
            ("/webhooks/test".to_owned(), Route::WebhookTest),
            ("/.well-known/webhook-keys".to_owned(), Route::WebhookKeys),
            ("/requests/req_1".to_owned(), Route::NoRequest("req_1")),
            ("/requests/abc/result".to_owned(), Route::NoRequest("abc")),
            ("/requests/".to_owned(), Route::Unknown),
            ("/consumer".to_owned(), Route::Consumer),
            ("/consumer/webhook-secret".to_owned(), Route::WebhookSecret),
            ("/openapi.json".to_owned(), Route::OpenApi),
            ("/openapi/demo/a".to_owned(), Route::OpenApiOfApi { owner: "demo", slug: "a" }),
            ("/openapi/demo/".to_owned(), Route::Unknown),
            ("/problems".to_owned(), Route::Problems),
            ("/problems/not-found".to_owned(), Route::Problem("not-found")),
            ("/".to_owned(), Route::Unknown),
        ] {
            assert_eq!(route(&path), expected, "{path}");
        }
    }

    /// A number for each kind of route: a new one does not compile until it has its own.
    fn number(route: &Route<'_>) -> Option<usize> {
        Some(match route {
            Route::Api { .. } => 0,
            Route::Requests => 1,
            Route::Request(_) => 2,
            Route::Result(_) => 3,
            Route::Webhook(..) => 4,
            Route::Deliveries(_) => 5,
            Route::Receipt(_) => 6,
            Route::Redeliver(_) => 7,
            Route::RequestEvents(_) => 8,
            Route::Cancel(_) => 9,
            Route::LinkedResult(_) => 10,
            Route::Callback(_, callbacks::Part::Callback) => 11,
            Route::Callback(_, callbacks::Part::Progress) => 12,
            Route::Events => 13,
            Route::RedeliverMany => 14,
            Route::WebhookTest => 15,
            Route::WebhookKeys => 16,
            Route::Consumer => 17,
            Route::WebhookSecret => 18,
            Route::RotateSecret => 19,
            Route::DisabledUrls => 20,
            Route::Problems => 21,
            Route::Problem(_) => 22,
            Route::Healthz => 23,
            Route::Readyz => 24,
            Route::OpenApi => 25,
            Route::OpenApiOfApi { .. } => 26,
            Route::NoRequest(_) | Route::Unknown => return None,
        })
    }

    #[test]
    fn every_route_is_one_path_of_the_document_and_every_path_a_route() {
        let document = openapi::document(openapi::Scope::DataPlane);
        let paths = document["paths"].as_object().unwrap().keys();
        let mut numbers: Vec<_> = paths
            .map(|path| {
                let path = path.replace("{id}", "req_01jd6g0000e0g0g0g0g0g0g0g0").replace(['{', '}'], "");
                number(&route(&path)).unwrap_or_else(|| panic!("{path} is no route"))
            })
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..=26).collect::<Vec<_>>());
    }
}
