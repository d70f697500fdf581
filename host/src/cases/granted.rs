//! What a handler reaches in a case: what the case says, and nothing real.

use super::read::{Case, Exchange};
use crate::plugins::ApiGrants;
use async_trait::async_trait;
use bytes::Bytes;
use ripost_domain::grant::OutboundRule;
use ripost_runtime::{
    Grants, Kv, KvEntry, KvError, Outbound, OutboundError, OutboundRequest, OutboundResponse, SecretError, Secrets,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use url::Url;

/// The grants of one run of a case.
pub(super) struct Sandboxed {
    name: String,
    granted: Vec<String>,
    secrets: BTreeMap<String, String>,
    rules: Arc<[OutboundRule]>,
    outbound: Vec<Exchange>,
    store: Mutex<Store>,
}

#[derive(Default)]
struct Store {
    entries: BTreeMap<String, KvEntry>,
    writes: u64,
}

impl Sandboxed {
    /// Fresh ones, so that no case sees what another wrote.
    pub(super) fn grants(case: &Case, grants: &ApiGrants) -> Grants {
        let mut store = Store::default();
        for (key, value) in &case.kv {
            store.write(key, value.clone());
        }
        let sandboxed = Arc::new(Self {
            name: case.name.clone(),
            granted: grants.secrets.iter().map(|name| name.as_str().to_owned()).collect(),
            secrets: case.secrets.clone(),
            rules: grants.outbound.clone(),
            outbound: case.outbound.clone(),
            store: Mutex::new(store),
        });
        Grants {
            kv: grants.kv.then(|| sandboxed.clone() as Arc<dyn Kv>),
            secrets: (!grants.secrets.is_empty()).then(|| sandboxed.clone() as Arc<dyn Secrets>),
            outbound: (!grants.outbound.is_empty()).then_some(sandboxed as Arc<dyn Outbound>),
        }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    fn write(&mut self, key: &str, value: Bytes) -> u64 {
        self.writes += 1;
        self.entries.insert(key.to_owned(), KvEntry { value, revision: self.writes });
        self.writes
    }
}

impl Secrets for Sandboxed {
    fn get(&self, name: &str) -> Result<String, SecretError> {
        match self.secrets.get(name) {
            Some(value) => Ok(value.clone()),
            None if self.granted.iter().any(|granted| granted == name) => Err(SecretError::Missing),
            None => Err(SecretError::NotGranted),
        }
    }
}

/// Nothing expires: a case is over before that.
#[async_trait]
impl Kv for Sandboxed {
    async fn get(&self, key: &str) -> Result<Option<KvEntry>, KvError> {
        Ok(self.store().entries.get(key).cloned())
    }

    async fn set(&self, key: &str, value: Bytes, _ttl: Option<Duration>) -> Result<u64, KvError> {
        Ok(self.store().write(key, value))
    }

    async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<u64>,
        value: Bytes,
        _ttl: Option<Duration>,
    ) -> Result<Option<u64>, KvError> {
        let mut store = self.store();
        let revision = store.entries.get(key).map(|entry| entry.revision);
        Ok((revision == expected).then(|| store.write(key, value)))
    }

    async fn delete(&self, key: &str) -> Result<bool, KvError> {
        Ok(self.store().entries.remove(key).is_some())
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, KvError> {
        let store = self.store();
        let keys = store.entries.keys().filter(|key| key.starts_with(prefix));
        Ok(keys.filter(|key| after.is_none_or(|after| key.as_str() > after)).take(1000).cloned().collect())
    }
}

#[async_trait]
impl Outbound for Sandboxed {
    async fn send(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        let OutboundRequest { method, url, response_bytes_max, .. } = request;
        let parsed = Url::parse(&url).map_err(|error| OutboundError::Invalid(format!("`{url}`: {error}")))?;
        if !self.rules.iter().any(|rule| rule.covers(&method, &parsed)) {
            return Err(OutboundError::NotGranted(format!("no rule in `grants.outbound` covers {method} {url}")));
        }
        let same = |exchange: &&Exchange| {
            exchange.method == method && Url::parse(&exchange.url).is_ok_and(|known| known == parsed)
        };
        let Some(exchange) = self.outbound.iter().find(same) else {
            let text = format!(
                "nothing real is called in a case, and `{}` has no answer for {method} {url}; add one to its `outbound`",
                self.name
            );
            return Err(OutboundError::NotGranted(text));
        };
        if exchange.response.body.len() > response_bytes_max {
            return Err(OutboundError::Limit(format!("the answer has more than {response_bytes_max} bytes")));
        }
        Ok(exchange.response.clone())
    }
}
