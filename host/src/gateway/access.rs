//! Who may call what: subscriptions, and APIs that take no new calls. The store has them; a copy is kept in memory,
//! because it is asked for each call.

use crate::plugins::{self, ActiveApi};
use crate::problem::{Kind, Problem};
use arc_swap::ArcSwap;
use ripost_domain::api::ApiName;
use ripost_domain::id::ConsumerId;
use ripost_domain::time::{Clock, Timestamp};
use ripost_store::{Consumer, Store, StoreError};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

/// Since when an API takes no new calls, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// For those who call it; may be empty.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}

type Subscribers = HashMap<ApiName, BTreeMap<ConsumerId, Timestamp>>;

/// Subscriptions and paused APIs.
pub struct Access {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// Few; asked for every call.
    paused: ArcSwap<BTreeMap<ApiName, Pause>>,
    /// Perhaps many; asked for calls of APIs that are not open.
    subscribers: RwLock<Subscribers>,
    /// One change at a time, so that memory and store agree on which was the last.
    changes: Mutex<()>,
    /// Who owns a change that has begun: who asked for it may hang up before memory knows what the store does.
    tasks: TaskTracker,
}

impl Access {
    /// Reads all there is.
    ///
    /// # Errors
    /// The store fails.
    pub async fn load(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        tasks: TaskTracker,
    ) -> Result<Arc<Self>, StoreError> {
        let mut subscribers = Subscribers::new();
        for one in store.subscriptions().await? {
            subscribers.entry(one.api).or_default().insert(one.consumer, one.created_at);
        }
        let paused = store.paused().await?.into_iter();
        let paused = paused.map(|one| (one.api, Pause { reason: one.reason, at: one.paused_at })).collect();
        Ok(Arc::new(Self {
            store,
            clock,
            paused: ArcSwap::from_pointee(paused),
            subscribers: RwLock::new(subscribers),
            changes: Mutex::default(),
            tasks,
        }))
    }

    /// Whether the consumer may call the API now. Once for each call.
    ///
    /// # Errors
    /// The problem that says why not, and what to do.
    pub fn check(&self, consumer: &Consumer, api: &ActiveApi) -> Result<(), Problem> {
        let paused = self.paused.load();
        if !paused.is_empty()
            && let Some(pause) = paused.get(&api.name)
        {
            return Err(refused_by_pause(&api.name, pause));
        }
        match api.spec.access {
            plugins::Access::Open => Ok(()),
            plugins::Access::Subscribed if self.is_subscribed(consumer.id, &api.name) => Ok(()),
            plugins::Access::Subscribed => Err(Problem::new(
                Kind::NotSubscribed,
                format!(
                    "`{}` is for its subscribers, and `{}` is none of them. Ask the operator of this gateway, or the API's owner, for a subscription.",
                    api.name, consumer.name
                ),
            )
            .with("api", api.name.to_string())),
        }
    }

    fn is_subscribed(&self, consumer: ConsumerId, api: &ApiName) -> bool {
        let subscribers = self.subscribers.read().unwrap_or_else(PoisonError::into_inner);
        subscribers.get(api).is_some_and(|of_api| of_api.contains_key(&consumer))
    }

    /// Since when and why an API takes no new calls; `None`: it does take them.
    #[must_use]
    pub fn pause_of(&self, api: &ApiName) -> Option<Pause> {
        self.paused.load().get(api).cloned()
    }

    /// Who is subscribed to an API, and since when.
    #[must_use]
    pub fn subscribers(&self, api: &ApiName) -> BTreeMap<ConsumerId, Timestamp> {
        self.subscribers.read().unwrap_or_else(PoisonError::into_inner).get(api).cloned().unwrap_or_default()
    }

    /// A consumer that was erased is subscribed to nothing.
    pub fn forget(&self, consumer: ConsumerId) {
        let mut subscribers = self.subscribers.write().unwrap_or_else(PoisonError::into_inner);
        subscribers.values_mut().for_each(|of_api| {
            of_api.remove(&consumer);
        });
    }

    /// How many are subscribed to an API.
    #[must_use]
    pub fn subscriber_count(&self, api: &ApiName) -> usize {
        self.subscribers.read().unwrap_or_else(PoisonError::into_inner).get(api).map_or(0, BTreeMap::len)
    }

    /// Lets a consumer call an API; false if it may already.
    ///
    /// # Errors
    /// The store fails; nothing has changed.
    pub async fn subscribe(self: &Arc<Self>, consumer: ConsumerId, api: &ApiName) -> Result<bool, StoreError> {
        let api = api.clone();
        self.change(async move |this| {
            let at = this.clock.now();
            let is_new = this.store.subscribe(consumer, &api, at).await?;
            if is_new {
                let mut subscribers = this.subscribers.write().unwrap_or_else(PoisonError::into_inner);
                subscribers.entry(api).or_default().insert(consumer, at);
            }
            Ok(is_new)
        })
        .await
    }

    /// Takes that back; false if there was nothing to take.
    ///
    /// # Errors
    /// The store fails; nothing has changed.
    pub async fn unsubscribe(self: &Arc<Self>, consumer: ConsumerId, api: &ApiName) -> Result<bool, StoreError> {
        let api = api.clone();
        self.change(async move |this| {
            let removed = this.store.unsubscribe(consumer, &api).await?;
            let mut subscribers = this.subscribers.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(of_api) = subscribers.get_mut(&api) {
                of_api.remove(&consumer);
                if of_api.is_empty() {
                    subscribers.remove(&api);
                }
            }
            Ok(removed)
        })
        .await
    }

    /// An API takes no new calls; what it has accepted is run and delivered.
    ///
    /// # Errors
    /// The store fails; nothing has changed.
    pub async fn pause(self: &Arc<Self>, api: &ApiName, reason: String) -> Result<(), StoreError> {
        let api = api.clone();
        self.change(async move |this| {
            let now = this.clock.now();
            this.store.pause(&api, &reason, now).await?;
            let mut paused = BTreeMap::clone(&this.paused.load());
            let at = paused.get(&api).map_or(now, |before| before.at);
            paused.insert(api, Pause { reason, at });
            this.paused.store(Arc::new(paused));
            Ok(())
        })
        .await
    }

    /// An API takes calls again; false if it was not paused.
    ///
    /// # Errors
    /// The store fails; nothing has changed.
    pub async fn resume(self: &Arc<Self>, api: &ApiName) -> Result<bool, StoreError> {
        let api = api.clone();
        self.change(async move |this| {
            let resumed = this.store.resume(&api).await?;
            let mut paused = BTreeMap::clone(&this.paused.load());
            paused.remove(&api);
            this.paused.store(Arc::new(paused));
            Ok(resumed)
        })
        .await
    }

    async fn change<T, F>(
        self: &Arc<Self>,
        change: impl FnOnce(Arc<Self>) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let this = self.clone();
        let change = async move {
            let _change = this.changes.lock().await;
            change(this.clone()).await
        };
        self.tasks.spawn(change).await.unwrap_or(Err(StoreError::Closed))
    }
}

fn refused_by_pause(api: &ApiName, pause: &Pause) -> Problem {
    let reason = pause.reason.as_str();
    let because = if reason.is_empty() { String::new() } else { format!(" Its reason: {reason}") };
    let detail = format!(
        "`{api}` was paused by its owner or the operator: nothing was accepted, and what was accepted before goes on. Call again later.{because}"
    );
    let problem = Problem::new(Kind::ApiPaused, detail).with("api", api.to_string());
    let problem = problem.with("paused_at", pause.at.to_string());
    if reason.is_empty() { problem } else { problem.with("reason", reason) }
}
