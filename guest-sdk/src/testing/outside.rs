//! The outside of a handler's own tests: secrets that were given, a store in memory, and whoever answers calls.

use std::{collections::BTreeMap, fmt};

use super::Recorder;
use crate::{KvEntry, KvError, OutboundError, OutboundRequest, OutboundResponse, SecretError};

/// Keys of one page, as in the contract.
const KEYS_MAX: usize = 1000;

type OnFetch = dyn Fn(&OutboundRequest) -> Result<OutboundResponse, OutboundError>;

/// What a handler may reach.
#[derive(Default)]
pub(super) struct Outside {
    secrets: BTreeMap<String, String>,
    store: BTreeMap<String, Stored>,
    revision: u64,
    on_fetch: Option<std::rc::Rc<OnFetch>>,
    fetches: Vec<OutboundRequest>,
}

struct Stored {
    entry: KvEntry,
    expires_ms: Option<u64>,
}

impl fmt::Debug for Outside {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Outside")
            .field("keys", &self.store.keys())
            .field("fetches", &self.fetches)
            .finish_non_exhaustive()
    }
}

impl Recorder {
    /// The calls to the outside so far, oldest first.
    #[must_use]
    pub fn fetches(&self) -> Vec<OutboundRequest> {
        self.state.borrow().outside.fetches.clone()
    }

    pub(crate) fn set_secret(&self, name: &str, value: &str) {
        self.state.borrow_mut().outside.secrets.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn set_on_fetch(
        &self,
        answer: impl Fn(&OutboundRequest) -> Result<OutboundResponse, OutboundError> + 'static,
    ) {
        self.state.borrow_mut().outside.on_fetch = Some(std::rc::Rc::new(answer));
    }

    pub(crate) fn secret(&self, name: &str) -> Result<String, SecretError> {
        self.state.borrow().outside.secrets.get(name).cloned().ok_or_else(|| SecretError::NotGranted(name.to_owned()))
    }

    pub(crate) fn fetch(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        let on_fetch = {
            let mut state = self.state.borrow_mut();
            state.outside.fetches.push(request.clone());
            state.outside.on_fetch.clone()
        };
        // Nothing is borrowed meanwhile: whoever answers may look at what was recorded.
        let none = || OutboundError::NotGranted("nobody answers calls in this test: give Context::on_fetch".to_owned());
        on_fetch.ok_or_else(none)?(&request)
    }

    pub(crate) fn kv_get(&self, key: &str) -> Result<Option<KvEntry>, KvError> {
        Ok(self.stored(key))
    }

    pub(crate) fn kv_set(&self, key: &str, value: &[u8], ttl_s: Option<u32>) -> Result<u64, KvError> {
        let mut state = self.state.borrow_mut();
        let expires_ms = ttl_s.map(|ttl_s| state.now_ms + u64::from(ttl_s) * 1000);
        state.outside.revision += 1;
        let revision = state.outside.revision;
        let entry = KvEntry { value: value.to_owned(), revision };
        state.outside.store.insert(key.to_owned(), Stored { entry, expires_ms });
        Ok(revision)
    }

    pub(crate) fn kv_compare_and_set(
        &self,
        key: &str,
        expected: Option<u64>,
        value: &[u8],
    ) -> Result<Option<u64>, KvError> {
        if self.stored(key).map(|entry| entry.revision) == expected {
            self.kv_set(key, value, None).map(Some)
        } else {
            Ok(None)
        }
    }

    pub(crate) fn kv_delete(&self, key: &str) -> Result<bool, KvError> {
        let was_there = self.stored(key).is_some();
        self.state.borrow_mut().outside.store.remove(key);
        Ok(was_there)
    }

    pub(crate) fn kv_list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, KvError> {
        let state = self.state.borrow();
        let now_ms = state.now_ms;
        let keys = state.outside.store.iter().filter(|(_, stored)| stored.is_there(now_ms)).map(|(key, _)| key);
        let keys = keys.filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        Ok(keys.take(KEYS_MAX).cloned().collect())
    }

    fn stored(&self, key: &str) -> Option<KvEntry> {
        let state = self.state.borrow();
        let stored = state.outside.store.get(key).filter(|stored| stored.is_there(state.now_ms));
        stored.map(|stored| stored.entry.clone())
    }
}

impl Stored {
    fn is_there(&self, now_ms: u64) -> bool {
        self.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Context, OutboundRequest, SecretError, testing::START_MS};

    #[test]
    fn a_store_of_a_test_keeps_expires_compares_and_lists() {
        let ctx = Context::test();
        let kv = ctx.kv();
        assert_eq!(kv.get("a").unwrap(), None);
        let first = kv.set("a", "1").unwrap();
        assert_eq!(kv.get("a").unwrap().unwrap().value, b"1");
        assert_eq!(kv.compare_and_set("a", None, "2").unwrap(), None);
        let second = kv.compare_and_set("a", Some(first), "2").unwrap().unwrap();
        assert!(second > first);
        kv.set_with_ttl("b/1", "x", 5).unwrap();
        kv.set("b/2", "y").unwrap();
        assert_eq!(kv.list("b/", None).unwrap(), ["b/1", "b/2"]);
        assert_eq!(kv.list("", Some("b/1")).unwrap(), ["b/2"]);
        ctx.recorded().set_now_ms(START_MS + 5_000);
        assert_eq!(kv.get("b/1").unwrap(), None);
        assert_eq!(kv.list("b/", None).unwrap(), ["b/2"]);
        assert!(kv.delete("a").unwrap() && !kv.delete("a").unwrap() && !kv.delete("b/1").unwrap());
    }

    #[test]
    fn what_a_test_does_not_give_is_not_granted() {
        let ctx = Context::test().with_secret("KEY", "v");
        assert_eq!(ctx.secret("KEY").as_deref(), Ok("v"));
        assert_eq!(ctx.secret("OTHER"), Err(SecretError::NotGranted("OTHER".to_owned())));
        assert!(ctx.fetch(OutboundRequest::get("https://a.example")).is_err());
        assert_eq!(ctx.recorded().fetches()[0].url, "https://a.example");
    }
}
