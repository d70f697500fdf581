//! What the host holds: two engines, their linkers, the ticker, the permits.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::aside::Aside;
use crate::call::{Call, Problem, Request, Response, Run, Usage};
use crate::capability;
use crate::compiler::{Compiler, InProcess, Job, Key, Target, compatibility};
use crate::component::{
    Compiled, Facts, Handler, Inspection, Linked, LoadError, Transform, inspect, kind, pack, unpack,
};
use crate::engine::{self, RuntimeConfig, RuntimeDescription, RuntimeError, Scheme, SchemeDescription};
use crate::fair::FairSemaphore;
use crate::guest::{Given, State};
use crate::instance::{self, Ended};
use crate::limits::Limits;
use crate::memory::{Memory, MemoryUse};
use crate::meter::{Measures, Meter};
use crate::question::{Question, ToHandle, ToRewrite, ToSend, ToTransform};
use crate::role::{Role, TransformKind};
use crate::run_error::RunError;
use crate::ticker::Ticker;
use crate::transform::{Rewrite, TransformCall, Transformed, Webhook};

/// Loads components and runs them. Cheap to clone; the last clone to go ends the epoch thread.
#[derive(Clone)]
pub struct Runtime(Arc<Parts>);

struct Parts {
    config: RuntimeConfig,
    compiler: Arc<dyn Compiler>,
    small: Platform,
    large: Platform,
    ticker: Ticker,
    heavy: FairSemaphore,
    memory: Memory,
    aside: Aside,
}

struct Platform {
    engine: Engine,
    linker: Linker<State>,
    description: SchemeDescription,
    compatibility: u64,
}

/// What a look at a component's bytes brought.
enum Looked<'r> {
    /// It was compiled before.
    Compiled(Box<Linked>),
    /// It may be compiled, for this engine.
    Admitted { facts: Box<Facts>, platform: &'r Platform, digest: [u8; 32] },
}

impl Looked<'_> {
    fn compiled(self) -> Option<Linked> {
        match self {
            Looked::Compiled(linked) => Some(*linked),
            Looked::Admitted { .. } => None,
        }
    }
}

impl Platform {
    fn new(scheme: Scheme, config: &RuntimeConfig) -> Result<Self, RuntimeError> {
        let (engine, description) = engine::build(scheme, config)?;
        let mut linker = Linker::new(&engine);
        capability::add_to_linker(&mut linker).map_err(|error| RuntimeError::Link(format!("{error:#}")))?;
        let compatibility = compatibility(&engine);
        Ok(Platform { engine, linker, description, compatibility })
    }

    fn key(&self, component: [u8; 32]) -> Key {
        let SchemeDescription { scheme, memory_reservation_bytes, .. } = self.description;
        Key { component, target: Target { scheme, memory_reservation_bytes }, compatibility: self.compatibility }
    }

    fn link(&self, code: &[u8], facts: Facts, digest: [u8; 32], limits: &Limits) -> Result<Linked, LoadError> {
        let compiled = Compiled::from_code(&self.engine, code, facts, self.description.scheme, limits)?;
        compiled.link(&self.linker, digest, self.description.memory_bytes_max)
    }
}

impl Runtime {
    /// Builds both engines, links the host's functions and starts the thread that ticks. Once in a process. Components
    /// are compiled in this process, and nothing is kept.
    ///
    /// # Errors
    /// If the engines cannot be built even without a pool, or there is no thread to be had.
    pub fn start(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        Self::start_with(config, Arc::new(InProcess))
    }

    /// The same with a compiler of the host's.
    ///
    /// # Errors
    /// As [`Runtime::start`].
    pub fn start_with(config: RuntimeConfig, compiler: Arc<dyn Compiler>) -> Result<Self, RuntimeError> {
        let small = Platform::new(Scheme::Small, &config)?;
        let large = Platform::new(Scheme::Large, &config)?;
        let ticker = Ticker::start(vec![small.engine.clone(), large.engine.clone()], config.tick)
            .map_err(RuntimeError::Ticker)?;
        let heavy_runs = u32::try_from(config.heavy_runs_max.max(1)).unwrap_or(u32::MAX);
        let heavy = FairSemaphore::new(heavy_runs, heavy_runs);
        let memory = Memory::new(&config.memory, config.memory_bytes_ceiling);
        let aside = Aside::start(config.heavy_runs_max.max(1)).map_err(RuntimeError::Heavy)?;
        Ok(Runtime(Arc::new(Parts { config, compiler, small, large, ticker, heavy, memory, aside })))
    }

    /// The part of [`Runtime::load`] that comes before the compiler: size, kind, validity, world, imports, what it starts
    /// with. Linear in the component's size; nothing of it is run.
    ///
    /// # Errors
    /// One sentence for the owner of the component.
    pub fn inspect(&self, wasm: &[u8], limits: &Limits) -> Result<Inspection, LoadError> {
        self.inspect_as(Role::Handler, wasm, limits)
    }

