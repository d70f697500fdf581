//! Calls what its body says, as often as it says, and answers what came of each call. `{{secret}}` in a header, the URL
//! or the body is what the host gives for the secret that is named.

use std::collections::BTreeMap;

use ripost_sdk::{Context, Failure, Json, OutboundError, OutboundRequest};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Order {
    #[serde(default)]
    method: Option<String>,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    timeout_ms: Option<u32>,
    #[serde(default)]
    times: Option<usize>,
    #[serde(default)]
    secret: Option<String>,
    /// Counts its calls under this key.
    #[serde(default)]
    count_as: Option<String>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct Called {
    status: Option<u16>,
    headers: BTreeMap<String, String>,
    body: String,
    body_bytes: usize,
    error: Option<&'static str>,
    text: Option<String>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Report {
    calls: Vec<Called>,
    /// As the handler has it.
    secret: Option<String>,
    count: Option<u64>,
}

#[ripost_sdk::handler]
fn outbound(ctx: &Context, Json(order): Json<Order>) -> Result<Json<Report>, Failure> {
    let secret = order.secret.as_deref().map(|name| ctx.secret(name)).transpose()?;
    let fill = |text: &str| match &secret {
        Some(secret) => text.replace("{{secret}}", secret),
        None => text.to_owned(),
    };
    let mut calls = Vec::new();
    for _ in 0..order.times.unwrap_or(1) {
        let mut request = OutboundRequest::new(order.method.as_deref().unwrap_or("GET"), fill(&order.url));
        for (name, value) in &order.headers {
            request = request.header(name, fill(value));
        }
        request.body = fill(&order.body).into_bytes();
        request.timeout_ms = order.timeout_ms;
        calls.push(call(ctx, request));
    }
    let count = order.count_as.as_deref().map(|key| count(ctx, key, calls.len())).transpose()?;
    Ok(Json(Report { calls, secret, count }))
}

fn call(ctx: &Context, request: OutboundRequest) -> Called {
    match ctx.fetch(request) {
        Ok(response) => {
            let value = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            Called {
                status: Some(response.status),
                headers: response.headers.iter().map(|(name, text)| (name.to_owned(), value(text))).collect(),
                body: value(&response.body[..response.body.len().min(4096)]),
                body_bytes: response.body.len(),
                ..Called::default()
            }
        }
        Err(error) => {
            let name = match &error {
                OutboundError::NotGranted(_) => "not-granted",
                OutboundError::AddressForbidden(_) => "address-forbidden",
                OutboundError::Limit(_) => "limit",
                OutboundError::Timeout(_) => "timeout",
                OutboundError::Connection(_) => "connection",
                OutboundError::InDoubt(_) => "in-doubt",
                OutboundError::Unavailable(_) => "unavailable",
                OutboundError::Invalid(_) => "invalid",
            };
            Called { error: Some(name), text: Some(error.to_string()), ..Called::default() }
        }
    }
}

/// The sum over all runs, whoever else counts meanwhile.
fn count(ctx: &Context, key: &str, more: usize) -> Result<u64, Failure> {
    loop {
        let entry = ctx.kv().get(key)?;
        let before = match &entry {
            Some(entry) => String::from_utf8_lossy(&entry.value).parse::<u64>()?,
            None => 0,
        };
        let sum = before + more as u64;
        let expected = entry.map(|entry| entry.revision);
        if ctx.kv().compare_and_set(key, expected, sum.to_string())?.is_some() {
            return Ok(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use ripost_sdk::{Context, FromRequest, Json, OutboundResponse, testing::request};

    use super::outbound;

    #[test]
    fn it_calls_as_often_as_it_is_told_with_the_secret_in_place_and_counts() {
        let ctx = Context::test().with_secret("KEY", "v").on_fetch(|_| Ok(OutboundResponse::new(201, "made")));
        let order = r#"{"method":"POST","url":"https://a.example/?k={{secret}}","headers":[["x-key","{{secret}}"]],
            "body":"{{secret}}","times":2,"secret":"KEY","count_as":"calls"}"#;
        let order = || Json::from_request(request(order)).unwrap();
        let report = outbound(&ctx, order()).unwrap();
        assert_eq!((report.calls.len(), report.calls[0].status, report.count), (2, Some(201), Some(2)));
        assert_eq!(outbound(&ctx, order()).unwrap().count, Some(4));
        let sent = &ctx.recorded().fetches()[1];
        assert_eq!((sent.url.as_str(), sent.headers.get("x-key")), ("https://a.example/?k=v", Some("v")));
        assert_eq!(sent.body, b"v");
    }
}
