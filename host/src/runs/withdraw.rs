//! Upstreams are told of requests that ended without them, as well as can be: one attempt, and nothing hangs on it.

use super::Runs;
use crate::plugins::{ActiveApi, Reply, Target};
use crate::telemetry::metrics::Outcome;
use crate::upstreams::{Event, Withdrawal};
use ripost_store::ClaimedRun;

/// Upstreams being told at once, of all owners and of one. Of more nobody is told: it is a courtesy.
pub(super) const TOLD_AT_ONCE: (u32, u32) = (256, 64);

impl Runs {
    /// What an upstream would be told, before the request is handed over to its end. `None`: nobody is to be told, since
    /// a handler is stopped by the host itself, and who answers at once sees the connection close.
    pub(super) fn withdrawal(
        &self,
        claimed: &ClaimedRun,
        active: Option<&ActiveApi>,
        event: Event,
    ) -> Option<Withdrawal> {
        let active = active?;
        let Target::Upstream { upstream, reach } = &active.target else { return None };
        (upstream.reply != Reply::Inline).then(|| Withdrawal {
            event,
            id: claimed.id,
            consumer: claimed.consumer,
            callback_epoch: claimed.callback_epoch,
            traceparent: claimed.traceparent.clone(),
            api: active.name.clone(),
            owner: active.owner.clone(),
            url: upstream.url.clone(),
            reach: *reach,
            deadline: active.limits.wall,
        })
    }

    /// Tells it, in a task of `app`'s; only once the end is durable.
    pub(super) fn withdraw(&self, withdrawal: Withdrawal) {
        let metrics = self.needs.metrics.clone();
        let count = move |outcome| {
            metrics.upstream_cancels.get_or_create(&Outcome { outcome }).inc();
        };
        let (id, api) = (withdrawal.id, withdrawal.api.clone());
        let Some(place) = self.told.try_acquire(&withdrawal.owner, 1) else {
            tracing::warn!(request.id = %id, %api, "An upstream is not told that a request has ended: too many are being told");
            return count("no-room");
        };
        let (upstreams, now) = (self.needs.upstreams.clone(), self.needs.clock.now());
        let event = withdrawal.event.as_str();
        self.needs.tasks.spawn(async move {
            let told = upstreams.withdraw(withdrawal, now).await;
            drop(place);
            count(match &told {
                Ok(status) if (200..300).contains(status) => "taken",
                Ok(_) => "refused",
                Err(_) => "failed",
            });
            match told {
                Ok(status) => tracing::info!(request.id = %id, %api, event, status, "Told an upstream that a request has ended"),
                Err(error) => tracing::warn!(request.id = %id, %api, event, error, "An upstream could not be told that a request has ended"),
            }
        });
    }
}
