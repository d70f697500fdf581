//! Answers what it was asked, as any `wasi:http` component would: nothing here is Ripost's.

use wstd::http::{Body, Error, Request, Response};

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let (head, mut body) = request.into_parts();
    let body = body.str_contents().await?.to_owned();
    let request_id = head.headers.get("ripost-request-id").and_then(|value| value.to_str().ok());
    let answer = serde_json::json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query().unwrap_or_default(),
        "body": body,
        "request": request_id,
    });
    Ok(Response::builder().header("content-type", "application/json").body(Body::from(answer.to_string()))?)
}
