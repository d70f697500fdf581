//! `progress`: how far a run is, and whether anybody still wants it.

use crate::bindings::progress::Host;
use crate::guest::State;

/// What a person reads at a glance; the rest is cut.
const MESSAGE_BYTES_MAX: usize = 1024;

impl Host for State {
    fn report(&mut self, percent: Option<u8>, message: String) {
        let message = &message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)];
        self.progress.report(percent.map(|percent| percent.min(100)), message);
    }

    fn cancelled(&mut self) -> bool {
        self.progress.cancelled()
    }
}
