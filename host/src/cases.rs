//! Smoke cases: what an owner says a revision must answer, tried in the real sandbox with production limits before it
//! serves, and by `ripost test`.
//!
//! A case is JSON in the folder that the manifest names as `cases`. Request transforms run before the handler and response
//! transforms after it, as in production, and what the schema refuses is refused. Nothing outside is touched: secrets, the store and the outside answer from the
//! case, and what a case does not answer is refused in words that say so.

pub(crate) mod difference;
mod granted;
mod read;

pub(crate) use read::{Case, CaseError};

use crate::plugins::{ApiGrants, Transforms};
use crate::problem::Kind;
use crate::runs::capture;
use crate::schema::{Schema, Unfit};
use crate::transforms::{self, Chained, Of, Why};
use granted::Sandboxed;
use ripost_domain::api::ApiName;
use ripost_domain::money::{Amount, Capture};
use ripost_runtime::{
    Call, Clock, Failure, Handler, Limits, LogLine, MemoryJournal, NoProgress, Problem, Request, Response, Run,
    RunError, Runtime, Usage, last_message,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// When it is in every case: 2026-01-01, and from then on as time goes by.
const BEGINS_AT_MS: u64 = 1_767_225_600_000;
/// Everything random in a case is drawn from this.
const SEED: [u8; 32] = *b"ripost smoke case: always alike.";
/// Waits for a free place in a busy host, before a case is given up.
const PLACE_WAIT: Duration = Duration::from_millis(100);

/// What is tried: an API of a revision.
#[derive(Debug, Clone)]
pub(crate) struct Subject<'a> {
    pub(crate) api: &'a ApiName,
    pub(crate) price: Amount,
    pub(crate) handler: &'a Handler,
    pub(crate) transforms: &'a Transforms,
    pub(crate) schema: Option<&'a Schema>,
    pub(crate) limits: &'a Arc<Limits>,
    pub(crate) config: &'a Arc<BTreeMap<String, String>>,
    pub(crate) grants: &'a ApiGrants,
}

/// What came of a case.
#[derive(Debug)]
pub(crate) struct Tried {
    /// A line for each thing that is not as the case expects it; none: it has passed.
    pub(crate) differences: Vec<String>,
    /// Of all its runs together.
    pub(crate) usage: Usage,
    /// What the guests wrote.
    pub(crate) logs: Vec<LogLine>,
    /// The host's doing and not the revision's.
    pub(crate) is_hosts: bool,
}

