//! Cross-origin calls from browsers (Fetch, 3.2): the preflight is the gateway's, never the owner's. No answer is ever for
//! credentials: a page has a consumer's key, or it has nothing.

mod origins;

pub use self::origins::{Named, Origins};
use super::Gateway;
use super::reply::Reply;
use super::routing::{Route, route};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;

/// What a page may read besides what it always may.
const EXPOSED: &str = "ETag, Idempotent-Replayed, Link, Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, Ripost-Request-Id, Webhook-Id";
/// What a page may send besides what it always may.
const ACCEPTED: &str = "Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, Ripost-Max-Price, Ripost-Retry-Max-Age, Ripost-Webhook-Events, Ripost-Webhook-Url, Traceparent, Tracestate, X-Consumer-Key";
/// For how many seconds a browser need not ask again.
const MAX_AGE: &str = "600";

/// What `Allow` says of an API; its owner may know more.
pub(super) const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Which pages may call, all APIs considered alike.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Named by the operator.
    pub origins: Origins,
    /// Development mode: whatever this machine serves to its own browser.
    pub loopback: bool,
}

impl Policy {
    fn admits(&self, origin: &str) -> bool {
        self.origins.has(origin) || (self.loopback && origins::is_loopback(origin))
    }
}

/// Whose list counts besides the operator's.
enum Lists<'p> {
    /// Nobody's.
    None,
    /// That of one API.
    Api { owner: &'p str, slug: &'p str },
    /// Those of all APIs: the page of each has requests to follow.
    Apis,
}

/// What a page may do on a route; `None`: no page may anything.
fn open_to_pages<'p>(route: &Route<'p>) -> Option<(&'static str, Lists<'p>)> {
    const READ: &str = "GET, HEAD";
    const POST: &str = "POST";
    Some(match *route {
        Route::Api { owner, slug, .. } => ("GET, HEAD, POST, PUT, PATCH, DELETE", Lists::Api { owner, slug }),
        Route::OpenApiOfApi { owner, slug } => (READ, Lists::Api { owner, slug }),
        Route::Requests
        | Route::Request(_)
        | Route::NoRequest(_)
        | Route::Result(_)
        | Route::Webhook(..)
        | Route::Deliveries(_)
        | Route::Receipt(_)
        | Route::RequestEvents(_)
        | Route::LinkedResult(_) => (READ, Lists::Apis),
        Route::Redeliver(_) | Route::Cancel(_) => (POST, Lists::Apis),
        Route::Events | Route::WebhookKeys | Route::Problems | Route::Problem(_) | Route::OpenApi => {
            (READ, Lists::None)
        }
        Route::RedeliverMany | Route::WebhookTest => (POST, Lists::None),
        Route::Consumer => ("GET, HEAD, PATCH", Lists::None),
        Route::DisabledUrls => ("GET, HEAD, DELETE", Lists::None),
        // A secret is for a server; callbacks are an owner's; the rest is nobody's business on a page.
        Route::WebhookSecret
        | Route::RotateSecret
        | Route::Callback(..)
        | Route::Healthz
        | Route::Readyz
        | Route::Unknown => return None,
    })
}

/// A call as CORS sees it.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// The methods of the route, if pages may call it and it depends on the page what they may.
    methods: Option<&'static str>,
    /// What is said to a page that may call: its origin, or every one.
    admitted: Option<HeaderValue>,
}

impl Gateway {
    /// Whether a page asks, and may.
    pub(super) fn asked_by_page(&self, request: &Request<Incoming>) -> Asked {
        let origin = request.headers().get(header::ORIGIN);
        let is_options = *request.method() == Method::OPTIONS;
        let registry = self.plugins.registry();
        let varies = self.cors.loopback || !self.cors.origins.is_empty() || !registry.origins().is_empty();
        // Nearly every call: no page, or none that may anything.
        if !is_options && !varies {
            return Asked::default();
        }
        let Some((methods, lists)) = open_to_pages(&route(request.uri().path())) else { return Asked::default() };
        let asked = Asked { methods: Some(methods), admitted: None };
        let Some((value, origin)) = origin.and_then(|value| Some((value, value.to_str().ok()?))) else { return asked };
        let of_api = match lists {
            Lists::None => None,
            Lists::Api { owner, slug } => registry.api(owner, slug).map(|api| &*api.origins),
            Lists::Apis => Some(registry.origins()),
        };
        let every = self.cors.origins.has_every() || of_api.is_some_and(Origins::has_every);
        let admitted = match every {
            true => Some(HeaderValue::from_static("*")),
            false => {
                (self.cors.admits(origin) || of_api.is_some_and(|origins| origins.has(origin))).then(|| value.clone())
            }
        };
        Asked { admitted, ..asked }
    }
}

impl Asked {
    /// The answer to `OPTIONS`, which is the gateway's on every route that pages may call; `None`: it is another call.
    pub(super) fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response<Reply>> {
        let methods = self.methods.filter(|_| *method == Method::OPTIONS)?;
        let mut response = Response::new(Reply::from(Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        let allow = HeaderValue::from_str(&format!("{methods}, OPTIONS"));
        answer.insert(header::ALLOW, allow.unwrap_or(HeaderValue::from_static("OPTIONS")));
        answer.insert(header::VARY, HeaderValue::from_static("Origin"));
        let is_preflight = headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if let Some(admitted) = self.admitted.as_ref().filter(|_| is_preflight) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, admitted.clone());
            answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ACCEPTED));
            answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
        }
        Some(response)
    }

    /// Lets the page that called read the answer, if it may; and tells caches that another may not.
    pub(super) fn open<B>(self, response: &mut Response<B>) {
        if self.methods.is_none() {
            return;
        }
        let headers = response.headers_mut();
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(admitted) = self.admitted {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, admitted);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
    }
}
