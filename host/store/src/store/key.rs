//! Consumers' keys.

use ripost_domain::id::ConsumerId;
use ripost_domain::time::Timestamp;

/// A key at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// For people; unique among the keys of a consumer.
    pub name: String,
    /// What people tell it by: how it begins and ends.
    pub hint: String,
    /// Whether it is printed where anybody can read it.
    pub public: bool,
    /// From then on it opens nothing.
    pub expires_at: Option<Timestamp>,
}

/// Another key for a consumer. Its keys that have expired go.
#[derive(Debug, Clone)]
pub struct AddKey {
    /// Whose.
    pub consumer: ConsumerId,
    /// The key.
    pub key: Key,
    /// Now.
    pub at: Timestamp,
    /// So many a consumer may have.
    pub keys_max: u32,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddedKey {
    /// It opens from now on.
    Yes,
    /// The consumer has a key of that name.
    NameTaken,
    /// The consumer has as many as it may have.
    TooMany,
    /// There is no such consumer.
    Unknown,
}

/// One line of the list of a consumer's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySummary {
    /// For people.
    pub name: String,
    /// What people tell it by; `None`: it is of a version that did not keep that.
    pub hint: Option<String>,
    /// Whether it is printed where anybody can read it.
    pub public: bool,
    /// When it was added.
    pub created_at: Timestamp,
    /// From then on it opens nothing.
    pub expires_at: Option<Timestamp>,
}

/// What is done about a key without which its consumer could do less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfLast {
    /// It stays.
    Refuse,
    /// It ends like any other.
    End,
}

/// The end of a key.
#[derive(Debug, Clone)]
pub struct EndKey {
    /// Whose.
    pub consumer: ConsumerId,
    /// Its name.
    pub name: String,
    /// Now.
    pub now: Timestamp,
    /// When it ends; at once if that is not after `now`.
    pub ends_at: Timestamp,
    /// If no other key outlives it that may do as much.
    pub if_last: IfLast,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedKey {
    /// It opens nothing from then on, which may be earlier than was asked for.
    At(Timestamp),
    /// The consumer has no such key.
    Unknown,
    /// It is the last one, and stays.
    IsLast,
}
