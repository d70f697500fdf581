//! One attempt from its turn to its record.

use super::facts::{self, Facts, Logged};
use super::lanes::Verdict;
use super::{Alert, Sender, endpoint_of, jitter, unlogged};
use crate::gateway::view::public_class;
use crate::telemetry::metrics::Class;
use bytes::Bytes;
use ripost_domain::delivery::{Next, Outcome, Reason, RetryPolicy, State, after_attempt};
use ripost_domain::event::Event;
use ripost_domain::time::Timestamp;
use ripost_store::{ClaimedDelivery, Record, failpoint};

/// What came of an attempt.
pub(super) struct Attempted {
    pub(super) outcome: Outcome,
    pub(super) status: Option<u16>,
    pub(super) error_class: Option<String>,
    pub(super) error_detail: Option<String>,
    pub(super) excerpt: Bytes,
    pub(super) counted: bool,
    pub(super) facts: Facts,
}

/// An attempt whose exchange is over and that is not recorded yet.
pub(super) struct Concluding {
    claimed: ClaimedDelivery,
    /// `None`: it was not made, because the URL wants no more.
    attempted: Option<Attempted>,
    started_at: Timestamp,
    ended_at: Timestamp,
}

impl Sender {
    /// The exchange. Its lane is free again when this returns; [`Sender::conclude`] waits for a commit, and that is no
    /// reason to keep an endpoint waiting.
    pub(super) async fn attempt(&self, claimed: ClaimedDelivery) -> (Verdict, Concluding) {
        let needs = &self.needs;
        let (started_at, begun) = (needs.clock.now(), self.steady());
        if needs.disabled.has(claimed.consumer, &claimed.url) {
            // It came to be disabled while this one waited.
            return (Verdict::None, Concluding { claimed, attempted: None, started_at, ended_at: started_at });
        }
        failpoint::hit("delivery.before_send");
        let attempted = self.send(&claimed, started_at).await;
        failpoint::hit("delivery.after_send");
        // Measured by the steady clock: the other may be set meanwhile.
        let ended_at = started_at.after(self.steady().since(begun));
        let verdict = Verdict::of(attempted.outcome);
        (verdict, Concluding { claimed, attempted: Some(attempted), started_at, ended_at })
    }

    /// Decides what follows, writes it down and says so.
    pub(super) async fn conclude(&self, concluding: Concluding) {
        let needs = &self.needs;
        let Concluding { claimed, attempted, started_at, ended_at } = concluding;
        if claimed.event == Event::Progress {
            // Not in the store: the next one says more.
            return;
        }
        let (consumer, id, request) = (claimed.consumer, claimed.id, claimed.request_id);
        let Some(attempted) = attempted else {
            let reason = Reason::Disabled.as_str();
            self.record(unlogged(&claimed, started_at, Next::Abandoned, Some(reason))).await;
            return self.undeliverable(id, request, consumer, &claimed.url, State::Abandoned.as_str(), reason);
        };
        let own = claimed.retry.waits.clone().and_then(|waits| RetryPolicy::new(waits).ok());
        let policy = own.as_ref().unwrap_or(&self.policy);
        let attempts = claimed.attempt.saturating_sub(claimed.retry.base);
        let give_up_at = claimed.retry.give_up_at;
        let (next, reason) = after_attempt(policy, attempts, attempted.outcome, self.steady(), give_up_at, jitter());
        self.tell(&claimed, &attempted, next, reason, started_at, ended_at);
        let record = self.log(&claimed, attempted, next, reason, started_at, ended_at);
        if let Some(reason) = record.disable {
            // Before the store: nothing more is to go out meanwhile.
            needs.disabled.add(consumer, &claimed.url);
            needs.metrics.urls_disabled.inc();
            let endpoint = endpoint_of(&claimed.url).to_owned();
            tracing::warn!(consumer.id = %consumer, endpoint, reason, "A webhook URL was disabled at its endpoint's wish");
            needs.alerts.raise(Alert::UrlDisabled { consumer, endpoint, reason });
        }
        self.record(record).await;
        match next {
            Next::Delivered => {}
            Next::RetryAt(_) => {
                needs.news.tell(consumer);
                self.wake();
            }
            Next::Exhausted | Next::Abandoned => {
                needs.news.tell(consumer);
                let reason = reason.unwrap_or(Reason::Schedule).as_str();
                self.undeliverable(id, request, consumer, &claimed.url, next.state().as_str(), reason);
            }
        }
    }

