//! What consumers may do: how often, how much at once, how much a day. Everybody's limits are the configuration's, one
//! consumer's own the operator's to set, an API's in its manifest; all that apply hold.
//!
//! Nothing of it writes a row when a call is accepted, or reads one where there is no limit. Keys are counted once they
//! are known to be somebody's: a stranger's guesses fill nothing.

mod buckets;
mod daily;
mod fields;
mod problems;
mod shown;
mod unfinished;

use self::buckets::Buckets;
use self::daily::{Daily, end_of_day};
use self::fields::Line;
pub use self::fields::{Policy, Standing};
use self::problems::{at_once, too_fast, used_up};
pub use self::shown::Shown;
pub use self::unfinished::Unfinished;
use self::unfinished::{Most, Reached};
use super::identity::Caller;
use crate::config;
use crate::plugins::{ActiveApi, Allowance};
use crate::problem::Problem;
use crate::telemetry::metrics::{Limited, Metrics};
use arc_swap::ArcSwap;
use ripost_domain::api::ApiName;
use ripost_domain::id::ConsumerId;
use ripost_domain::limit::{Count, Rate};
use ripost_domain::time::{Clock, Timestamp};
use ripost_store::{ConsumerLimits, Store, StoreError};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

/// What is counted, and against what.
pub struct Limiter {
    config: config::Consumers,
    /// Few; looked at for each call.
    own: ArcSwap<HashMap<ConsumerId, ConsumerLimits>>,
    /// Buckets count nanoseconds from here.
    started: Instant,
    keys: Buckets<u128>,
    polls: Buckets<u128>,
    apis: Buckets<ApiName>,
    api_consumers: Buckets<(ConsumerId, ApiName)>,
    unfinished: Arc<Unfinished>,
    daily: Arc<Daily>,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    /// One change at a time, so that memory and store agree on which was the last.
    changes: Mutex<()>,
    /// Who owns a change that has begun: who asked for it may hang up before memory knows what the store does.
    tasks: TaskTracker,
}

/// The right to one more request. What it counts for is given back when it is dropped before it was accepted.
pub struct Admitted {
    unfinished: unfinished::Claim,
    daily: [Option<daily::Claim>; 2],
}

impl Admitted {
    /// It is durable; its end gives back what is counted of it while it has not ended.
    pub fn accepted(self) {
        self.unfinished.keep();
        self.daily.into_iter().flatten().for_each(daily::Claim::keep);
    }

    /// It was answered on its connection, and is over.
    pub fn answered(self) {
        self.daily.into_iter().flatten().for_each(daily::Claim::keep);
    }
}

/// What holds for one consumer at all APIs; `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Calls with one key.
    pub rate: Option<Rate>,
    /// Requests that have not ended.
    pub concurrency: Option<u32>,
    /// Requests accepted on one day.
    pub daily: Option<u32>,
}

impl Limiter {
    /// Reads what is single consumers' own.
    ///
    /// # Errors
    /// The store fails.
    pub async fn load(
        config: config::Consumers,
        unfinished: Arc<Unfinished>,
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
        tasks: TaskTracker,
    ) -> Result<Arc<Self>, StoreError> {
        let own = store.consumer_limits().await?.into_iter().collect();
        Ok(Arc::new(Self {
            config,
            own: ArcSwap::from_pointee(own),
            started: Instant::now(),
            keys: Buckets::new(),
            polls: Buckets::new(),
            apis: Buckets::new(),
            api_consumers: Buckets::new(),
            unfinished,
            daily: Daily::new(store.clone()),
            store,
            metrics,
            clock,
            changes: Mutex::default(),
            tasks,
        }))
    }

    /// What is a consumer's own.
    #[must_use]
    pub fn own(&self, consumer: ConsumerId) -> ConsumerLimits {
        self.own.load().get(&consumer).copied().unwrap_or_default()
    }

