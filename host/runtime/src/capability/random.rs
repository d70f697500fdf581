//! `random`: bytes from the request's seed, so that a run can be replayed.

use chacha20::rand_core::Rng;

use crate::bindings::random::Host;
use crate::guest::{RandomStream, State};

/// What one call gives at most, as the contract says.
const BYTES_MAX: usize = 65_536;

impl Host for State {
    fn bytes(&mut self, len: u32) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(BYTES_MAX).min(BYTES_MAX)];
        if self.random.is_none() {
            self.random = Some(Box::new(self.random_stream(RandomStream::Capability)));
        }
        if let Some(random) = &mut self.random {
            random.fill_bytes(&mut bytes);
        }
        bytes
    }
}
