//! `clock`: the time the caller of the run says it is.

use crate::bindings::clock::Host;
use crate::guest::State;

impl Host for State {
    fn now_ms(&mut self) -> u64 {
        (self.now)()
    }
}
