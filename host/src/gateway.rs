//! The data plane: what consumers speak to.

mod absent;
mod accepted;
pub mod access;
pub mod answer;
mod body;
mod budget;
mod callbacks;
mod consumer;
pub mod cors;
mod depth;
pub mod documents;
pub mod fields;
pub mod idempotency;
pub mod identity;
pub(crate) mod json_body;
pub mod limits;
pub mod listener;
pub(crate) mod listing;
mod passed_on;
mod path;
mod pipeline;
pub mod prefer;
mod proxies;
pub mod reply;
pub(crate) mod requests;
mod routing;
mod schema;
mod status;
pub mod stream;
mod synchronous;
pub mod view;
mod webhooks;

use crate::config::Limits;
use crate::delivery::Secrets;
use crate::delivery::webhooks::Webhooks;
use crate::keyring::Keyring;
use crate::live::Live;
use crate::openapi::Scope;
use crate::plugins::Plugins;
use crate::problem::{Kind, Problem};
use crate::readiness;
use crate::runs::Runs;
use crate::storage::Room;
use crate::telemetry::metrics::{Metrics, State};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use passed_on::Sender;
pub use proxies::TrustedProxies;
use reply::Reply;
use ripost_domain::money::FeeRate;
use ripost_domain::time::Clock;
use ripost_store::Store;
use routing::{Route, route};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The parts that answer a call.
pub struct Gateway {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// Which component answers which API.
    pub plugins: Arc<Plugins>,
    /// Progress and waiters.
    pub live: Arc<Live>,
    /// The runner.
    pub runs: Arc<Runs>,
    /// Who is calling.
    pub identity: Arc<identity::Identity>,
    /// Room on the disk.
    pub room: Arc<Room>,
    /// Whether calls can be taken.
    pub readiness: Arc<readiness::Sources>,
    /// Who may call what.
    pub access: Arc<access::Access>,
    /// How much a consumer may do.
    pub limiter: Arc<limits::Limiter>,
    /// Accepts under way that have an idempotency key.
    pub keys: Arc<idempotency::InFlight>,
    /// Opens secrets for their holders.
    pub keyring: Arc<Keyring>,
    /// What there is to do with webhooks that were made.
    pub webhooks: Arc<Webhooks>,
    /// What they are signed with.
    pub secrets: Arc<Secrets>,
    /// How long a link to a result works without a key.
    pub result_url_ttl: Duration,
    /// Numbers.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The platform's share.
    pub fee: FeeRate,
    /// What links begin with; no slash at its end.
    pub base: Arc<str>,
    /// Sizes of what comes in.
    pub limits: Limits,
    /// How long an ended request is kept, and its idempotency key with it.
    pub requests_kept: Duration,
    /// For a request's whole body.
    pub body_time: Duration,
    /// Bytes of bodies that are being read.
    pub body_bytes: Arc<Semaphore>,
    /// Bytes of answers that are being sent from memory.
    pub answer_bytes: Arc<Semaphore>,
    /// Streams of events that are open.
    pub streams: Arc<stream::Streams>,
    /// Which pages may call.
    pub cors: cors::Policy,
    /// Whose word about callers counts.
    pub trusted_proxies: TrustedProxies,
    /// Who owns the tasks.
    pub tasks: TaskTracker,
    /// Cancelled when the host stops: who waits has its `202`.
    pub stopping: CancellationToken,
}

impl Gateway {
    /// Answers one HTTP request of a peer; every failure is a problem.
    pub async fn answer(self: &Arc<Self>, request: Request<Incoming>, peer: SocketAddr) -> Response<Reply> {
        let asked = self.asked_by_page(&request);
        if let Some(preflight) = asked.preflight(request.method(), request.headers()) {
            return preflight;
        }
        let mut response = match self.dispatch(request, peer).await.and_then(|response| self.in_budget(response)) {
            Ok(response) => response,
            Err(problem) => {
                self.metrics.refused.get_or_create(&State { state: class_of(problem.status()) }).inc();
                problem.into_response().map(Reply::from)
            }
        };
        asked.open(&mut response);
        response
    }