    /// The same of a transform.
    ///
    /// # Errors
    /// One sentence for the owner of the component.
    pub fn inspect_transform(
        &self,
        wasm: &[u8],
        kind: TransformKind,
        limits: &Limits,
    ) -> Result<Inspection, LoadError> {
        self.inspect_as(Role::Transform(kind), wasm, limits)
    }

    fn inspect_as(&self, wanted: Role, wasm: &[u8], limits: &Limits) -> Result<Inspection, LoadError> {
        kind(wasm, limits)?;
        let facts = inspect(wasm, self.0.large.engine.get_wasm_features(), wanted)?;
        let scheme = facts.admit(limits, self.0.config.small_first_memory_bytes_max)?;
        Ok(Inspection::new(wasm, &Sha256::digest(wasm).into(), facts, scheme))
    }

    /// Admits, compiles and links a component, or finds it compiled. **Blocking**, for as long as the compiler takes
    /// (75 ms for a Rust handler, 9 s for a JavaScript engine): call it off the async threads.
    ///
    /// # Errors
    /// One sentence for the owner of the component.
    pub fn load(&self, wasm: &[u8], limits: &Limits) -> Result<Handler, LoadError> {
        self.load_within(wasm, limits, &Job::default())
    }

    /// The same, and whoever holds `job` can interrupt the compiler and sees what it took.
    ///
    /// # Errors
    /// As [`Runtime::load`].
    pub fn load_within(&self, wasm: &[u8], limits: &Limits, job: &Job) -> Result<Handler, LoadError> {
        self.load_as(Role::Handler, wasm, limits, job).map(Handler::from)
    }

    /// [`Runtime::load`] without the compiler: what was compiled before, or is refused. `None`: it is fine so far, and is
    /// still to be compiled. **Blocking**, for a look at its bytes.
    ///
    /// # Errors
    /// As [`Runtime::load`].
    pub fn load_compiled(&self, wasm: &[u8], limits: &Limits) -> Result<Option<Handler>, LoadError> {
        Ok(self.look(Role::Handler, wasm, limits)?.compiled().map(Handler::from))
    }

    /// The same of a transform. **Blocking**.
    ///
    /// # Errors
    /// One sentence for the owner of the component: also for a handler, for a transform of another kind, and for one that
    /// imports more than `log`.
    pub fn load_transform(&self, wasm: &[u8], kind: TransformKind, limits: &Limits) -> Result<Transform, LoadError> {
        self.load_transform_within(wasm, kind, limits, &Job::default())
    }

    /// As [`Runtime::load_within`].
    ///
    /// # Errors
    /// As [`Runtime::load_transform`].
    pub fn load_transform_within(
        &self,
        wasm: &[u8],
        kind: TransformKind,
        limits: &Limits,
        job: &Job,
    ) -> Result<Transform, LoadError> {
        self.load_as(Role::Transform(kind), wasm, limits, job).map(Transform::from)
    }

    /// As [`Runtime::load_compiled`]. **Blocking**, for a look at its bytes.
    ///
    /// # Errors
    /// As [`Runtime::load_transform`].
    pub fn load_compiled_transform(
        &self,
        wasm: &[u8],
        kind: TransformKind,
        limits: &Limits,
    ) -> Result<Option<Transform>, LoadError> {
        Ok(self.look(Role::Transform(kind), wasm, limits)?.compiled().map(Transform::from))
    }

    fn load_as(&self, wanted: Role, wasm: &[u8], limits: &Limits, job: &Job) -> Result<Linked, LoadError> {
        let (facts, platform, digest) = match self.look(wanted, wasm, limits)? {
            Looked::Compiled(linked) => return Ok(*linked),
            Looked::Admitted { facts, platform, digest } => (facts, platform, digest),
        };
        let key = platform.key(digest);
        let code = self.0.compiler.compile(&key, wasm, job).map_err(LoadError::Compile)?;
        let linked = platform.link(&code, (*facts).clone(), digest, limits)?;
        self.0.compiler.keep(&key, &pack(&facts, &code));
        Ok(linked)
    }

