//! What the host keeps for one run. Small, and what most guests never ask for is made when they ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;

use crate::call::{Call, Clock, ProgressSink};
use crate::capability::http::Http;
use crate::capability::wasi::Wasi;
use crate::gate::Gate;
use crate::grants::Grants;
use crate::limits::{Limits, Meters};
use crate::log::Log;
use crate::meter::Meter;

/// Each source of randomness is a stream of its own of the request's seed, so that what a guest draws from one does
/// not change what it sees in another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RandomStream {
    Capability = 0,
    WasiSecure = 1,
    WasiInsecure = 2,
    WasiInsecureSeed = 3,
}

/// The data of a store.
pub(crate) struct State {
    pub(crate) meters: Meters,
    pub(crate) meter: Arc<Meter>,
    pub(crate) log: Log,
    pub(crate) host_calls: u64,
    /// Guest code has run: what goes wrong from here on is the guest's doing.
    pub(crate) entered: bool,
    pub(crate) limits: Arc<Limits>,
    pub(crate) config: Arc<BTreeMap<String, String>>,
    pub(crate) now: Clock,
    pub(crate) progress: Arc<dyn ProgressSink>,
    pub(crate) seed: [u8; 32],
    pub(crate) random: Option<Box<ChaCha20Rng>>,
    pub(crate) grants: Grants,
    pub(crate) gate: Option<Gate>,
    pub(crate) wasi: Option<Box<Wasi>>,
    pub(crate) http: Option<Box<Http>>,
}

impl State {
    pub(crate) fn new(call: &Call, meter: Arc<Meter>, memory_bytes_max: usize) -> Self {
        State {
            meters: Meters::new(&call.limits, memory_bytes_max.min(call.limits.memory_bytes)),
            meter,
            log: Log::new(call.limits.log_bytes),
            host_calls: 0,
            entered: false,
            limits: Arc::clone(&call.limits),
            config: Arc::clone(&call.config),
            now: Arc::clone(&call.now),
            progress: Arc::clone(&call.progress),
            seed: call.seed,
            random: None,
            grants: call.grants.clone(),
            gate: None,
            wasi: None,
            http: None,
        }
    }

    pub(crate) fn gate(&mut self) -> &Gate {
        self.gate.get_or_insert_with(|| Gate::new(self.grants.outbound.clone(), Arc::clone(&self.limits)))
    }

    pub(crate) fn random_stream(&self, stream: RandomStream) -> ChaCha20Rng {
        let mut random = ChaCha20Rng::from_seed(self.seed);
        random.set_stream(stream as u64);
        random
    }
}
