//! Runs of handlers: a bounded queue in memory of what the store has already made durable.
//!
//! A request gets a slot before it is accepted, or none; without one it waits in the store and the sweep
//! (`reconcile`) claims it when there is room. Whoever has called may hang up: the run is a task of `app`'s.
//!
//! Room and instances are shared fairly by owner: a flood fills its owner's share and waits behind itself, in the store.

mod backlog;
mod cancel;
pub(crate) mod capture;
pub(crate) mod decide;
mod direct;
mod finish;
mod incoming;
mod insist;
mod journal;
pub(crate) use journal::entries;
mod news;
mod run;
mod stop;
mod unstored;
mod upstream;
mod withdraw;

pub(crate) use self::cancel::Cancelled;
pub(crate) use self::direct::NotRun;
pub(crate) use self::run::Asked;
pub(crate) use self::unstored::BrokenRun;
pub(crate) use self::upstream::CalledBack;
use crate::config;
use crate::delivery::Sender;
use crate::gateway::limits::Unfinished;
use crate::keyring::Keyring;
use crate::live::{Entry, Live};
use crate::plugins::{ActiveApi, Plugins};
use crate::telemetry::metrics::Metrics;
use crate::upstreams::{Event, Upstreams};
use backlog::Backlog;
use ripost_domain::id::RequestId;
use ripost_domain::request::State;
use ripost_domain::time::Clock;
use ripost_runtime::{FairPermit, FairSemaphore, MemoryUse, NoProgress, Runtime};
use ripost_store::{ClaimedRun, PinnedRun, Store};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use unstored::Unstored;
use upstream::Awaiting;

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
    /// How many of each consumer's there are.
    pub unfinished: Arc<Unfinished>,
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
    /// Instances at once that one owner may have.
    pub owner_concurrency: u32,
    /// The ways to owners' services.
    pub upstreams: Arc<Upstreams>,
    /// Requests being forwarded at once, of all owners and of one.
    pub exchanges: (u32, u32),
    /// Who owns the tasks.
    pub tasks: TaskTracker,
    /// Cancelled when the host stops.
    pub stopping: CancellationToken,
}

/// The runner.
pub struct Runs {
    needs: Needs,
    config: config::Runs,
    backlog: Backlog,
    slots: FairSemaphore,
    /// In KiB, so that a permit's number has room for all memory there is.
    kibs: FairSemaphore,
    instances: FairSemaphore,
    /// Requests being forwarded.
    exchanges: FairSemaphore,
    /// Upstreams being told that a request has ended.
    told: FairSemaphore,
    /// Requests that wait for a callback and whose progress is known.
    awaiting: Mutex<HashMap<RequestId, Awaiting>>,
    /// For calls that are not accepted yet.
    transforms: FairSemaphore,
    /// For the owners of what broke and is not stored.
    unstored: Unstored,
    no_progress: Arc<NoProgress>,
    waiting_in_store: AtomicBool,
    recovered: AtomicBool,
    wake: Notify,
}

/// How many more requests fit.
#[derive(Debug, Default)]
pub(crate) struct Room {
    pub(crate) requests: u32,
    pub(crate) bytes: usize,
    /// Of one owner at once.
    pub(crate) per_owner: u32,
    /// Owners that have their share already.
    pub(crate) full: Vec<Arc<str>>,
}

const KIB: usize = 1024;
/// A request has more than this around its body in any case.
const SMALL_BODY_BYTES: usize = 4 * KIB;

fn kibs(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(KIB).max(1)).unwrap_or(u32::MAX)
}

/// Room for one request in memory.
pub struct Slot {
    _slot: FairPermit,
    _kibs: Option<FairPermit>,
}

impl Runs {
    /// Nothing runs yet.
    #[must_use]
    pub fn new(config: config::Runs, needs: Needs) -> Arc<Self> {
        Arc::new(Self {
            backlog: Backlog::new(config.backlog_max),
            slots: FairSemaphore::new(config.queued_max, config.queued_per_owner()),
            kibs: FairSemaphore::new(kibs(config.queued_bytes_max), kibs(config.queued_bytes_max / 4)),
            instances: FairSemaphore::new(config.concurrency, needs.owner_concurrency),
            exchanges: FairSemaphore::new(needs.exchanges.0, needs.exchanges.1),
            told: FairSemaphore::new(withdraw::TOLD_AT_ONCE.0, withdraw::TOLD_AT_ONCE.1),
            awaiting: Mutex::default(),
            transforms: FairSemaphore::new(config.transforms(), config.transforms().div_ceil(2)),
            unstored: Unstored::default(),
            no_progress: Arc::new(NoProgress),
            // The process before may have left some.
            waiting_in_store: AtomicBool::new(true),
            recovered: AtomicBool::new(false),
            wake: Notify::new(),
            config,
            needs,
        })
    }

