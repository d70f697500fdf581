//! `clock`: the time the caller of the run says it is, as far as no earlier run was told another.

use crate::bindings::clock::Host;
use crate::guest::State;

impl Host for State {
    fn now_ms(&mut self) -> u64 {
        match self.tape() {
            Some(tape) => tape.now_ms(),
            None => (self.now)(),
        }
    }
}
