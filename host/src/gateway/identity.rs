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
    known: RwLock<HashMap<[u8; 32], Arc<Caller>>>,
}

impl Identity {
    /// Knows nobody yet.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, barred: Option<[u8; 32]>) -> Self {
        Self { store, barred, known: RwLock::default() }
    }

    /// A consumer's keys are void.
    pub fn forget(&self, consumer: ConsumerId) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).retain(|_, known| known.id != consumer);
    }

    /// The consumer whose key the call carries.
    ///
    /// # Errors
    /// No key, an unknown key, or the store's failure.
    pub async fn identify(&self, headers: &HeaderMap) -> Result<Arc<Caller>, Problem> {
        let Some(key) = headers.get(HEADER) else {
            return Err(Problem::new(Kind::MissingKey, "Send your consumer key in the header X-Consumer-Key."));
        };
        // Keys are compared by their hashes, so the time a look-up takes says nothing about a key.
        let hash = keyring::hash(key.as_bytes());
        if let Some(consumer) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&hash) {
            return Ok(consumer.clone());
        }
        let found = if self.barred == Some(hash) { None } else { self.store.consumer_by_key(hash).await? };
        let Some(consumer) = found else {
            return Err(Problem::new(Kind::UnknownKey, "Check the key, or ask the operator of this gateway for one."));
        };
        let first = std::array::from_fn(|index| hash[index]);
        let consumer = Arc::new(Caller { consumer, key: u128::from_be_bytes(first) });
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < KEYS_MAX {
            known.insert(hash, consumer.clone());
        }
        Ok(consumer)
    }
}
