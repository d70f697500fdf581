//! One run: find the revision, take the permits, call the handler, act on the decision.

use super::Runs;
use super::capture;
use super::decide::{self, By, Context, Decision};
use super::finish::Brought;
use super::insist::{Insist, Written};
use super::journal::RunJournal;
use crate::keyring::Keyring;
use crate::live::Entry;
use crate::plugins::{ActiveApi, PluginError, Ran, Target};
use crate::replay;
use crate::telemetry::metrics::Outcome;
use crate::transforms::{self, Chained, Of, Stopped};
use bytes::Bytes;
use futures_util::FutureExt as _;
use ripost_domain::api::ApiName;
use ripost_domain::id::{ConsumerId, RequestId};
use ripost_domain::money::Amount;
use ripost_domain::request::State;
use ripost_domain::time::Timestamp;
use ripost_runtime::{
    Call, Entries, Handler, Journal, Limits, LogLine, ProgressSink, Request, Response, Run, RunOutcome, Usage,
    last_message,
};
use ripost_store::{ClaimedRun, RequestInput, RunAgain, RunReceipt, StoreError, failpoint};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

/// A request, as a run needs it.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) id: RequestId,
    pub(crate) consumer: ConsumerId,
    pub(crate) attempt: u32,
    pub(crate) input: &'a RequestInput,
    /// When it was accepted.
    pub(crate) created_at: Timestamp,
    /// Its deadline, as people are told.
    pub(crate) expires_at: Timestamp,
    /// No run goes on after this, by the even clock.
    pub(crate) until: Timestamp,
}

impl Asked<'_> {
    /// What a guest is given.
    pub(crate) fn request(&self, keyring: &Keyring, api: &ApiName, deadline: Timestamp) -> Request {
        let Self { id, consumer, attempt, input, .. } = *self;
        let owner = api.owner.as_str();
        Request {
            id: id.to_string(),
            owner: owner.to_owned(),
            api: api.slug.as_str().to_owned(),
            consumer: keyring.opaque_consumer(owner, consumer),
            attempt,
            method: input.method.clone(),
            path: input.path.clone(),
            query: input.query.clone(),
            headers: input.headers.clone(),
            body: input.body.clone(),
            deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(0),
            attributes: input.attributes.clone(),
        }
    }
}

/// What a run is given of those before it, and where it leaves something for the next. Nothing: nothing of it is kept.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) journal: Option<Arc<RunJournal>>,
    pub(super) past: Option<Arc<Entries>>,
}

/// What a run came to.
pub(super) struct Handled {
    pub(super) decision: Decision,
    /// What it was told and has not written down.
    pub(super) tape: Option<Bytes>,
    /// How the outcome is called.
    pub(super) label: &'static str,
    pub(super) usage: Usage,
    pub(super) logs: Vec<LogLine>,
    pub(super) logs_dropped: u64,
}

/// A run with its response transforms.
pub(super) struct Answered {
    /// The handler's outcome, transformed; or which transform kept it from being one.
    pub(super) outcome: Result<RunOutcome, Stopped>,
    /// What it was told and has not written down.
    pub(super) tape: Option<Bytes>,
    pub(super) usage: Usage,
    pub(super) logs: Vec<LogLine>,
    pub(super) logs_dropped: u64,
}

impl Runs {
    /// Runs a request; if we break down ourselves, it is put back and the run counts: what breaks us each time ends as
    /// lost, and not with the next start.
    pub(super) async fn run_whatever_happens(self: &Arc<Self>, claimed: ClaimedRun, entry: Arc<Entry>) {
        let (id, epoch, attempt) = (claimed.id, claimed.epoch, claimed.attempt);
        let begun = self.needs.clock.now();
        // Whatever is half done is in the store, and fenced; what is in memory are counts and permits, which unwind.
        let run = AssertUnwindSafe(self.run_to_the_end(claimed, entry.clone())).catch_unwind();
        if run.await.is_ok() {
            return;
        }
        let now = self.needs.clock.now();
        tracing::error!(request.id = %id, attempt, "A run broke down inside the host; the request is put back");
        self.needs.metrics.runs.get_or_create(&Outcome { outcome: BROKE_DOWN }).inc();
        let usage = Usage { wall: now.since(begun), ..Usage::default() };
        let run = Some(receipt(attempt, begun, BROKE_DOWN, &usage));
        let run_at = self.needs.clock.steady().after(BROKE_DOWN_WAIT);
        let again = RunAgain { id, epoch, run_at, counted: true, refused: false, run };
        self.put_back_now(id, again).await;
    }

