//! What ties a database to the files beside it, and what is sealed with the master key.

use super::SealedOwnerSecret;
use bytes::Bytes;
use ripost_domain::api::Name;
use ripost_domain::id::ConsumerId;
use ripost_domain::time::Timestamp;

/// A fact about a file beside the database, so that its loss is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The check value of the master key that seals the secrets here.
    MasterKey,
    /// That the folder of revisions has its record.
    Revisions,
    /// Nothing: it is written to see whether that works.
    Trial,
}

impl Mark {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::MasterKey => "master key",
            Self::Revisions => "revisions",
            Self::Trial => "trial",
        }
    }
}

/// One thing that is sealed, to try a key on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealedSample {
    /// A consumer's webhook secret.
    Webhook {
        /// Whose.
        consumer: ConsumerId,
        /// The secret.
        sealed: Bytes,
    },
    /// An owner's.
    Owner(SealedOwnerSecret),
}

/// All that depends on the master key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Consumers with their names; each has a webhook secret. Those that were erased are among them for as long as they
    /// have requests.
    pub consumers: Vec<(ConsumerId, String)>,
    /// Secrets of owners, by owner and name.
    pub owner_secrets: Vec<(Name, String)>,
    /// Requests whose upstream has a callback URL that the key vouches for.
    pub requests_awaiting: u64,
}

/// A new master key: what is sealed with it, in place of all that was sealed with the one before.
#[derive(Debug, Clone)]
pub struct Resealed {
    /// The new key's check value.
    pub check: Bytes,
    /// A new webhook secret for every consumer.
    pub webhook_secrets: Vec<(ConsumerId, Bytes)>,
    /// When.
    pub at: Timestamp,
}
