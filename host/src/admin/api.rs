//! Who may ask what.

use super::{consumers, owners, runs, status, webhooks};
use crate::capability::OwnerSecrets;
use crate::delivery::webhooks::Webhooks;
use crate::gateway::listener::Answer;
use crate::gateway::{Gateway, identity};
use crate::keyring::{AdminToken, Keyring};
use crate::live::Live;
use crate::plugins::Plugins;
use crate::problem::{Kind, Problem};
use crate::telemetry::metrics::Metrics;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use ripost_domain::time::{Clock, Timestamp};
use ripost_store::Store;
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;

/// An operator's request is a few fields.
const BODY_BYTES_MAX: usize = 64 << 10;

/// The operator's side.
pub struct Admin {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// What is loaded.
    pub plugins: Arc<Plugins>,
    /// What is under way.
    pub live: Arc<Live>,
    /// Seals secrets.
    pub keyring: Arc<Keyring>,
    /// What owners' components may use.
    pub owner_secrets: Arc<OwnerSecrets>,
    /// Lets the operator in.
    pub token: AdminToken,
    /// Numbers.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// When this process started.
    pub started_at: Timestamp,
    /// What there is to do with webhooks that were made.
    pub webhooks: Arc<Webhooks>,
    /// The data plane, if both share one address.
    pub gateway: Option<Arc<Gateway>>,
}

impl Answer for Admin {
    async fn answer(self: &Arc<Self>, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let ours = path.starts_with("/admin/") || path == "/metrics" || path == "/admin";
        match &self.gateway {
            Some(gateway) if !ours => gateway.answer(request).await,
            _ => self.dispatch(request, peer).await.unwrap_or_else(Problem::into_response),
        }
    }
}

impl Admin {
    async fn dispatch(&self, request: Request<Incoming>, peer: SocketAddr) -> Result<Response<Full<Bytes>>, Problem> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        if path == "/metrics" && peer.ip().is_loopback() && !came_through_a_proxy(&head.headers) {
            return self.metrics_page().await;
        }
        if matches!(path.as_str(), "/healthz" | "/readyz") {
            return Ok(Response::new(Full::new(Bytes::from_static(b"ok\n"))));
        }
        self.authorise(&head.headers)?;
        match (&head.method, path.as_str()) {
            (&Method::GET, "/metrics") => self.metrics_page().await,
            (&Method::GET, "/admin/v1/status") => json(200, &status::read(self).await?),
            (&Method::POST, "/admin/v1/reload") => {
                self.plugins.reload().await;
                json(200, &status::read(self).await?)
            }
            (&Method::GET, "/admin/v1/consumers") => json(200, &consumers::list(self).await?),
            (&Method::POST, "/admin/v1/consumers") => json(201, &consumers::add(self, fields(body).await?).await?),
            (&Method::GET, "/admin/v1/deliveries") => json(200, &webhooks::list(self, head.uri.query()).await?),
            (&Method::POST, "/admin/v1/deliveries/redeliver") => {
                json(202, &webhooks::redeliver(self, fields(body).await?).await?)
            }
            (&Method::GET, "/admin/v1/disabled-urls") => json(200, &webhooks::disabled(self).await?),
            (&Method::DELETE, "/admin/v1/disabled-urls") => {
                webhooks::enable(self, head.uri.query()).await?;
                Ok(no_content())
            }
            (&Method::POST, "/admin/v1/webhooks/test") => json(200, &webhooks::test(self, fields(body).await?).await?),
            (&Method::GET, "/admin/v1/secrets") => json(200, &self.owner_secrets.list(None)),
            (method, path) if path.starts_with("/admin/v1/owners/") => owners::answer(self, method, path, body).await,
            (&Method::GET, path) if path.starts_with("/admin/v1/requests/") => self.of_request(path).await,
            (_, "/metrics" | "/admin/v1/status" | "/admin/v1/reload" | "/admin/v1/consumers") => {
                Err(Problem::new(Kind::MethodNotAllowed, "Use GET to read, POST to add or to act."))
            }
            _ => Err(Problem::new(
                Kind::NotFound,
                "The management API has /admin/v1/status, /reload, /consumers, /deliveries, /disabled-urls, /secrets, /owners/{owner}/secrets, /owners/{owner}/kv, /requests/{id}/deliveries and …/runs.",
            )),
        }
    }

    /// Parts of one request.
    async fn of_request(&self, path: &str) -> Result<Response<Full<Bytes>>, Problem> {
        let rest = path.trim_start_matches("/admin/v1/requests/");
        let unknown =
            || Problem::new(Kind::NotFound, "There are /admin/v1/requests/{id}/deliveries, …/runs and …/receipt.");
        let (id, part) = rest.split_once('/').ok_or_else(unknown)?;
        let id = id.parse().map_err(|_| unknown())?;
        match part {
            "deliveries" => json(200, &serde_json::json!({ "deliveries": webhooks::logs(self, id).await? })),
            "runs" => json(200, &runs::of(self, id).await?),
            "receipt" => json(200, &webhooks::receipt(self, id).await?),
            _ => Err(unknown()),
        }
    }

    fn authorise(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let offered = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.strip_prefix("Bearer "));
        if offered.is_some_and(|token| self.token.matches(token.trim())) {
            return Ok(());
        }
        let detail = "Send `Authorization: Bearer …` with the token from the file admin-token in the data folder.";
        Err(Problem::new(Kind::MissingToken, detail)
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
    }

    async fn metrics_page(&self) -> Result<Response<Full<Bytes>>, Problem> {
        status::measure(self).await?;
        let mut response = Response::new(Full::new(self.metrics.encode().into()));
        let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        Ok(response)
    }
}

/// A reverse proxy on this machine makes everybody a loopback peer.
fn came_through_a_proxy(headers: &HeaderMap) -> bool {
    ["forwarded", "x-forwarded-for", "x-real-ip", "via", identity::HEADER]
        .iter()
        .any(|name| headers.contains_key(*name))
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
    serde_json::from_slice(&body.to_bytes()).map_err(|error| Problem::new(Kind::InvalidJson, error.to_string()))
}

pub(super) fn no_content() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = http::StatusCode::NO_CONTENT;
    response
}

pub(super) fn json(status: u16, body: &impl Serialize) -> Result<Response<Full<Bytes>>, Problem> {
    let bytes = serde_json::to_vec(body).map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    let mut response = Response::new(Full::new(bytes.into()));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
