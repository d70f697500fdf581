//! Delivery of webhooks: claim, sign, send, record. At least once, with a stable `webhook-id`.
//!
//! The payload was made and frozen with the delivery's row; an attempt only signs it anew. A first attempt comes
//! straight from the run that ended the request, later ones and those after a crash from the sweep (`reconcile`).

mod secrets;
mod send;

pub use secrets::Secrets;

use crate::config;
use crate::egress::EgressClient;
use crate::keyring;
use crate::telemetry::metrics::{Class, Metrics};
use ripost_domain::address::UrlPolicy;
use ripost_domain::delivery::{Jitter, Next, RetryPolicy, after_attempt};
use ripost_domain::time::Clock;
use ripost_store::{ClaimedDelivery, Record, Store, StoreError, WriteError, failpoint};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What sending needs of the rest of the host.
pub struct Needs {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// The way out.
    pub egress: Arc<EgressClient>,
    /// Consumers' webhook secrets.
    pub secrets: Secrets,
    /// Numbers.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who owns the tasks.
    pub tasks: TaskTracker,
    /// Cancelled when the host stops.
    pub stopping: CancellationToken,
}

/// The sender.
pub struct Sender {
    needs: Needs,
    policy: RetryPolicy,
    url_policy: UrlPolicy,
    deadline: Duration,
    slots: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    bytes_max: usize,
    waiting_in_store: AtomicBool,
    wake: Notify,
}

/// Room for one attempt.
pub struct Slot {
    _slot: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Sender {
    /// Nothing is sent yet.
    #[must_use]
    pub fn new(config: &config::Delivery, policy: RetryPolicy, url_policy: UrlPolicy, needs: Needs) -> Arc<Self> {
        Arc::new(Self {
            policy,
            url_policy,
            deadline: config.deadline,
            slots: Arc::new(Semaphore::new(config.in_flight as usize)),
            bytes: Arc::new(Semaphore::new(config.in_flight_bytes)),
            bytes_max: config.in_flight_bytes,
            // The process before may have left some.
            waiting_in_store: AtomicBool::new(true),
            wake: Notify::new(),
            needs,
        })
    }

    /// Room for one attempt with a payload of so many bytes; `None`: it has to wait in the store.
    #[must_use]
    pub fn reserve(&self, payload_bytes: usize) -> Option<Slot> {
        let permits = u32::try_from(payload_bytes.clamp(1, self.bytes_max)).unwrap_or(u32::MAX);
        // While the host stops, too: what ended within the grace period is sent within it.
        let slot = self
            .slots
            .clone()
            .try_acquire_owned()
            .and_then(|slot| Ok(Slot { _slot: slot, _bytes: self.bytes.clone().try_acquire_many_owned(permits)? }))
            .ok();
        if slot.is_none() {
            self.waiting_in_store.store(true, Ordering::Release);
        }
        slot
    }

    /// How many more attempts fit now.
    #[must_use]
    pub fn room(&self) -> (u32, usize) {
        if self.needs.stopping.is_cancelled() {
            return (0, 0);
        }
        (u32::try_from(self.slots.available_permits()).unwrap_or(u32::MAX), self.bytes.available_permits())
    }

    /// Makes one attempt in a task of its own; it has been counted already.
    pub fn start(self: &Arc<Self>, slot: Slot, claimed: ClaimedDelivery) {
        let sender = self.clone();
        self.needs.tasks.spawn(async move {
            sender.attempt(claimed).await;
            drop(slot);
            if sender.waiting_in_store.load(Ordering::Acquire) {
                sender.wake.notify_one();
            }
        });
    }

    /// Something may be due: the sweep looks.
    pub fn wake(&self) {
        self.waiting_in_store.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(crate) fn store_is_drained(&self) {
        self.waiting_in_store.store(false, Ordering::Release);
    }

    async fn attempt(&self, claimed: ClaimedDelivery) {
        let needs = &self.needs;
        let started_at = needs.clock.now();
        failpoint::hit("delivery.before_send");
        let attempted = self.send(&claimed, started_at).await;
        failpoint::hit("delivery.after_send");
        let ended_at = needs.clock.now();
        let [byte] = keyring::random();
        let next = after_attempt(&self.policy, claimed.attempt, attempted.outcome, ended_at, Jitter::from_random(byte));
        let class = attempted.error_class.clone().unwrap_or_else(|| "delivered".to_owned());
        let duration_ms = u32::try_from(ended_at.since(started_at).as_millis()).unwrap_or(u32::MAX);
        match &attempted.error_class {
            None => {
                tracing::debug!(delivery.id = %claimed.id, request.id = %claimed.request_id, attempt = claimed.attempt, status = attempted.status, duration_ms, "Delivered")
            }
            Some(class) => tracing::info!(
                delivery.id = %claimed.id, request.id = %claimed.request_id, attempt = claimed.attempt, status = attempted.status,
                class, detail = attempted.error_detail, next = next.state().as_str(), duration_ms, "An attempt failed"
            ),
        }
        if next == Next::Delivered {
            let accepted_at = claimed.request_id.made_at();
            needs.metrics.delivered_seconds.observe(ended_at.since(accepted_at).as_secs_f64());
        }
        needs.metrics.attempts.get_or_create(&Class { class }).inc();
        let record = Record {
            id: claimed.id,
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
        };
        self.record(record).await;
        if let Next::RetryAt(_) = next {
            self.wake();
        }
    }

    /// An attempt that cannot be recorded is made again after the next start: at least once.
    async fn record(&self, record: Record) {
        let id = record.id;
        for wait_ms in [50, 200, 1000, 5000] {
            match self.needs.store.record(record.clone()).await {
                Ok(()) | Err(WriteError::Fenced | WriteError::Store(StoreError::Closed)) => return,
                Err(WriteError::Store(error)) => {
                    tracing::error!(delivery.id = %id, %error, "An attempt could not be recorded");
                    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                }
            }
        }
    }
}
