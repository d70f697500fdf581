//! Tokens of the management API, besides the one in the data folder.

use ripost_domain::api::Name;
use ripost_domain::id::TokenId;
use ripost_domain::time::Timestamp;

/// What a token's holder may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Operator,
    /// What is this owner's.
    Owner(Name),
}

/// A token at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// For people; unique.
    pub name: String,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// What its holder may do.
    pub role: Role,
    /// When it was added.
    pub created_at: Timestamp,
}
