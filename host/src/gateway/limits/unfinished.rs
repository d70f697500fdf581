//! How many requests of each consumer have not ended. In memory only: the store is counted once, at the start, and from
//! then on every accept and every end passes through here, so that neither writes a row for it.

use ripost_domain::api::ApiName;
use ripost_domain::id::ConsumerId;
use ripost_store::{Store, StoreError, UnfinishedCount};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Locks are held for a look-up each; this many keep different consumers apart.
const SHARDS: usize = 16;

/// The counts.
#[derive(Default)]
pub struct Unfinished {
    shards: [Mutex<HashMap<ConsumerId, Counts>>; SHARDS],
}

#[derive(Default)]
struct Counts {
    all: u32,
    by_api: HashMap<ApiName, u32>,
}

/// The most that a consumer may have; `None`: as many as it likes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Most {
    pub(super) all: Option<u32>,
    pub(super) of_api: Option<u32>,
}

/// Which of them is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    All(u32),
    OfApi(u32),
}

/// One that is being accepted. Given back when dropped, unless it was accepted: then [`Unfinished::end`] does it.
pub(super) struct Claim {
    unfinished: Option<Arc<Unfinished>>,
    consumer: ConsumerId,
    api: ApiName,
    /// With this one: of the consumer, and of the API among them.
    pub(super) all: u32,
    pub(super) of_api: u32,
}

impl Claim {
    /// It has been accepted.
    pub(super) fn keep(mut self) {
        self.unfinished = None;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(unfinished) = self.unfinished.take() {
            unfinished.end(self.consumer, &self.api);
        }
    }
}

impl Unfinished {
    /// Counts what the store has. Before anything is accepted or ends.
    ///
    /// # Errors
    /// The store fails.
    pub async fn load(store: &dyn Store) -> Result<Arc<Self>, StoreError> {
        let unfinished = Self::default();
        for UnfinishedCount { consumer, api, count } in store.unfinished_counts().await? {
            let mut shard = unfinished.shard(consumer);
            let counts = shard.entry(consumer).or_default();
            counts.all += count;
            *counts.by_api.entry(api).or_default() += count;
        }
        Ok(Arc::new(unfinished))
    }

    fn shard(&self, consumer: ConsumerId) -> MutexGuard<'_, HashMap<ConsumerId, Counts>> {
        // Of an id's end, which is random.
        let shard = usize::from(consumer.as_bytes()[15]) % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more, unless there are as many as there may be.
    pub(super) fn claim(self: &Arc<Self>, consumer: ConsumerId, api: &ApiName, most: Most) -> Result<Claim, Reached> {
        let mut shard = self.shard(consumer);
        let counts = shard.entry(consumer).or_default();
        let of_api = counts.by_api.get(api).copied().unwrap_or(0);
        let reached = match most {
            Most { all: Some(max), .. } if counts.all >= max => Some(Reached::All(max)),
            Most { of_api: Some(max), .. } if of_api >= max => Some(Reached::OfApi(max)),
            _ => None,
        };
        if let Some(reached) = reached {
            return Err(reached);
        }
        counts.all += 1;
        match counts.by_api.get_mut(api) {
            Some(of_api) => *of_api += 1,
            None => {
                counts.by_api.insert(api.clone(), 1);
            }
        }
        let (all, of_api) = (counts.all, of_api + 1);
        Ok(Claim { unfinished: Some(self.clone()), consumer, api: api.clone(), all, of_api })
    }

    /// One has ended, durably. Once for each that was accepted.
    pub fn end(&self, consumer: ConsumerId, api: &ApiName) {
        let mut shard = self.shard(consumer);
        let Some(counts) = shard.get_mut(&consumer) else { return };
        counts.all = counts.all.saturating_sub(1);
        if let Some(of_api) = counts.by_api.get_mut(api) {
            *of_api = of_api.saturating_sub(1);
            if *of_api == 0 {
                counts.by_api.remove(api);
            }
        }
        if counts.all == 0 {
            shard.remove(&consumer);
        }
    }

    /// How many there are of a consumer's.
    pub(super) fn of(&self, consumer: ConsumerId) -> u32 {
        self.shard(consumer).get(&consumer).map_or(0, |counts| counts.all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripost_domain::time::Timestamp;

    #[test]
    fn what_is_claimed_counts_until_it_is_dropped_or_has_ended() {
        let unfinished = Arc::new(Unfinished::default());
        let consumer = |byte| ConsumerId::new(Timestamp::from_millis(1), [byte; 10]);
        let api = |slug: &str| ApiName { owner: "demo".parse().unwrap(), slug: slug.parse().unwrap() };
        let most = Most { all: Some(3), of_api: Some(2) };
        let claim = |slug| unfinished.claim(consumer(1), &api(slug), most);
        let (first, second) = (claim("a").ok().unwrap(), claim("a").ok().unwrap());
        assert_eq!((second.all, second.of_api), (2, 2));
        assert_eq!(claim("a").err(), Some(Reached::OfApi(2)));
        let third = claim("b").ok().unwrap();
        assert_eq!(claim("b").err(), Some(Reached::All(3)));
        assert!(unfinished.claim(consumer(2), &api("b"), most).is_ok(), "another's are its own");
        drop(first);
        second.keep();
        assert_eq!(unfinished.of(consumer(1)), 2);
        unfinished.end(consumer(1), &api("a"));
        drop(third);
        assert!(unfinished.shards.iter().all(|shard| shard.lock().unwrap().is_empty()), "nothing stays");
        unfinished.end(consumer(1), &api("a"));
        assert_eq!(unfinished.of(consumer(1)), 0);
    }
}
