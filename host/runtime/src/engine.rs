//! The one place that builds engines.
//!
//! The memory scheme decides the speed of a fresh instance, so there are two; `cargo xtask bench --only sandbox` measures
//! both. What costs is page faults and changes of protection, for which threads fight over the kernel's lock on the
//! address space. So a slot's first bytes stay resident and are reset by hand, and the small engine has no guard pages:
//! the bench's `echo`, which grows its memory once, takes 8 µs of CPU there and 15 in the large one. Big guests are the
//! other way round, since their data is copied from one image and not segment by segment: a QuickJS handler takes 140 µs
//! in the large engine, and 245 in the small one even if as much is kept. What the small engine costs are explicit bounds checks: a guest that
//! computes for a millisecond (`examples/reports`, 50 000 rows) took up to 1.6 times as long.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::backtrace::FRAMES_MAX;
use crate::compiler::Target;
use crate::limits::Limits;
use crate::memory::MemoryPlan;

/// The engine's version; a test compares it with the lock file.
pub(crate) const WASMTIME_VERSION: &str = "48.0.8";

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const GIB: u64 = 1024 * 1024 * 1024;

/// Of all guests together, unless the host says what the machine has.
const MEMORY_BYTES: usize = 4096 * MIB;

/// Components whose first memory is at most this go to [`Scheme::Small`]. A Rust guest with the SDK's 64 KiB stack has 2
/// to 6 pages; with Rust's default stack of 1 MiB it has 17 and goes to [`Scheme::Large`]. Measured with guests that grow
/// nothing: up to 8 pages both cost the same, 6 to 10 µs; with 16 pages 10 to 13 µs in the small engine and 15 to 17 in
/// the large one; with 24 pages, half of them used, 112 against 24.
pub(crate) const SMALL_FIRST_MEMORY_BYTES_MAX: u64 = MIB as u64;
/// The reservation of a small memory, and so the most it can grow to.
pub(crate) const SMALL_MEMORY_BYTES_MAX: usize = 64 * MIB;
/// Covers what small guests touch: a page beyond it is a fault of the next call, and costs 1.5 µs. Not all of
/// [`SMALL_FIRST_MEMORY_BYTES_MAX`], because a slot in which one guest has grown is reset up to here for all that follow.
const SMALL_KEEP_RESIDENT_BYTES: usize = 512 * KIB;
/// Covers a QuickJS handler, which has 22 pages, the first 16 of them its stack: 140 µs and no fault, against 240 µs and
/// 41 faults if 1 MiB or less is kept. Without copy-on-write it is 195 µs.
const LARGE_KEEP_RESIDENT_BYTES: usize = 2 * MIB;
/// Without it, a call of any guest that has a table pays for another fault: 12 against 8 µs. More brings nothing.
const TABLE_KEEP_RESIDENT_BYTES: usize = 32 * KIB;
/// A freed slot is given back to the kernel at once, by the thread that ran the guest. With larger groups what the guests
/// have touched stays until the next ones end, with no bound in bytes or time (seven guests of 512 MiB: 3.5 GB), and a
/// thread that answers calls may find itself giving back what others have left.
const DECOMMIT_BATCH: usize = 1;
/// .NET needs 10 511 table elements, and a limit of a run may be raised above the default.
const POOL_TABLE_ELEMENTS: usize = 100_000;
const POOL_INSTANCE_BYTES: usize = 10 * MIB;
/// What the pool has for each run. A component that `wit-component` made has three core instances: the guest and two
/// of shims; with a wasi adapter four. Most have one memory and one or two tables. What needs more counts as several
/// runs, so that the pool is never short of anything.
pub(crate) const POOL_INSTANCES: usize = 4;
pub(crate) const POOL_MEMORIES: usize = 2;
pub(crate) const POOL_TABLES: usize = 3;

