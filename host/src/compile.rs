//! Machine code of strangers' components: made in a process of its own, kept in the data folder.
//!
//! **process** starts this program again as a compile worker and bounds what it takes → **worker** is what runs there,
//! behind walls → **cache** keeps the artefact, authenticated, until others need the room. A component that makes the
//! compiler run for ever, eat memory or break down costs its owner a refusal and the gateway nothing. **turns** says whose
//! component is next, and **budget** how much an owner may have compiled in an hour.

mod budget;
mod cache;
mod frame;
mod process;
mod turns;
pub(crate) mod worker;

pub(crate) use self::budget::Budget;
pub use self::cache::{Cache, CacheError, Found};
pub use self::process::Process;
pub(crate) use self::turns::{Claim, Turns, Urgency};

use crate::causes::chain;
use crate::config;
use crate::telemetry::metrics::{Metrics, Outcome};
use camino::Utf8Path;
use ripost_runtime::{CompileError, Compiler, Job, Key, Scheme, Target};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The folder of the artefacts in the data folder.
const CACHE_FOLDER: &str = "cache";

/// `(component (core module (func)))`: the least that still has code.
const TINY: [u8; 36] =
    *b"\0asm\x0d\0\x01\0\x01\x1a\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a\x06\x01\x04\0\x01\x01\x0b";

/// The host's compiler: a child process, and what it made before.
pub struct Compile {
    process: Process,
    cache: Option<Cache>,
    metrics: Arc<Metrics>,
}

impl Compile {
    /// Of these parts; without a cache everything is compiled each time.
    #[must_use]
    pub fn new(process: Process, cache: Option<Cache>, metrics: Arc<Metrics>) -> Self {
        Self { process, cache, metrics }
    }

    /// As the configuration says. A cache that cannot be used is told in the log and does without: it never keeps the
    /// gateway from starting.
    #[must_use]
    pub fn open(
        config: &config::Compile,
        data: &Utf8Path,
        artefact_key: &[u8; 32],
        metrics: Arc<Metrics>,
        stopping: CancellationToken,
    ) -> Self {
        let cache = (config.cache > 0)
            .then(|| Cache::open(data.join(CACHE_FOLDER), artefact_key, config.cache as u64))
            .and_then(|opened| {
                opened
                    .inspect_err(|error| {
                        tracing::warn!(
                            error = chain(error),
                            "Compiled components are not kept: each start compiles everything again"
                        );
                    })
                    .ok()
            });
        Self::new(Process::of(config, stopping), cache, metrics)
    }

    fn count(&self, outcome: &'static str) {
        self.metrics.artefacts.get_or_create(&Outcome { outcome }).inc();
    }
}

impl Compiler for Compile {
    fn find(&self, key: &Key) -> Option<Vec<u8>> {
        match self.cache.as_ref()?.find(key) {
            Found::Artefact(artefact) => {
                self.count("hit");
                Some(artefact)
            }
            Found::Rejected => {
                self.count("rejected");
                None
            }
            // The runtime asks once for each engine. What is in neither is compiled, and is counted there.
            Found::Nothing => None,
        }
    }

    fn keep(&self, key: &Key, artefact: &[u8]) {
        if let Some(cache) = &self.cache {
            cache.keep(key, artefact);
        }
    }

    fn compile(&self, key: &Key, wasm: &[u8], job: &Job) -> Result<Vec<u8>, CompileError> {
        if self.cache.is_some() {
            self.count("miss");
        }
        let started = Instant::now();
        let made = self.process.compile(key.target, wasm, job);
        let outcome = match &made {
            Ok(_) => "ok",
            Err(CompileError::Refused(_)) => "refused",
            Err(CompileError::CpuTime { .. } | CompileError::Time { .. }) => "time",
            Err(CompileError::Memory { .. }) => "memory",
            Err(CompileError::Crashed(_)) => "crashed",
            Err(CompileError::Unavailable(_)) => "unavailable",
            Err(CompileError::Interrupted) => "interrupted",
        };
        self.metrics.compilations.get_or_create(&Outcome { outcome }).inc();
        self.metrics.compile_seconds.observe(started.elapsed().as_secs_f64());
        made
    }
}

/// Compiles a tiny component in a real child, and says how long that took: for `ripost doctor`. Blocking.
///
/// # Errors
/// Why there is no compiler, in words for the operator.
pub fn self_test(config: &config::Config) -> Result<Duration, String> {
    let started = Instant::now();
    let process = Process::of(&config.compile, CancellationToken::new());
    let target = Target { scheme: Scheme::Small, memory_reservation_bytes: 64 << 20 };
    process.compile(target, &TINY, &Job::default()).map_err(|error| error.to_string())?;
    Ok(started.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_of_the_self_test_can_be_compiled() {
        let target = Target { scheme: Scheme::Small, memory_reservation_bytes: 64 << 20 };
        ripost_runtime::compile(target, &TINY).unwrap();
    }
}
