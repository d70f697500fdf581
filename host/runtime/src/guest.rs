//! What the host keeps for one run. Small, and what most guests never ask for is made when they ask.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use wasmtime::ResourceLimiterAsync;

use crate::call::{Call, Clock, NoProgress, ProgressSink, Request, fixed_clock};
use crate::capability::http::Http;
use crate::capability::wasi::Wasi;
use crate::component::Linked;
use crate::gate::Gate;
use crate::grants::Grants;
use crate::journal::{Entries, Journal};
use crate::limits::{Limits, Meters};
use crate::log::Log;
use crate::meter::Meter;
use crate::tape::Tape;
use crate::transform::TransformCall;

/// Each source of randomness is a stream of its own of the request's seed, so that what a guest draws from one does
/// not change what it sees in another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RandomStream {
    Capability = 0,
    WasiSecure = 1,
    WasiInsecure = 2,
    WasiInsecureSeed = 3,
}

/// What wasi's monotonic clock does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Steady {
    Passes,
    /// At zero: a guest cannot tell how long it took, and answers the same on any machine.
    Stands,
}

/// What any run has, whatever it is asked.
pub(crate) struct Given {
    /// Of the request, for logs.
    pub(crate) id: String,
    pub(crate) limits: Arc<Limits>,
    pub(crate) config: Arc<BTreeMap<String, String>>,
    pub(crate) seed: [u8; 32],
    pub(crate) now: Clock,
    pub(crate) steady: Steady,
    pub(crate) progress: Arc<dyn ProgressSink>,
    pub(crate) grants: Grants,
    pub(crate) journal: Option<Arc<dyn Journal>>,
    pub(crate) past: Option<Arc<Entries>>,
}

impl Given {
    /// What a handler has, and what it is asked.
    pub(crate) fn of_call(call: Call) -> (Self, Request) {
        let Call { request, limits, config, seed, now, progress, grants, journal, past } = call;
        let id = request.id.clone();
        let steady = Steady::Passes;
        (Given { id, limits, config, seed, now, steady, progress, grants, journal, past }, request)
    }

    /// What a transform has.
    pub(crate) fn of_transform(call: TransformCall) -> Self {
        let TransformCall { id, owner: _, limits, seed, now_ms } = call;
        Given {
            id,
            limits,
            config: Arc::default(),
            seed,
            now: fixed_clock(now_ms),
            steady: Steady::Stands,
            progress: Arc::new(NoProgress),
            grants: Grants::default(),
            journal: None,
            past: None,
        }
    }
}

/// The data of a store.
pub(crate) struct State {
    pub(crate) meters: Meters,
    pub(crate) meter: Arc<Meter>,
    /// More memory than this makes a run heavy.
    light_memory_bytes: usize,
    pub(crate) log: Log,
    pub(crate) host_calls: u64,
    /// Guest code has run: what goes wrong from here on is the guest's doing.
    pub(crate) entered: bool,
    pub(crate) limits: Arc<Limits>,
    pub(crate) config: Arc<BTreeMap<String, String>>,
    pub(crate) now: Clock,
    pub(crate) steady: Steady,
    pub(crate) progress: Arc<dyn ProgressSink>,
    pub(crate) seed: [u8; 32],
    pub(crate) random: Option<Box<ChaCha20Rng>>,
    pub(crate) grants: Grants,
    pub(crate) journal: Option<Arc<dyn Journal>>,
    pub(crate) past: Option<Arc<Entries>>,
    pub(crate) tape: Option<Tape>,
    pub(crate) gate: Option<Gate>,
    pub(crate) wasi: Option<Box<Wasi>>,
    pub(crate) http: Option<Box<Http>>,
}

impl State {
    pub(crate) fn new(given: Given, meter: Arc<Meter>, linked: &Linked) -> Self {
        let Given { id: _, limits, config, seed, now, steady, progress, grants, journal, past } = given;
        State {
            meters: Meters::new(&limits, linked.memory_bytes_max().min(limits.memory_bytes)),
            meter,
            light_memory_bytes: linked.light_memory_bytes(),
            log: Log::new(limits.log_bytes),
            host_calls: 0,
            entered: false,
            limits,
            config,
            now,
            steady,
            progress,
            seed,
            random: None,
            grants,
            journal,
            past,
            tape: None,
            gate: None,
            wasi: None,
            http: None,
        }
    }

    pub(crate) fn gate(&mut self) -> &Gate {
        if self.gate.is_none() {
            let tape = self.tape().cloned();
            self.gate = Some(Gate::new(self.grants.outbound.clone(), Arc::clone(&self.limits), tape));
        }
        self.gate.as_ref().expect("it was just made")
    }

    /// None: nothing of this run is kept.
    pub(crate) fn tape(&mut self) -> Option<&Tape> {
        if self.tape.is_none() {
            let journal = self.journal.clone()?;
            self.tape = Some(Tape::new(journal, self.past.take().as_deref(), self.now.clone()));
        }
        self.tape.as_ref()
    }

    pub(crate) fn random_stream(&self, stream: RandomStream) -> ChaCha20Rng {
        let mut random = ChaCha20Rng::from_seed(self.seed);
        random.set_stream(stream as u64);
        random
    }
}

type Deciding<'a> = Pin<Box<dyn Future<Output = wasmtime::Result<bool>> + Send + 'a>>;

/// Written out as `async_trait` would have it, so that what is decided at once is.
impl ResourceLimiterAsync for State {
    fn memory_growing<'a, 'b>(&'a mut self, current: usize, desired: usize, maximum: Option<usize>) -> Deciding<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        if !self.meters.memory_may_grow(current, desired, maximum) {
            return Box::pin(std::future::ready(Ok(false)));
        }
        if self.meters.memory_bytes <= self.light_memory_bytes {
            return Box::pin(std::future::ready(Ok(true)));
        }
        // All of it at once: a run that held a part while it waited for more could wait for one that does the same.
        let rest = self.meters.memory_bytes_max.saturating_sub(self.light_memory_bytes);
        Box::pin(async move { Ok(self.meter.grow(rest).await.map(|()| true)?) })
    }

    fn table_growing<'a, 'b>(&'a mut self, current: usize, desired: usize, maximum: Option<usize>) -> Deciding<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(std::future::ready(Ok(self.meters.table_may_grow(current, desired, maximum))))
    }

    fn instances(&self) -> usize {
        self.meters.instances
    }

    fn memories(&self) -> usize {
        self.meters.memories
    }

    fn tables(&self) -> usize {
        self.meters.tables
    }
}