/// How the runtime is built. All of it is fixed at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// Runs at the same time in each of the two engines. Must be above what any one owner may have.
    pub instances_max: u32,
    /// The most memory any run can have, whatever its limits say; at most [`MemoryPlan::run_bytes_max`].
    pub memory_bytes_ceiling: usize,
    /// What all runs together can have.
    pub memory: MemoryPlan,
    /// How often the CPU budget is looked at, and the longest a guest runs before it takes turns with others.
    pub tick: Duration,
    /// Runs beyond their first tick at the same time. Keep it below the number of async worker threads.
    pub heavy_runs_max: usize,
    /// The most instances, memories and tables that any component may have.
    pub components: Limits,
    /// Components whose first memory is at most this run in [`Scheme::Small`]; 0: none does. The small engine's bounds
    /// checks have no barriers against speculation, which wasmtime can only add where it also has guard pages.
    pub small_first_memory_bytes_max: u64,
    /// Reserve the pool's address space at start. `false`: allocate on demand, at 2 to 4 times the cost of a call.
    pub pooling: bool,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        RuntimeConfig {
            instances_max: 200,
            memory_bytes_ceiling: Limits::ceiling().memory_bytes,
            memory: MemoryPlan::new(MEMORY_BYTES, 200),
            tick: Duration::from_millis(2),
            heavy_runs_max: workers.saturating_sub(1).max(1),
            components: Limits::ceiling(),
            small_first_memory_bytes_max: SMALL_FIRST_MEMORY_BYTES_MAX,
            pooling: true,
        }
    }
}

/// The runtime could not start.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No way of building the engine worked.
    #[error("building the {scheme} engine: {reason}")]
    Engine {
        /// Which of the two.
        scheme: Scheme,
        /// What wasmtime said.
        reason: String,
    },
    /// The host functions do not fit the contract.
    #[error("linking the host's functions: {0}")]
    Link(String),
    /// The thread that ticks did not start.
    #[error("starting the epoch thread")]
    Ticker(#[source] std::io::Error),
    /// The threads for long runs did not start.
    #[error("starting the threads for long runs")]
    Heavy(#[source] std::io::Error),
}

/// Which of the two engines a component runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// No copy-on-write, a small reservation, explicit bounds checks: quickest to start.
    Small,
    /// Copy-on-write images: for components that start with much memory or may grow beyond 64 MiB.
    Large,
}

impl fmt::Display for Scheme {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Scheme::Small => "small",
            Scheme::Large => "large",
        })
    }
}

/// How the runtime was built, for logs and `ripost doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeDescription {
    /// Version of wasmtime.
    pub wasmtime: &'static str,
    /// How often the CPU budget is looked at.
    pub tick: Duration,
    /// Runs beyond their first tick at the same time.
    pub heavy_runs_max: usize,
    /// The two engines.
    pub schemes: [SchemeDescription; 2],
}

/// How one engine was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemeDescription {
    /// Which one.
    pub scheme: Scheme,
    /// `pooling`, or `on-demand: ` and why.
    pub allocator: String,
    /// Runs at the same time.
    pub instances_max: u32,
    /// Address space of one memory.
    pub memory_reservation_bytes: u64,
    /// What one run can grow to at most.
    pub memory_bytes_max: usize,
    /// What stays mapped in a slot between two runs.
    pub keep_resident_bytes: usize,
}

impl fmt::Display for RuntimeDescription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "wasmtime {}, tick {} ms, {} heavy",
            self.wasmtime,
            self.tick.as_millis(),
            self.heavy_runs_max
        )?;
        for scheme in &self.schemes {
            write!(
                formatter,
                "; {}: {}, {} instances of up to {} MiB",
                scheme.scheme,
                scheme.allocator,
                scheme.instances_max,
                scheme.memory_bytes_max / MIB
            )?;
        }
        Ok(())
    }
}

/// Builds the engine of a scheme: pooling with the reservation that is best for it, else with the smallest that
/// still serves, else on demand. Building a pool reserves its address space, so the attempt is the probe.
pub(crate) fn build(scheme: Scheme, config: &RuntimeConfig) -> Result<(Engine, SchemeDescription), RuntimeError> {
    let memory_bytes_max = match scheme {
        Scheme::Small => SMALL_MEMORY_BYTES_MAX.min(config.memory_bytes_ceiling),
        Scheme::Large => config.memory_bytes_ceiling,
    }
    .next_multiple_of(64 * KIB);
    let least = memory_bytes_max as u64;
    // 4 GiB and guards let the compiler leave out bounds checks.
    let reservations: &[u64] = match scheme {
        Scheme::Small => &[least],
        Scheme::Large => &[least.max(4 * GIB), least],
    };
    let describe = |allocator: String, memory_reservation_bytes| SchemeDescription {
        scheme,
        allocator,
        instances_max: config.instances_max,
        memory_reservation_bytes,
        memory_bytes_max,
        keep_resident_bytes: keep_resident_bytes(scheme),
    };
    let mut why = "switched off".to_owned();
    if config.pooling {
        for reservation in reservations {
            let mut engine = base(Target { scheme, memory_reservation_bytes: *reservation });
            engine.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(scheme, config, memory_bytes_max)));
            match Engine::new(&engine) {
                Ok(engine) => return Ok((engine, describe("pooling".to_owned(), *reservation))),
                Err(error) => why = format!("{error:#}"),
            }
        }
    }
    let memory_reservation_bytes = least.min(SMALL_MEMORY_BYTES_MAX as u64);
    let mut engine = base(Target { scheme, memory_reservation_bytes });
    engine.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    let engine = Engine::new(&engine).map_err(|error| RuntimeError::Engine { scheme, reason: format!("{error:#}") })?;
    Ok((engine, describe(format!("on-demand: {why}"), memory_reservation_bytes)))
}

