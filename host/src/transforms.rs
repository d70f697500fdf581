//! Chains of transforms: pure components in the manifest's order, each call in a fresh instance.
//!
//! A chain is all or nothing: what its last transform returned counts, and if one of them fails nothing of it is used.
//! What they see of time is the moment of the accept and what they see of chance comes from the request, so that the
//! same chain on the same input has the same outcome.

use crate::plugins::{NamedTransform, Transforms};
use crate::problem::{Kind, Problem};
use ripost_domain::api::ApiName;
use ripost_runtime::{
    LogLine, Request, Response, Rewrite, RunError, Runtime, TransformCall, TransformKind, Transformed, Usage, Webhook,
};
use std::ops::ControlFlow::{self, Break, Continue};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Waits for a free place, in order; then it is given up. What the chain belongs to is not repeated for that.
const PLACE_WAITS: [Duration; 4] =
    [Duration::from_millis(10), Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(1000)];

/// Which request a chain is run for.
#[derive(Debug, Clone)]
pub struct Of<'a> {
    /// For logs.
    pub id: &'a str,
    /// Whose turn it is.
    pub owner: &'a str,
    /// Of the request: each transform draws from a seed of its own.
    pub seed: [u8; 32],
    /// Unix time in milliseconds at which the request was accepted: what all of them see as now.
    pub now_ms: u64,
}

/// What a chain came to, and what it took.
#[derive(Debug)]
pub struct Chained<T> {
    /// What the last transform returned, or which one ended the chain.
    pub outcome: Result<T, Stopped>,
    /// Of all of them together.
    pub usage: Usage,
    /// Of all of them, each line with the transform that wrote it; the last one says why the chain ended, if it did.
    pub logs: Vec<LogLine>,
    /// Lines that were dropped.
    pub logs_dropped: u64,
}

/// A transform ended its chain.
#[derive(Debug)]
pub struct Stopped {
    /// Which kind it is.
    pub kind: TransformKind,
    /// Its file, as the manifest has it.
    pub file: String,
    /// What it did.
    pub why: Why,
}

/// What a transform did in place of transforming.
#[derive(Debug)]
pub enum Why {
    /// It returned a problem.
    Refused(ripost_runtime::Problem),
    /// It gave no answer.
    Broke(RunError),
}

impl Stopped {
    /// Whether it counts against the revision: a trap or a limit.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        matches!(&self.why, Why::Broke(error) if error.is_owners())
    }

    /// Whether it was the host's doing: the same again may fare better.
    #[must_use]
    pub fn is_hosts(&self) -> bool {
        matches!(&self.why, Why::Broke(error) if !error.is_owners())
    }

    /// The whole story in one sentence, for the owner and the operator.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { kind, file, why } = self;
        match why {
            Why::Refused(problem) => {
                let detail = problem.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
                format!("the {kind} `{file}` refused: {}{detail}", problem.title)
            }
            Why::Broke(error) => format!("the {kind} `{file}` gave no answer: {error}"),
        }
    }

    /// What the consumer is told. Never a broken transform's own words: it may be there to keep something from them.
    #[must_use]
    pub fn problem(self, api: &ApiName, consequence: &str) -> Problem {
        let Self { kind, file, why } = self;
        match why {
            Why::Refused(problem) => {
                let (allowed, default): (RangeInclusive<u16>, u16) = match kind {
                    TransformKind::Request => (400..=499, 422),
                    TransformKind::Response | TransformKind::Webhook => (500..=599, 502),
                };
                let status = problem.status.filter(|status| allowed.contains(status)).unwrap_or(default);
                Problem::of_owner(api.owner.as_str(), status, problem).with("transform", file)
            }
            Why::Broke(error) if !error.is_owners() => Problem::new(
                Kind::Overloaded,
                format!("There was no room to run the {kind} `{file}`. {consequence} Send it again."),
            )
            .with("transform", file)
            .retry_after(Duration::from_secs(1)),
            Why::Broke(error) => {
                let detail = format!(
                    "The {kind} `{file}` gave no answer ({}). {consequence} Ask the owner.",
                    error.kind().trim_start_matches("handler-")
                );
                Problem::new(Kind::TransformFailed, detail).with("transform", file)
            }
        }
    }
}

/// The request as the handler will see it.
pub async fn request(runtime: &Runtime, of: &Of<'_>, transforms: &Transforms, request: Request) -> Chained<Request> {
    let mut chain = Chain::new(of, transforms, TransformKind::Request);
    let mut request = request;
    for (place, NamedTransform { file, transform }) in transforms.request.iter().enumerate() {
        let rewritten = loop {
            let transformed = runtime.transform_request(transform, chain.call(place), &request).await;
            match chain.next(file, transformed) {
                Break(outcome) => break outcome,
                Continue(wait) => tokio::time::sleep(wait).await,
            }
        };
        match rewritten {
            Ok(Rewrite { path, query, headers, body, attributes }) => {
                request = Request { path, query, headers, body, attributes, ..request };
            }
            Err(stopped) => return chain.ended(Err(stopped)),
        }
    }
    chain.ended(Ok(request))
}

