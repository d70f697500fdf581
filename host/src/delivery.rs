//! Delivery of webhooks: claim, sign, send, record. At least once, with a stable `webhook-id`.
//!
//! The payload was made and frozen with the delivery's row; an attempt only signs it anew. A first attempt comes
//! straight from the run that ended the request if its lane has room (`lanes`), later ones and those after a crash
//! from the sweep (`reconcile`).

mod alerts;
mod attempt;
mod disabled;
mod facts;
mod lanes;
pub mod payload;
mod receipts;
mod secrets;
mod send;
pub mod shown;
mod test;
mod transform;
pub mod webhooks;

pub use alerts::{Alert, Alerts};
pub use disabled::Disabled;
pub use facts::{Facts, Phases};
pub(crate) use lanes::{Bounds, Counts, Plan};
pub use secrets::{Secrets, Signing};
pub(crate) use send::DEPTH;
pub use test::Tested;

use crate::config;
use crate::egress::EgressClient;
use crate::keyring::{self, Keyring};
use crate::live::Live;
use crate::plugins::Plugins;
use crate::telemetry::metrics::{Metrics, State as StateLabel};
use lanes::{Lanes, Verdict, Work};
use ripost_domain::address::UrlPolicy;
use ripost_domain::delivery::{LaneId, Next, RetryPolicy};
use ripost_domain::event::Event;
use ripost_domain::id::{ConsumerId, DeliveryId};
use ripost_domain::signature::SigningKey;
use ripost_domain::time::{Clock, Timestamp};
use ripost_runtime::Runtime;
use ripost_store::{ClaimedDeliveries, ClaimedDelivery, Record, Retry, Store, StoreError, WriteError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What sending needs of the rest of the host.
pub struct Needs {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// The way out.
    pub egress: Arc<EgressClient>,
    /// Consumers' webhook secrets.
    pub secrets: Arc<Secrets>,
    /// URLs that want no more.
    pub disabled: Arc<Disabled>,
    /// Who is told of what went wrong.
    pub alerts: Alerts,
    /// Salts of the attempt logs.
    pub keyring: Arc<Keyring>,
    /// The gateway's own key, for `v1a`.
    pub signing_key: Arc<SigningKey>,
    /// Who waits for what becomes undelivered.
    pub news: Arc<News>,
    /// Who watches a request.
    pub live: Arc<Live>,
    /// Numbers.
    pub metrics: Arc<Metrics>,
    /// Who runs webhook transforms.
    pub runtime: Arc<Runtime>,
    /// Who hears of those that broke.
    pub plugins: Arc<Plugins>,
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
    lanes: Mutex<Lanes<ClaimedDelivery>>,
    wake: Notify,
    /// A host's bucket is empty: whoever waits for the next token.
    dry: Notify,
}

/// Room for one delivery in memory; gives itself back.
pub struct Ticket {
    sender: Arc<Sender>,
    lane: LaneId,
    bytes: usize,
    used: bool,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.used {
            self.sender.lanes().give_back(self.lane, self.bytes);
        }
    }
}

/// Who waits for something of a consumer's to become undelivered.
#[derive(Default)]
pub struct News {
    waiting: Mutex<HashMap<ConsumerId, Arc<Notify>>>,
}

impl News {
    /// What to wait on; ask before reading the store, and let go afterwards with [`News::leave`].
    pub fn of(&self, consumer: ConsumerId) -> Arc<Notify> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).entry(consumer).or_default().clone()
    }

    /// Whoever was last clears up.
    pub fn leave(&self, consumer: ConsumerId, notify: Arc<Notify>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Ours and the table's.
        if Arc::strong_count(&notify) <= 2 {
            waiting.remove(&consumer);
        }
    }

    fn tell(&self, consumer: ConsumerId) {
        if let Some(notify) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).get(&consumer) {
            notify.notify_waiters();
        }
    }
}

