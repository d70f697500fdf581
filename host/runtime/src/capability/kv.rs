//! `kv`: the owner's durable store, if it was granted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::bindings::kv::{Entry, Host, KvError};
use crate::grants::{self, Kv};
use crate::guest::State;

impl State {
    fn kv(&self) -> Result<Arc<dyn Kv>, KvError> {
        self.grants.kv.clone().ok_or(KvError::NotGranted)
    }
}

impl Host for State {
    async fn get(&mut self, key: String) -> Result<Option<Entry>, KvError> {
        let entry = self.kv()?.get(&key).await?;
        Ok(entry.map(|entry| Entry { value: entry.value.into(), revision: entry.revision }))
    }

    async fn set(&mut self, key: String, value: Vec<u8>, ttl_s: Option<u32>) -> Result<u64, KvError> {
        Ok(self.kv()?.set(&key, Bytes::from(value), ttl(ttl_s)).await?)
    }

    async fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<u64>,
        value: Vec<u8>,
        ttl_s: Option<u32>,
    ) -> Result<Option<u64>, KvError> {
        Ok(self.kv()?.compare_and_set(&key, expected, Bytes::from(value), ttl(ttl_s)).await?)
    }

    async fn delete(&mut self, key: String) -> Result<bool, KvError> {
        Ok(self.kv()?.delete(&key).await?)
    }

    async fn list(&mut self, prefix: String, after: Option<String>) -> Result<Vec<String>, KvError> {
        Ok(self.kv()?.list(&prefix, after.as_deref()).await?)
    }
}

fn ttl(seconds: Option<u32>) -> Option<Duration> {
    seconds.map(|seconds| Duration::from_secs(seconds.into()))
}

impl From<grants::KvError> for KvError {
    fn from(error: grants::KvError) -> Self {
        match error {
            grants::KvError::QuotaExceeded(text) => KvError::QuotaExceeded(text),
            grants::KvError::TooLarge(text) => KvError::TooLarge(text),
            grants::KvError::Unavailable(text) => KvError::Unavailable(text),
        }
    }
}
