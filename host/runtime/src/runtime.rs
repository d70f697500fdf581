//! What the host holds: two engines, their linkers, the ticker, the permits.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::call::{Call, Run};
use crate::capability;
use crate::component::{Compiled, Handler, LoadError, admit};
use crate::engine::{self, RuntimeConfig, RuntimeDescription, RuntimeError, Scheme, SchemeDescription};
use crate::guest::State;
use crate::instance;
use crate::limits::Limits;
use crate::ticker::Ticker;

/// Loads components and runs them. Cheap to clone; the last clone to go ends the epoch thread.
#[derive(Clone)]
pub struct Runtime(Arc<Parts>);

struct Parts {
    config: RuntimeConfig,
    small: Platform,
    large: Platform,
    ticker: Ticker,
    heavy: Arc<Semaphore>,
}

struct Platform {
    engine: Engine,
    linker: Linker<State>,
    description: SchemeDescription,
}

impl Platform {
    fn new(scheme: Scheme, config: &RuntimeConfig) -> Result<Self, RuntimeError> {
        let (engine, description) = engine::build(scheme, config)?;
        let mut linker = Linker::new(&engine);
        capability::add_to_linker(&mut linker).map_err(|error| RuntimeError::Link(format!("{error:#}")))?;
        Ok(Platform { engine, linker, description })
    }
}

impl Runtime {
    /// Builds both engines, links the host's functions and starts the thread that ticks. Once in a process.
    ///
    /// # Errors
    /// If the engines cannot be built even without a pool, or there is no thread to be had.
    pub fn start(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        let small = Platform::new(Scheme::Small, &config)?;
        let large = Platform::new(Scheme::Large, &config)?;
        let ticker = Ticker::start(vec![small.engine.clone(), large.engine.clone()], config.tick)
            .map_err(RuntimeError::Ticker)?;
        let heavy = Arc::new(Semaphore::new(config.heavy_runs_max.max(1)));
        Ok(Runtime(Arc::new(Parts { config, small, large, ticker, heavy })))
    }

    /// Admits, compiles and links a component. **Blocking**, for as long as the compiler takes (75 ms for a Rust
    /// handler, 9 s for a JavaScript engine): call it off the async threads.
    ///
    /// # Errors
    /// One sentence for the owner of the component.
    pub fn load(&self, wasm: &[u8], limits: &Limits) -> Result<Handler, LoadError> {
        let admitted = admit(wasm, limits, self.0.large.engine.get_wasm_features())?;
        let platform = self.platform(admitted.scheme);
        Compiled::new(&platform.engine, wasm, admitted, limits)?.link(
            &platform.linker,
            wasm,
            platform.description.memory_bytes_max,
        )
    }

    /// One run in a fresh instance. A guest can make it fail and never panic. Must be called inside a tokio runtime
    /// with time enabled.
    ///
    /// # Cancel safety
    /// Dropping the future stops the guest and frees its place; what it had reported stays reported.
    pub async fn run(&self, handler: &Handler, call: Call) -> Run {
        let _ticking = self.0.ticker.ticking();
        instance::run(&self.0.config, &self.0.heavy, handler, call).await
    }

    /// How it was built, for logs and `ripost doctor`.
    #[must_use]
    pub fn describe(&self) -> RuntimeDescription {
        RuntimeDescription {
            wasmtime: engine::WASMTIME_VERSION,
            tick: self.0.config.tick,
            heavy_runs_max: self.0.config.heavy_runs_max,
            schemes: [self.0.small.description.clone(), self.0.large.description.clone()],
        }
    }

    fn platform(&self, scheme: Scheme) -> &Platform {
        match scheme {
            Scheme::Small => &self.0.small,
            Scheme::Large => &self.0.large,
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Runtime").field("description", &self.describe()).finish_non_exhaustive()
    }
}
