//! Runs of upstreams: forwarded, answered at once or awaited, and ended by whoever calls back first.

use super::decide::{self, By, Decision, End};
use super::finish::Brought;
use super::insist::{Insist, Written};
use super::run::{Asked, Handled, misasked, receipt, uncapturable};
use super::unstored::BrokenRun;
use super::{NotRun, Runs};
use crate::causes::chain;
use crate::live::Entry;
use crate::plugins::{ActiveApi, Ran, Reply, Upstream};
use crate::problem::{Kind, Problem};
use crate::telemetry::metrics::Outcome;
use crate::transforms::{self, Chained};
use crate::upstreams::{Forward, Forwarded, Later, NotAnswered, Reach, meaning};
use ripost_domain::id::RequestId;
use ripost_domain::money::Capture;
use ripost_domain::request::State;
use ripost_runtime::{Level, LogLine, Response, Usage, Writer};
use ripost_store::{Answer, AwaitCallback, Callback, ClaimedRun, PinnedRun, RunReceipt};
use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::DropGuard;

/// Requests that wait for a callback and whose progress is kept; of more it is told and forgotten.
const AWAITING_MAX: usize = 100_000;

/// A request that waits for a callback and has told its progress: what holds it in memory.
pub(super) struct Awaiting {
    _entry: Arc<Entry>,
    /// Tells webhooks of the progress.
    _telling: Option<DropGuard>,
}

/// What became of a callback with a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CalledBack {
    /// It ended the request like this.
    Ended(State),
    /// The request is not what it was when it was looked at: look again.
    Changed,
    /// A transform found no room: the same again, later.
    NoRoom,
}

impl Runs {
    /// Forwards a request, and says what follows.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection; the upstream may have had the request.
    pub(super) async fn forward(
        &self,
        claimed: &ClaimedRun,
        asked: Asked<'_>,
        active: &ActiveApi,
        upstream: &Upstream,
        reach: Reach,
    ) -> Handled {
        let begun = Instant::now();
        let epoch = (upstream.reply != Reply::Inline).then_some(claimed.callback_epoch);
        let Forwarded { result, bytes_sent, resent } = self.exchange(asked, active, upstream, reach, epoch).await;
        let mut usage = Usage { outbound_calls: 1, outbound_bytes: bytes_sent as u64, ..Usage::default() };
        usage.outbound_bytes += result.as_ref().map_or(0, |answer| answer.excerpt.len() as u64);
        let (mut logs, mut logs_dropped) = (Vec::new(), 0);
        let context = || self.context(claimed, active, By::Upstream);
        let (label, decision) = match result {
            Err(NotAnswered::Address(reason)) => ("refused", Decision::End(decide::not_forwarded(&reason))),
            Err(NotAnswered::Send(error)) => {
                let text = chain(&error);
                tracing::warn!(request.id = %claimed.id, api = %claimed.api, attempt = claimed.attempt, error = text, "An upstream gave no answer");
                logs.push(LogLine::of_host(text));
                (error.class(), decide::unanswered(&error, &context()))
            }
            Ok(answer) => match meaning(upstream.reply, &asked.input.method, answer, &active.limits) {
                Err(reason) => {
                    logs.push(LogLine::of_host(format!("the answer cannot be used: {reason}")));
                    ("unusable", Decision::End(decide::unusable(&reason)))
                }
                Ok(Err(Later)) => ("acknowledged", Decision::Await),
                Ok(Ok(response)) => {
                    let chained = self.transformed(asked, active, response).await;
                    usage = transforms::sum(&usage, &chained.usage);
                    (logs, logs_dropped) = (chained.logs, chained.logs_dropped);
                    let label = if chained.outcome.is_ok() { "answered" } else { "transform-failed" };
                    let outcome = chained.outcome.map(|response| Ok(Ok(response)));
                    logs.extend(uncapturable(&outcome, claimed.split.price));
                    (label, decide::decide(outcome, &context()))
                }
            },
        };
        if resent {
            let message = "a kept connection had ended; the request was sent again on a new one, in the same attempt";
            logs.insert(
                0,
                LogLine { by: Writer::Host, level: Level::Info, message: message.to_owned(), fields: Vec::new() },
            );
        }
        usage.wall = begun.elapsed();
        let metrics = &self.needs.metrics;
        metrics.run_seconds.observe(usage.wall.as_secs_f64());
        metrics.runs.get_or_create(&Outcome { outcome: label }).inc();
        metrics.of_api(&active.name).add(&usage, !matches!(label, "answered" | "acknowledged"));
        Handled { decision, tape: None, label, usage, logs, logs_dropped }
    }

