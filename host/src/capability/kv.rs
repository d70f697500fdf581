//! `kv`: what an owner's components keep between runs. All APIs of an owner share it.

use super::KvOfOwners;
use async_trait::async_trait;
use bytes::Bytes;
use ripost_domain::api::Name;
use ripost_domain::time::Clock;
use ripost_runtime::{Kv, KvEntry, KvError};
use ripost_store::{
    Expect, KV_KEY_BYTES_MAX, KV_LIST_MAX, KV_VALUE_BYTES_MAX, KvPage, KvQuota, KvWrite, KvWritten, Store, StoreError,
};
use std::sync::Arc;
use std::time::Duration;

/// The stores of all owners, each with the same quota.
pub struct KvOfStore {
    /// Where they are.
    pub store: Arc<dyn Store>,
    /// Says what has expired.
    pub clock: Arc<dyn Clock>,
    /// What one owner may keep.
    pub quota: KvQuota,
}

impl KvOfOwners for KvOfStore {
    fn of(&self, owner: &Name) -> Arc<dyn Kv> {
        Arc::new(OwnerKv::new(self.store.clone(), self.clock.clone(), owner.clone(), self.quota))
    }
}

/// One owner's keys.
pub struct OwnerKv {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    owner: Name,
    quota: KvQuota,
}

impl OwnerKv {
    /// The keys of `owner`, who may keep so much.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, owner: Name, quota: KvQuota) -> Self {
        Self { store, clock, owner, quota }
    }

    async fn write(
        &self,
        key: &str,
        value: Bytes,
        ttl: Option<Duration>,
        expect: Expect,
    ) -> Result<Option<u64>, KvError> {
        check_key(key)?;
        if value.len() > KV_VALUE_BYTES_MAX {
            let text = format!("the value has {} bytes; a value has {KV_VALUE_BYTES_MAX} at most", value.len());
            return Err(KvError::TooLarge(text));
        }
        let now = self.clock.steady();
        let bytes = key.len() + value.len();
        let write = KvWrite {
            owner: self.owner.clone(),
            key: key.to_owned(),
            value,
            expires_at: ttl.map(|ttl| now.after(ttl)),
            expect,
            quota: self.quota,
            now,
        };
        match self.store.kv_set(write).await.map_err(|error| self.failed(error))? {
            KvWritten::Written(revision) => Ok(Some(revision)),
            KvWritten::Unexpected => Ok(None),
            KvWritten::QuotaExceeded { used_bytes, used_keys } => {
                let KvQuota { bytes: bytes_max, keys: keys_max } = self.quota;
                Err(KvError::QuotaExceeded(format!(
                    "{} keeps {used_bytes} of {bytes_max} bytes in {used_keys} of {keys_max} keys; key and value of this write have {bytes} bytes",
                    self.owner
                )))
            }
        }
    }

    /// What went wrong inside is for the operator.
    fn failed(&self, error: StoreError) -> KvError {
        if let StoreError::Busy | StoreError::Closed = error {
            return KvError::Unavailable("the store has no time at the moment: try again".to_owned());
        }
        tracing::error!(owner = %self.owner, %error, "What an owner keeps could not be read or written");
        KvError::Unavailable("the store has failed: try again".to_owned())
    }
}

