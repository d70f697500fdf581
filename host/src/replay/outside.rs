//! What a replayed run reaches: nothing. What it asks for beyond its journal is refused and remembered.

use super::Record;
use crate::plugins::ApiGrants;
use async_trait::async_trait;
use bytes::Bytes;
use ripost_runtime::{
    Entries, Grants, Journal, JournalError, Kv, KvEntry, KvError, Outbound, OutboundError, OutboundRequest,
    OutboundResponse, SecretError, Secrets, Writing,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const NOT_KEPT: &str = "this is a replay, and what the owner's store said is written down nowhere";
const NOT_CALLED: &str = "this is a replay, and the journal has no answer for this call";

pub(super) struct Outside {
    /// What the handler was given in place of each secret.
    placeholders: BTreeMap<String, String>,
    step_keys: BTreeMap<String, String>,
    granted: ApiGrants,
    unanswered: Mutex<Vec<String>>,
}

impl Outside {
    pub(super) fn new(record: &Record, granted: ApiGrants) -> Self {
        Self {
            placeholders: record.placeholders.clone(),
            step_keys: record.step_keys.clone(),
            granted,
            unanswered: Mutex::default(),
        }
    }

    pub(super) fn grants(this: &Arc<Self>) -> Grants {
        let granted = &this.granted;
        Grants {
            kv: granted.kv.then(|| this.clone() as Arc<dyn Kv>),
            secrets: (!granted.secrets.is_empty()).then(|| this.clone() as Arc<dyn Secrets>),
            outbound: (!granted.outbound.is_empty()).then(|| this.clone() as Arc<dyn Outbound>),
        }
    }

    pub(super) fn unanswered(&self) -> Vec<String> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, what: String) {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    fn kv<T>(&self, what: &str, key: &str) -> Result<T, KvError> {
        self.note(format!("kv {what} {key}"));
        Err(KvError::Unavailable(NOT_KEPT.to_owned()))
    }
}

impl Secrets for Outside {
    fn get(&self, name: &str) -> Result<String, SecretError> {
        if !self.granted.secrets.iter().any(|granted| granted.as_str() == name) {
            return Err(SecretError::NotGranted);
        }
        self.placeholders.get(name).cloned().ok_or(SecretError::Missing)
    }
}

#[async_trait]
impl Kv for Outside {
    async fn get(&self, key: &str) -> Result<Option<KvEntry>, KvError> {
        self.kv("get", key)
    }

    async fn set(&self, key: &str, _value: Bytes, _ttl: Option<Duration>) -> Result<u64, KvError> {
        self.kv("set", key)
    }

    async fn compare_and_set(
        &self,
        key: &str,
        _expected: Option<u64>,
        _value: Bytes,
        _ttl: Option<Duration>,
    ) -> Result<Option<u64>, KvError> {
        self.kv("compare-and-set", key)
    }

    async fn delete(&self, key: &str) -> Result<bool, KvError> {
        self.kv("delete", key)
    }

    async fn list(&self, prefix: &str, _after: Option<&str>) -> Result<Vec<String>, KvError> {
        self.kv("list", prefix)
    }
}

#[async_trait]
impl Outbound for Outside {
    async fn send(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        self.note(format!("{} {}", request.method, request.url));
        Err(OutboundError::Unavailable(NOT_CALLED.to_owned()))
    }
}

/// What is written now goes nowhere.
#[async_trait]
impl Journal for Outside {
    async fn write(&self, _writing: Writing, _entries: Entries) -> Result<(), JournalError> {
        Ok(())
    }

    fn step_key(&self, step: &str) -> String {
        // Of a step that the stored run did not have.
        self.step_keys.get(step).cloned().unwrap_or_else(|| format!("step_of_a_replay_{step}"))
    }
}
