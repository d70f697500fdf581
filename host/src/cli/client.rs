//! Speaks to `/admin/v1` of a running gateway, with the token in its data folder.

use super::{Exit, Failure};
use crate::keyring::AdminToken;
use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use camino::Utf8Path;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;

/// Where a running gateway says where it listens.
pub(crate) const ADMIN_ADDRESS_FILE: &str = "admin-address";

/// Asks, and reads the answer.
///
/// # Errors
/// No gateway runs on that data folder, or it refuses.
pub(super) fn ask<T: DeserializeOwned>(
    data: &Utf8Path,
    method: Method,
    path: &str,
    body: Option<&serde_json::Value>,
) -> Result<T, Failure> {
    let not_running = || {
        format!(
            "no gateway runs on the data folder {data}: start it with `ripost serve`, or name another folder with --data"
        )
    };
    let address = std::fs::read_to_string(data.join(ADMIN_ADDRESS_FILE))
        .with_context(not_running)
        .map_err(|error| Failure::new(Exit::Unavailable, error))?;
    let token = AdminToken::read(data).context("reading the admin token")?;
    let request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", address.trim()))
        .header(header::AUTHORIZATION, format!("Bearer {}", token.reveal()))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.map(ToString::to_string).unwrap_or_default())))
        .context("making the request")?;
    exchange(request, not_running)
}

/// Asks the data plane as the holder of a consumer key.
///
/// # Errors
/// Nobody answers at that URL, or it refuses.
pub(super) fn ask_as<T: DeserializeOwned>(
    base: &str,
    key: &str,
    method: Method,
    path: &str,
    body: &serde_json::Value,
) -> Result<T, Failure> {
    let request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", base.trim_end_matches('/')))
        .header("x-consumer-key", key)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.to_string())))
        .context("making the request")?;
    exchange(request, || format!("no gateway answers at {base}"))
}

/// Where the data plane of the gateway on a data folder is.
///
/// # Errors
/// No gateway runs there.
pub(super) fn data_plane(data: &Utf8Path) -> Result<String, Failure> {
    let address = std::fs::read_to_string(data.join("address"))
        .with_context(|| {
            format!(
                "no gateway runs on the data folder {data}: start it with `ripost serve`, or name the gateway with --to"
            )
        })
        .map_err(|error| Failure::new(Exit::Unavailable, error))?;
    Ok(address.trim().to_owned())
}

fn exchange<T: DeserializeOwned>(
    request: Request<Full<Bytes>>,
    not_running: impl Fn() -> String,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting a thread")?;
    runtime.block_on(async {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let response = client
            .request(request)
            .await
            .with_context(&not_running)
            .map_err(|error| Failure::new(Exit::Unavailable, error))?;
        let status = response.status();
        let body = response.into_body().collect().await.context("reading the answer")?.to_bytes();
        if status.is_success() {
            let body = if body.is_empty() { Bytes::from_static(b"null") } else { body };
            return Ok(serde_json::from_slice(&body).context("the gateway's answer is of another version")?);
        }
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
        Err(anyhow!("{}: {} ({status})", text("title"), text("detail")).into())
    })
}