    async fn run_to_the_end(self: &Arc<Self>, claimed: ClaimedRun, entry: Arc<Entry>) {
        let needs = &self.needs;
        let bound = match self.is_bound(&claimed).await {
            Ok(bound) => bound,
            Err(error) => return self.put_back_unread(&claimed, &error).await,
        };
        let revision = || self.revision(&claimed, bound);
        let active = match revision().await {
            Ok(active) => active,
            Err(error) => return self.finish_without_a_run(claimed, &error, &entry).await,
        };
        if claimed.attempt > active.spec.max_attempts.saturating_add(self.config.crashes_max) {
            let end = decide::lost(claimed.attempt - 1);
            self.finish(claimed, State::Running, end, None, &entry, Some(&active)).await;
            return;
        }
        // The API's permit first: a request that waits for its own API must not keep an instance from another's.
        let permits = async {
            let api = active.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
            let place = match &active.target {
                Target::Handler(handler) => self.instances.acquire(&active.owner, handler.weight()).await,
                Target::Upstream { .. } => self.exchanges.acquire(&active.owner, 1).await,
            };
            (api, place)
        };
        let _permits = tokio::select! {
            biased;
            () = needs.stopping.cancelled() => return self.put_back_unbegun(&claimed).await,
            () = entry.cancelled() => return,
            permits = permits => permits,
        };
        // Its revision may have been put aside, or its plugin stopped, while it waited for its turn.
        let active = match needs.plugins.is_out_of_service(active.digest) {
            false => active,
            true => match revision().await {
                Ok(active) => active,
                Err(error) => return self.finish_without_a_run(claimed, &error, &entry).await,
            },
        };
        if needs.clock.steady() >= claimed.deadline {
            self.finish(claimed, State::Running, decide::expired(), None, &entry, Some(&active)).await;
            return;
        }
        let past = match self.past(&claimed).await {
            Ok(past) => past,
            Err(error) => return self.put_back_unread(&claimed, &error).await,
        };
        let now = needs.clock.now();
        if !entry.start(now).await {
            return;
        }
        // Kept until what came of the run is written: a crash before that counts it.
        let _begun = match needs.store.begin(claimed.id, claimed.epoch) {
            Ok(begun) => begun,
            Err(error) => return self.put_back_unread(&claimed, &error).await,
        };
        self.tell_of_start(&claimed, &active).await;
        let _progress = self.tell_of_progress(&claimed, &active, &entry);
        failpoint::hit("run.before_handler");
        let asked = Asked {
            id: claimed.id,
            consumer: claimed.consumer,
            attempt: claimed.attempt,
            input: &claimed.input,
            created_at: claimed.created_at,
            expires_at: claimed.expires_at,
            until: claimed.deadline,
        };
        let journal = self.journal(&claimed, active.digest);
        let in_flight = needs.metrics.run_in_flight();
        let run = async {
            match &active.target {
                Target::Handler(handler) => {
                    let kept = Kept { journal: Some(journal.clone()), past };
                    let answered = self.answer(asked, &active, handler, entry.clone(), kept).await;
                    self.handled(&claimed, &active, answered)
                }
                Target::Upstream { upstream, reach } => self.forward(&claimed, asked, &active, upstream, *reach).await,
            }
        };
        let handled = tokio::select! {
            handled = run => Ok(handled),
            () = cancelled_for_good(&entry) => Err(CANCELLED),
            () = journal.lost() => Err(FENCED),
        };
        drop(in_flight);
        let Handled { decision, tape, label, usage, logs, logs_dropped } = match handled {
            Ok(handled) => handled,
            Err(outcome) => {
                tracing::info!(request.id = %claimed.id, api = %claimed.api, attempt = claimed.attempt, outcome, "Stopped a run");
                needs.metrics.runs.get_or_create(&Outcome { outcome }).inc();
                return;
            }
        };
        failpoint::hit("run.after_handler");
        let receipt = || RunReceipt {
            lines: decide::log_lines(&logs, logs_dropped),
            ..receipt(claimed.attempt, now, label, &usage)
        };
        let again = again(&claimed, needs.clock.steady());
        match decision {
            Decision::PutBack(run_at) => {
                self.put_back(&claimed, RunAgain { run_at, counted: false, ..again }).await;
            }
            Decision::RunAgain(run_at) => {
                self.put_back(&claimed, RunAgain { run_at, run: Some(receipt()), ..again }).await;
            }
            Decision::RunAnew(run_at) => {
                self.put_back(&claimed, RunAgain { run_at, refused: true, run: Some(receipt()), ..again }).await;
            }
            Decision::Await => self.wait_for_callback(&claimed, receipt()).await,
            Decision::End(end) => {
                let by = Brought { run: Some(receipt()), tape, callback: None, insist: Insist::UntilWritten };
                self.finish_by(claimed, State::Running, end, by, &entry, Some(&active)).await;
            }
        }
    }