    async fn exchange(
        &self,
        asked: Asked<'_>,
        active: &ActiveApi,
        upstream: &Upstream,
        reach: Reach,
        callback_epoch: Option<u32>,
    ) -> Forwarded {
        let now = self.needs.clock.now();
        let forward = Forward {
            asked,
            api: &active.name,
            owner: &active.owner,
            url: &upstream.url,
            reach,
            callback_epoch,
            answer_bytes_max: active.limits.response_body_bytes,
            deadline: active.limits.wall.min(asked.until.since(self.needs.clock.steady())),
            now,
        };
        self.needs.upstreams.forward(forward).await
    }

    /// The answer as it is to be stored; a transform that breaks counts against its revision.
    async fn transformed(&self, asked: Asked<'_>, active: &ActiveApi, response: Response) -> Chained<Response> {
        if active.transforms.response.is_empty() {
            return Chained { outcome: Ok(response), usage: Usage::default(), logs: Vec::new(), logs_dropped: 0 };
        }
        let request = asked.request(&self.needs.keyring, &active.name, asked.expires_at);
        let chained = self.transform_answer(asked, active, &request, response).await;
        match &chained.outcome {
            Err(stopped) if stopped.is_broken() => self.needs.plugins.ran(active.digest, &active.name, Ran::Broke),
            Err(stopped) if stopped.is_hosts() => {}
            _ => self.needs.plugins.ran(active.digest, &active.name, Ran::Answered),
        }
        chained
    }

    /// The upstream has taken it: from here on only a callback, the deadline or a cancel ends it.
    pub(super) async fn wait_for_callback(&self, claimed: &ClaimedRun, run: RunReceipt) {
        let wait = AwaitCallback { id: claimed.id, epoch: claimed.epoch, run };
        let write = || self.needs.store.await_callback(wait.clone());
        match self.insist(claimed.id, Insist::UntilWritten, write).await {
            Written::Yes => {
                tracing::info!(request.id = %claimed.id, api = %claimed.api, attempt = claimed.attempt, expires_at = %claimed.expires_at, "The upstream will call back");
                self.needs.live.moved(claimed.id);
            }
            // The callback was quicker than the acknowledgement; or the request is still leased to this process, and the
            // next start forwards it again, with the same callback URL.
            Written::Fenced | Written::Not => {}
        }
    }

    /// Ends a request with what its upstream posted. `found` is the request as it was when the callback was looked at.
    pub(crate) async fn call_back(
        &self,
        found: PinnedRun,
        active: &ActiveApi,
        answer: Answer,
        callback: Callback,
    ) -> CalledBack {
        let PinnedRun { state: from, claimed } = found;
        let entry = self.needs.live.enter(claimed.id);
        let Answer { status, headers, body } = answer;
        let response = Response { status, headers, body, attributes: Vec::new() };
        let asked = Asked {
            id: claimed.id,
            consumer: claimed.consumer,
            // One that was put back has given its attempt back too.
            attempt: claimed.attempt.max(1),
            input: &claimed.input,
            created_at: claimed.created_at,
            expires_at: claimed.expires_at,
            until: claimed.deadline,
        };
        let begun_at = self.needs.clock.now();
        let Chained { outcome, usage, logs, logs_dropped } = self.transformed(asked, active, response).await;
        if let Err(stopped) = &outcome
            && !stopped.is_hosts()
        {
            let run = receipt(asked.attempt, begun_at, "transform-failed", &usage);
            let run = RunReceipt { lines: decide::log_lines(&logs, logs_dropped), ..run };
            self.unstored.keep(BrokenRun { id: claimed.id, api: claimed.api.clone(), run });
        }
        let Some(end) = decide::called_back(outcome, &self.context(&claimed, active, By::Upstream)) else {
            return CalledBack::NoRoom;
        };
        let state = match &end {
            End::Completed(..) => State::Completed,
            End::Failed(..) => State::Failed,
            End::Expired(_) => State::Expired,
            End::Cancelled(..) => State::Cancelled,
        };
        let by = Brought { run: None, tape: None, callback: Some(callback), insist: Insist::Once };
        if self.finish_by(claimed, from, end, by, &entry, Some(active)).await {
            CalledBack::Ended(state)
        } else {
            CalledBack::Changed
        }
    }