    /// The run of a call that is not stored, if it broke lately.
    pub(crate) fn broken_run(&self, id: RequestId) -> Option<BrokenRun> {
        self.unstored.find(id)
    }

    /// Room for a request of an owner's with a body of so many bytes; `None`: it has to wait in the store, and is not
    /// forgotten there.
    #[must_use]
    pub fn reserve(&self, owner: &Arc<str>, body_bytes: usize) -> Option<Slot> {
        let slot = self.reserve_now(owner, body_bytes);
        if slot.is_none() {
            self.waiting_in_store.store(true, Ordering::Release);
        }
        slot
    }

    fn reserve_now(&self, owner: &Arc<str>, body_bytes: usize) -> Option<Slot> {
        if self.is_closed() {
            return None;
        }
        let slot = self.slots.try_acquire(owner, 1)?;
        // The number of requests bounds the small ones.
        let kibs = match body_bytes > SMALL_BODY_BYTES {
            true => Some(self.kibs.try_acquire(owner, kibs(body_bytes))?),
            false => None,
        };
        Some(Slot { _slot: slot, _kibs: kibs })
    }

    fn is_closed(&self) -> bool {
        self.config.paused || self.needs.stopping.is_cancelled()
    }

    /// How many more requests fit now, and the owners for whom none does.
    #[must_use]
    pub(crate) fn room(&self) -> Room {
        if self.is_closed() {
            return Room::default();
        }
        // Whoever has a little room left is given it when it is more: claims of one row each would crowd out the accepts.
        let (slots, kibs) = (self.slots.share() / 8, self.kibs.share() / 8);
        let mut full = self.slots.without_room_for(slots.max(1));
        full.extend(self.kibs.without_room_for(kibs.max(1)));
        Room {
            requests: self.slots.available(),
            bytes: self.kibs.available() as usize * KIB,
            per_owner: slots.max(1),
            full,
        }
    }

    /// Runs a leased request in a task of its own.
    pub fn start(self: &Arc<Self>, slot: Slot, claimed: ClaimedRun, entry: Arc<Entry>) {
        let runs = self.clone();
        self.needs.tasks.spawn(async move {
            runs.run_whatever_happens(claimed, entry).await;
            drop(slot);
            if runs.waiting_in_store.load(Ordering::Acquire) {
                runs.wake.notify_one();
            }
        });
    }

    /// Runs a leased request as soon as there is room for it: it was claimed, and others took the room meanwhile. There
    /// are no more of these than one claim has rows, because owners that wait are passed over by the next.
    pub(crate) fn start_when_there_is_room(self: &Arc<Self>, owner: Arc<str>, claimed: ClaimedRun) {
        let runs = self.clone();
        self.needs.tasks.spawn(async move {
            // Entered now: a request that is cancelled while it waits is not run.
            let entry = runs.needs.live.enter(claimed.id);
            let body_kibs = kibs(claimed.input.body.len());
            let room = async {
                Slot {
                    _slot: runs.slots.acquire(&owner, 1).await,
                    _kibs: Some(runs.kibs.acquire(&owner, body_kibs).await),
                }
            };
            tokio::select! {
                biased;
                () = runs.needs.stopping.cancelled() => runs.put_back_unbegun(&claimed).await,
                () = entry.cancelled() => {}
                slot = room => runs.start(slot, claimed, entry),
            }
        });
    }

    /// Ends a request that was never run, or whose upstream never called back.
    pub(crate) async fn expire(&self, expired: PinnedRun) {
        let PinnedRun { state: from, claimed } = expired;
        let entry = self.needs.live.enter(claimed.id);
        let active = self.what_tells(&claimed).await;
        let was_forwarded = from == State::AwaitingCallback;
        let withdrawal = self.withdrawal(&claimed, active.as_deref(), Event::Expire).filter(|_| was_forwarded);
        if self.finish(claimed, from, decide::expired(), None, &entry, active.as_deref()).await
            && let Some(withdrawal) = withdrawal
        {
            self.withdraw(withdrawal);
        }
    }

    /// Whose form and webhook transforms an end has that no run came to. Those of a stopped plugin too: what receivers are
    /// sent looks the same, whoever ended it.
    async fn what_tells(&self, claimed: &ClaimedRun) -> Option<Arc<ActiveApi>> {
        self.needs.plugins.api_of(claimed.digest, &claimed.api).await.ok()
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

    /// There is more than could be claimed: the end of a run is a reason to look again.
    pub(crate) fn store_has_more(&self) {
        self.waiting_in_store.store(true, Ordering::Release);
    }

    /// How much of the memory for guests is set aside.
    #[must_use]
    pub(crate) fn memory(&self) -> MemoryUse {
        self.needs.runtime.memory()
    }

    pub(crate) fn live(&self) -> &Arc<Live> {
        &self.needs.live
    }
}
