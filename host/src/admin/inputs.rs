//! What was asked of one request's handler, and what the consumer had sent if a transform made that of it.

use super::Admin;
use crate::gateway::requests::contents_gone;
use crate::problem::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ripost_domain::id::RequestId;
use ripost_store::RequestInput;
use serde::Serialize;
use std::collections::BTreeMap;

/// Both forms of a call.
#[derive(Debug, Serialize)]
pub(super) struct Inputs {
    /// What the handler sees.
    input: InputShown,
    /// What was sent; null if that is the same.
    original: Option<InputShown>,
}

/// A call.
#[derive(Debug, Serialize)]
struct InputShown {
    method: String,
    path: String,
    query: Option<String>,
    /// Names and values in their order.
    headers: Vec<(String, String)>,
    /// If it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// If it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    attributes: BTreeMap<String, String>,
}

impl From<RequestInput> for InputShown {
    fn from(input: RequestInput) -> Self {
        let RequestInput { method, path, query, headers, body, attributes } = input;
        let text = std::str::from_utf8(&body).ok().map(str::to_owned);
        let body_base64 = text.is_none().then(|| STANDARD.encode(&body));
        let headers =
            headers.into_iter().map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned())).collect();
        let attributes = attributes.into_iter().collect();
        Self { method, path, query, headers, body: text, body_base64, attributes }
    }
}

pub(super) async fn of(admin: &Admin, id: RequestId) -> Result<Inputs, Problem> {
    let input = admin.store.input(id).await?.ok_or_else(contents_gone)?;
    let original = admin.store.original(id).await?;
    Ok(Inputs { input: input.into(), original: original.map(InputShown::from) })
}
