//! `secrets`: nobody is granted any yet.

use crate::bindings::secrets::{Host, SecretError};
use crate::guest::State;

impl Host for State {
    fn get(&mut self, _name: String) -> Result<String, SecretError> {
        Err(SecretError::NotGranted)
    }
}
