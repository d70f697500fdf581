//! `secrets`: what owners' components may use and nobody may read. Sealed in the store, opened once, kept in memory.

use super::SecretValues;
use crate::keyring::Keyring;
use ripost_domain::api::Name;
pub use ripost_domain::grant::SecretName;
use ripost_domain::time::{Clock, Timestamp};
use ripost_store::{Store, StoreError};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

/// Bytes of the longest value.
pub const VALUE_BYTES_MAX: usize = 32 << 10;

/// The text cannot be a secret. It is not in the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value has {0} bytes; a secret has 1 to {VALUE_BYTES_MAX}")]
pub struct ParseValueError(usize);

/// A value that can be a secret.
///
/// # Errors
/// It is empty or too long.
pub fn value(text: String) -> Result<SecretString, ParseValueError> {
    let bytes = text.len();
    let value = SecretString::from(text);
    if (1..=VALUE_BYTES_MAX).contains(&bytes) { Ok(value) } else { Err(ParseValueError(bytes)) }
}

/// What may be told of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretLine {
    /// Whose.
    pub owner: Name,
    /// Its name.
    pub name: String,
    /// When it was set.
    pub updated_at: Timestamp,
    /// False: it was sealed with another master key. Set it again, or restore that key.
    pub readable: bool,
}

/// One of them.
struct Held {
    /// `None`: it does not open.
    value: Option<SecretString>,
    updated_at: Timestamp,
}

/// All owners' secrets.
pub struct OwnerSecrets {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    held: RwLock<HashMap<Name, BTreeMap<String, Held>>>,
    /// One change at a time, so that memory and store agree on which was the last.
    changes: Mutex<()>,
    /// Who owns a change that has begun: who asked for it may hang up before memory knows what the store does.
    tasks: TaskTracker,
}

impl SecretValues for OwnerSecrets {
    fn get(&self, owner: &Name, name: &str) -> Option<SecretString> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.get(owner)?.get(name)?.value.clone()
    }
}

impl OwnerSecrets {
    /// Opens all there are. One that does not open is named in the log and is as good as absent.
    ///
    /// # Errors
    /// The store fails.
    pub async fn load(
        store: Arc<dyn Store>,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        tasks: TaskTracker,
    ) -> Result<Arc<Self>, StoreError> {
        let mut held: HashMap<Name, BTreeMap<String, Held>> = HashMap::new();
        for secret in store.owner_secrets().await? {
            let opened = keyring.unseal_owner_secret(&secret.owner, &secret.name, &secret.sealed);
            if let Err(error) = &opened {
                tracing::error!(owner = %secret.owner, name = secret.name, %error, "An owner's secret cannot be used");
            }
            let one = Held { value: opened.ok(), updated_at: secret.updated_at };
            held.entry(secret.owner).or_default().insert(secret.name, one);
        }
        let (held, changes) = (RwLock::new(held), Mutex::default());
        Ok(Arc::new(Self { store, keyring, clock, held, changes, tasks }))
    }

    /// The names of one owner's, or of all; never the values.
    #[must_use]
    pub fn list(&self, owner: Option<&Name>) -> Vec<SecretLine> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let of_owners = held.iter().filter(|(name, _)| owner.is_none_or(|owner| owner == *name));
        let mut lines: Vec<_> = of_owners
            .flat_map(|(owner, secrets)| secrets.iter().map(move |secret| (owner, secret)))
            .map(|(owner, (name, held))| SecretLine {
                owner: owner.clone(),
                name: name.clone(),
                updated_at: held.updated_at,
                readable: held.value.is_some(),
            })
            .collect();
        lines.sort_by(|a, b| (&a.owner, &a.name).cmp(&(&b.owner, &b.name)));
        lines
    }

    /// Sets one; when this returns, runs that ask get the new value, and a restart does not bring the old one back.
    ///
    /// # Errors
    /// The store fails; nothing has changed.
    pub async fn set(self: &Arc<Self>, owner: &Name, name: &SecretName, value: SecretString) -> Result<(), StoreError> {
        let (secrets, owner, name) = (self.clone(), owner.clone(), name.clone());
        let set = async move {
            let _change = secrets.changes.lock().await;
            let updated_at = secrets.clock.now();
            let sealed = secrets.keyring.seal_owner_secret(&owner, name.as_str(), &value);
            secrets.store.set_owner_secret(&owner, name.as_str(), sealed, updated_at).await?;
            let mut held = secrets.held.write().unwrap_or_else(PoisonError::into_inner);
            let one = Held { value: Some(value), updated_at };
            held.entry(owner).or_default().insert(name.as_str().to_owned(), one);
            Ok(())
        };
        self.tasks.spawn(set).await.unwrap_or(Err(StoreError::Closed))
    }

    /// Removes one; false if there was none.
    ///
    /// # Errors
    /// The store fails; nothing has changed.
    pub async fn remove(self: &Arc<Self>, owner: &Name, name: &SecretName) -> Result<bool, StoreError> {
        let (secrets, owner, name) = (self.clone(), owner.clone(), name.clone());
        let remove = async move {
            let _change = secrets.changes.lock().await;
            let removed = secrets.store.delete_owner_secret(&owner, name.as_str()).await?;
            let mut held = secrets.held.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(of_owner) = held.get_mut(&owner) {
                of_owner.remove(name.as_str());
                if of_owner.is_empty() {
                    held.remove(&owner);
                }
            }
            Ok(removed)
        };
        self.tasks.spawn(remove).await.unwrap_or(Err(StoreError::Closed))
    }
}