    /// What answers a request: as rollbacks have left it, unless a committed step binds it to its own revision.
    async fn revision(&self, claimed: &ClaimedRun, bound: bool) -> Result<Arc<ActiveApi>, PluginError> {
        let plugins = &self.needs.plugins;
        match bound {
            true => plugins.api_bound(claimed.digest, &claimed.api).await,
            false => plugins.api_at(claimed.digest, &claimed.api).await,
        }
    }

    /// Without what the runs before have left, or without a note that this one begins, none may begin.
    async fn put_back_unread(&self, claimed: &ClaimedRun, error: &StoreError) {
        tracing::error!(request.id = %claimed.id, %error, "The store failed before a run could begin; it is tried again");
        let run_at = decide::put_back_until(put_back(claimed), self.needs.clock.steady(), claimed.deadline);
        self.put_back(claimed, RunAgain { counted: false, ..again(claimed, run_at) }).await;
    }

    /// The host stops before the run has its turn: the request is whoever's comes next.
    pub(super) async fn put_back_unbegun(&self, claimed: &ClaimedRun) {
        let again = again(claimed, self.needs.clock.steady());
        self.put_back_now(claimed.id, RunAgain { counted: false, ..again }).await;
    }

    /// What answers it cannot be made ready at the moment, through no fault of its own.
    async fn put_back_unready(&self, claimed: &ClaimedRun, error: &PluginError) {
        tracing::warn!(request.id = %claimed.id, %error, "A revision cannot be run now; its request is put back");
        let run_at = decide::put_back_until(put_back(claimed), self.needs.clock.steady(), claimed.deadline);
        self.put_back(claimed, RunAgain { counted: false, ..again(claimed, run_at) }).await;
    }

    /// What follows what a handler did.
    fn handled(&self, claimed: &ClaimedRun, active: &ActiveApi, answered: Answered) -> Handled {
        let Answered { outcome, tape, usage, mut logs, logs_dropped } = answered;
        let label = self.count(active, &outcome, &usage);
        if let Some(line) = uncapturable(&outcome, claimed.split.price) {
            logs.push(line);
        }
        if let Some(error) = broken(&outcome) {
            let said = last_message(&logs);
            tracing::warn!(request.id = %claimed.id, api = %claimed.api, revision = %claimed.digest.short(), attempt = claimed.attempt, error, said, "A run gave no answer");
        }
        let decision = decide::decide(outcome, &self.context(claimed, active, By::Handler));
        Handled { decision, tape, label, usage, logs, logs_dropped }
    }

