//! What the gateway says about itself: the pages about its problems.

use super::requests::allow_get;
use crate::problem::{Kind, Problem, pages};
use bytes::Bytes;
use http::{HeaderValue, Method, Response, header};
use http_body_util::Full;

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
