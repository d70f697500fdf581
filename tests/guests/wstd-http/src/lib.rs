//! Answers what it was asked, as any `wasi:http` component would: nothing here is Ripost's. With `post-to` among its
//! headers it posts its body there first; its first run then says "not now". With `cost` it says that much of its answer's
//! cost, in a header as a service would.

use wstd::http::{Body, Client, Error, Request, Response};

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let (head, mut body) = request.into_parts();
    let body = body.str_contents().await?.to_owned();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let mut posted = None;
    if let Some(url) = header("post-to") {
        let answer = Client::new().send(Request::post(url).body(Body::from(body.clone()))?).await?;
        posted = Some(answer.into_body().str_contents().await?.to_owned());
        if header("ripost-attempt") == Some("1") {
            return Ok(Response::builder().status(503).header("retry-after", "0").body(Body::empty())?);
        }
    }
    let request_id = header("ripost-request-id");
    let answer = serde_json::json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query().unwrap_or_default(),
        "body": body,
        "request": request_id,
        "posted": posted,
    });
    let mut response = Response::builder().header("content-type", "application/json");
    if let Some(cost) = header("cost") {
        response = response.header("ripost-capture-usdc", cost);
    }
    Ok(response.body(Body::from(answer.to_string()))?)
}
