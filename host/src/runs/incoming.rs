//! Request transforms: before the accept, so that what is stored is what the handler will see, in this run and in every
//! later one.
//!
//! They have places of their own: a call that is being accepted never waits for runs that take minutes.

use super::Runs;
use super::decide::log_lines;
use super::run::{Asked, receipt};
use super::unstored::BrokenRun;
use crate::plugins::{ActiveApi, Ran};
use crate::problem::{Kind, Problem};
use crate::telemetry::metrics::Outcome;
use crate::transforms::{self, Chained, Of};
use ripost_runtime::{Request, last_message};
use ripost_store::{RequestInput, RunReceipt};
use std::time::Duration;

/// For a place. Each chain ends within the limits of its transforms, so who waits for longer stands behind a flood.
const PLACE_WAIT_MAX: Duration = Duration::from_secs(5);

impl Runs {
    /// What the handler is to see in place of what was sent.
    ///
    /// # Errors
    /// The problem for the caller: a transform refused it, or broke, or there is no room.
    ///
    /// # Cancel safety
    /// Dropping it stops the guest: nothing was accepted yet.
    pub(crate) async fn transform_request(
        &self,
        asked: Asked<'_>,
        active: &ActiveApi,
    ) -> Result<RequestInput, Problem> {
        let needs = &self.needs;
        let weights = active.transforms.request.iter().map(|named| named.transform.weight());
        let place = self.transforms.acquire(&active.owner, weights.max().unwrap_or(1));
        let _place = tokio::time::timeout(PLACE_WAIT_MAX, place).await.map_err(|_| {
            let detail = "This owner's APIs have as many calls before them as they may have. Nothing was accepted; send it again.";
            Problem::new(Kind::Overloaded, detail).retry_after(Duration::from_secs(1))
        })?;
        let request = asked.request(&needs.keyring, &active.name, asked.expires_at);
        let now_ms = u64::try_from(asked.created_at.as_millis()).unwrap_or(0);
        let id = request.id.clone();
        let of = Of { id: &id, owner: active.name.owner.as_str(), seed: needs.keyring.seed(asked.id), now_ms };
        let chained = transforms::request(&needs.runtime, &of, &active.transforms, request).await;
        let Chained { outcome, usage, logs, logs_dropped } = chained;
        for line in &logs {
            tracing::debug!(request.id = id, api = %active.name, level = line.level.as_str(), "{}", line.message);
        }
        let label = match &outcome {
            Ok(_) => "answered",
            Err(stopped) if stopped.is_broken() => "transform-failed",
            Err(stopped) if stopped.is_hosts() => "host-failed",
            Err(_) => "refused",
        };
        needs.metrics.request_transforms.get_or_create(&Outcome { outcome: label }).inc();
        needs.metrics.of_api(&active.name).add_transforms(&usage);
        match outcome {
            Ok(Request { method, path, query, headers, body, attributes, .. }) => {
                // Those that break count, and so do these: a call that is refused for nothing is cheap to repeat.
                needs.plugins.ran(active.digest, &active.name, Ran::Answered);
                Ok(RequestInput { method, path, query, headers, body, attributes })
            }
            Err(stopped) => {
                if stopped.is_broken() {
                    let (revision, error, said) = (active.digest.short(), stopped.sentence(), last_message(&logs));
                    tracing::warn!(request.id = id, api = %active.name, revision, error, said, "A request could not be transformed");
                    needs.plugins.ran(active.digest, &active.name, Ran::Broke);
                    let run = receipt(asked.attempt, asked.created_at, label, &usage);
                    let run = RunReceipt { lines: log_lines(&logs, logs_dropped), ..run };
                    self.unstored.keep(BrokenRun { id: asked.id, api: active.name.clone(), run });
                }
                let (is_broken, id) = (stopped.is_broken(), asked.id.to_string());
                let problem = stopped.problem(&active.name, "Nothing was accepted and nothing was held.");
                Err(if is_broken { problem.with("requestId", id) } else { problem })
            }
        }
    }
}
