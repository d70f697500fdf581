//! A stored request once more, offline: in the sandbox here, with what its runs have left answering in place of the host.
//!
//! Nothing outside is called and no secret is needed: a call that the journal has is answered from it, a step that was
//! committed gives its value, the clock says what it said, randomness comes from the request's own seed. What was written
//! down nowhere (the owner's store, a call that another version of the handler makes) is refused, and told.

mod outside;
mod record;

use record::Outcome;
pub(crate) use record::{Answered, Base64, Input, Record, Stored, Written, coded, read_tape, write_tape};

use crate::cases::difference;
use crate::check;
use crate::config::Config;
use crate::plugins::Files;
use crate::runs::decide;
use crate::transforms::{self, Of};
use anyhow::{Context as _, bail};
use outside::Outside;
use ripost_domain::api::ApiName;
use ripost_domain::money::{Amount, Capture};
use ripost_domain::request::{Verdict, judge};
use ripost_runtime::{Call, Entries, LogLine, NoProgress, Request, Response, Run, RunError, Usage, fixed_clock};
use ripost_store::Answer;
use std::sync::Arc;

/// What came of it.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// A line for each thing that is not as it is stored; none: it is the same.
    pub(crate) differences: Vec<String>,
    /// What was asked for and is written down nowhere, in order.
    pub(crate) unanswered: Vec<String>,
    /// Something of the stored run was not written down either, so that this one may have seen something else.
    pub(crate) lossy: bool,
    pub(crate) usage: Usage,
    pub(crate) logs: Vec<LogLine>,
}

/// What of the stored run is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Steps {
    /// Committed steps give their values.
    Given,
    /// Their work is done again, with the calls that they made answered from the journal.
    Redone,
}

/// Runs a request's handler and response transforms once more.
///
/// # Errors
/// The plugin does not offer the API, the sandbox does not take it, or the sandbox cannot start.
pub(crate) async fn run(record: &Record, files: &Files, steps: Steps, config: &Config) -> anyhow::Result<Replayed> {
    let name: ApiName = record.api.parse().context("the API's name")?;
    let api = files.manifest.apis.iter().find(|api| api.name == name);
    let api = api.with_context(|| format!("the plugin does not offer {name}"))?;
    if api.target.handler().is_none() {
        bail!("{name} has an upstream: there is no handler to run again");
    }
    let runtime = check::sandbox(config)?;
    let (handler, transforms) = tokio::task::block_in_place(|| check::load(&runtime, files, api, config))?;
    let wall_ms = u64::try_from(api.limits.wall.as_millis()).unwrap_or(u64::MAX);
    let request = Request { deadline_ms: record.began_at_ms.saturating_add(wall_ms), ..record.request()? };
    let (mut past, lossy) = record.past()?;
    if steps == Steps::Redone {
        past.steps.clear();
    }
    let outside = Arc::new(Outside::new(record, api.grants.clone()));
    let seed = record.seed()?;
    let call = Call {
        request: request.clone(),
        limits: Arc::clone(&api.limits),
        config: Arc::clone(&api.config),
        seed,
        now: fixed_clock(last_time(&past).unwrap_or(record.began_at_ms)),
        progress: Arc::new(NoProgress),
        grants: Outside::grants(&outside),
        journal: Some(outside.clone()),
        past: Some(Arc::new(past)),
    };
    let Run { outcome, mut usage, mut logs, .. } = runtime.run(&handler, call).await;
    if let Err(error @ (RunError::PoolExhausted(_) | RunError::MemoryBusy(_))) = &outcome {
        bail!("{error}");
    }
    let of = Of { id: &record.id, owner: name.owner.as_str(), seed, now_ms: record.created_at_ms };
    let outcome = match outcome {
        Ok(Ok(response)) => {
            let chained = transforms::response(&runtime, &of, &transforms, &request, response).await;
            usage = transforms::sum(&usage, &chained.usage);
            logs.extend(chained.logs);
            chained.outcome.map(|response| Ok(Ok(response)))
        }
        outcome => {
            logs.extend(outcome.as_ref().err().map(|error| LogLine::of_host(error.to_string())));
            Ok(outcome)
        }
    };
    let id = record.id.parse().context("the request's id")?;
    let price = record.price_usdc.unwrap_or(Amount::MAX);
    let outcome = match decide::direct(outcome, id, &name, price, api.limits.wall) {
        Ok((Answer { status, headers, body }, capture)) => {
            Ok((Response { status, headers, body, attributes: Vec::new() }, capture))
        }
        Err(problem) => Err(problem),
    };
    let differences = match (&outcome, record.outcome()?) {
        (Ok((response, capture)), Outcome::Answer(stored)) => {
            let mut lines = difference::of_answers(&stored, response);
            lines.extend(captured(record, response, *capture));
            lines
        }
        (Ok((response, _)), Outcome::Problem(stored)) => {
            vec![format!("stored: {stored}; now: it answers {}", response.status)]
        }
        (Err(problem), Outcome::Answer(stored)) => {
            vec![format!("stored: it answered {}; now: {}", stored.status, problem.kind())]
        }
        (Err(problem), Outcome::Problem(stored)) if problem.kind() == stored => Vec::new(),
        (Err(problem), Outcome::Problem(stored)) => vec![format!("stored: {stored}; now: {}", problem.kind())],
        (Ok(_) | Err(_), Outcome::None) => vec!["the request has no outcome yet, or it is no longer kept".to_owned()],
    };
    Ok(Replayed { differences, unanswered: outside.unanswered(), lossy, usage, logs })
}

/// What the consumer has paid, and would pay for this answer.
fn captured(record: &Record, response: &Response, capture: Capture) -> Option<String> {
    let (price, stored) = (record.price_usdc?, record.captured_usdc?);
    let now = match (judge(response.status, None), capture) {
        (Verdict::Completed, Capture::Part(amount)) => amount,
        (Verdict::Completed, Capture::Whole) => price,
        _ => Amount::ZERO,
    };
    (now != stored).then(|| format!("captured: stored {stored} USDC, now {now} USDC"))
}

fn last_time(past: &Entries) -> Option<u64> {
    past.times.iter().flat_map(|times| times.millis.iter().copied()).max()
}

#[cfg(test)]
mod tests;