    /// What an upstream says of its progress, for whoever asks or listens.
    pub(crate) fn called_back_progress(
        self: &Arc<Self>,
        found: &PinnedRun,
        active: &Arc<ActiveApi>,
        percent: Option<u8>,
        message: &str,
    ) {
        let PinnedRun { state, claimed } = found;
        let entry = self.needs.live.enter(claimed.id);
        entry.report(percent, message);
        // A run that goes on holds the entry itself.
        if *state != State::AwaitingCallback {
            return;
        }
        let mut awaiting = self.awaiting();
        if awaiting.len() < AWAITING_MAX && !awaiting.contains_key(&claimed.id) {
            let telling = self.tell_of_progress(claimed, active, &entry);
            awaiting.insert(claimed.id, Awaiting { _entry: entry, _telling: telling });
        }
    }

    /// It has ended.
    pub(crate) fn forget_awaiting(&self, id: RequestId) {
        // Dropped after the lock.
        let _forgotten = self.awaiting().remove(&id);
    }

    fn awaiting(&self) -> MutexGuard<'_, HashMap<RequestId, Awaiting>> {
        self.awaiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One exchange, now, for a caller who waits and for whom nothing is stored.
    ///
    /// # Cancel safety
    /// Dropping it closes the connection.
    pub(crate) async fn forward_directly(
        &self,
        asked: Asked<'_>,
        active: &ActiveApi,
        upstream: &Upstream,
        reach: Reach,
    ) -> Result<Result<(Answer, Capture), Problem>, NotRun> {
        let _slot = self.reserve_now(&active.owner, asked.input.body.len()).ok_or(NotRun::NoRoom)?;
        let turn = async {
            let api = active.permits.acquire().await.expect("the semaphore is never closed");
            (api, self.exchanges.acquire(&active.owner, 1).await)
        };
        let _permits = self.turn_of_direct(asked, turn).await?;
        let _in_flight = self.needs.metrics.run_in_flight();
        let (begun, began_at) = (Instant::now(), self.needs.clock.now());
        let Forwarded { result, bytes_sent, .. } = self.exchange(asked, active, upstream, reach, None).await;
        // What is not the caller's to read is the owner's.
        let mut logs = Vec::new();
        let mut outcome = "refused";
        let answered = match result {
            Err(NotAnswered::Address(reason)) => Err(Problem::new(
                Kind::InvalidPath,
                format!("The call cannot be sent on: {reason}. Nothing was charged."),
            )),
            Err(NotAnswered::Send(error)) => {
                let text = chain(&error);
                tracing::warn!(request.id = %asked.id, api = %active.name, error = text, "An upstream gave no answer");
                logs.push(LogLine::of_host(text));
                outcome = error.class();
                let detail = format!("The upstream gave no answer ({}). Send it again later.", error.public_class());
                Err(Problem::new(Kind::UpstreamFailed, detail).retry_after(Duration::from_secs(1)))
            }
            Ok(answer) => match meaning(upstream.reply, &asked.input.method, answer, &active.limits) {
                Ok(Ok(response)) => {
                    let chained = self.transformed(asked, active, response).await;
                    match chained.outcome {
                        Ok(response) => {
                            if let Some(line) = misasked(&response, active.spec.price) {
                                logs.push(line);
                                outcome = "unusable";
                            }
                            decide::direct_answer(response, active.spec.price, By::Upstream)
                        }
                        Err(stopped) => {
                            (logs, outcome) = (chained.logs, "transform-failed");
                            Err(stopped.problem(&active.name, "Nothing was written."))
                        }
                    }
                }
                Ok(Err(Later)) => Err(unusable("it came to nothing")),
                Err(reason) => {
                    logs.push(LogLine::of_host(format!("the answer cannot be used: {reason}")));
                    outcome = "unusable";
                    Err(unusable(&reason))
                }
            },
        };
        let usage =
            Usage { wall: begun.elapsed(), outbound_calls: 1, outbound_bytes: bytes_sent as u64, ..Usage::default() };
        if !logs.is_empty() {
            let run = receipt(asked.attempt, began_at, outcome, &usage);
            let run = RunReceipt { lines: decide::log_lines(&logs, 0), ..run };
            self.unstored.keep(BrokenRun { id: asked.id, api: active.name.clone(), run });
        }
        let label = if answered.is_ok() { "answered" } else { "refused" };
        self.needs.metrics.run_seconds.observe(usage.wall.as_secs_f64());
        self.needs.metrics.runs.get_or_create(&Outcome { outcome: label }).inc();
        self.needs.metrics.of_api(&active.name).add(&usage, answered.is_err());
        Ok(answered)
    }
}

fn unusable(reason: &str) -> Problem {
    Problem::new(Kind::ResponseInvalid, format!("The upstream's answer cannot be used: {reason}. Ask the owner."))
}
