//! Who may ask what.

use super::access::Principal;
use super::push::{self, Uploads};
use super::routes::{self, Endpoint, Found, Parameters};
use super::tokens::{self, Tokens};
use super::{
    allowances, apis, balances, consumers, erase, inputs, keys, owners, plugins, replay, requests, runs, status,
    webhooks,
};
use crate::capability::OwnerSecrets;
use crate::delivery::webhooks::Webhooks;
use crate::gateway::access::Access;
use crate::gateway::identity::Identity;
use crate::gateway::json_body::{self, Because};
use crate::gateway::limits::Limiter;
use crate::gateway::listener::Answer;
use crate::gateway::reply::Reply;
use crate::gateway::{Gateway, documents, identity, refuse_methods_of_proxies};
use crate::keyring::Keyring;
use crate::live::Live;
use crate::openapi::{self, Scope};
use crate::plugins::{Look, Plugins};
use crate::problem::{Kind, Problem, pages};
use crate::readiness;
use crate::retention::Retention;
use crate::runs::Runs;
use crate::storage::Room;
use crate::telemetry::metrics::{Format, Metrics};
use bytes::Bytes;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use ripost_domain::address::UrlPolicy;
use ripost_domain::id::RequestId;
use ripost_domain::ledger::Adjustment;
use ripost_domain::time::{Clock, Timestamp};
use ripost_store::Store;
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// An operator's request is a few fields.
const BODY_BYTES_MAX: usize = 64 << 10;

/// The operator's side.
pub struct Admin {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// What is loaded.
    pub plugins: Arc<Plugins>,
    /// Ends what a stopped plugin leaves.
    pub runs: Arc<Runs>,
    /// What is under way.
    pub live: Arc<Live>,
    /// Seals secrets.
    pub keyring: Arc<Keyring>,
    /// What owners' components may use.
    pub owner_secrets: Arc<OwnerSecrets>,
    /// Lets operators and owners in.
    pub tokens: Arc<Tokens>,
    /// Room for plugins that come over the wire.
    pub uploads: Uploads,
    /// Who may call what.
    pub access: Arc<Access>,
    /// Who calls.
    pub identity: Arc<Identity>,
    /// What is kept for how long.
    pub retention: Arc<Retention>,
    /// Room on the disk.
    pub room: Arc<Room>,
    /// Whether calls can be taken.
    pub readiness: Arc<readiness::Sources>,
    /// How much a consumer may do.
    pub limiter: Arc<Limiter>,
    /// Numbers.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// When this process started.
    pub started_at: Timestamp,
    /// Which upstreams an owner's token may name.
    pub upstream_policy: UrlPolicy,
    /// What there is to do with webhooks that were made.
    pub webhooks: Arc<Webhooks>,
    /// The data plane, if both share one address.
    pub gateway: Option<Arc<Gateway>>,
}

impl Answer for Admin {
    async fn answer(self: &Arc<Self>, request: Request<Incoming>, peer: SocketAddr) -> Response<Reply> {
        let path = request.uri().path();
        let ours = path.starts_with("/admin/") || path == "/metrics" || path == "/admin";
        match &self.gateway {
            Some(gateway) if path == openapi::PATH => gateway.openapi(&request, Scope::Whole),
            Some(gateway) if !ours => gateway.answer(request, peer).await,
            _ => self.dispatch(request, peer).await.unwrap_or_else(Problem::into_response).map(Reply::from),
        }
    }
}

