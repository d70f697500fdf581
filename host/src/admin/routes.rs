//! Every route of the management API, and who may use it: one table. `GET /admin/v1` shows it.

use super::access::Who;
use http::Method;
use serde::Serialize;
use std::borrow::Cow;

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Routes,
    Metrics,
    Status,
    Reload,
    Apis,
    PauseApi,
    ResumeApi,
    Subscribers,
    Subscribe,
    Unsubscribe,
    Plugin,
    Push,
    RemovePlugin,
    Consumers,
    AddConsumer,
    EraseConsumer,
    CreditConsumer,
    DebitConsumer,
    ConsumerKeys,
    AddConsumerKey,
    RevokeConsumerKey,
    EraseRequest,
    ConsumerLimits,
    SetConsumerLimits,
    Tokens,
    AddToken,
    RemoveToken,
    Deliveries,
    Redeliver,
    DisabledUrls,
    EnableUrl,
    TestWebhook,
    Secrets,
    OwnerSecrets,
    SetSecret,
    RemoveSecret,
    KvUsage,
    UpstreamSecret,
    Owners,
    OwnerBalance,
    Requests,
    Request,
    RequestDeliveries,
    RequestRuns,
    RequestSteps,
    RequestInput,
    Receipt,
    Replay,
    Revisions,
    RollBack,
    StopPlugin,
    StartPlugin,
    RemoveByKey,
}

/// One line of the table.
pub(super) struct Route {
    pub(super) method: Method,
    /// A segment in braces stands for any one segment that is not empty.
    pub(super) path: &'static str,
    pub(super) who: Who,
    pub(super) endpoint: Endpoint,
}

const fn route(method: Method, path: &'static str, who: Who, endpoint: Endpoint) -> Route {
    Route { method, path, who, endpoint }
}