impl Sender {
    /// Nothing is sent yet.
    #[must_use]
    pub fn new(
        config: &config::Delivery,
        dev: bool,
        policy: RetryPolicy,
        url_policy: UrlPolicy,
        needs: Needs,
    ) -> Arc<Self> {
        Arc::new(Self {
            policy,
            url_policy,
            deadline: config.deadline,
            lanes: Mutex::new(Lanes::new(config.bounds(dev))),
            wake: Notify::new(),
            dry: Notify::new(),
            needs,
        })
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes<ClaimedDelivery>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now, for waits.
    pub(crate) fn steady(&self) -> Timestamp {
        self.needs.clock.steady()
    }

    /// How a delivery made now is retried: by the API's schedule if it has one, within the consumer's bound.
    #[must_use]
    pub fn retry(&self, of_api: Option<&RetryPolicy>, made_at: Timestamp, max_age: Option<Duration>) -> Retry {
        Retry {
            waits: of_api.map(|policy| policy.waits().to_vec()),
            give_up_at: of_api.unwrap_or(&self.policy).give_up_at(made_at, max_age),
            base: 0,
        }
    }

    /// Room for one delivery of a lane with a payload of so many bytes; `None`: it has to wait in the store.
    #[must_use]
    pub fn reserve(self: &Arc<Self>, lane: LaneId, bytes: usize) -> Option<Ticket> {
        // While the host stops, too: what ended within the grace period is sent within it.
        let reserved = self.lanes().reserve(lane, bytes, Instant::now());
        reserved.then(|| Ticket { sender: self.clone(), lane, bytes, used: false })
    }

    /// Sends a delivery when it is its turn; it has been counted already.
    pub fn start(self: &Arc<Self>, mut ticket: Ticket, claimed: ClaimedDelivery) {
        ticket.used = true;
        self.push(claimed);
    }

    fn push(self: &Arc<Self>, claimed: ClaimedDelivery) {
        let work = self.lanes().push(claimed.lane, claimed, |claimed| host_of(&claimed.url), Instant::now());
        self.act(work);
    }

    /// Sends something that is not in the store: once, if there is room. For progress.
    pub(crate) fn send_once(self: &Arc<Self>, claimed: ClaimedDelivery) {
        if let Some(ticket) = self.reserve(claimed.lane, claimed.payload.len()) {
            self.start(ticket, claimed);
        }
    }

    fn act(self: &Arc<Self>, work: Work<ClaimedDelivery>) {
        for claimed in work.run {
            let sender = self.clone();
            self.needs.tasks.spawn(async move {
                let (lane, bytes, consumer) = (claimed.lane, claimed.payload.len(), claimed.consumer);
                let request = claimed.request_id;
                let endpoint = endpoint_of(&claimed.url).to_owned();
                let (verdict, concluding) = sender.attempt(claimed).await;
                let work = sender.lanes().ended(lane, bytes, verdict, Instant::now());
                if let Some(wait) = work.opened {
                    sender.needs.metrics.breakers_opened.inc();
                    tracing::warn!(consumer.id = %consumer, endpoint, wait_s = wait.as_secs_f64(), "An endpoint keeps failing; it is left alone for a while");
                    sender.needs.alerts.raise(Alert::BreakerOpen { consumer, endpoint, wait });
                }
                sender.act(work);
                sender.conclude(concluding).await;
                sender.needs.live.moved(request);
            });
        }
        if !work.put_back.is_empty() {
            let sender = self.clone();
            self.needs.tasks.spawn(async move { sender.put_back(work.put_back).await });
        }
        if work.claim {
            self.wake.notify_one();
        }
        if work.dry {
            self.dry.notify_one();
        }
    }

    /// Not tried, not counted: the endpoint is left alone for a while.
    async fn put_back(&self, deliveries: Vec<(ClaimedDelivery, Duration)>) {
        for (claimed, wait) in deliveries {
            self.lanes().release_bytes(claimed.payload.len());
            if claimed.event == Event::Progress {
                continue;
            }
            let next = Next::RetryAt(self.steady().after(wait));
            self.record(unlogged(&claimed, self.needs.clock.now(), next, None)).await;
            self.needs.news.tell(claimed.consumer);
        }
    }

    /// Which lanes to claim from, of those that the store offers and those that are known to have more.
    pub(crate) fn plan(&self, offered: Vec<LaneId>, limit: u32) -> Plan {
        if self.needs.stopping.is_cancelled() {
            return Plan::default();
        }
        self.lanes().plan(offered, limit, Instant::now())
    }

    /// Takes over what was claimed by a plan.
    pub(crate) fn take(self: &Arc<Self>, plan: &Plan, claimed: ClaimedDeliveries) {
        let mut counts = HashMap::with_capacity(plan.claim.len());
        let mut bytes = 0;
        for delivery in &claimed.deliveries {
            *counts.entry(delivery.lane).or_default() += 1;
            bytes += delivery.payload.len();
        }
        for (id, reason) in &claimed.unreadable {
            tracing::error!(delivery.id = %id, reason, "A payload cannot be read; the delivery is looked at again in a minute");
        }
        self.lanes().claimed(plan, &counts, bytes, &claimed.more, Instant::now());
        for delivery in claimed.deliveries {
            self.push(delivery);
        }
    }

    /// Nothing came of a plan: the store failed.
    pub(crate) fn abandon(&self, plan: &Plan) {
        let lanes: Vec<LaneId> = plan.claim.iter().map(|(lane, _)| *lane).collect();
        self.lanes().claimed(plan, &HashMap::new(), 0, &lanes, Instant::now());
    }

    /// Starts what waits for a host's token, as the tokens come.
    pub async fn drip(self: Arc<Self>) {
        loop {
            let wait = self.lanes().next_token(Instant::now());
            tokio::select! {
                () = self.needs.stopping.cancelled() => return,
                () = self.dry.notified() => {}
                () = tokio::time::sleep(wait.unwrap_or(Duration::from_secs(3600))), if wait.is_some() => {
                    let work = self.lanes().dispatch(Instant::now());
                    self.act(work);
                }
            }
        }
    }

    /// Somebody asks for a delivery of this lane, so it is tried though its endpoint was left alone.
    pub(crate) fn ask(&self, lane: LaneId) {
        self.lanes().probe_now(lane, Instant::now());
        self.wake();
    }

    /// Something may be due: the sweep looks.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lanes().counts(Instant::now())
    }

