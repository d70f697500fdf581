//! A body is checked against the API's schema: what the handler will see of it, before anything is held.

use super::Gateway;
use crate::plugins::ActiveApi;
use crate::problem::{Kind, Problem};
use crate::schema::{Schema, Unfit};
use ripost_store::RequestInput;
use std::sync::Arc;
use std::time::Duration;

/// A wait for other long checks of the same schema.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Where the body comes from that is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Consumer,
    /// Transforms have changed the request.
    Transforms,
}

impl From {
    /// `original`: what was sent, if a transform made something else of it.
    pub(super) fn of(original: Option<&RequestInput>) -> Self {
        if original.is_some() { Self::Transforms } else { Self::Consumer }
    }
}

impl Gateway {
    /// # Errors
    /// 415 for what is no JSON, 422 for what does not fit, 503 if there is no room for a long check.
    pub(super) async fn check_schema(&self, api: &ActiveApi, input: &RequestInput, from: From) -> Result<(), Problem> {
        let Some(schema) = &api.schema else { return Ok(()) };
        let kind = input.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let kind = kind.and_then(|(_, value)| std::str::from_utf8(value).ok());
        match Schema::is_to_be_checked(&input.method, kind, &input.body) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(unfit) => return Err(problem(unfit, from)),
        }
        let checked = if schema.is_quick(input.body.len()) {
            schema.check(&input.body)
        } else {
            self.check_apart(schema, input).await?
        };
        checked.map_err(|unfit| problem(unfit, from))
    }

    /// On a thread that may block: a megabyte takes as long as a hundred other calls.
    async fn check_apart(&self, schema: &Arc<Schema>, input: &RequestInput) -> Result<Result<(), Unfit>, Problem> {
        let permit = tokio::time::timeout(WAIT_MAX, schema.long().clone().acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            let detail = "Too many large bodies of this API are being checked. Nothing was accepted; send it again.";
            return Err(Problem::new(Kind::Overloaded, detail).retry_after(Duration::from_secs(1)));
        };
        let (schema, body) = (schema.clone(), input.body.clone());
        // A caller that hangs up drops this future; the check goes on with its permit, so that hanging up makes no room.
        let checking = tokio::task::spawn_blocking(move || {
            let checked = schema.check(&body);
            drop(permit);
            checked
        });
        checking.await.map_err(|error| {
            tracing::error!(%error, "The check of a body broke down");
            Problem::new(Kind::Internal, "The body could not be checked. The operator finds the cause in the log.")
        })
    }
}

fn problem(unfit: Unfit, from: From) -> Problem {
    match (unfit, from) {
        (Unfit::NotTyped, _) => {
            let detail = "This API has a schema and takes JSON. Send `Content-Type: application/json`.";
            Problem::new(Kind::UnsupportedMediaType, detail)
        }
        (Unfit::NotJson(why), From::Consumer) => {
            let detail = format!("This API has a schema and takes JSON, which the body is not: {why}. Mend the body.");
            Problem::new(Kind::InvalidJson, detail)
        }
        (Unfit::NotJson(why), From::Transforms) => {
            let detail = format!(
                "The API's request transforms made a body that is not JSON: {why}. Nothing was accepted; ask the owner."
            );
            Problem::new(Kind::TransformFailed, detail)
        }
        (Unfit::Mismatch(mismatches), from) => {
            let place = match from {
                From::Consumer => "the body",
                From::Transforms => "what the API's request transforms made of the body",
            };
            let detail =
                format!("`errors` lists where {place} is not as the schema has it. Nothing was accepted or held.");
            let errors = serde_json::to_value(mismatches).unwrap_or_default();
            Problem::new(Kind::SchemaMismatch, detail).with("errors", errors)
        }
    }
}