/// How many, and no more.
impl fmt::Debug for OwnerSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerSecrets").field("count", &self.list(None).len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::{Utf8Path, Utf8PathBuf};
    use ripost_domain::time::SystemClock;
    use ripost_store::sqlite::{SqliteConfig, SqliteStore};
    use secrecy::ExposeSecret as _;

    const VALUE: &str = "sk_live_8f1c";

    async fn open(path: &Utf8Path, key: [u8; 32]) -> (Arc<dyn Store>, Arc<OwnerSecrets>) {
        let config = SqliteConfig::new(path.to_owned());
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(config, Arc::new(|reason| panic!("{reason}"))).unwrap());
        let (keyring, clock) = (Arc::new(Keyring::new(key)), Arc::new(SystemClock::start()));
        let secrets = OwnerSecrets::load(store.clone(), keyring, clock, TaskTracker::new()).await.unwrap();
        (store, secrets)
    }

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        (folder, path)
    }

    fn name(text: &str) -> SecretName {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_change_is_seen_at_once_and_after_a_restart_and_by_its_owner_alone() {
        let (_guard, path) = folder();
        let (one, two): (Name, Name) = ("one".parse().unwrap(), "two".parse().unwrap());
        let (store, secrets) = open(&path, [1; 32]).await;
        secrets.set(&one, &name("KEY"), value(VALUE.to_owned()).unwrap()).await.unwrap();
        let get = |secrets: &OwnerSecrets, owner: &Name| {
            secrets.get(owner, "KEY").map(|value| value.expose_secret().to_owned())
        };
        assert_eq!(get(&secrets, &one).as_deref(), Some(VALUE));
        assert_eq!(get(&secrets, &two), None);
        assert!(!format!("{secrets:?} {:?}", secrets.list(None)).contains(VALUE));
        // Under another owner's name, or another name, the sealed bytes are worth nothing.
        let sealed = store.owner_secrets().await.unwrap().remove(0).sealed;
        store.set_owner_secret(&two, "KEY", sealed, Timestamp::from_millis(1)).await.unwrap();
        store.close().await;
        drop((store, secrets));

        let (store, secrets) = open(&path, [1; 32]).await;
        assert_eq!((get(&secrets, &one).as_deref(), get(&secrets, &two)), (Some(VALUE), None));
        assert_eq!(secrets.list(None).iter().map(|line| line.readable).collect::<Vec<_>>(), [true, false]);
        assert_eq!(secrets.list(Some(&one)).len(), 1);
        store.close().await;
        drop((store, secrets));

        let (store, secrets) = open(&path, [2; 32]).await;
        assert_eq!(get(&secrets, &one), None, "another master key");
        secrets.set(&one, &name("KEY"), value("new".to_owned()).unwrap()).await.unwrap();
        assert_eq!(get(&secrets, &one).as_deref(), Some("new"));
        assert!(secrets.remove(&one, &name("KEY")).await.unwrap());
        assert!(!secrets.remove(&one, &name("KEY")).await.unwrap());
        assert_eq!(get(&secrets, &one), None);
        store.close().await;
    }

    #[test]
    fn names_and_values_have_their_bounds() {
        let long = "A".repeat(65);
        for bad in ["", "a", "1A", "_A", "A-B", "A B", "É", "A\n", &long] {
            assert!(bad.parse::<SecretName>().is_err(), "{bad}");
        }
        for good in ["A", "A_1", &long[..64]] {
            assert_eq!(name(good).as_str(), good);
        }
        assert!(value(String::new()).is_err() && value("x".repeat(VALUE_BYTES_MAX + 1)).is_err());
        assert!(value("x".repeat(VALUE_BYTES_MAX)).is_ok());
    }
}
