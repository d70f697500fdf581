//! `config`: values from the manifest.

use crate::bindings::config::Host;
use crate::guest::State;

impl Host for State {
    fn get(&mut self, key: String) -> Option<String> {
        self.config.get(&key).cloned()
    }
}