    /// All that comes before the compiler.
    fn look(&self, wanted: Role, wasm: &[u8], limits: &Limits) -> Result<Looked<'_>, LoadError> {
        kind(wasm, limits)?;
        let digest: [u8; 32] = Sha256::digest(wasm).into();
        let platforms = [&self.0.small, &self.0.large];
        if let Some(found) = platforms.iter().find_map(|platform| self.find(platform, digest, wanted, limits)) {
            return Ok(Looked::Compiled(Box::new(found?)));
        }
        let facts = inspect(wasm, self.0.large.engine.get_wasm_features(), wanted)?;
        let platform = self.platform(facts.admit(limits, self.0.config.small_first_memory_bytes_max)?);
        Ok(Looked::Admitted { facts: Box::new(facts), platform, digest })
    }

    /// What was compiled before, if these limits put it into that engine again. One that cannot be used is compiled anew.
    fn find(
        &self,
        platform: &Platform,
        digest: [u8; 32],
        wanted: Role,
        limits: &Limits,
    ) -> Option<Result<Linked, LoadError>> {
        let artefact = self.0.compiler.find(&platform.key(digest))?;
        let (facts, code) = unpack(&artefact)?;
        if let Err(error) = facts.expect(wanted) {
            return Some(Err(error));
        }
        match facts.admit(limits, self.0.config.small_first_memory_bytes_max) {
            Err(error) => Some(Err(error)),
            Ok(scheme) if scheme != platform.description.scheme => None,
            Ok(_) => match platform.link(code, facts, digest, limits) {
                Err(LoadError::Compile(error)) => {
                    tracing::warn!(%error, "A compiled component cannot be used; it is compiled again");
                    None
                }
                found => Some(found),
            },
        }
    }

    /// One run in a fresh instance. A guest can make it fail and never panic. Must be called inside a tokio runtime
    /// with time enabled.
    ///
    /// # Cancel safety
    /// Dropping the future stops the guest and frees its place; what it had reported stays reported.
    pub async fn run(&self, handler: &Handler, call: Call) -> Run {
        let owner = call.request.owner.clone();
        let (given, request) = Given::of_call(call);
        let Ended { outcome, usage, logs, logs_dropped, remains } =
            self.ask(handler.linked(), &owner, given, ToHandle(request)).await;
        Run { outcome, usage, logs, logs_dropped, remains }
    }

    /// One run of a request transform, as [`Runtime::run`]. Nothing of it is the request's but what it rewrites.
    ///
    /// # Errors
    /// In the outcome; a transform of another kind is the caller's mistake and [`RunError::Host`].
    ///
    /// # Cancel safety
    /// Dropping the future stops the guest and frees its place.
    pub async fn transform_request(
        &self,
        transform: &Transform,
        call: TransformCall,
        request: &Request,
    ) -> Transformed<Rewrite> {
        self.transform(transform, call, ToRewrite(request.clone())).await
    }

    /// One run of a response transform. The request is the one that the handler saw.
    ///
    /// # Errors
    /// In the outcome; a transform of another kind is the caller's mistake and [`RunError::Host`].
    ///
    /// # Cancel safety
    /// Dropping the future stops the guest and frees its place.
    pub async fn transform_response(
        &self,
        transform: &Transform,
        call: TransformCall,
        request: &Request,
        response: &Response,
    ) -> Transformed<Response> {
        self.transform(transform, call, ToTransform(request.clone(), response.clone())).await
    }

    /// One run of a webhook transform. The event stays what it was, whatever the guest says.
    ///
    /// # Errors
    /// In the outcome; a transform of another kind is the caller's mistake and [`RunError::Host`].
    ///
    /// # Cancel safety
    /// Dropping the future stops the guest and frees its place.
    pub async fn transform_webhook(
        &self,
        transform: &Transform,
        call: TransformCall,
        webhook: &Webhook,
    ) -> Transformed<Webhook> {
        self.transform(transform, call, ToSend(webhook.clone())).await
    }

    async fn transform<T: Send + 'static>(
        &self,
        transform: &Transform,
        call: TransformCall,
        question: impl Question<Answer = Result<T, Problem>>,
    ) -> Transformed<T> {
        let owner = call.owner.clone();
        let given = Given::of_transform(call);
        let Ended { outcome, usage, logs, logs_dropped, .. } =
            self.ask(transform.linked(), &owner, given, question).await;
        Transformed { outcome: outcome.map_err(RunError::of_transform), usage, logs, logs_dropped }
    }

    async fn ask<Q: Question>(&self, linked: &Arc<Linked>, owner: &str, given: Given, question: Q) -> Ended<Q::Answer> {
        let owner: Arc<str> = Arc::from(owner);
        let reserve = self.0.memory.reserve(&owner);
        if linked.reserved_bytes() > 0
            && let Err(error) = reserve.first(linked.reserved_bytes()).await
        {
            return Ended::without_a_run(RunError::PoolExhausted(error.to_string()), Usage::default());
        }
        let _ticking = self.0.ticker.ticking();
        let measures = Measures { tick: self.0.config.tick, ticks: self.0.ticker.ticks(), heavy: self.0.heavy.clone() };
        let meter = Meter::new(given.limits.cpu, measures, owner, reserve, linked.is_heavy());
        let run = Box::pin(instance::run(Arc::clone(&meter), Arc::clone(linked), given, question));
        let ended = self.0.aside.drive(&meter, run).await.unwrap_or_else(|| {
            let error = RunError::Host("the threads for long runs have ended".to_owned());
            Ended::without_a_run(error, Usage { cpu: meter.spent(), ..Usage::default() })
        });
        if meter.has_stretched() && linked.becomes_heavy() {
            tracing::info!(
                component = linked.digest(),
                "A component held a thread inside one instruction or host call; from now on its runs have low priority from the beginning"
            );
        }
        ended
    }

    /// How much of the memory for guests is set aside.
    #[must_use]
    pub fn memory(&self) -> MemoryUse {
        self.0.memory.usage()
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
