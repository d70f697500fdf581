//! The owner's secrets.

use std::fmt;

use crate::Failure;

/// Why there is no secret of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretError {
    /// The manifest's `grants.secrets` does not name it.
    NotGranted,
    /// Granted, and the owner has not set it.
    Missing,
}

impl fmt::Display for SecretError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotGranted => "the secret is not granted: name it in `grants.secrets`",
            Self::Missing => "the secret is granted and not set",
        })
    }
}

/// The owner's failure: no other run would find one.
impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        Self::failed("not-configured", "The API is not configured").caused_by(error.to_string())
    }
}
