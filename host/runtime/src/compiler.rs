//! Who makes machine code of components. Compiling is the most expensive thing that can be done with a stranger's bytes,
//! and the only one that wasmtime's authors do not count as attacked when it takes for ever: the host does it in a
//! process of its own ([`compile`] is what that process calls) and keeps what came of it ([`Compiler`]).

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wasmtime::Engine;

use crate::engine::{self, Scheme};

/// What machine code is made for: it runs in engines of the same target only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Which of the two engines.
    pub scheme: Scheme,
    /// Address space of one memory, which decides where bounds are checked.
    pub memory_reservation_bytes: u64,
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.scheme, self.memory_reservation_bytes)
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a target such as `small:67108864`");
        let (scheme, bytes) = text.split_once(':').ok_or_else(wrong)?;
        let scheme = match scheme {
            "small" => Scheme::Small,
            "large" => Scheme::Large,
            _ => return Err(wrong()),
        };
        Ok(Target { scheme, memory_reservation_bytes: bytes.parse().map_err(|_| wrong())? })
    }
}

/// What an artefact is found by. Nothing in it comes from the artefact itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// SHA-256 of the component.
    pub component: [u8; 32],
    /// What it was compiled for.
    pub target: Target,
    /// The engine's settings, the processor's features and the version of wasmtime, hashed.
    pub compatibility: u64,
}

/// There is no machine code. Split by whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The compiler says why.
    #[error("{0}")]
    Refused(String),
    /// It used too much CPU time: a compile bomb, or far too large.
    #[error("compiling took more than {} s of CPU time, the operator's limit `compile.cpu`: make the component smaller, split its largest functions, or have the operator raise the limit", .limit.as_secs_f64())]
    CpuTime {
        /// The most it may use.
        limit: Duration,
    },
    /// It took too long, perhaps because the machine was busy.
    #[error("compiling took longer than {} s by the clock, the operator's limit `compile.wall`: make the component smaller, split its largest functions, or have the operator raise the limit", .limit.as_secs_f64())]
    Time {
        /// Wall time.
        limit: Duration,
    },
    /// It took too much memory, as far as can be told.
    #[error("compiling needed more than {} MiB of memory, the operator's limit `compile.memory`: make the component smaller, split its largest functions, or have the operator raise the limit", .limit_bytes >> 20)]
    Memory {
        /// Memory.
        limit_bytes: u64,
    },
    /// The compiler broke down over it.
    #[error(
        "the compiler broke down over it ({0}): build it again, with another optimisation level if that does not help"
    )]
    Crashed(String),
    /// There was no compiler. Not the component's fault.
    #[error("the compiler could not be started ({0}): the operator finds more in the log")]
    Unavailable(String),
    /// Whoever asked for it took it back ([`Job::interrupt`]).
    #[error("compiling was interrupted; it begins again by itself")]
    Interrupted,
}

/// One compilation as whoever asks for it sees it.
#[derive(Debug, Default)]
pub struct Job {
    interrupted: AtomicBool,
    cpu_nanos: AtomicU64,
}

impl Job {
    /// Ends it as soon as the compiler notices.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }

    /// Whether it is to end.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Adds to what it has used.
    pub fn add_cpu(&self, cpu: Duration) {
        self.cpu_nanos.fetch_add(u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The CPU time it has used, once it has ended.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_nanos.load(Ordering::Relaxed))
    }
}

/// Makes machine code, and may keep it. What it returns is run as it is: an implementation must return nothing but what
/// [`compile`] made for that very key.
pub trait Compiler: Send + Sync {
    /// What was kept under this key; authenticated, or not at all.
    fn find(&self, _key: &Key) -> Option<Vec<u8>> {
        None
    }

    /// Keeps an artefact. Whether that worked is nobody's business but its own.
    fn keep(&self, _key: &Key, _artefact: &[u8]) {}

    /// Machine code of a component. Blocking. `job` says when to stop, and is told what it took.
    ///
    /// # Errors
    /// [`CompileError`].
    fn compile(&self, key: &Key, wasm: &[u8], job: &Job) -> Result<Vec<u8>, CompileError>;
}

/// Compiles in this process and keeps nothing: for tests and for bytes that are trusted.
#[derive(Clone, Copy, Debug, Default)]
pub struct InProcess;

impl Compiler for InProcess {
    /// Cannot be interrupted, and takes its wall time for CPU time: it has one thread.
    fn compile(&self, key: &Key, wasm: &[u8], job: &Job) -> Result<Vec<u8>, CompileError> {
        let started = Instant::now();
        let made = compile(key.target, wasm).map_err(CompileError::Refused);
        job.add_cpu(started.elapsed());
        made
    }
}

/// Machine code of a component for a target, made by an engine that reserves nothing. **Blocking**, for as long as the
/// compiler takes.
///
/// # Errors
/// What the compiler says.
pub fn compile(target: Target, wasm: &[u8]) -> Result<Vec<u8>, String> {
    let engine = Engine::new(&engine::base(target)).map_err(|error| format!("{error:#}"))?;
    engine.precompile_component(wasm).map_err(|error| format!("{error:#}"))
}

/// What artefacts of this engine are told apart from those of others by.
pub(crate) fn compatibility(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    engine::WASMTIME_VERSION.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_in_a_component_may_pass_texts_to_each_other() {
        // As those of QuickJS do: the compiler makes an adapter that has both memories.
        let wasm = wat::parse_str(
            r#"(component
              (component $a
                (core module $m (memory (export "m") 1) (func (export "f") (param i32 i32))
                  (func (export "r") (param i32 i32 i32 i32) (result i32) i32.const 8))
                (core instance $i (instantiate $m))
                (func (export "f") (param "s" string)
                  (canon lift (core func $i "f") (memory (core memory $i "m")) (realloc (core func $i "r")))))
              (instance $a (instantiate $a))
              (component $b
                (import "f" (func $f (param "s" string)))
                (core module $l (memory (export "m") 1))
                (core instance $l (instantiate $l))
                (core func $f (canon lower (func $f) (memory (core memory $l "m"))))
                (core module $m (import "" "f" (func (param i32 i32)))
                  (func (export "g") i32.const 0 i32.const 0 call 0))
                (core instance $m (instantiate $m (with "" (instance (export "f" (func $f))))))
                (func (export "g") (canon lift (core func $m "g"))))
              (instance $b (instantiate $b (with "f" (func $a "f"))))
              (export "g" (func $b "g")))"#,
        );
        for scheme in [Scheme::Small, Scheme::Large] {
            compile(Target { scheme, memory_reservation_bytes: 64 << 20 }, wasm.as_ref().unwrap()).unwrap();
        }
    }

    #[test]
    fn a_target_reads_what_it_writes_and_refuses_the_rest() {
        for scheme in [Scheme::Small, Scheme::Large] {
            let target = Target { scheme, memory_reservation_bytes: 1 << 32 };
            assert_eq!(target.to_string().parse(), Ok(target));
        }
        for text in ["", "small", "small:", "small:x", "medium:1", "small:-1"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