impl Admin {
    async fn dispatch(&self, request: Request<Incoming>, peer: SocketAddr) -> Result<Response<Full<Bytes>>, Problem> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        refuse_methods_of_proxies(&head.method)?;
        let is_metrics = path == "/metrics";
        if is_metrics && is_of_this_machine(&head, peer) {
            return self.metrics_page(Format::of(&head.headers)).await;
        }
        if path == "/readyz" {
            return Ok(self.readiness.read().into_response(&head.method));
        }
        if path == "/healthz" {
            return Ok(Response::new(Full::new(Bytes::from_static(b"ok\n"))));
        }
        if let Some(slug) = path.strip_prefix(pages::PATH) {
            return documents::problem(&head.method, slug);
        }
        if path == openapi::PATH {
            return documents::openapi(&head.method, &head.headers, Scope::Management);
        }
        let principal = self.principal(&head.headers).map_err(|problem| match is_metrics {
            true => without_token(problem),
            false => problem,
        })?;
        match routes::find(&head.method, &path) {
            Found::Route(route, parameters) => {
                route.who.admits(&principal, parameters.first())?;
                self.serve(route.endpoint, &parameters, &principal, &head, body).await
            }
            Found::OtherMethods(methods) => {
                let allowed = methods.join(", ");
                let problem = Problem::new(Kind::MethodNotAllowed, format!("Use {allowed} here."));
                Err(match HeaderValue::from_str(&allowed) {
                    Ok(allowed) => problem.header(header::ALLOW, allowed),
                    Err(_) => problem,
                })
            }
            Found::Nothing => {
                Err(Problem::new(Kind::NotFound, "GET /admin/v1 lists all routes of the management API."))
            }
        }
    }

    async fn serve(
        &self,
        endpoint: Endpoint,
        parameters: &Parameters<'_>,
        principal: &Principal,
        head: &Parts,
        body: Incoming,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        let query = head.uri.query();
        let id = || parameters.at(0).parse::<RequestId>().map_err(|_| requests::unknown());
        let seen = async || requests::visible(self, principal, id()?).await;
        match endpoint {
            Endpoint::Routes => {
                let bytes_max = self.uploads.bytes_max();
                let owner = principal.only();
                json(
                    200,
                    &serde_json::json!({ "routes": routes::shown(), "push_bytes_max": bytes_max, "owner": owner }),
                )
            }
            Endpoint::Metrics => self.metrics_page(Format::of(&head.headers)).await,
            Endpoint::Status => json(200, &status::read(self, principal).await?),
            Endpoint::Reload => {
                self.plugins.look(Look::again()).await;
                json(200, &status::read(self, principal).await?)
            }
            Endpoint::Apis => json(200, &apis::list(self, principal)),
            Endpoint::PauseApi => done(apis::pause(self, parameters, fields_or_none(body).await?).await),
            Endpoint::ResumeApi => done(apis::resume(self, parameters).await),
            Endpoint::Subscribers => json(200, &apis::subscribers(self, parameters).await?),
            Endpoint::Subscribe => done(apis::subscribe(self, parameters).await),
            Endpoint::Unsubscribe => done(apis::unsubscribe(self, parameters).await),
            Endpoint::Plugin => json(200, &push::get(self, parameters)?),
            Endpoint::Push => json(202, &push::put(self, parameters, &head.headers, body, principal).await?),
            Endpoint::RemovePlugin => done(push::remove(self, parameters).await),
            Endpoint::Consumers => json(200, &consumers::list(self).await?),
            Endpoint::AddConsumer => json(201, &consumers::add(self, fields(body).await?).await?),
            Endpoint::EraseConsumer => {
                json(200, &erase::consumer(self, parameters.at(0), fields_or_none(body).await?).await?)
            }
            Endpoint::CreditConsumer => {
                let fields = fields(body).await?;
                json(200, &balances::adjust(self, parameters.at(0), Adjustment::Credit, fields).await?)
            }
            Endpoint::DebitConsumer => {
                let fields = fields(body).await?;
                json(200, &balances::adjust(self, parameters.at(0), Adjustment::Debit, fields).await?)
            }
            Endpoint::ConsumerKeys => json(200, &keys::list(self, parameters.at(0)).await?),
            Endpoint::AddConsumerKey => {
                json(201, &keys::add(self, parameters.at(0), fields_or_none(body).await?).await?)
            }
            Endpoint::RevokeConsumerKey => {
                let fields = fields_or_none(body).await?;
                json(200, &keys::revoke(self, parameters.at(0), parameters.at(1), fields).await?)
            }
            Endpoint::EraseRequest => json(200, &erase::request(self, id()?).await?),
            Endpoint::ConsumerLimits => json(200, &allowances::get(self, parameters.at(0)).await?),
            Endpoint::SetConsumerLimits => {
                json(200, &allowances::set(self, parameters.at(0), fields(body).await?).await?)
            }
            Endpoint::Tokens => json(200, &tokens::list(self)),
            Endpoint::AddToken => json(201, &tokens::add(self, fields(body).await?).await?),
            Endpoint::RemoveToken => done(tokens::remove(self, parameters.at(0)).await),
            Endpoint::Deliveries => json(200, &webhooks::list(self, principal, query).await?),
            Endpoint::Redeliver => json(202, &webhooks::redeliver(self, fields(body).await?).await?),
            Endpoint::DisabledUrls => json(200, &webhooks::disabled(self).await?),
            Endpoint::EnableUrl => done(webhooks::enable(self, query).await),
            Endpoint::TestWebhook => json(200, &webhooks::test(self, fields(body).await?).await?),
            Endpoint::Secrets => json(200, &self.owner_secrets.list(principal.only())),
            Endpoint::OwnerSecrets => json(200, &owners::secrets(self, parameters)?),
            Endpoint::SetSecret => done(owners::set_secret(self, parameters, body).await),
            Endpoint::RemoveSecret => done(owners::remove_secret(self, parameters).await),
            Endpoint::KvUsage => json(200, &owners::kv_usage(self, parameters).await?),
            Endpoint::UpstreamSecret => json(200, &owners::upstream_secret(self, parameters)?),
            Endpoint::Owners => json(200, &owners::list(self, principal).await?),
            Endpoint::OwnerBalance => json(200, &owners::balance(self, parameters).await?),
            Endpoint::Requests => json(200, &requests::list(self, principal, query).await?),
            Endpoint::Request => json(200, &requests::show(self, principal, id()?).await?),
            Endpoint::RequestDeliveries => {
                let logs = webhooks::logs(self, principal, seen().await?.id).await?;
                json(200, &serde_json::json!({ "deliveries": logs }))
            }
            Endpoint::RequestRuns => json(200, &runs::of_any(self, principal, id()?).await?),
            Endpoint::RequestSteps => json(200, &runs::steps_of_any(self, principal, id()?).await?),
            Endpoint::RequestInput => json(200, &inputs::of(self, seen().await?.id).await?),
            Endpoint::Revisions => json(200, &plugins::revisions(self, principal, query).await?),
            Endpoint::RollBack => json(200, &plugins::roll_back(self, parameters, principal).await?),
            Endpoint::StopPlugin => json(200, &plugins::stop(self, parameters.at(0)).await?),
            Endpoint::StartPlugin => done(plugins::start(self, parameters.at(0), principal).await),
            Endpoint::RemoveByKey => done(plugins::remove(self, parameters.at(0)).await),
            Endpoint::Replay => json(200, &replay::of(self, principal, seen().await?, query).await?),
            Endpoint::Receipt => json(200, &webhooks::receipt(self, &seen().await?).await?),
        }
    }

    fn principal(&self, headers: &HeaderMap) -> Result<Principal, Problem> {
        let mut offered = headers.get_all(header::AUTHORIZATION).iter();
        let first = offered.next();
        if offered.next().is_some() {
            return Err(Problem::new(Kind::DuplicateField, "Send the header Authorization once."));
        }
        let offered = first.and_then(|value| value.to_str().ok()).and_then(|text| text.strip_prefix("Bearer "));
        offered.and_then(|token| self.tokens.principal(token.trim())).ok_or_else(|| {
            let detail = "Send `Authorization: Bearer …` with a token that `ripost tokens add` gave, or with the one from the file admin-token in the data folder.";
            Problem::new(Kind::MissingToken, detail)
                .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
        })
    }

    async fn metrics_page(&self, format: Format) -> Result<Response<Full<Bytes>>, Problem> {
        status::measure(self).await?;
        let mut response = Response::new(Full::new(self.metrics.encode(format).into()));
        response.headers_mut().insert(header::CONTENT_TYPE, format.content_type());
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
        Ok(response)
    }
}

