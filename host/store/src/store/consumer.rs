//! Consumers: keys, balances, what their webhooks are signed with.

use super::Key;
use bytes::Bytes;
use ripost_domain::id::ConsumerId;
use ripost_domain::money::Amount;
use ripost_domain::time::Timestamp;

/// What a consumer's webhooks are signed with, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecrets {
    /// The current one.
    pub current: Bytes,
    /// When it was made.
    pub created_at: Timestamp,
    /// Earlier ones that still sign, and until when; latest first.
    pub old: Vec<(Bytes, Timestamp)>,
    /// Whether `v1a` is wanted.
    pub v1a: bool,
}

/// A new secret in the place of the current one.
#[derive(Debug, Clone)]
pub struct RotateSecret {
    /// Whose.
    pub consumer: ConsumerId,
    /// The new one, sealed.
    pub sealed: Bytes,
    /// When.
    pub at: Timestamp,
    /// How long the current one still signs; not after this means not at all.
    pub overlap_until: Timestamp,
    /// So many old ones may sign.
    pub old_max: u32,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotated {
    /// The new one signs.
    Yes,
    /// Too many old ones still sign.
    TooMany,
    /// There is no such consumer.
    Unknown,
}

/// A consumer with the key that it used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Its id.
    pub id: ConsumerId,
    /// For people.
    pub name: String,
    /// A public key gets no secret, listing, feed, cancel or redeliver.
    pub key_is_public: bool,
    /// From then on the key opens nothing.
    pub key_expires_at: Option<Timestamp>,
    /// The webhook secret, encrypted by the host.
    pub sealed_secret: Bytes,
    /// When it was added.
    pub created_at: Timestamp,
}

/// One line of the operator's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSummary {
    /// Its id.
    pub id: ConsumerId,
    /// For people.
    pub name: String,
    /// What it has.
    pub balances: Balances,
    /// When it was added.
    pub created_at: Timestamp,
}

/// A consumer to add.
#[derive(Debug, Clone)]
pub struct NewConsumer {
    /// Its id.
    pub id: ConsumerId,
    /// For people; unique.
    pub name: String,
    /// Its first key.
    pub key: Key,
    /// The webhook secret, encrypted by the host.
    pub sealed_secret: Bytes,
    /// The first balance.
    pub credit: Amount,
    /// When.
    pub created_at: Timestamp,
}

/// A consumer's money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Balances {
    /// Can be spent.
    pub available: Amount,
    /// Set aside for requests under way.
    pub held: Amount,
}
