//! Secrets that owners' components use, sealed by the host.

use bytes::Bytes;
use ripost_domain::api::Name;
use ripost_domain::time::Timestamp;

/// One of an owner's secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedOwnerSecret {
    /// Whose.
    pub owner: Name,
    /// Unique for the owner.
    pub name: String,
    /// Encrypted by the host.
    pub sealed: Bytes,
    /// When it was set.
    pub updated_at: Timestamp,
}
