//! `kv`: nobody is granted it yet.

use crate::bindings::kv::{Entry, Host, KvError};
use crate::guest::State;

impl Host for State {
    fn get(&mut self, _key: String) -> Result<Option<Entry>, KvError> {
        Err(KvError::NotGranted)
    }

    fn set(&mut self, _key: String, _value: Vec<u8>, _ttl_s: Option<u32>) -> Result<u64, KvError> {
        Err(KvError::NotGranted)
    }

    fn compare_and_set(
        &mut self,
        _key: String,
        _expected: Option<u64>,
        _value: Vec<u8>,
        _ttl_s: Option<u32>,
    ) -> Result<Option<u64>, KvError> {
        Err(KvError::NotGranted)
    }

    fn delete(&mut self, _key: String) -> Result<bool, KvError> {
        Err(KvError::NotGranted)
    }

    fn list(&mut self, _prefix: String, _after: Option<String>) -> Result<Vec<String>, KvError> {
        Err(KvError::NotGranted)
    }
}