    /// Its own, and everybody's where it has none.
    #[must_use]
    pub fn holding(&self, consumer: ConsumerId) -> Holding {
        let ConsumerLimits { rate, concurrency, daily } = self.own(consumer);
        Holding {
            rate: rate.over(self.config.rate),
            concurrency: concurrency.over(self.config.concurrency).map(Count::get),
            daily: daily.over(self.config.daily).map(Count::get),
        }
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX / 2)
    }

    /// A call with this key, whatever it is of. The first thing after the key is known.
    ///
    /// # Errors
    /// The key has no call left (429).
    pub fn call(&self, caller: &Caller, standing: &mut Standing) -> Result<(), Problem> {
        match self.holding(caller.id).rate {
            Some(rate) => self.take(&self.keys, caller.key(), rate, Policy::Key, standing),
            None => Ok(()),
        }
    }

    /// The call is of this API.
    ///
    /// # Errors
    /// The consumer has no call of it left, or all consumers together (429).
    pub fn call_of(&self, caller: &Caller, api: &ActiveApi, standing: &mut Standing) -> Result<(), Problem> {
        let Allowance { rate, rate_per_consumer, .. } = api.spec.allowance;
        // One's own first: whoever is over it takes nothing from the others.
        if let Some(rate) = rate_per_consumer {
            let key = (caller.id, api.name.clone());
            self.take(&self.api_consumers, key, rate, Policy::ApiConsumer, standing)?;
        }
        match rate {
            Some(rate) => self.take(&self.apis, api.name.clone(), rate, Policy::Api, standing),
            None => Ok(()),
        }
    }

    /// Anything but a call.
    ///
    /// # Errors
    /// The key asks too often (429).
    pub fn poll(&self, caller: &Caller) -> Result<(), Problem> {
        let Some(rate) = self.config.polls else { return Ok(()) };
        self.take(&self.polls, caller.key(), rate, Policy::Polls, &mut Standing::default())
    }

    fn take<K: Hash + Eq>(
        &self,
        buckets: &Buckets<K>,
        key: K,
        rate: Rate,
        policy: Policy,
        standing: &mut Standing,
    ) -> Result<(), Problem> {
        let now = self.nanos();
        let (taken, quota, window_s) = (buckets.take(key, &rate, now), rate.requests(), Some(rate.window_s()));
        match taken {
            Ok(full_at) => {
                let reset_s = Some(full_at.saturating_sub(now).div_ceil(1_000_000_000));
                standing.add(Line { policy, quota, window_s, left: rate.left(full_at, now), reset_s });
                Ok(())
            }
            Err(wait) => {
                standing.add(Line { policy, quota, window_s, left: 0, reset_s: Some(whole_seconds(wait)) });
                self.count(policy);
                let problem = too_fast(policy, rate, wait);
                Err(with_fields(problem, standing))
            }
        }
    }

    /// One more request: after the look for an earlier one of its idempotency key, before anything is made of it.
    ///
    /// # Errors
    /// As many have not ended as there may be, or were accepted today (429); the store cannot be asked.
    pub async fn admit(
        &self,
        caller: &Caller,
        api: &ActiveApi,
        at: Timestamp,
        standing: &mut Standing,
    ) -> Result<Admitted, Problem> {
        let Holding { concurrency, daily, .. } = self.holding(caller.id);
        let Allowance { concurrency_per_consumer, daily_per_consumer, .. } = api.spec.allowance;
        let most = Most { all: concurrency, of_api: concurrency_per_consumer };
        let unfinished = match self.unfinished.claim(caller.id, &api.name, most) {
            Ok(claim) => claim,
            Err(reached) => {
                let (policy, quota) = match reached {
                    Reached::All(max) => (Policy::Concurrency, max),
                    Reached::OfApi(max) => (Policy::ApiConcurrency, max),
                };
                standing.add(Line { policy, quota, window_s: None, left: 0, reset_s: None });
                self.count(policy);
                return Err(with_fields(at_once(policy, quota), standing));
            }
        };
        for (policy, quota, used) in
            [(Policy::Concurrency, most.all, unfinished.all), (Policy::ApiConcurrency, most.of_api, unfinished.of_api)]
        {
            if let Some(quota) = quota {
                let left = quota.saturating_sub(used);
                standing.add(Line { policy, quota, window_s: None, left, reset_s: None });
            }
        }
        let scopes = [(Policy::Daily, None, daily), (Policy::ApiDaily, Some(&api.name), daily_per_consumer)];
        let mut claims = [None, None];
        for ((policy, api, max), kept) in scopes.into_iter().zip(&mut claims) {
            let Some(quota) = max else { continue };
            let claimed = self.daily.claim(caller.id, api, at, quota).await?;
            let wait = end_of_day(at).since(at);
            let left = claimed.as_ref().map_or(0, |claim| u64::from(quota).saturating_sub(claim.used));
            let (left, reset_s) = (u32::try_from(left).unwrap_or(u32::MAX), Some(whole_seconds(wait)));
            standing.add(Line { policy, quota, window_s: Some(86_400), left, reset_s });
            match claimed {
                Ok(claim) => *kept = Some(claim),
                Err(daily::Reached) => {
                    self.count(policy);
                    let problem = used_up(policy, quota, end_of_day(at), wait);
                    return Err(with_fields(problem, standing));
                }
            }
        }
        Ok(Admitted { unfinished, daily: claims })
    }

    fn count(&self, policy: Policy) {
        tracing::debug!(limit = policy.as_str(), "A call is over a limit");
        self.metrics.limited.get_or_create(&Limited { limit: policy.as_str() }).inc();
    }

    /// A consumer was erased.
    pub fn forget(&self, consumer: ConsumerId) {
        self.own.rcu(|own| {
            let mut own = HashMap::clone(own);
            own.remove(&consumer);
            own
        });
    }

    /// Sets a consumer's own limits, from now on; false if there is no such consumer.
    ///
    /// # Errors
    /// The store fails; nothing has changed.
    pub async fn set(self: &Arc<Self>, consumer: ConsumerId, limits: ConsumerLimits) -> Result<bool, StoreError> {
        let this = self.clone();
        let change = async move {
            let _change = this.changes.lock().await;
            if !this.store.set_consumer_limits(consumer, limits).await? {
                return Ok(false);
            }
            this.own.rcu(|own| {
                let mut own = HashMap::clone(own);
                own.insert(consumer, limits);
                own.retain(|_, limits| *limits != ConsumerLimits::default());
                own
            });
            this.daily.forget(consumer);
            Ok(true)
        };
        self.tasks.spawn(change).await.unwrap_or(Err(StoreError::Closed))
    }
}

/// The answer that refuses says what applied too.
fn with_fields(mut problem: Problem, standing: &mut Standing) -> Problem {
    let mut headers = http::HeaderMap::new();
    std::mem::take(standing).write(&mut headers);
    for (name, value) in headers {
        if let Some(name) = name {
            problem = problem.header(name, value);
        }
    }
    problem
}

/// Rounded up: whoever waits so long is not early.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