    async fn dispatch(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Response<Reply>, Problem> {
        refuse_methods_of_proxies(request.method())?;
        // The path is read before the request is moved into the pipeline.
        let whole = match route(request.uri().path()) {
            Route::Api { owner, slug, rest } => {
                let path = request.uri().path();
                let start = |part: &str| part.as_ptr() as usize - path.as_ptr() as usize;
                let target = pipeline::Target {
                    owner: start(owner)..start(owner) + owner.len(),
                    slug: start(slug)..start(slug) + slug.len(),
                    rest: path.len() - rest.len(),
                    sender: match self.trusted_proxies.contains(peer.ip()) {
                        true => Sender::TrustedProxy,
                        false => Sender::Anybody,
                    },
                };
                self.call(request, target).await
            }
            Route::Requests => self.list(&request).await,
            Route::Request(id) => return self.get(&request, requests::Part::Request, id).await,
            Route::NoRequest(id) => self.no_request(&request, id).await,
            Route::Result(id) => return self.get(&request, requests::Part::Result, id).await,
            Route::Webhook(id, event) => return self.get(&request, requests::Part::Webhook(event), id).await,
            Route::Deliveries(id) => self.deliveries(&request, id).await,
            Route::Receipt(id) => self.receipt(&request, id).await,
            Route::Redeliver(id) => self.redeliver(request, id).await,
            Route::Cancel(id) => self.cancel(&request, id).await,
            Route::RequestEvents(id) => return self.event_stream(&request, id).await,
            Route::LinkedResult(token) => return self.linked_result(&request, token).await,
            Route::Callback(token, part) => {
                let token = token.to_owned();
                self.callback(request, &token, part).await
            }
            Route::Events => self.events(&request).await,
            Route::RedeliverMany => self.redeliver_many(request).await,
            Route::WebhookTest => self.webhook_test(request).await,
            Route::WebhookKeys => self.webhook_keys(&request),
            Route::Consumer => self.consumer(request).await,
            Route::WebhookSecret => self.webhook_secret(&request).await,
            Route::RotateSecret => self.rotate_secret(request).await,
            Route::DisabledUrls => self.disabled_urls(&request).await,
            Route::OpenApi => documents::openapi(request.method(), request.headers(), Scope::DataPlane),
            Route::OpenApiOfApi { owner, slug } => self.openapi_of_api(&request, owner, slug),
            Route::Problems => documents::problems(request.method()),
            Route::Problem(slug) => documents::problem(request.method(), slug),
            Route::Readyz => Ok(self.readiness.read().into_response(request.method())),
            Route::Healthz => {
                let mut response = Response::new(Full::new(Bytes::from_static(b"ok\n")));
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
                Ok(response)
            }
            Route::Unknown => Err(Problem::new(
                Kind::NotFound,
                "APIs are under /api/{owner}/api/{slug}, requests under /requests/{id}. Check the path.",
            )),
        };
        whole.map(|response| response.map(Reply::from))
    }
}

/// What such a method asks of a server it asks of a proxy, which we are to nobody: `TRACE` would show a page what its
/// browser sends along.
pub(crate) fn refuse_methods_of_proxies(method: &Method) -> Result<(), Problem> {
    if matches!(*method, Method::TRACE | Method::CONNECT) || method.as_str() == "TRACK" {
        let detail = format!("{method} is not allowed on this gateway. Use one of the methods in Allow.");
        return Err(
            Problem::new(Kind::MethodNotAllowed, detail).header(header::ALLOW, HeaderValue::from_static(cors::METHODS))
        );
    }
    Ok(())
}

/// Few values, so that the series stay few.
pub(crate) const fn class_of(status: u16) -> &'static str {
    match status {
        401 => "unknown_key",
        402 => "insufficient_balance",
        403 => "forbidden",
        404 => "not_found",
        413 => "too_large",
        429 => "rate_limited",
        503 => "overloaded",
        400..=499 => "invalid",
        _ => "internal",
    }
}
