//! Turns the header `X-Consumer-Key` into a consumer.

use crate::keyring;
use crate::problem::{Kind, Problem};
use http::HeaderMap;
use ripost_domain::id::ConsumerId;
use ripost_store::{Consumer, Store};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

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

/// Who is calling. Known keys are kept: a key is never changed, and leaves only with its consumer.
pub struct Identity {
    store: Arc<dyn Store>,
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
    pub fn new(store: Arc<dyn Store>, barred: Option<[u8; 32]>) -> Self {
        Self { store, barred, known: RwLock::default() }
    }

    /// A consumer's keys are void.
    pub fn forget(&self, consumer: ConsumerId) {
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
            if let Some(consumer) = known.callers.get(&hash) {
                return Ok(consumer.clone());
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
        Ok(consumer)
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
    use ripost_domain::time::Timestamp;
    use ripost_store::sqlite::{SqliteConfig, SqliteStore};

    #[test]
    fn a_key_that_was_read_before_its_consumer_was_erased_is_not_kept_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        let store = SqliteStore::open(SqliteConfig::new(path), Arc::new(|why| panic!("{why}"))).unwrap();
        let identity = Identity::new(Arc::new(store), None);
        let id = ConsumerId::from_bytes([1; 16]);
        let consumer = Consumer {
            id,
            name: "one".to_owned(),
            key_is_public: false,
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