    fn tell(
        &self,
        claimed: &ClaimedDelivery,
        attempted: &Attempted,
        next: Next,
        reason: Option<Reason>,
        started_at: Timestamp,
        ended_at: Timestamp,
    ) {
        let duration_ms = u64::try_from(ended_at.since(started_at).as_millis()).unwrap_or(u64::MAX);
        let (id, request, attempt) = (claimed.id, claimed.request_id, claimed.attempt);
        match &attempted.error_class {
            None => {
                tracing::debug!(delivery.id = %id, request.id = %request, attempt, status = attempted.status, duration_ms, "Delivered")
            }
            Some(class) => tracing::info!(
                delivery.id = %id, request.id = %request, attempt, status = attempted.status, class, detail = attempted.error_detail,
                next = next.state().as_str(), reason = reason.map(Reason::as_str), duration_ms, "An attempt failed"
            ),
        }
        if next == Next::Delivered {
            let seconds = ended_at.since(request.made_at()).as_secs_f64();
            self.needs.metrics.delivered_seconds.observe(seconds);
        }
        let class = attempted.error_class.clone().unwrap_or_else(|| "delivered".to_owned());
        self.needs.metrics.attempts.get_or_create(&Class { class }).inc();
    }

    fn log(
        &self,
        claimed: &ClaimedDelivery,
        attempted: Attempted,
        next: Next,
        reason: Option<Reason>,
        started_at: Timestamp,
        ended_at: Timestamp,
    ) -> Record {
        let duration_ms = u32::try_from(ended_at.since(started_at).as_millis()).unwrap_or(u32::MAX);
        let logged = Logged {
            url: &claimed.url,
            response: attempted.status.map(|_| &attempted.excerpt[..]),
            attempt: claimed.attempt,
            at_ms: started_at.as_millis(),
            duration_ms,
            status: attempted.status,
            // As the consumer is told it, since the log is for the consumer to check.
            error_class: attempted.error_class.as_deref().map(public_class),
        };
        let salt = facts::salt(&self.needs.keyring, claimed.id);
        let previous = claimed.chain.unwrap_or_else(|| {
            facts::genesis(claimed.webhook_id, claimed.request_id, claimed.event.subscription(), &claimed.payload)
        });
        let chain = facts::link(&previous, &salt, logged, &attempted.facts);
        let asks_to_disable =
            matches!(attempted.outcome, Outcome::Answered { wish: Some(ripost_domain::delivery::Wish::Disable), .. });
        let disable = match reason {
            Some(reason @ (Reason::Gone | Reason::Disabled)) => Some(reason.as_str()),
            // A success may be the last one that is wanted.
            _ if asks_to_disable => Some(Reason::Disabled.as_str()),
            _ => None,
        };
        Record {
            id: claimed.id,
            consumer: claimed.consumer,
            lane: claimed.lane,
            url: claimed.url.clone(),
            epoch: claimed.epoch,
            attempt: claimed.attempt,
            started_at,
            duration_ms,
            status: attempted.status,
            error_class: attempted.error_class,
            error_detail: attempted.error_detail,
            excerpt: attempted.excerpt,
            next,
            counted: attempted.counted,
            logged: true,
            reason: reason.map(Reason::as_str),
            disable,
            facts: serde_json::to_vec(&attempted.facts).unwrap_or_default().into(),
            chain,
            waited: claimed.waited,
        }
    }
}
