//! The end of a request: outcome, money and webhook in one transaction; then whoever waits is told.

use super::Runs;
use super::decide::End;
use super::insist::{Insist, Written};
use crate::delivery::payload::{Material, first_attempt};
use crate::gateway::view::{self, Head, SettlementView};
use crate::live::{Ended, Entry};
use crate::plugins::ActiveApi;
use crate::telemetry::metrics::State as StateLabel;
use bytes::Bytes;
use ripost_domain::id::RequestId;
use ripost_domain::request::State;
use ripost_domain::time::Timestamp;
use ripost_store::{Answer, Callback, ClaimedRun, Ending, Finish, Lease, NewDelivery, RunReceipt};
use std::sync::Arc;

/// What brought an end.
pub(super) struct Brought {
    /// What the run used.
    pub(super) run: Option<RunReceipt>,
    /// What else it was told by the host.
    pub(super) tape: Option<Bytes>,
    /// The callback.
    pub(super) callback: Option<Callback>,
    /// Whether somebody waits for the end to be written.
    pub(super) insist: Insist,
}

impl Runs {
    /// Writes the end of a request and hands its webhook over. If another end was first, nothing happens (false).
    pub(super) async fn finish(
        &self,
        claimed: ClaimedRun,
        from: State,
        end: End,
        run: Option<RunReceipt>,
        entry: &Arc<Entry>,
        active: Option<&ActiveApi>,
    ) -> bool {
        let by = Brought { run, tape: None, callback: None, insist: Insist::UntilWritten };
        self.finish_by(claimed, from, end, by, entry, active).await
    }

    /// The same by whatever brought it.
    pub(super) async fn finish_by(
        &self,
        claimed: ClaimedRun,
        from: State,
        end: End,
        by: Brought,
        entry: &Arc<Entry>,
        active: Option<&ActiveApi>,
    ) -> bool {
        let Brought { run, tape, callback, insist } = by;
        let needs = &self.needs;
        let finished_at = needs.clock.now();
        let (ending, ended) = rows(end, &claimed);
        let state = ending.state();
        let (settlement, captured) = ending.settled(claimed.split);
        let attempts = runs_of(&claimed, from, entry);
        let delivery = match claimed.webhook_url.as_deref().filter(|_| claimed.wants.completed) {
            Some(url) => Some(self.completed(&claimed, active, url, &ending, attempts, finished_at).await),
            None => None,
        };
        let ticket = delivery.as_ref().and_then(|delivery| needs.sender.reserve_for(delivery));
        let lease = if ticket.is_some() { Lease::ThisProcess } else { Lease::Nobody };
        let finish = Finish {
            id: claimed.id,
            epoch: claimed.epoch,
            from,
            attempt: attempts,
            ending,
            finished_at,
            run,
            tape,
            callback,
            delivery: delivery.map(|delivery| NewDelivery { lease, ..delivery }),
        };
        let sent = finish.delivery.as_ref().map(|delivery| first_attempt(&claimed, delivery));
        let could_be_made = finish.delivery.as_ref().is_none_or(|delivery| delivery.unmade.is_none());
        if !self.write(finish, insist).await {
            return false;
        }
        needs.unfinished.end(claimed.consumer, &claimed.api);
        if from == State::Accepted {
            self.wait_no_more(1);
        }
        self.forget_awaiting(claimed.id);
        entry.end(ended);
        needs.metrics.finished.get_or_create(&StateLabel { state: state.as_str() }).inc();
        let duration_ms = u64::try_from(finished_at.since(claimed.created_at).as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            request.id = %claimed.id, api = %claimed.api, revision = %claimed.digest.short(), attempt = claimed.attempt,
            outcome = state.as_str(), settlement = settlement.as_str(), captured_usdc = captured.map(tracing::field::display), duration_ms, "Ended request {}", claimed.id
        );
        needs.sender.hand_over(ticket, sent, could_be_made);
        true
    }

    /// True once the end is durable.
    async fn write(&self, finish: Finish, insist: Insist) -> bool {
        let id = finish.id;
        let written = self.insist(id, insist, || self.needs.store.finish(finish.clone())).await;
        if written == Written::Fenced {
            tracing::info!(request.id = %id, "Another end was first; this one is dropped");
        }
        written == Written::Yes
    }

    async fn completed(
        &self,
        claimed: &ClaimedRun,
        active: Option<&ActiveApi>,
        url: &str,
        ending: &Ending,
        attempts: u32,
        finished_at: Timestamp,
    ) -> NewDelivery {
        let (outcome, answer) = match ending {
            Ending::Completed { answer, .. } => (view::Outcome::answer(answer), Some(answer)),
            Ending::Failed { problem, .. } | Ending::Cancelled { problem, .. } | Ending::Expired { problem } => {
                (view::Outcome::problem(problem), None)
            }
        };
        let result_url = || self.result_url(claimed.id, finished_at);
        let (settlement, captured) = ending.settled(claimed.split);
        let head = Head {
            id: claimed.id,
            status: ending.state(),
            api: &claimed.api,
            created_at: claimed.created_at,
            expires_at: claimed.expires_at,
            finished_at: Some(finished_at),
            attempts,
            next_attempt_at: None,
            settlement: SettlementView::new(settlement, claimed.split, captured),
            has_webhook: true,
            result_url: &result_url,
        };
        let material = Material {
            form: active.map(|active| active.spec.payload).unwrap_or_default(),
            event: ending.event(),
            base: &self.needs.base,
            head,
            outcome,
            // There is nothing more to come.
            progress: None,
            url,
            answer,
        };
        self.needs.sender.delivery(claimed, active, material, finished_at).await
    }

    /// A link that works without a key, for as long as the webhook may be on its way.
    pub(super) fn result_url(&self, id: RequestId, now: Timestamp) -> String {
        let until = now.after(self.needs.result_url_ttl).as_seconds();
        format!("{}/results/{}", self.needs.base, self.needs.keyring.result_token(id, until))
    }
}

/// The runs that count of a request that ends: a lease whose run has not begun is none.
fn runs_of(claimed: &ClaimedRun, from: State, entry: &Entry) -> u32 {
    claimed.attempt - u32::from(from == State::Running && !entry.has_started())
}

/// The end as it is stored, and as a waiting caller is told.
fn rows(end: End, claimed: &ClaimedRun) -> (Ending, Ended) {
    match end {
        End::Completed(answer, capture) => {
            (Ending::Completed { answer: answer.clone(), capture }, Ended::Answer(answer))
        }
        End::Failed(problem, answer) => {
            let status = problem.status();
            let problem = view::stored_problem(problem, claimed.id);
            let ended = match &answer {
                // A waiting caller gets what the owner said, if the owner said something.
                Some(answer) => Ended::Answer(Answer::clone(answer)),
                None => Ended::Problem { status, json: problem.clone() },
            };
            (Ending::Failed { problem, answer }, ended)
        }
        End::Cancelled(problem, hold) => {
            let status = problem.status();
            let problem = view::stored_problem(problem, claimed.id);
            (Ending::Cancelled { problem: problem.clone(), hold }, Ended::Problem { status, json: problem })
        }
        End::Expired(problem) => {
            let status = problem.status();
            let problem = view::stored_problem(problem, claimed.id);
            (Ending::Expired { problem: problem.clone() }, Ended::Problem { status, json: problem })
        }
    }
}
