//! Section `[kv]` of the configuration.

use ripost_domain::units::size_text;
use ripost_store::KvQuota;
use serde::{Deserialize, Serialize};

/// Section `[kv]`: what the handlers of one owner may keep, over all its APIs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kv {
    /// Keys and values together. Default 64 MiB.
    #[serde(with = "size_text")]
    pub bytes: usize,
    /// Keys. Default 100 000.
    pub keys: u32,
}

impl Default for Kv {
    fn default() -> Self {
        Self { bytes: 64 << 20, keys: 100_000 }
    }
}

impl Kv {
    /// The same for the store.
    #[must_use]
    pub fn quota(&self) -> KvQuota {
        KvQuota { bytes: self.bytes as u64, keys: self.keys.into() }
    }
}