    pub(super) fn context<'a>(&self, claimed: &'a ClaimedRun, active: &ActiveApi, by: By) -> Context<'a> {
        Context {
            id: claimed.id,
            api: &claimed.api,
            price: claimed.split.price,
            by,
            attempt: claimed.attempt,
            max_attempts: active.spec.max_attempts,
            put_back: put_back(claimed),
            deadline: claimed.deadline,
            now: self.needs.clock.steady(),
        }
    }

    /// Ends a request whose revision is not to be run, or cannot be.
    async fn finish_without_a_run(&self, claimed: ClaimedRun, error: &PluginError, entry: &Arc<Entry>) {
        let end = match error {
            PluginError::NotNow { .. } => return self.put_back_unready(&claimed, error).await,
            PluginError::Stopped(_) => decide::stopped(),
            error => {
                let (id, api, revision) = (claimed.id, &claimed.api, claimed.digest.short());
                tracing::error!(request.id = %id, %api, revision, %error, "A revision cannot be run");
                decide::unavailable()
            }
        };
        let active = self.what_tells(&claimed).await;
        self.finish(claimed, State::Running, end, None, entry, active.as_deref()).await;
    }

    /// Calls the handler and transforms what it answers.
    ///
    /// # Cancel safety
    /// Dropping it stops the guest.
    pub(super) async fn answer(
        &self,
        asked: Asked<'_>,
        active: &ActiveApi,
        handler: &Handler,
        progress: Arc<dyn ProgressSink>,
        kept: Kept,
    ) -> Answered {
        let runtime = &self.needs.runtime;
        let call = self.call(asked, active, progress, kept);
        let seen = (!active.transforms.response.is_empty()).then(|| call.request.clone());
        let Run { outcome, usage, mut logs, logs_dropped, remains } = runtime.run(handler, call).await;
        let tape = replay::write_tape(remains.as_ref());
        if let Err(error) = &outcome
            && error.is_owners()
        {
            logs.push(LogLine::of_host(error.to_string()));
        }
        let (request, response) = match (seen, outcome) {
            (Some(request), Ok(Ok(response))) => (request, response),
            (_, outcome) => return Answered { outcome: Ok(outcome), tape, usage, logs, logs_dropped },
        };
        let chained = self.transform_answer(asked, active, &request, response).await;
        let Chained { outcome, usage: of_chain, logs: of_transforms, logs_dropped: more_dropped } = chained;
        logs.extend(of_transforms);
        Answered {
            outcome: outcome.map(|response| Ok(Ok(response))),
            tape,
            usage: transforms::sum(&usage, &of_chain),
            logs,
            logs_dropped: logs_dropped + more_dropped,
        }
    }

    /// What the response transforms make of an answer.
    pub(super) async fn transform_answer(
        &self,
        asked: Asked<'_>,
        active: &ActiveApi,
        request: &Request,
        response: Response,
    ) -> Chained<Response> {
        let now_ms = u64::try_from(asked.created_at.as_millis()).unwrap_or(0);
        let seed = self.needs.keyring.seed(asked.id);
        let of = Of { id: &request.id, owner: active.name.owner.as_str(), seed, now_ms };
        transforms::response(&self.needs.runtime, &of, &active.transforms, request, response).await
    }

    /// Adds a run to the metrics, and to what is known of its revision; how its outcome is called.
    pub(super) fn count(
        &self,
        active: &ActiveApi,
        outcome: &Result<RunOutcome, Stopped>,
        usage: &Usage,
    ) -> &'static str {
        let metrics = &self.needs.metrics;
        metrics.run_seconds.observe(usage.wall.as_secs_f64());
        let (label, stopped) = match outcome {
            Ok(Ok(Ok(_))) => ("answered", false),
            Ok(Ok(Err(_))) => ("refused", false),
            Ok(Err(error)) => (error.kind(), true),
            Err(stopped) if stopped.is_hosts() => ("host-failed", true),
            Err(_) => ("transform-failed", true),
        };
        metrics.runs.get_or_create(&Outcome { outcome: label }).inc();
        metrics.of_api(&active.name).add(usage, stopped);
        let ran = match outcome {
            Ok(Ok(_)) => Some(Ran::Answered),
            Ok(Err(error)) => error.is_owners().then_some(Ran::Broke),
            Err(stopped) if stopped.is_hosts() => None,
            Err(stopped) => Some(if stopped.is_broken() { Ran::Broke } else { Ran::Answered }),
        };
        if let Some(ran) = ran {
            self.needs.plugins.ran(active.digest, &active.name, ran);
        }
        label
    }

    /// What the sandbox is given for one run.
    fn call(&self, asked: Asked<'_>, active: &ActiveApi, progress: Arc<dyn ProgressSink>, kept: Kept) -> Call {
        let Kept { journal, past } = kept;
        let Asked { id, until, .. } = asked;
        let now = self.needs.clock.now();
        let limits = &active.limits;
        let wall = limits.wall.min(until.since(self.needs.clock.steady()));
        let limits =
            if wall == limits.wall { limits.clone() } else { Arc::new(Limits { wall, ..Limits::clone(limits) }) };
        let clock = self.needs.clock.clone();
        Call {
            request: asked.request(&self.needs.keyring, &active.name, now.after(wall)),
            limits,
            config: active.config.clone(),
            // The same over all runs of a request, so that a run can be replayed.
            seed: self.needs.keyring.seed(id),
            now: Arc::new(move || u64::try_from(clock.now().as_millis()).unwrap_or(0)),
            progress,
            grants: active.grants.clone(),
            journal: journal.map(|journal| journal as Arc<dyn Journal>),
            past,
        }
    }

    async fn put_back(&self, claimed: &ClaimedRun, again: RunAgain) {
        let (run_at, counted) = (again.run_at, again.counted);
        if self.put_back_now(claimed.id, again).await {
            tracing::info!(request.id = %claimed.id, api = %claimed.api, attempt = claimed.attempt, counted, %run_at, "The request will be run again");
        }
    }

    /// Whether it is; if not, it has ended, or the next start finds it.
    async fn put_back_now(&self, id: RequestId, again: RunAgain) -> bool {
        let write = || self.needs.store.run_again(again.clone());
        let written = self.insist(id, Insist::UntilWritten, write).await == Written::Yes;
        if written {
            self.one_waits();
            if let Some(entry) = self.needs.live.get(id) {
                entry.rest();
            }
            self.wake();
        }
        written
    }
}

