//! Runs of handlers: a bounded queue in memory of what the store has already made durable.
//!
//! A request gets a slot before it is accepted, or none; without one it waits in the store and the sweep
//! (`reconcile`) claims it when there is room. Whoever has called may hang up: the run is a task of `app`'s.

mod decide;
mod finish;
mod news;
mod run;

use crate::config;
use crate::delivery::Sender;
use crate::keyring::Keyring;
use crate::live::{Entry, Live};
use crate::plugins::Plugins;
use crate::telemetry::metrics::Metrics;
use ripost_domain::time::Clock;
use ripost_runtime::Runtime;
use ripost_store::{ClaimedRun, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a run needs of the rest of the host.
pub struct Needs {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// Who runs components.
    pub runtime: Arc<Runtime>,
    /// Which component answers which API.
    pub plugins: Arc<Plugins>,
    /// Progress and waiters.
    pub live: Arc<Live>,
    /// Who takes the webhook over.
    pub sender: Arc<Sender>,
    /// Opaque consumer identities.
    pub keyring: Arc<Keyring>,
    /// Numbers.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What links begin with.
    pub base: Arc<str>,
    /// How long a link to a result works without a key.
    pub result_url_ttl: Duration,
    /// Who owns the tasks.
    pub tasks: TaskTracker,
    /// Cancelled when the host stops.
    pub stopping: CancellationToken,
}

/// The runner.
pub struct Runs {
    needs: Needs,
    config: config::Runs,
    slots: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    instances: Arc<Semaphore>,
    waiting_in_store: AtomicBool,
    wake: Notify,
}

/// Room for one request in memory.
pub struct Slot {
    _slot: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Runs {
    /// Nothing runs yet.
    #[must_use]
    pub fn new(config: config::Runs, needs: Needs) -> Arc<Self> {
        Arc::new(Self {
            slots: Arc::new(Semaphore::new(config.queued_max as usize)),
            bytes: Arc::new(Semaphore::new(config.queued_bytes_max)),
            instances: Arc::new(Semaphore::new(config.concurrency as usize)),
            // The process before may have left some.
            waiting_in_store: AtomicBool::new(true),
            wake: Notify::new(),
            config,
            needs,
        })
    }

    /// Room for a request with a body of so many bytes; `None`: it has to wait in the store, and is not forgotten there.
    #[must_use]
    pub fn reserve(&self, body_bytes: usize) -> Option<Slot> {
        let permits = u32::try_from(body_bytes.clamp(1, self.config.queued_bytes_max)).unwrap_or(u32::MAX);
        let closed = self.config.paused || self.needs.stopping.is_cancelled();
        let slot = (!closed)
            .then(|| {
                let slot = self.slots.clone().try_acquire_owned().ok()?;
                let bytes = self.bytes.clone().try_acquire_many_owned(permits).ok()?;
                Some(Slot { _slot: slot, _bytes: bytes })
            })
            .flatten();
        if slot.is_none() {
            self.waiting_in_store.store(true, Ordering::Release);
        }
        slot
    }

    /// How many more requests fit now.
    #[must_use]
    pub fn room(&self) -> (u32, usize) {
        if self.config.paused || self.needs.stopping.is_cancelled() {
            return (0, 0);
        }
        (u32::try_from(self.slots.available_permits()).unwrap_or(u32::MAX), self.bytes.available_permits())
    }

    /// Runs a leased request in a task of its own.
    pub fn start(self: &Arc<Self>, slot: Slot, claimed: ClaimedRun, entry: Arc<Entry>) {
        let runs = self.clone();
        self.needs.tasks.spawn(async move {
            runs.run_to_the_end(claimed, entry).await;
            drop(slot);
            if runs.waiting_in_store.load(Ordering::Acquire) {
                runs.wake.notify_one();
            }
        });
    }

    /// Ends a request that was never run.
    pub(crate) async fn expire(&self, claimed: ClaimedRun) {
        let entry = self.needs.live.enter(claimed.id);
        let from = ripost_domain::request::State::Accepted;
        let active = self.needs.plugins.api_at(claimed.digest, &claimed.api).await.ok();
        self.finish(claimed, from, decide::expired(), bytes::Bytes::new(), &entry, active.as_deref()).await;
    }

    /// Something may be due: the sweep looks.
    pub fn wake(&self) {
        self.waiting_in_store.store(true, Ordering::Release);
        // While runs are paused there is nothing to look for.
        if !self.config.paused {
            self.wake.notify_one();
        }
    }

    /// Waits until something may be due.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// The sweep has looked, and claimed all there was.
    pub(crate) fn store_is_drained(&self) {
        self.waiting_in_store.store(false, Ordering::Release);
    }

    pub(crate) fn live(&self) -> &Arc<Live> {
        &self.needs.live
    }
}