fn keep_resident_bytes(scheme: Scheme) -> usize {
    match scheme {
        Scheme::Small => SMALL_KEEP_RESIDENT_BYTES,
        Scheme::Large => LARGE_KEEP_RESIDENT_BYTES,
    }
}

pub(crate) fn base(target: Target) -> Config {
    let Target { scheme, memory_reservation_bytes } = target;
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        // Attack surface that no guest of ours needs. Threads and exceptions are not even compiled in.
        .wasm_gc(false)
        .wasm_memory64(false)
        // For wasmtime's own adapters between the components of a component, each of which has a memory (QuickJS is
        // built that way); without it the compiler panics over them. Modules with several are refused before.
        .wasm_multi_memory(true)
        .wasm_stack_switching(false)
        .shared_memory(false)
        // A replay on another machine must see the same numbers.
        .relaxed_simd_deterministic(true)
        // One function after the other: the compiler's process has the lowest priority, and is bounded by the sum.
        .parallel_compilation(false)
        // For the owner's log; the stack is walked when a guest traps, and not otherwise.
        .wasm_backtrace_max_frames(NonZeroUsize::new(FRAMES_MAX))
        // Host functions need the difference.
        .max_wasm_stack(512 * KIB)
        .async_stack_size(2 * MIB)
        .memory_reservation(memory_reservation_bytes);
    match scheme {
        Scheme::Small => {
            // Explicit bounds checks in place of faults. Cranelift cannot add its speculation barriers to them; what
            // a guest could read that way is kept out by one process per installation, not by this engine.
            config
                .memory_init_cow(false)
                .memory_guard_size(0)
                .guard_before_linear_memory(false)
                .signals_based_traps(false);
        }
        Scheme::Large => {
            config.memory_init_cow(true);
        }
    }
    config
}

fn pool(scheme: Scheme, config: &RuntimeConfig, memory_bytes_max: usize) -> PoolingAllocationConfig {
    let limits = &config.components;
    let count = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
    let instances = config.instances_max;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(count(POOL_INSTANCES)))
        .total_memories(instances.saturating_mul(count(POOL_MEMORIES)))
        .total_tables(instances.saturating_mul(count(POOL_TABLES)))
        .total_stacks(instances)
        .max_core_instances_per_component(count(limits.instances))
        .max_memories_per_component(count(limits.memories))
        .max_tables_per_component(count(limits.tables))
        .max_tables_per_module(8)
        .max_component_instance_size(POOL_INSTANCE_BYTES)
        .max_core_instance_size(POOL_INSTANCE_BYTES)
        .max_memory_size(memory_bytes_max)
        .table_elements(limits.table_elements.max(POOL_TABLE_ELEMENTS))
        .linear_memory_keep_resident(keep_resident_bytes(scheme))
        .table_keep_resident(TABLE_KEEP_RESIDENT_BYTES)
        .decommit_batch_size(DECOMMIT_BATCH)
        // Its scan misses dirty pages that were swapped out, and the next guest in that slot could read them
        // (wasmtime#14357, still open in 48.0.8).
        .pagemap_scan(Enabled::No);
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_we_print_is_the_one_in_the_lock_file() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"wasmtime\"\nversion = \"{WASMTIME_VERSION}\"")));
    }

    #[test]
    fn without_a_pool_the_engine_still_starts_and_says_why() {
        let config = RuntimeConfig { pooling: false, ..RuntimeConfig::default() };
        for scheme in [Scheme::Small, Scheme::Large] {
            let (_, description) = build(scheme, &config).unwrap();
            assert_eq!(description.allocator, "on-demand: switched off");
        }
        // More address space than x86-64 has: the pool cannot be reserved.
        let config = RuntimeConfig { instances_max: 4_000_000, ..RuntimeConfig::default() };
        let (_, description) = build(Scheme::Large, &config).unwrap();
        assert!(description.allocator.starts_with("on-demand: "), "{}", description.allocator);
        assert!(description.allocator.len() > "on-demand: ".len());
    }
}
