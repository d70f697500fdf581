//! Consumers' webhook secrets, opened once and kept in memory.

use crate::keyring::{Keyring, KeyringError};
use ripost_domain::id::ConsumerId;
use ripost_domain::signature::Secret;
use ripost_store::{Store, StoreError};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Beyond this many the store is asked each time.
const SECRETS_MAX: usize = 100_000;

/// A consumer's secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The store's failure.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such consumer.
    #[error("the consumer is not known")]
    UnknownConsumer,
    /// It does not open.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}

/// Looks secrets up.
pub struct Secrets {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    opened: RwLock<HashMap<ConsumerId, Arc<Secret>>>,
}

impl Secrets {
    /// None opened yet.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, keyring: Arc<Keyring>) -> Self {
        Self { store, keyring, opened: RwLock::default() }
    }

    /// The secret that a consumer's webhooks are signed with.
    ///
    /// # Errors
    /// The store fails, the consumer is unknown, or the secret was sealed with another master key.
    pub async fn of(&self, consumer: ConsumerId) -> Result<Arc<Secret>, SecretError> {
        if let Some(secret) = self.opened.read().unwrap_or_else(PoisonError::into_inner).get(&consumer) {
            return Ok(secret.clone());
        }
        let row = self.store.consumer(consumer).await?.ok_or(SecretError::UnknownConsumer)?;
        let secret = Arc::new(self.keyring.unseal(consumer.as_bytes(), &row.sealed_secret)?);
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if opened.len() < SECRETS_MAX {
            opened.insert(consumer, secret.clone());
        }
        Ok(secret)
    }
}