    /// Says of deliveries that were given up in the store what is said of all others.
    pub(crate) fn gave_up(&self, given_up: Vec<ripost_store::Undeliverable>) {
        for gone in given_up {
            self.undeliverable(gone.id, gone.request, gone.consumer, &gone.url, "exhausted", "max-age");
        }
    }

    fn undeliverable(
        &self,
        id: DeliveryId,
        request: ripost_domain::id::RequestId,
        consumer: ConsumerId,
        url: &str,
        state: &'static str,
        reason: &'static str,
    ) {
        self.needs.metrics.undeliverable.get_or_create(&StateLabel { state }).inc();
        tracing::warn!(delivery.id = %id, request.id = %request, consumer.id = %consumer, state, reason, "A webhook was not delivered; it can be sent again");
        self.needs.alerts.raise(Alert::Undeliverable {
            id,
            request,
            consumer,
            endpoint: endpoint_of(url).to_owned(),
            state,
            reason,
        });
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

/// A record of nothing having been tried.
fn unlogged(claimed: &ClaimedDelivery, now: Timestamp, next: Next, reason: Option<&'static str>) -> Record {
    Record {
        id: claimed.id,
        consumer: claimed.consumer,
        lane: claimed.lane,
        url: claimed.url.clone(),
        epoch: claimed.epoch,
        attempt: claimed.attempt,
        started_at: now,
        duration_ms: 0,
        status: None,
        error_class: None,
        error_detail: None,
        excerpt: bytes::Bytes::new(),
        next,
        counted: false,
        logged: false,
        reason,
        disable: None,
        facts: bytes::Bytes::new(),
        chain: [0; 32],
        waited: claimed.waited,
    }
}

/// The host of a stored URL, without its port: whoever shares it shares a machine or a name.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// A stored URL without its query, where tokens tend to be.
pub(crate) fn endpoint_of(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

/// The lane of a stored URL.
#[must_use]
pub fn lane_of(consumer: ConsumerId, url: &str) -> LaneId {
    LaneId::of(consumer, endpoint_of(url))
}

/// A jittered wait: random bytes are the host's to get.
fn jitter() -> ripost_domain::delivery::Jitter {
    let [byte] = keyring::random();
    ripost_domain::delivery::Jitter::from_random(byte)
}

impl Verdict {
    const fn of(outcome: ripost_domain::delivery::Outcome) -> Self {
        use ripost_domain::delivery::Outcome;
        match outcome {
            Outcome::Answered { status: 200..=299, .. } => Self::Good,
            // It answers, and says what it wants.
            Outcome::Answered { status: 410, .. } | Outcome::Answered { wish: Some(_), .. } | Outcome::OursToRepeat => {
                Self::None
            }
            Outcome::Answered { .. } | Outcome::Unanswered => Self::Bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_endpoints_are_parts_of_a_stored_url() {
        for (url, host, endpoint) in [
            ("https://x.example/h?token=1", "x.example", "https://x.example/h"),
            ("http://127.0.0.1:8080/h", "127.0.0.1", "http://127.0.0.1:8080/h"),
            ("https://[2606:4700::1111]/", "[2606:4700::1111]", "https://[2606:4700::1111]/"),
            ("https://[2606:4700::1111]:8443/", "[2606:4700::1111]", "https://[2606:4700::1111]:8443/"),
        ] {
            assert_eq!((host_of(url), endpoint_of(url)), (host, endpoint));
        }
    }
}