/// The result as it is stored. `request` is the one that the handler saw.
pub async fn response(
    runtime: &Runtime,
    of: &Of<'_>,
    transforms: &Transforms,
    request: &Request,
    response: Response,
) -> Chained<Response> {
    let mut chain = Chain::new(of, transforms, TransformKind::Response);
    let mut response = response;
    for (place, NamedTransform { file, transform }) in transforms.response.iter().enumerate() {
        let next = loop {
            let transformed = runtime.transform_response(transform, chain.call(place), request, &response).await;
            match chain.next(file, transformed) {
                Break(outcome) => break outcome,
                Continue(wait) => tokio::time::sleep(wait).await,
            }
        };
        match next {
            Ok(next) => response = next,
            Err(stopped) => return chain.ended(Err(stopped)),
        }
    }
    chain.ended(Ok(response))
}

/// A webhook's payload as it is frozen. Whatever they make of `event`, it stays what it is.
pub async fn webhook(runtime: &Runtime, of: &Of<'_>, transforms: &Transforms, webhook: Webhook) -> Chained<Webhook> {
    let mut chain = Chain::new(of, transforms, TransformKind::Webhook);
    let mut webhook = webhook;
    for (place, NamedTransform { file, transform }) in transforms.webhook.iter().enumerate() {
        let next = loop {
            let transformed = runtime.transform_webhook(transform, chain.call(place), &webhook).await;
            match chain.next(file, transformed) {
                Break(outcome) => break outcome,
                Continue(wait) => tokio::time::sleep(wait).await,
            }
        };
        match next {
            Ok(next) => webhook = Webhook { event: webhook.event, ..next },
            Err(stopped) => return chain.ended(Err(stopped)),
        }
    }
    chain.ended(Ok(webhook))
}

struct Chain<'a> {
    of: &'a Of<'a>,
    transforms: &'a Transforms,
    kind: TransformKind,
    /// Pauses that are left, for the whole chain.
    waits: std::slice::Iter<'static, Duration>,
    usage: Usage,
    logs: Vec<LogLine>,
    logs_dropped: u64,
}

impl<'a> Chain<'a> {
    fn new(of: &'a Of<'a>, transforms: &'a Transforms, kind: TransformKind) -> Self {
        Self {
            of,
            transforms,
            kind,
            waits: PLACE_WAITS.iter(),
            usage: Usage::default(),
            logs: Vec::new(),
            logs_dropped: 0,
        }
    }

    /// What one transform came to; or after which pause it is to be run again, while there is no free place for it.
    fn next<T>(&mut self, file: &str, transformed: Transformed<T>) -> ControlFlow<Result<T, Stopped>, Duration> {
        let Transformed { outcome, usage, logs, logs_dropped } = transformed;
        if let Err(RunError::PoolExhausted(_)) = &outcome
            && let Some(wait) = self.waits.next()
        {
            return Continue(*wait);
        }
        self.usage = sum(&self.usage, &usage);
        self.logs_dropped += logs_dropped;
        let by = ("transform".to_owned(), file.to_owned());
        self.logs.extend(logs.into_iter().map(|mut line| {
            line.fields.push(by.clone());
            line
        }));
        let why = match outcome {
            Ok(Ok(value)) => return Break(Ok(value)),
            Ok(Err(problem)) => Why::Refused(problem),
            Err(error) => Why::Broke(error),
        };
        let stopped = Stopped { kind: self.kind, file: file.to_owned(), why };
        self.logs.push(LogLine { fields: vec![by], ..LogLine::of_host(stopped.sentence()) });
        Break(Err(stopped))
    }

    fn call(&self, place: usize) -> TransformCall {
        let Of { id, owner, mut seed, now_ms } = *self.of;
        // Apart from the handler's and from each other's: what one draws tells nothing of what another does.
        seed[0] ^= 1 + self.kind as u8;
        seed[1] ^= u8::try_from(place).unwrap_or(u8::MAX);
        TransformCall {
            id: id.to_owned(),
            owner: owner.to_owned(),
            limits: self.transforms.limits.clone(),
            seed,
            now_ms,
        }
    }

    fn ended<T>(self, outcome: Result<T, Stopped>) -> Chained<T> {
        let Self { usage, logs, logs_dropped, .. } = self;
        Chained { outcome, usage, logs, logs_dropped }
    }
}

/// What two runs used together; they were not at once, so of memory the larger counts.
#[must_use]
pub fn sum(one: &Usage, other: &Usage) -> Usage {
    Usage {
        cpu: one.cpu + other.cpu,
        wall: one.wall + other.wall,
        memory_bytes_peak: one.memory_bytes_peak.max(other.memory_bytes_peak),
        host_calls: one.host_calls + other.host_calls,
        log_bytes: one.log_bytes + other.log_bytes,
        outbound_calls: one.outbound_calls + other.outbound_calls,
        outbound_bytes: one.outbound_bytes + other.outbound_bytes,
    }
}