/// Whether a program on this machine asks this machine. A reverse proxy here makes everybody a loopback peer, and so does
/// a page whose name leads to a loopback address (DNS rebinding); the first says so in its fields, the second has its name
/// in `Host`.
fn is_of_this_machine(head: &Parts, peer: SocketAddr) -> bool {
    let came_through_a_proxy = ["forwarded", "x-forwarded-for", "x-real-ip", "via", identity::HEADER]
        .iter()
        .any(|name| head.headers.contains_key(*name));
    peer.ip().to_canonical().is_loopback() && !came_through_a_proxy && names_loopback(head)
}

/// Whether every name that the request has for us, and it has one, is a loopback address or `localhost`, which no
/// resolver is asked for.
fn names_loopback(head: &Parts) -> bool {
    let hosts = head.headers.get_all(header::HOST).iter().map(|host| Authority::try_from(host.as_bytes()).ok());
    let mut names = hosts.chain(head.uri.authority().map(|authority| Some(authority.clone()))).peekable();
    names.peek().is_some() && names.all(|name| name.is_some_and(|name| is_loopback(name.host())))
}

fn is_loopback(host: &str) -> bool {
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || literal.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// `/metrics` is open to some without a token; who is refused has to know how to be one of them.
fn without_token(problem: Problem) -> Problem {
    problem.detail(
        "Send `Authorization: Bearer …` with an operator's token, or ask from this machine by a loopback address, such as http://127.0.0.1:3000/metrics, and not through a proxy.",
    )
}

/// An empty body says nothing.
async fn fields_or_none<T: serde::de::DeserializeOwned + Default>(body: Incoming) -> Result<T, Problem> {
    if body.is_end_stream() { Ok(T::default()) } else { fields(body).await }
}

async fn fields<T: serde::de::DeserializeOwned>(body: Incoming) -> Result<T, Problem> {
    fields_within(body, BODY_BYTES_MAX).await
}

pub(super) async fn fields_within<T: serde::de::DeserializeOwned>(
    body: Incoming,
    bytes_max: usize,
) -> Result<T, Problem> {
    let body = Limited::new(body, bytes_max).collect().await;
    let body = body.map_err(|_| Problem::new(Kind::BodyTooLarge, "The management API takes small JSON bodies."))?;
    let body = body.to_bytes();
    let text = json_body::text(&HeaderMap::new(), &body).map_err(|wrong| wrong.problem(Because::OfTheRoute))?;
    serde_json::from_str(text)
        .map_err(|error| Problem::new(Kind::InvalidJson, format!("The body: {}.", json_body::plain(&error))))
}

/// 204 for what has nothing to say.
fn done(outcome: Result<(), Problem>) -> Result<Response<Full<Bytes>>, Problem> {
    outcome?;
    let mut response = Response::new(Full::default());
    *response.status_mut() = http::StatusCode::NO_CONTENT;
    Ok(response)
}

fn json(status: u16, body: &impl Serialize) -> Result<Response<Full<Bytes>>, Problem> {
    let bytes = serde_json::to_vec(body).map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    let mut response = Response::new(Full::new(bytes.into()));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loopback_address_in_every_name_is_this_machine() {
        let named = |uri: &str, hosts: &[&str]| {
            let mut request = Request::builder().uri(uri);
            for host in hosts {
                request = request.header(header::HOST, *host);
            }
            names_loopback(&request.body(()).unwrap().into_parts().0)
        };
        for host in ["127.0.0.1", "127.0.0.1:3000", "127.3.2.1", "localhost", "LocalHost:3000", "[::1]", "[::1]:3000"] {
            assert!(named("/metrics", &[host]), "{host}");
            assert!(named(&format!("http://{host}/metrics"), &[]), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "0.0.0.0",
            "",
            "::1",
            "2130706433",
            "user@127.0.0.1.evil.example",
        ] {
            assert!(!named("/metrics", &[host]), "{host}");
        }
        assert!(!named("/metrics", &[]), "HTTP/1.0 without a name");
        assert!(!named("/metrics", &["127.0.0.1", "evil.example"]));
        assert!(!named("http://evil.example/metrics", &["127.0.0.1"]));
    }
}