/// All of them.
pub(super) static ROUTES: &[Route] = &[
    route(Method::GET, "/admin/v1", Who::Everyone, Endpoint::Routes),
    route(Method::GET, "/metrics", Who::Operator, Endpoint::Metrics),
    route(Method::GET, "/admin/v1/status", Who::Everyone, Endpoint::Status),
    route(Method::POST, "/admin/v1/reload", Who::Operator, Endpoint::Reload),
    route(Method::GET, "/admin/v1/apis", Who::Everyone, Endpoint::Apis),
    route(Method::POST, "/admin/v1/apis/{owner}/{slug}/pause", Who::Owner, Endpoint::PauseApi),
    route(Method::POST, "/admin/v1/apis/{owner}/{slug}/resume", Who::Owner, Endpoint::ResumeApi),
    route(Method::GET, "/admin/v1/apis/{owner}/{slug}/subscribers", Who::Owner, Endpoint::Subscribers),
    route(Method::PUT, "/admin/v1/apis/{owner}/{slug}/subscribers/{consumer}", Who::Owner, Endpoint::Subscribe),
    route(Method::DELETE, "/admin/v1/apis/{owner}/{slug}/subscribers/{consumer}", Who::Owner, Endpoint::Unsubscribe),
    route(Method::GET, "/admin/v1/plugins/{owner}/{name}", Who::Owner, Endpoint::Plugin),
    route(Method::PUT, "/admin/v1/plugins/{owner}/{name}", Who::Owner, Endpoint::Push),
    route(Method::DELETE, "/admin/v1/plugins/{owner}/{name}", Who::Owner, Endpoint::RemovePlugin),
    route(Method::GET, "/admin/v1/consumers", Who::Operator, Endpoint::Consumers),
    route(Method::POST, "/admin/v1/consumers", Who::Operator, Endpoint::AddConsumer),
    route(Method::DELETE, "/admin/v1/consumers/{consumer}", Who::Operator, Endpoint::EraseConsumer),
    route(Method::POST, "/admin/v1/consumers/{consumer}/credit", Who::Operator, Endpoint::CreditConsumer),
    route(Method::POST, "/admin/v1/consumers/{consumer}/debit", Who::Operator, Endpoint::DebitConsumer),
    route(Method::GET, "/admin/v1/consumers/{consumer}/keys", Who::Operator, Endpoint::ConsumerKeys),
    route(Method::POST, "/admin/v1/consumers/{consumer}/keys", Who::Operator, Endpoint::AddConsumerKey),
    route(Method::DELETE, "/admin/v1/consumers/{consumer}/keys/{name}", Who::Operator, Endpoint::RevokeConsumerKey),
    route(Method::GET, "/admin/v1/consumers/{name}/limits", Who::Operator, Endpoint::ConsumerLimits),
    route(Method::PATCH, "/admin/v1/consumers/{name}/limits", Who::Operator, Endpoint::SetConsumerLimits),
    route(Method::GET, "/admin/v1/tokens", Who::Operator, Endpoint::Tokens),
    route(Method::POST, "/admin/v1/tokens", Who::Operator, Endpoint::AddToken),
    route(Method::DELETE, "/admin/v1/tokens/{name}", Who::Operator, Endpoint::RemoveToken),
    route(Method::GET, "/admin/v1/deliveries", Who::Everyone, Endpoint::Deliveries),
    route(Method::POST, "/admin/v1/deliveries/redeliver", Who::Operator, Endpoint::Redeliver),
    route(Method::GET, "/admin/v1/disabled-urls", Who::Operator, Endpoint::DisabledUrls),
    route(Method::DELETE, "/admin/v1/disabled-urls", Who::Operator, Endpoint::EnableUrl),
    route(Method::POST, "/admin/v1/webhooks/test", Who::Operator, Endpoint::TestWebhook),
    route(Method::GET, "/admin/v1/secrets", Who::Everyone, Endpoint::Secrets),
    route(Method::GET, "/admin/v1/owners/{owner}/secrets", Who::Owner, Endpoint::OwnerSecrets),
    route(Method::PUT, "/admin/v1/owners/{owner}/secrets/{name}", Who::Owner, Endpoint::SetSecret),
    route(Method::DELETE, "/admin/v1/owners/{owner}/secrets/{name}", Who::Owner, Endpoint::RemoveSecret),
    route(Method::GET, "/admin/v1/owners/{owner}/kv", Who::Owner, Endpoint::KvUsage),
    route(Method::GET, "/admin/v1/owners/{owner}/upstream-secret", Who::Owner, Endpoint::UpstreamSecret),
    route(Method::GET, "/admin/v1/owners", Who::Everyone, Endpoint::Owners),
    route(Method::GET, "/admin/v1/owners/{owner}/balance", Who::Owner, Endpoint::OwnerBalance),
    route(Method::GET, "/admin/v1/requests", Who::Everyone, Endpoint::Requests),
    route(Method::GET, "/admin/v1/requests/{id}", Who::Everyone, Endpoint::Request),
    route(Method::DELETE, "/admin/v1/requests/{id}", Who::Operator, Endpoint::EraseRequest),
    route(Method::GET, "/admin/v1/requests/{id}/deliveries", Who::Everyone, Endpoint::RequestDeliveries),
    route(Method::GET, "/admin/v1/requests/{id}/runs", Who::Everyone, Endpoint::RequestRuns),
    route(Method::GET, "/admin/v1/requests/{id}/steps", Who::Everyone, Endpoint::RequestSteps),
    route(Method::GET, "/admin/v1/requests/{id}/input", Who::Everyone, Endpoint::RequestInput),
    route(Method::GET, "/admin/v1/requests/{id}/replay", Who::Everyone, Endpoint::Replay),
    route(Method::GET, "/admin/v1/requests/{id}/receipt", Who::Everyone, Endpoint::Receipt),
    route(Method::GET, "/admin/v1/revisions", Who::Everyone, Endpoint::Revisions),
    route(Method::POST, "/admin/v1/apis/{owner}/{slug}/rollback", Who::Owner, Endpoint::RollBack),
    route(Method::POST, "/admin/v1/plugins/{key}/stop", Who::Operator, Endpoint::StopPlugin),
    route(Method::POST, "/admin/v1/plugins/{key}/start", Who::Everyone, Endpoint::StartPlugin),
    route(Method::DELETE, "/admin/v1/plugins/{key}", Who::Operator, Endpoint::RemoveByKey),
];

