//! A request with everything that another run of it needs, as the management API gives it; and what a run has been told
//! and not written down, as the store keeps it.

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ripost_domain::money::Amount;
use ripost_runtime::{CallState, Entries, OutboundResponse, RecordedCall, Remains, Request, Response, Step, Times};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is kept of a run's remains; beyond this only that there was more.
const TAPE_BYTES_MAX: usize = 64 << 10;

/// A stored request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// `req_…`
    pub(crate) id: String,
    /// `owner/slug`
    pub(crate) api: String,
    /// The revision that it names.
    pub(crate) revision: String,
    /// The consumer as the owner knows it.
    pub(crate) consumer: String,
    /// Of the last run.
    pub(crate) attempt: u32,
    /// When it was accepted.
    pub(crate) created_at_ms: u64,
    /// When the last run began.
    pub(crate) began_at_ms: u64,
    /// What the handler saw.
    pub(crate) input: Input,
    /// Of everything random in its runs, in base64.
    pub(crate) seed: String,
    /// What stands for each secret.
    pub(crate) placeholders: BTreeMap<String, String>,
    /// The idempotency keys of its steps.
    pub(crate) step_keys: BTreeMap<String, String>,
    /// What its runs have written down.
    pub(crate) journal: Written,
    /// What the last one was told beyond that.
    pub(crate) tape: Tape,
    /// What it costs; none: from a gateway that did not say.
    #[serde(default)]
    pub(crate) price_usdc: Option<Amount>,
    /// What its consumer has paid; none: nothing is decided, or it is free.
    #[serde(default)]
    pub(crate) captured_usdc: Option<Amount>,
    /// How it ended; none: not yet, or it is no longer kept.
    pub(crate) outcome: Option<Stored>,
    /// The plugin as a tar in base64; none if it was not asked for.
    pub(crate) plugin: Option<String>,
}

/// A call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Input {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: Vec<(String, Base64)>,
    pub(crate) body: Base64,
    pub(crate) attributes: Vec<(String, String)>,
}

/// How a request ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stored {
    Answer(Answered),
    /// The type of its problem.
    Problem(String),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Base64)>,
    pub(crate) body: Base64,
}

/// The same, for comparing.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answer(Response),
    Problem(String),
    None,
}

/// What is written down.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    steps: Vec<WrittenStep>,
    calls: Vec<WrittenCall>,
    times: Vec<WrittenTimes>,
}