/// Another run of a request, that counts and leaves nothing.
const fn again(claimed: &ClaimedRun, run_at: Timestamp) -> RunAgain {
    RunAgain { id: claimed.id, epoch: claimed.epoch, run_at, counted: true, refused: false, run: None }
}

/// How a run is called that we broke down in, and how long its request rests.
const BROKE_DOWN: &str = "host-failed";
const BROKE_DOWN_WAIT: Duration = Duration::from_secs(1);

/// How a run that was stopped is called.
pub(super) const CANCELLED: &str = "cancelled";
/// The same of one that was stopped because its request is another run's, or has ended.
const FENCED: &str = "fenced";

/// A guest that asks is told first, and then has this long to leave things as it wants them.
const CANCEL_GRACE: Duration = Duration::from_millis(100);

/// Waits until the request of a run was cancelled and its guest has had its time.
async fn cancelled_for_good(entry: &Entry) {
    entry.cancelled().await;
    tokio::time::sleep(CANCEL_GRACE).await;
}

/// How often a request was put back because of us: each claim has an epoch of its own; only what counts has an attempt.
fn put_back(claimed: &ClaimedRun) -> u32 {
    claimed.epoch.saturating_sub(claimed.attempt)
}

/// Why a run gave no answer, if it gave none.
pub(super) fn broken(outcome: &Result<RunOutcome, Stopped>) -> Option<String> {
    match outcome {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(stopped) => Some(stopped.sentence()),
    }
}

/// For the owner, in the log of the run: its answer asks for what cannot be captured.
pub(super) fn uncapturable(outcome: &Result<RunOutcome, Stopped>, price: Amount) -> Option<LogLine> {
    let Ok(Ok(Ok(response))) = outcome else { return None };
    misasked(response, price)
}

/// The same of an answer.
pub(super) fn misasked(response: &Response, price: Amount) -> Option<LogLine> {
    let error = capture::asked(response, price).err()?;
    Some(LogLine::of_host(error.to_string()))
}

/// What a run used, without its log.
pub(super) fn receipt(attempt: u32, started_at: Timestamp, outcome: &str, usage: &Usage) -> RunReceipt {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    RunReceipt {
        attempt,
        started_at,
        outcome: outcome.to_owned(),
        cpu_us: micros(usage.cpu),
        wall_us: micros(usage.wall),
        memory_bytes: usage.memory_bytes_peak as u64,
        host_calls: usage.host_calls,
        outbound_calls: usage.outbound_calls,
        outbound_bytes: usage.outbound_bytes,
        log_bytes: usage.log_bytes,
        lines: Bytes::new(),
    }
}