#[async_trait]
impl Kv for OwnerKv {
    async fn get(&self, key: &str) -> Result<Option<KvEntry>, KvError> {
        check_key(key)?;
        let found =
            self.store.kv_get(&self.owner, key, self.clock.steady()).await.map_err(|error| self.failed(error))?;
        Ok(found.map(|entry| KvEntry { value: entry.value, revision: entry.revision }))
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<u64, KvError> {
        // What expects anything is never refused for what is there.
        let written = self.write(key, value, ttl, Expect::Any).await?;
        written.ok_or_else(|| KvError::Unavailable("the key was written by somebody else: try again".to_owned()))
    }

    async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<u64>,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> Result<Option<u64>, KvError> {
        self.write(key, value, ttl, expected.map_or(Expect::Absent, Expect::Revision)).await
    }

    async fn delete(&self, key: &str) -> Result<bool, KvError> {
        check_key(key)?;
        self.store.kv_delete(&self.owner, key, self.clock.steady()).await.map_err(|error| self.failed(error))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, KvError> {
        check_length("prefix", prefix)?;
        after.map_or(Ok(()), |after| check_length("cursor", after))?;
        let page = KvPage {
            owner: self.owner.clone(),
            prefix: prefix.to_owned(),
            after: after.map(str::to_owned),
            limit: KV_LIST_MAX,
            now: self.clock.steady(),
        };
        self.store.kv_list(page).await.map_err(|error| self.failed(error))
    }
}

fn check_key(key: &str) -> Result<(), KvError> {
    if key.is_empty() {
        return Err(KvError::TooLarge(format!("the key is empty; a key has 1 to {KV_KEY_BYTES_MAX} bytes")));
    }
    check_length("key", key)
}

fn check_length(what: &str, text: &str) -> Result<(), KvError> {
    if text.len() <= KV_KEY_BYTES_MAX {
        return Ok(());
    }
    Err(KvError::TooLarge(format!("the {what} has {} bytes; it has {KV_KEY_BYTES_MAX} at most", text.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8PathBuf;
    use ripost_domain::time::Timestamp;
    use ripost_store::sqlite::{SqliteConfig, SqliteStore};
    use std::sync::atomic::{AtomicI64, Ordering};

    struct ByHand(AtomicI64);

    impl Clock for ByHand {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::Relaxed))
        }
    }

    fn store() -> (tempfile::TempDir, Arc<dyn Store>, Arc<ByHand>) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        let store = SqliteStore::open(SqliteConfig::new(path), Arc::new(|reason| panic!("{reason}"))).unwrap();
        (folder, Arc::new(store), Arc::new(ByHand(AtomicI64::new(1_000_000))))
    }

    #[tokio::test]
    async fn what_is_refused_says_how_much_it_was_and_how_much_may_be() {
        let (_folder, store, clock) = store();
        let kv = OwnerKv::new(store, clock, "acme".parse().unwrap(), KvQuota { bytes: 1 << 20, keys: 2 });
        let set = async |key: &str, bytes: usize| kv.set(key, vec![0; bytes].into(), None).await;
        let text = |text: &str| text.to_owned();
        assert_eq!(
            set(&"k".repeat(513), 0).await,
            Err(KvError::TooLarge(text("the key has 513 bytes; it has 512 at most")))
        );
        assert_eq!(set("", 0).await, Err(KvError::TooLarge(text("the key is empty; a key has 1 to 512 bytes"))));
        let large = "the value has 262145 bytes; a value has 262144 at most";
        assert_eq!(set("k", 262_145).await, Err(KvError::TooLarge(text(large))));
        assert!(matches!(kv.get(&"k".repeat(513)).await, Err(KvError::TooLarge(_))));
        assert!(matches!(kv.delete("").await, Err(KvError::TooLarge(_))));
        assert!(matches!(kv.list(&"k".repeat(513), None).await, Err(KvError::TooLarge(_))));
        set(&"k".repeat(512), 262_144).await.unwrap();
        set("b", 0).await.unwrap();
        let full = "acme keeps 262657 of 1048576 bytes in 2 of 2 keys; key and value of this write have 4 bytes";
        assert_eq!(set("c", 3).await, Err(KvError::QuotaExceeded(text(full))));
        assert_eq!(kv.list("b", None).await.unwrap(), ["b"]);
    }

    #[tokio::test]
    async fn a_key_lives_as_long_as_it_was_told_and_two_owners_never_meet() {
        let (_folder, store, clock) = store();
        let quota = KvQuota { bytes: 1000, keys: 10 };
        let of = |owner: &str| OwnerKv::new(store.clone(), clock.clone(), owner.parse().unwrap(), quota);
        let (one, two) = (of("one"), of("two"));
        let value = Bytes::from_static(b"v");
        let first = one.compare_and_set("k", None, value.clone(), Some(Duration::from_secs(5))).await.unwrap().unwrap();
        assert_eq!(one.get("k").await.unwrap(), Some(KvEntry { value: value.clone(), revision: first }));
        assert_eq!(two.get("k").await.unwrap(), None);
        assert_eq!(one.compare_and_set("k", None, value.clone(), None).await.unwrap(), None);
        clock.0.fetch_add(5000, Ordering::Relaxed);
        assert_eq!(one.get("k").await.unwrap(), None);
        assert_eq!(one.compare_and_set("k", Some(first), value.clone(), None).await.unwrap(), None);
        assert!(one.set("k", value, None).await.unwrap() > first);
        assert!(one.delete("k").await.unwrap());
        assert!(!one.delete("k").await.unwrap());
    }
}
