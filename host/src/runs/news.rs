//! Webhooks about a run that has not ended: `started`, durable, and `progress`, which the next one replaces.

use super::Runs;
use crate::delivery::payload::{Material, first_attempt};
use crate::gateway::view::{Head, Outcome, SettlementView};
use crate::live::{Entry, Progress};
use crate::plugins::ActiveApi;
use ripost_domain::event::Event;
use ripost_domain::request::State;
use ripost_domain::time::Timestamp;
use ripost_store::{ClaimedRun, Lease, NewDelivery};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Between two webhooks with the progress of one request.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

impl Runs {
    /// Once for a request, however often it is run.
    pub(super) async fn tell_of_start(&self, claimed: &ClaimedRun, active: &ActiveApi) {
        let Some(url) = claimed.webhook_url.as_deref().filter(|_| claimed.wants.started) else { return };
        let now = self.needs.clock.now();
        let made = self.news(claimed, active, url, Event::Started, None, now).await;
        let could_be_made = made.unmade.is_none();
        let ticket = self.needs.sender.reserve_for(&made);
        let lease = if ticket.is_some() { Lease::ThisProcess } else { Lease::Nobody };
        let delivery = NewDelivery { lease, ..made };
        let attempt = first_attempt(claimed, &delivery);
        match self.needs.store.add_delivery(claimed.id, delivery).await {
            Ok(true) => self.needs.sender.hand_over(ticket, Some(attempt), could_be_made),
            // An earlier run has told it.
            Ok(false) => {}
            Err(error) => tracing::warn!(request.id = %claimed.id, %error, "That a request has started is not told"),
        }
    }

    /// Until the guard is dropped, or the host stops.
    pub(super) fn tell_of_progress(
        self: &Arc<Self>,
        claimed: &ClaimedRun,
        active: &Arc<ActiveApi>,
        entry: &Arc<Entry>,
    ) -> Option<DropGuard> {
        let url = claimed.webhook_url.clone().filter(|_| claimed.wants.progress)?;
        let (this, entry, active) = (self.clone(), entry.clone(), active.clone());
        let claimed = claimed.clone();
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        self.needs.tasks.spawn(async move {
            let mut told = None;
            let over = async || {
                tokio::select! {
                    () = ended.cancelled() => {}
                    () = this.needs.stopping.cancelled() => {}
                }
            };
            while tokio::time::timeout(PROGRESS_EVERY, over()).await.is_err() {
                let progress = entry.progress();
                if progress.is_some() && progress != told {
                    told.clone_from(&progress);
                    let made =
                        this.news(&claimed, &active, &url, Event::Progress, progress, this.needs.clock.now()).await;
                    // The next one may be made better; of this one nothing is kept.
                    if made.unmade.is_none() {
                        this.needs.sender.send_once(first_attempt(&claimed, &made));
                    }
                }
            }
        });
        Some(guard)
    }

    async fn news(
        &self,
        claimed: &ClaimedRun,
        active: &ActiveApi,
        url: &str,
        event: Event,
        progress: Option<Progress>,
        now: Timestamp,
    ) -> NewDelivery {
        let head = Head {
            id: claimed.id,
            status: State::Running,
            api: &claimed.api,
            created_at: claimed.created_at,
            expires_at: claimed.expires_at,
            finished_at: None,
            attempts: claimed.attempt.saturating_sub(1),
            next_attempt_at: None,
            settlement: SettlementView::open(claimed.split),
            has_webhook: true,
            result_url: &String::new,
        };
        let outcome = Outcome::none();
        let form = active.spec.payload;
        let material = Material { form, event, base: &self.needs.base, head, outcome, progress, url, answer: None };
        self.needs.sender.delivery(claimed, Some(active), material, now).await
    }
}