/// What was told and not written down.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tape {
    #[serde(flatten)]
    entries: Written,
    /// There was more.
    lossy: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WrittenStep {
    name: String,
    input: Base64,
    value: Base64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WrittenCall {
    scope: String,
    input: Option<Base64>,
    digest: Base64,
    nth: u32,
    state: WrittenState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenState {
    Intent,
    Done(Answered),
    Refused(String),
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WrittenTimes {
    scope: String,
    first: u32,
    millis: Vec<u64>,
}

/// Bytes in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base64(pub(crate) Bytes);

impl Serialize for Base64 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(|bytes| Self(bytes.into())).map_err(serde::de::Error::custom)
    }
}

impl Base64 {
    fn copy_of(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }

    fn digest(&self) -> anyhow::Result<[u8; 32]> {
        self.0[..].try_into().map_err(|_| anyhow!("a hash has {} bytes and should have 32", self.0.len()))
    }
}

pub(crate) fn coded(headers: Vec<(String, Bytes)>) -> Vec<(String, Base64)> {
    headers.into_iter().map(|(name, value)| (name, Base64(value))).collect()
}

fn decoded(headers: &[(String, Base64)]) -> Vec<(String, Bytes)> {
    headers.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect()
}

impl Record {
    /// What the handler is given; its deadline is the caller's to say.
    pub(super) fn request(&self) -> anyhow::Result<Request> {
        let Input { method, path, query, headers, body, attributes } = &self.input;
        let (owner, api) = self.api.split_once('/').context("the API's name has no slash")?;
        Ok(Request {
            id: self.id.clone(),
            owner: owner.to_owned(),
            api: api.to_owned(),
            consumer: self.consumer.clone(),
            attempt: self.attempt,
            method: method.clone(),
            path: path.clone(),
            query: query.clone(),
            headers: decoded(headers),
            body: body.0.clone(),
            deadline_ms: 0,
            attributes: attributes.clone(),
        })
    }

    pub(super) fn seed(&self) -> anyhow::Result<[u8; 32]> {
        Base64(STANDARD.decode(&self.seed).context("the seed")?.into()).digest()
    }

    /// All that the runs were told, and whether there was more.
    pub(super) fn past(&self) -> anyhow::Result<(Entries, bool)> {
        let mut entries = self.journal.entries()?;
        let rest = self.tape.entries.entries()?;
        entries.steps.extend(rest.steps);
        entries.calls.extend(rest.calls);
        entries.times.extend(rest.times);
        // What is known of a scope's clock is known from its first value on.
        entries.times.sort_by(|one, other| (&one.scope, one.first).cmp(&(&other.scope, other.first)));
        Ok((entries, self.tape.lossy))
    }

    pub(super) fn outcome(&self) -> anyhow::Result<Outcome> {
        Ok(match &self.outcome {
            None => Outcome::None,
            Some(Stored::Problem(kind)) => Outcome::Problem(kind.clone()),
            Some(Stored::Answer(answer)) => Outcome::Answer(Response {
                status: answer.status,
                headers: decoded(&answer.headers),
                body: answer.body.0.clone(),
                attributes: Vec::new(),
            }),
        })
    }
}

impl Written {
    pub(crate) fn of(entries: &Entries) -> Self {
        let steps = entries.steps.iter().map(|Step { name, input, value }| WrittenStep {
            name: name.clone(),
            input: Base64::copy_of(input),
            value: Base64(value.clone()),
        });
        let calls = entries.calls.iter().map(|RecordedCall { scope, input, digest, nth, state }| WrittenCall {
            scope: scope.clone(),
            input: input.as_ref().map(|input| Base64::copy_of(input)),
            digest: Base64::copy_of(digest),
            nth: *nth,
            state: match state {
                CallState::Intent => WrittenState::Intent,
                CallState::Failed => WrittenState::Failed,
                CallState::Refused(text) => WrittenState::Refused(text.clone()),
                CallState::Done(OutboundResponse { status, headers, body }) => WrittenState::Done(Answered {
                    status: *status,
                    headers: coded(headers.clone()),
                    body: Base64(body.clone()),
                }),
            },
        });
        let times = entries.times.iter().map(|Times { scope, first, millis }| WrittenTimes {
            scope: scope.clone(),
            first: *first,
            millis: millis.clone(),
        });
        Self { steps: steps.collect(), calls: calls.collect(), times: times.collect() }
    }

    fn entries(&self) -> anyhow::Result<Entries> {
        let steps = self
            .steps
            .iter()
            .map(|step| Ok(Step { name: step.name.clone(), input: step.input.digest()?, value: step.value.0.clone() }));
        let calls = self.calls.iter().map(|call| {
            Ok(RecordedCall {
                scope: call.scope.clone(),
                input: call.input.as_ref().map(Base64::digest).transpose()?,
                digest: call.digest.digest()?,
                nth: call.nth,
                state: match &call.state {
                    WrittenState::Intent => CallState::Intent,
                    WrittenState::Failed => CallState::Failed,
                    WrittenState::Refused(text) => CallState::Refused(text.clone()),
                    WrittenState::Done(answer) => CallState::Done(OutboundResponse {
                        status: answer.status,
                        headers: decoded(&answer.headers),
                        body: answer.body.0.clone(),
                    }),
                },
            })
        });
        let times = self.times.iter().map(|times| Times {
            scope: times.scope.clone(),
            first: times.first,
            millis: times.millis.clone(),
        });
        Ok(Entries {
            steps: steps.collect::<anyhow::Result<_>>()?,
            calls: calls.collect::<anyhow::Result<_>>()?,
            times: times.collect(),
        })
    }
}

/// What is kept of a run's remains. `None`: there is nothing to keep.
pub(crate) fn write_tape(remains: Option<&Remains>) -> Option<Bytes> {
    let Remains { entries, lossy } = remains?;
    let tape = Tape { entries: Written::of(entries), lossy: *lossy };
    let written = serde_json::to_vec(&tape).ok().filter(|written| written.len() <= TAPE_BYTES_MAX);
    let written = written.or_else(|| serde_json::to_vec(&Tape { lossy: true, ..Tape::default() }).ok());
    written.map(Bytes::from)
}

/// What was kept.
pub(crate) fn read_tape(tape: Option<&Bytes>) -> anyhow::Result<Tape> {
    tape.map_or(Ok(Tape::default()), |tape| serde_json::from_slice(tape).context("reading what the run was told"))
}
