//! Development mode: a consumer with a well-known key. None of it outside that mode.

use crate::keyring::{self, Keyring};
use anyhow::{Context as _, Result};
use ripost_domain::id::ConsumerId;
use ripost_domain::money::Amount;
use ripost_domain::time::Clock;
use ripost_store::{Key, NewConsumer, Store};

/// The key that the documentation prints.
const KEY: &str = "demo-public-key-2026";

/// Its hash, which opens nothing outside development mode: a data folder may have been used in both.
pub(super) fn key_hash() -> [u8; 32] {
    keyring::hash(KEY.as_bytes())
}

const NAME: &str = "demo";
const BALANCE_MICROS: i64 = 1_000_000_000_000;

/// Adds the consumer `demo` unless it is there. Its key is not marked public, so that its webhook secret can be read
/// with it: the gateway listens on loopback only.
pub(super) async fn seed(store: &dyn Store, keyring: &Keyring, clock: &dyn Clock) -> Result<()> {
    let hash = key_hash();
    if store.consumer_by_key(hash).await.context("looking for the development consumer")?.is_some() {
        return Ok(());
    }
    let now = clock.now();
    let id = ConsumerId::new(now, keyring::random());
    let consumer = NewConsumer {
        id,
        name: NAME.to_owned(),
        key: Key {
            hash,
            name: keyring::FIRST_KEY.to_owned(),
            hint: keyring::hint(KEY),
            public: false,
            expires_at: None,
        },
        sealed_secret: keyring.seal(id.as_bytes(), &keyring::new_webhook_secret()),
        credit: Amount::from_micros(BALANCE_MICROS).context("the balance is positive")?,
        created_at: now,
    };
    store.add_consumer(consumer).await.context("adding the development consumer")?;
    tracing::info!("Development mode: added the consumer `demo` with the key that the documentation prints");
    Ok(())
}
