//! The runs of one request: what each was and used, what it said, and which steps they have committed.

use super::access::Principal;
use super::{Admin, requests};
use crate::problem::Problem;
use crate::runs::BrokenRun;
use ripost_domain::id::RequestId;
use ripost_domain::time::Timestamp;
use ripost_store::{RunReceipt, StepReceipt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One run.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RunShown {
    /// 1 for the first run.
    pub attempt: u32,
    /// When it began.
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// `answered`, `refused`, or the kind of failure.
    pub outcome: String,
    /// CPU time.
    pub cpu_ms: f64,
    /// From its beginning to its end, waiting included.
    pub wall_ms: f64,
    /// The most linear memory it had.
    pub memory_bytes: u64,
    /// Calls from the guest into the host.
    pub host_calls: u64,
    /// Requests it sent to the outside.
    pub outbound_calls: u64,
    /// Bytes of those and of their answers.
    pub outbound_bytes: u64,
    /// What it wrote to its log, kept or dropped.
    pub log_bytes: u64,
    /// What is kept of its log: objects with `level`, `message` and `fields`, and `by` = `host` for what the gateway says of
    /// the run; or with the number `dropped`.
    pub log: Vec<serde_json::Value>,
}

/// A committed step.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct StepShown {
    /// As its handler calls it.
    pub name: String,
    /// Length of what it committed.
    pub bytes: u64,
    /// The run that committed it.
    pub attempt: u32,
    /// When.
    #[schemars(with = "String")]
    pub committed_at: Timestamp,
}

impl From<StepReceipt> for StepShown {
    fn from(step: StepReceipt) -> Self {
        let StepReceipt { name, bytes, attempt, committed_at } = step;
        Self { name, bytes, attempt, committed_at }
    }
}

impl From<RunReceipt> for RunShown {
    fn from(run: RunReceipt) -> Self {
        let millis = |micros: u64| micros as f64 / 1000.0;
        let lines = run.lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let log = lines.map(|line| {
            serde_json::from_slice(line).unwrap_or_else(|_| String::from_utf8_lossy(line).into_owned().into())
        });
        Self {
            attempt: run.attempt,
            started_at: run.started_at,
            outcome: run.outcome.clone(),
            cpu_ms: millis(run.cpu_us),
            wall_ms: millis(run.wall_us),
            memory_bytes: run.memory_bytes,
            host_calls: run.host_calls,
            outbound_calls: run.outbound_calls,
            outbound_bytes: run.outbound_bytes,
            log_bytes: run.log_bytes,
            log: log.collect(),
        }
    }
}

/// With those that broke lately and have no row, of a call that is not stored too: its caller has the id, and its owner
/// comes with it.
pub(super) async fn of_any(admin: &Admin, principal: &Principal, id: RequestId) -> Result<Vec<RunShown>, Problem> {
    let broken = unstored(admin, principal, id);
    let mut runs = match requests::visible(admin, principal, id).await {
        Ok(record) => admin.store.runs(record.id).await?,
        Err(_) if broken.is_some() => Vec::new(),
        Err(problem) => return Err(problem),
    };
    runs.extend(broken.map(|broken| broken.run));
    Ok(runs.into_iter().map(RunShown::from).collect())
}

/// A call that is not stored commits none.
pub(super) async fn steps_of_any(
    admin: &Admin,
    principal: &Principal,
    id: RequestId,
) -> Result<Vec<StepShown>, Problem> {
    match requests::visible(admin, principal, id).await {
        Ok(record) => steps(admin, record.id).await,
        Err(_) if unstored(admin, principal, id).is_some() => Ok(Vec::new()),
        Err(problem) => Err(problem),
    }
}

fn unstored(admin: &Admin, principal: &Principal, id: RequestId) -> Option<BrokenRun> {
    admin.runs.broken_run(id).filter(|broken| principal.sees(broken.api.owner.as_str()))
}

/// In the order of their commits.
pub(super) async fn steps(admin: &Admin, id: RequestId) -> Result<Vec<StepShown>, Problem> {
    Ok(admin.store.steps(id).await?.into_iter().map(StepShown::from).collect())
}
