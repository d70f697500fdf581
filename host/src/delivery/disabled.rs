//! URLs that want no more deliveries, in memory: asked for each accept and each attempt.

use ripost_domain::id::ConsumerId;
use ripost_store::{Store, StoreError};
use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};

/// The store has them too; this is a copy that is always whole.
#[derive(Default)]
pub struct Disabled {
    urls: RwLock<HashMap<ConsumerId, HashSet<String>>>,
}

impl Disabled {
    /// All that the store has.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let this = Self::default();
        for disabled in store.disabled_urls(None).await? {
            this.add(disabled.consumer, &disabled.url);
        }
        Ok(this)
    }

    /// Whether the consumer's deliveries to exactly this URL are off.
    #[must_use]
    pub fn has(&self, consumer: ConsumerId, url: &str) -> bool {
        let urls = self.urls.read().unwrap_or_else(PoisonError::into_inner);
        !urls.is_empty() && urls.get(&consumer).is_some_and(|urls| urls.contains(url))
    }

    pub(super) fn add(&self, consumer: ConsumerId, url: &str) {
        self.urls.write().unwrap_or_else(PoisonError::into_inner).entry(consumer).or_default().insert(url.to_owned());
    }

    /// After the store has enabled it.
    pub fn remove(&self, consumer: ConsumerId, url: &str) {
        let mut urls = self.urls.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_consumer) = urls.get_mut(&consumer) {
            of_consumer.remove(url);
            if of_consumer.is_empty() {
                urls.remove(&consumer);
            }
        }
    }
}