/// What a method and a path name.
pub(super) enum Found<'p> {
    /// A route, and what stands for its segments in braces.
    Route(&'static Route, Parameters<'p>),
    /// There is such a path, for these methods.
    OtherMethods(Vec<&'static str>),
    /// There is none.
    Nothing,
}

/// What stands for the segments in braces, in order.
pub(super) struct Parameters<'p>(Vec<Cow<'p, str>>);

impl Parameters<'_> {
    /// The first of them, which in a route for owners is the owner.
    pub(super) fn first(&self) -> Option<&str> {
        self.0.first().map(|value| &**value)
    }

    /// One of them, counted from 0; empty if there is none.
    pub(super) fn at(&self, index: usize) -> &str {
        self.0.get(index).map_or("", |value| &**value)
    }
}

/// Looks a path up. What is escaped in a segment is part of that segment: `%2F` is no slash.
pub(super) fn find<'p>(method: &Method, path: &'p str) -> Found<'p> {
    let mut methods = Vec::new();
    for route in ROUTES {
        let Some(parameters) = matched(route.path, path) else { continue };
        if route.method == *method {
            return Found::Route(route, parameters);
        }
        methods.push(route.method.as_str());
    }
    if methods.is_empty() { Found::Nothing } else { Found::OtherMethods(methods) }
}

fn matched<'p>(pattern: &str, path: &'p str) -> Option<Parameters<'p>> {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    let mut parameters = Vec::new();
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return Some(Parameters(parameters)),
            (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {
                parameters.push(percent_encoding::percent_decode_str(given).decode_utf8().ok()?);
            }
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return None,
        }
    }
}

/// A line as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct RouteShown {
    method: &'static str,
    path: &'static str,
    who: &'static str,
}

/// The table as it is shown.
pub(super) fn shown() -> Vec<RouteShown> {
    let lines = ROUTES.iter();
    lines.map(|route| RouteShown { method: route.method.as_str(), path: route.path, who: route.who.as_str() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(method: &Method, path: &str) -> Option<(Endpoint, Vec<String>)> {
        match find(method, path) {
            Found::Route(route, Parameters(values)) => {
                Some((route.endpoint, values.iter().map(|value| value.clone().into_owned()).collect()))
            }
            Found::OtherMethods(_) | Found::Nothing => None,
        }
    }

    #[test]
    fn a_path_names_one_route_with_its_segments_as_they_were_meant() {
        let found = endpoint(&Method::PUT, "/admin/v1/apis/demo/echo/subscribers/Blue%20Bottle%2F%C3%A9");
        assert_eq!(found, Some((Endpoint::Subscribe, vec!["demo".into(), "echo".into(), "Blue Bottle/é".into()])));
        for path in [
            "/admin/v1/",
            "/admin/v1/status/",
            "/admin/v1/apis//echo/pause",
            "/admin/v1/apis/demo/echo/subscribers/",
            "/admin/v1/apis/demo/echo/subscribers/%ff",
            "/admin/v1/apis/demo%2Fecho/pause",
        ] {
            assert!(matches!(find(&Method::PUT, path), Found::Nothing), "{path}");
        }
        assert!(matches!(find(&Method::PUT, "/admin/v1/consumers"), Found::OtherMethods(of) if of == ["GET", "POST"]));
    }

    #[test]
    fn every_route_for_owners_names_the_owner_first_and_no_line_hides_another() {
        for route in ROUTES {
            if route.who == Who::Owner {
                let first = route.path.split('/').find(|segment| segment.starts_with('{'));
                assert_eq!(first, Some("{owner}"), "{}", route.path);
            }
            let path = route.path.replace(['{', '}'], "");
            let found = endpoint(&route.method, &path).map(|(endpoint, _)| endpoint);
            assert_eq!(found, Some(route.endpoint), "{} {path}", route.method);
        }
    }
}
