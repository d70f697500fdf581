//! `secrets`: granted ones, as the host hands them out: a placeholder, or the value if the operator says so.

use crate::bindings::secrets::{Host, SecretError};
use crate::grants;
use crate::guest::State;

impl Host for State {
    fn get(&mut self, name: String) -> Result<String, SecretError> {
        let secrets = self.grants.secrets.as_ref().ok_or(SecretError::NotGranted)?;
        secrets.get(&name).map_err(|error| match error {
            grants::SecretError::NotGranted => SecretError::NotGranted,
            grants::SecretError::Missing => SecretError::Missing,
        })
    }
}
