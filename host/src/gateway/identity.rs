//! Turns the header `X-Consumer-Key` into a consumer.

use crate::keyring;
use crate::problem::{Kind, Problem};
use http::HeaderMap;
use ripost_domain::id::ConsumerId;
use ripost_domain::time::{Clock, Timestamp};
use ripost_store::{Consumer, EndKey, EndedKey, Store, StoreError};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio_util::task::TaskTracker;

/// The header that carries the key.
pub const HEADER: &str = "x-consumer-key";
/// Known keys that are kept in memory; beyond that the store is asked.
const KEYS_MAX: usize = 100_000;

/// A consumer, and which of its keys it used.
#[derive(Debug)]
pub struct Caller {
    consumer: Consumer,
    key: u128,
}

impl Caller {
    /// The same for every call with the same key, and nobody else's: the first half of its hash.
    #[must_use]
    pub fn key(&self) -> u128 {
        self.key
    }
}

impl std::ops::Deref for Caller {
    type Target = Consumer;
    fn deref(&self) -> &Consumer {
        &self.consumer
    }
}

/// Who is calling. Known keys are kept until one of their consumer's ends: whoever ends keys does it here.
pub struct Identity {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// Who owns an end that has begun: who asked for it may hang up before memory knows what the store does.
    tasks: TaskTracker,
    /// A key that is known and opens nothing.
    barred: Option<[u8; 32]>,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    callers: HashMap<[u8; 32], Arc<Caller>>,
    /// How often keys have become void: what was read of the store before is not kept after.
    voided: u64,
}

impl Identity {
    /// Knows nobody yet.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        tasks: TaskTracker,
        barred: Option<[u8; 32]>,
    ) -> Arc<Self> {
        Arc::new(Self { store, clock, tasks, barred, known: RwLock::default() })
    }

    /// Ends one key of a consumer's; what it opens no more is refused from then on.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn end_key(self: &Arc<Self>, end: EndKey) -> Result<EndedKey, StoreError> {
        let this = self.clone();
        let end = async move {
            let ended = this.store.end_key(end.clone()).await?;
            this.forget(end.consumer);
            Ok(ended)
        };
        self.tasks.spawn(end).await.unwrap_or(Err(StoreError::Closed))
    }

    /// Erases a consumer with all of its keys; false if there is none, or it was erased before.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn erase(self: &Arc<Self>, consumer: ConsumerId, at: Timestamp) -> Result<bool, StoreError> {
        let this = self.clone();
        let erase = async move {
            let erased = this.store.erase_consumer(consumer, at).await?;
            this.forget(consumer);
            Ok(erased)
        };
        self.tasks.spawn(erase).await.unwrap_or(Err(StoreError::Closed))
    }

    /// A consumer's keys are read anew.
    fn forget(&self, consumer: ConsumerId) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.voided += 1;
        known.callers.retain(|_, known| known.id != consumer);
    }

    /// The consumer whose key the call carries.
    ///
    /// # Errors
    /// No key, an unknown key, or the store's failure.
    pub async fn identify(&self, headers: &HeaderMap) -> Result<Arc<Caller>, Problem> {
        let mut keys = headers.get_all(HEADER).iter();
        let Some(key) = keys.next() else {
            return Err(Problem::new(Kind::MissingKey, "Send your consumer key in the header X-Consumer-Key."));
        };
        // Whoever put the second one there, and whichever is meant: it is not guessed who pays.
        if keys.next().is_some() {
            return Err(Problem::new(Kind::DuplicateField, "Send the header X-Consumer-Key once."));
        }
        // Keys are compared by their hashes, so the time a look-up takes says nothing about a key.
        let hash = keyring::hash(key.as_bytes());
        let voided = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(caller) = known.callers.get(&hash) {
                return self.unless_expired(caller.clone());
            }
            known.voided
        };
        let found = if self.barred == Some(hash) { None } else { self.store.consumer_by_key(hash).await? };
        let Some(consumer) = found else {
            return Err(Problem::new(Kind::UnknownKey, "Check the key, or ask the operator of this gateway for one."));
        };
        let first = std::array::from_fn(|index| hash[index]);
        let consumer = Arc::new(Caller { consumer, key: u128::from_be_bytes(first) });
        self.remember(hash, &consumer, voided);
        self.unless_expired(consumer)
    }

    fn unless_expired(&self, caller: Arc<Caller>) -> Result<Arc<Caller>, Problem> {
        match caller.key_expires_at.filter(|at| self.clock.now() >= *at) {
            None => Ok(caller),
            Some(at) => {
                let detail = format!("The key expired at {at}. Ask the operator of this gateway for a new one.");
                Err(Problem::new(Kind::UnknownKey, detail))
            }
        }
    }

    /// `voided`: as it was before the store was read.
    fn remember(&self, hash: [u8; 32], caller: &Arc<Caller>, voided: u64) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.voided == voided && known.callers.len() < KEYS_MAX {
            known.callers.insert(hash, caller.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use camino::Utf8PathBuf;
    use ripost_domain::time::SystemClock;
    use ripost_store::sqlite::{SqliteConfig, SqliteStore};

    #[test]
    fn a_key_that_was_read_before_its_consumer_was_erased_is_not_kept_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        let store = SqliteStore::open(SqliteConfig::new(path), Arc::new(|why| panic!("{why}"))).unwrap();
        let identity = Identity::new(Arc::new(store), Arc::new(SystemClock::start()), TaskTracker::new(), None);
        let id = ConsumerId::from_bytes([1; 16]);
        let consumer = Consumer {
            id,
            name: "one".to_owned(),
            key_is_public: false,
            key_expires_at: None,
            sealed_secret: Bytes::new(),
            created_at: Timestamp::from_millis(0),
        };
        let (caller, hash) = (Arc::new(Caller { consumer, key: 1 }), [2; 32]);
        let is_known = || identity.known.read().unwrap().callers.contains_key(&hash);
        let voided = identity.known.read().unwrap().voided;
        identity.remember(hash, &caller, voided);
        assert!(is_known());
        // As if the store had been read before, and its answer came only now.
        identity.forget(id);
        identity.remember(hash, &caller, voided);
        assert!(!is_known());
    }
}
