//! The owner's secrets.

use std::fmt;

use crate::Failure;

/// Why there is no secret of that name, which is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretError {
    /// The manifest's `grants.secrets` does not name it.
    NotGranted(String),
    /// Granted, and the owner has not set it.
    Missing(String),
}

impl fmt::Display for SecretError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGranted(name) => {
                write!(formatter, "the secret `{name}` is not granted: name it in `grants.secrets` of plugin.toml")
            }
            Self::Missing(name) => {
                write!(formatter, "the secret `{name}` is granted and not set: set it with `ripost secrets set`")
            }
        }
    }
}

/// The owner's failure: no other run would find one.
impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        Self::failed("not-configured", "The API is not configured").caused_by(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::SecretError;
    use crate::Failure;

    #[test]
    fn the_owner_reads_which_secret_is_missing_and_the_consumer_does_not() {
        for error in [SecretError::NotGranted("RATES_KEY".to_owned()), SecretError::Missing("RATES_KEY".to_owned())] {
            let failure = Failure::from(error);
            assert!(failure.cause().unwrap().contains("the secret `RATES_KEY` is"), "{failure:?}");
            assert!(!format!("{:?}", failure.problem()).contains("RATES_KEY"));
        }
    }
}
