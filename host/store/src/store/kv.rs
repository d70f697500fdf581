//! What an owner's components keep: keys, values, revisions.

use bytes::Bytes;
use ripost_domain::api::Name;
use ripost_domain::time::Timestamp;

/// Bytes of the longest key.
pub const KV_KEY_BYTES_MAX: usize = 512;
/// Bytes of the largest value.
pub const KV_VALUE_BYTES_MAX: usize = 256 << 10;
/// Keys of the longest page.
pub const KV_LIST_MAX: u32 = 1000;

/// A value and its revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvEntry {
    /// As it was set.
    pub value: Bytes,
    /// Grows with each write of this owner's; never given away twice.
    pub revision: u64,
}

/// What must be there for a write to take place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Whatever is there.
    Any,
    /// Nothing, or what has expired.
    Absent,
    /// This revision.
    Revision(u64),
}

/// How much one owner may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvQuota {
    /// Of all keys and values together.
    pub bytes: u64,
    /// Number of keys.
    pub keys: u64,
}

/// One write.
#[derive(Debug, Clone)]
pub struct KvWrite {
    /// Whose.
    pub owner: Name,
    /// At most [`KV_KEY_BYTES_MAX`]; the caller has checked.
    pub key: String,
    /// At most [`KV_VALUE_BYTES_MAX`]; the caller has checked.
    pub value: Bytes,
    /// From when on it is absent; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// What must be there.
    pub expect: Expect,
    /// How much the owner may keep; a write that makes it less is never over it.
    pub quota: KvQuota,
    /// Now.
    pub now: Timestamp,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvWritten {
    /// It is there, under this revision.
    Written(u64),
    /// Something else is there than was expected; nothing was written.
    Unexpected,
    /// It would be more than the quota; nothing was written.
    QuotaExceeded {
        /// What is kept now.
        used_bytes: u64,
        /// So many keys are kept now.
        used_keys: u64,
    },
}

/// A page of keys.
#[derive(Debug, Clone)]
pub struct KvPage {
    /// Whose.
    pub owner: Name,
    /// What they begin with.
    pub prefix: String,
    /// After this one, the last of the page before.
    pub after: Option<String>,
    /// At most so many, and at most [`KV_LIST_MAX`].
    pub limit: u32,
    /// Now.
    pub now: Timestamp,
}

/// How much an owner keeps. What has expired counts until it is removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KvUsage {
    /// Of all keys and values together.
    pub bytes: u64,
    /// Number of keys.
    pub keys: u64,
}
