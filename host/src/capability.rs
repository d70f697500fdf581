//! What components may use of the host, kept apart by owner: one file each.

pub mod kv;
pub mod secrets;

pub use kv::{KvEntry, KvError, OwnerKv};
pub use secrets::{OwnerSecrets, SecretLine, SecretName};