/// What an API made of a case's request.
enum Answer {
    /// With what the consumer would pay.
    Response(Response, Amount),
    /// `invalid`, `retry` or `failed`, the problem's kind, and the whole story.
    Failure(&'static str, String, String),
}

/// Tries one case. Must be called inside a tokio runtime with time enabled.
///
/// # Cancel safety
/// Dropping it stops the guest.
pub(crate) async fn run(runtime: &Runtime, subject: &Subject<'_>, case: &Case) -> Tried {
    let mut tried = Tried { differences: Vec::new(), usage: Usage::default(), logs: Vec::new(), is_hosts: false };
    let answer = answer(runtime, subject, case, &mut tried).await;
    tried.differences = match &answer {
        Answer::Response(response, captured) => {
            let mut lines = difference::of_response(&case.expect, response);
            lines.extend(difference::of_captured(&case.expect, *captured));
            lines
        }
        Answer::Failure(kind, problem, story) => difference::of_failure(&case.expect, kind, problem, story),
    };
    tried
}

async fn answer(runtime: &Runtime, subject: &Subject<'_>, case: &Case, tried: &mut Tried) -> Answer {
    let Subject { api, price, handler, transforms, schema, limits, config, grants } = subject;
    let begun = Instant::now();
    let now: Clock = Arc::new(move || BEGINS_AT_MS + u64::try_from(begun.elapsed().as_millis()).unwrap_or_default());
    let of = Of { id: "req_case", owner: api.owner.as_str(), seed: SEED, now_ms: BEGINS_AT_MS };
    let wall_ms = u64::try_from(limits.wall.as_millis()).unwrap_or(u64::MAX);
    let request = Request {
        id: "req_case".to_owned(),
        owner: api.owner.as_str().to_owned(),
        api: api.slug.as_str().to_owned(),
        consumer: "case".to_owned(),
        attempt: 1,
        deadline_ms: BEGINS_AT_MS.saturating_add(wall_ms),
        ..case.request.clone()
    };
    let chained = transforms::request(runtime, &of, transforms, request).await;
    let request = match tried.chained(chained) {
        Ok(request) => request,
        Err(stopped) => return stopped,
    };
    if let Some(schema) = schema
        && let Some(unfit) = unfit(schema, &request)
    {
        return unfit;
    }
    let outcome = loop {
        let call = Call {
            request: request.clone(),
            limits: Arc::clone(limits),
            config: Arc::clone(config),
            seed: SEED,
            now: now.clone(),
            progress: Arc::new(NoProgress),
            grants: Sandboxed::grants(case, grants),
            journal: Some(Arc::new(MemoryJournal::default())),
            past: None,
        };
        let Run { outcome, usage, logs, .. } = runtime.run(handler, call).await;
        match outcome {
            // Whoever tries the cases says for how long.
            Err(RunError::PoolExhausted(_) | RunError::MemoryBusy(_)) => tokio::time::sleep(PLACE_WAIT).await,
            outcome => {
                tried.usage = transforms::sum(&tried.usage, &usage);
                tried.logs.extend(logs);
                break outcome;
            }
        }
    };
    let response = match outcome {
        Ok(Ok(response)) => response,
        Ok(Err(Failure::Invalid(problem))) => return refused("invalid", problem),
        Ok(Err(Failure::Retry { problem, .. })) => return refused("retry", problem),
        Ok(Err(Failure::Failed(problem))) => return refused("failed", problem),
        Err(error) => {
            tried.is_hosts = !error.is_owners();
            return Answer::Failure("failed", error.kind().to_owned(), tried.with_last_message(error.to_string()));
        }
    };
    let chained = transforms::response(runtime, &of, transforms, &request, response).await;
    match tried.chained(chained) {
        Ok(response) => paid(response, *price),
        Err(stopped) => stopped,
    }
}

/// What the gateway makes of the amount to capture.
fn paid(response: Response, price: Amount) -> Answer {
    match capture::asked(&response, price) {
        Ok(Capture::Whole) => Answer::Response(response, price),
        Ok(Capture::Part(captured)) => Answer::Response(response, captured),
        Err(error) => Answer::Failure("failed", Kind::CaptureInvalid.slug().to_owned(), error.to_string()),
    }
}

impl Tried {
    /// Of a guest that broke: a case is its owner's, who reads what it said.
    fn with_last_message(&self, story: String) -> String {
        match last_message(&self.logs) {
            Some(said) => format!("{story}; it last said: {said}"),
            None => story,
        }
    }

    fn chained<T>(&mut self, chained: Chained<T>) -> Result<T, Answer> {
        let Chained { outcome, usage, logs, .. } = chained;
        self.usage = transforms::sum(&self.usage, &usage);
        self.logs.extend(logs);
        outcome.map_err(|stopped| {
            self.is_hosts = stopped.is_hosts();
            let story = stopped.sentence();
            let story = if stopped.is_broken() { self.with_last_message(story) } else { story };
            match (stopped.kind, stopped.why) {
                (ripost_runtime::TransformKind::Request, Why::Refused(problem)) => {
                    Answer::Failure("invalid", problem.kind, story)
                }
                (_, Why::Refused(problem)) => Answer::Failure("failed", problem.kind, story),
                (_, Why::Broke(_)) => Answer::Failure("failed", "transform-failed".to_owned(), story),
            }
        })
    }
}

/// As the gateway refuses it.
fn unfit(schema: &Schema, request: &Request) -> Option<Answer> {
    let kind = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let kind = kind.and_then(|(_, value)| std::str::from_utf8(value).ok());
    let checked = match Schema::is_to_be_checked(&request.method, kind, &request.body) {
        Ok(true) => schema.check(&request.body),
        Ok(false) => Ok(()),
        Err(unfit) => Err(unfit),
    };
    let (problem, story) = match checked.err()? {
        Unfit::NotTyped => {
            ("unsupported-media-type", "the schema takes JSON, and the content type is another".to_owned())
        }
        Unfit::NotJson(why) => ("invalid-json", format!("the schema takes JSON, and the body is not: {why}")),
        Unfit::Mismatch(mismatches) => {
            let places = mismatches.iter().map(|mismatch| format!("at \"{}\": {}", mismatch.path, mismatch.message));
            ("schema-mismatch", format!("not as the schema has it: {}", places.collect::<Vec<_>>().join("; ")))
        }
    };
    Some(Answer::Failure("invalid", problem.to_owned(), story))
}

fn refused(kind: &'static str, problem: Problem) -> Answer {
    let Problem { kind: problem, title, detail, .. } = problem;
    let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
    Answer::Failure(kind, problem.clone(), format!("{problem}: {title}{detail}"))
}

#[cfg(test)]
mod tests;
