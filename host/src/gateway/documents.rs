//! What the gateway says about itself: the pages about its problems, and its OpenAPI documents.

use super::Gateway;
use super::absent::absent;
use super::reply::Reply;
use super::requests::allow_get;
use super::status::Known;
use crate::openapi::{self, Scope, Served};
use crate::problem::{Kind, Problem, pages};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;

/// `GET /problems`.
///
/// # Errors
/// Another method.
pub fn problems(method: &Method) -> Result<Response<Full<Bytes>>, Problem> {
    allow_get(method)?;
    Ok(page(pages::index()))
}

/// `GET /problems/{slug}`.
///
/// # Errors
/// Another method; there is no such kind.
pub fn problem(method: &Method, slug: &str) -> Result<Response<Full<Bytes>>, Problem> {
    allow_get(method)?;
    let unknown = || Problem::new(Kind::NotFound, "There is no such problem; GET /problems lists them.");
    pages::page(slug).map(page).ok_or_else(unknown)
}

/// `GET /openapi.json`.
///
/// # Errors
/// Another method.
pub fn openapi(method: &Method, headers: &HeaderMap, scope: Scope) -> Result<Response<Full<Bytes>>, Problem> {
    allow_get(method)?;
    Ok(served(headers, openapi::served(scope)))
}

impl Gateway {
    /// `GET /openapi.json`, where it is not the data plane's alone.
    pub fn openapi(&self, request: &Request<Incoming>, scope: Scope) -> Response<Reply> {
        let asked = self.asked_by_page(request);
        if let Some(preflight) = asked.preflight(request.method(), request.headers()) {
            return preflight;
        }
        let answered = openapi(request.method(), request.headers(), scope).unwrap_or_else(Problem::into_response);
        let mut response = answered.map(Reply::from);
        asked.open(&mut response);
        response
    }

    /// `GET /openapi/{owner}/{slug}`. Whoever knows an API's name may read how to call it.
    pub(super) fn openapi_of_api(
        &self,
        request: &Request<Incoming>,
        owner: &str,
        slug: &str,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        allow_get(request.method())?;
        let registry = self.plugins.registry();
        let Some(api) = registry.api(owner, slug) else {
            return Err(absent(&registry, owner, slug));
        };
        Ok(served(request.headers(), openapi::of_api(api)))
    }
}

fn served(headers: &HeaderMap, document: Served) -> Response<Full<Bytes>> {
    let known = Known::read(headers).has(&document.etag);
    let mut response = Response::new(if known { Full::default() } else { Full::new(document.body) });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response.headers_mut().insert(header::ETAG, HeaderValue::from_str(&document.etag).expect("a tag is hex in quotes"));
    response
}

fn page(html: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(html));
    response.headers_mut().extend([
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ]);
    response
}
