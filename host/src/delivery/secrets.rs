//! What consumers' webhooks are signed with, opened once and kept in memory.

use crate::keyring::{Keyring, KeyringError};
use ripost_domain::id::ConsumerId;
use ripost_domain::signature::Secret;
use ripost_domain::time::{Clock, Timestamp};
use ripost_store::{Store, StoreError};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Beyond this many the store is asked each time.
const CONSUMERS_MAX: usize = 100_000;

/// A consumer's secrets cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The store's failure.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such consumer.
    #[error("the consumer is not known")]
    UnknownConsumer,
    /// One does not open.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}

/// What one consumer's webhooks are signed with.
#[derive(Debug)]
pub struct Signing {
    /// Signs first.
    pub current: Secret,
    /// When it was made.
    pub created_at: Timestamp,
    /// Sign too, until then; latest first.
    pub old: Vec<(Secret, Timestamp)>,
    /// Whether `v1a` is wanted.
    pub v1a: bool,
}

impl Signing {
    /// Those that sign at `now`.
    pub fn live(&self, now: Timestamp) -> impl Iterator<Item = &Secret> {
        let old = self.old.iter().filter(move |(_, until)| *until > now).map(|(secret, _)| secret);
        std::iter::once(&self.current).chain(old)
    }
}

/// Looks secrets up.
pub struct Secrets {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    opened: RwLock<HashMap<ConsumerId, Arc<Signing>>>,
}

impl Secrets {
    /// None opened yet.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, keyring: Arc<Keyring>, clock: Arc<dyn Clock>) -> Self {
        Self { store, keyring, clock, opened: RwLock::default() }
    }

    /// What a consumer's webhooks are signed with.
    ///
    /// # Errors
    /// The store fails, the consumer is unknown, or a secret was sealed with another master key.
    pub async fn of(&self, consumer: ConsumerId) -> Result<Arc<Signing>, SecretError> {
        if let Some(signing) = self.opened.read().unwrap_or_else(PoisonError::into_inner).get(&consumer) {
            return Ok(signing.clone());
        }
        let sealed = self.store.secrets(consumer, self.clock.now()).await?.ok_or(SecretError::UnknownConsumer)?;
        let open = |sealed: &[u8]| self.keyring.unseal(consumer.as_bytes(), sealed);
        let old = sealed.old.iter().map(|(sealed, until)| Ok((open(sealed)?, *until)));
        let signing = Arc::new(Signing {
            current: open(&sealed.current)?,
            created_at: sealed.created_at,
            old: old.collect::<Result<_, KeyringError>>()?,
            v1a: sealed.v1a,
        });
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if opened.len() < CONSUMERS_MAX {
            opened.insert(consumer, signing.clone());
        }
        Ok(signing)
    }

    /// After a change: the next look is into the store.
    pub fn forget(&self, consumer: ConsumerId) {
        self.opened.write().unwrap_or_else(PoisonError::into_inner).remove(&consumer);
    }
}
