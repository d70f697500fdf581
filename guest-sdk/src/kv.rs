//! The owner's durable store.

use std::fmt;

use crate::{Failure, context::Host};

/// The store of the API's owner, shared by all of the owner's APIs that have `grants.kv`. What a write returned is
/// there after a crash. See [`Context::kv`](crate::Context::kv).
pub struct Kv<'a> {
    pub(crate) host: &'a Host,
}

/// A value and its revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvEntry {
    /// As it was set.
    pub value: Vec<u8>,
    /// Grows with each write of its key.
    pub revision: u64,
}

/// Why nothing was read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvError {
    /// The manifest does not have `grants.kv`.
    NotGranted,
    /// The owner has no room left; the text has the figures.
    QuotaExceeded(String),
    /// The key or the value is too large; the text has the figures.
    TooLarge(String),
    /// Not now; trying again may help.
    Unavailable(String),
}

impl Kv<'_> {
    /// The value of a key, if there is one that has not expired.
    ///
    /// # Errors
    /// [`KvError`].
    pub fn get(&self, key: &str) -> Result<Option<KvEntry>, KvError> {
        self.host.kv_get(key)
    }

    /// Sets a value for ever; its new revision.
    ///
    /// # Errors
    /// [`KvError`].
    pub fn set(&self, key: &str, value: impl AsRef<[u8]>) -> Result<u64, KvError> {
        self.host.kv_set(key, value.as_ref(), None)
    }

    /// Sets a value that expires after so many seconds; its new revision.
    ///
    /// # Errors
    /// [`KvError`].
    pub fn set_with_ttl(&self, key: &str, value: impl AsRef<[u8]>, ttl_s: u32) -> Result<u64, KvError> {
        self.host.kv_set(key, value.as_ref(), Some(ttl_s))
    }

    /// Sets a value only if the key's revision is still the expected one (none: there is no such key). The new
    /// revision, or none if somebody else was faster.
    ///
    /// # Errors
    /// [`KvError`].
    pub fn compare_and_set(
        &self,
        key: &str,
        expected: Option<u64>,
        value: impl AsRef<[u8]>,
    ) -> Result<Option<u64>, KvError> {
        self.host.kv_compare_and_set(key, expected, value.as_ref())
    }

    /// Deletes a key; whether there was one.
    ///
    /// # Errors
    /// [`KvError`].
    pub fn delete(&self, key: &str) -> Result<bool, KvError> {
        self.host.kv_delete(key)
    }

    /// Keys that begin with a prefix, in order, at most 1000; for the next page give the last one as `after`.
    ///
    /// # Errors
    /// [`KvError`].
    pub fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, KvError> {
        self.host.kv_list(prefix, after)
    }
}

impl fmt::Display for KvError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGranted => formatter.write_str("the store is not granted: set `grants.kv = true`"),
            Self::QuotaExceeded(text) | Self::TooLarge(text) | Self::Unavailable(text) => formatter.write_str(text),
        }
    }
}

/// [`KvError::Unavailable`] asks for another run; the others are the owner's failure.
impl From<KvError> for Failure {
    fn from(error: KvError) -> Self {
        let failure = match &error {
            KvError::Unavailable(_) => Self::retry("store-unavailable", "The API's store does not answer now"),
            KvError::NotGranted => Self::failed("not-configured", "The API is not configured"),
            KvError::QuotaExceeded(_) | KvError::TooLarge(_) => {
                Self::failed("store-full", "The API has no room to store what it must")
            }
        };
        failure.caused_by(error.to_string())
    }
}
