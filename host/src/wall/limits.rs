//! What a compile worker may use up, and how little it matters beside everything else.

use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Of one compilation, all its threads together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompileLimits {
    /// Memory that it can write, in bytes: allocations beyond it fail. The kernel counts it, so it holds behind the
    /// gateway's wall too, where neither the gateway nor the worker can read in `/proc` what the worker takes.
    pub memory_bytes: u64,
    /// Address space, in bytes, what is only reserved included: mappings beyond it fail.
    pub address_space_bytes: u64,
    /// CPU time, in seconds: the process is killed after it.
    pub cpu_seconds: u64,
    /// Open files, its standard ones included.
    pub open_files: u64,
}

impl fmt::Display for CompileLimits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory_bytes, address_space_bytes: _, cpu_seconds, open_files } = self;
        write!(formatter, "{} MiB, {cpu_seconds} s of CPU, {open_files} files", memory_bytes >> 20)
    }
}

/// A limit could not be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("limiting the compile worker's {what}")]
pub struct LimitError {
    what: &'static str,
    source: Errno,
}

/// A tenth of what those who serve get of a busy processor: at the lowest priority (19) a handler of 0.1 s would take half
/// a minute while others keep all cores busy.
const NICE: i32 = 10;

pub(super) fn apply(limits: &CompileLimits) -> Result<(), LimitError> {
    let failed = |what| move |source| LimitError { what, source };
    // It has no use without its parent, which may have been killed.
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(failed("life"))?;
    // A core dump would have the owner's component in it, and nobody could attach a debugger to what compiles it.
    prctl::set_dumpable(false).map_err(failed("core dumps"))?;
    low_priority().map_err(failed("priority"))?;
    let CompileLimits { memory_bytes, address_space_bytes, cpu_seconds, open_files } = *limits;
    for (what, resource, soft, hard) in [
        ("core dumps", Resource::RLIMIT_CORE, 0, 0),
        ("files' size", Resource::RLIMIT_FSIZE, 0, 0),
        ("open files", Resource::RLIMIT_NOFILE, open_files, open_files),
        // SIGXCPU says what it was; SIGKILL is for whoever ignores that.
        ("CPU time", Resource::RLIMIT_CPU, cpu_seconds, cpu_seconds.saturating_add(1)),
        ("memory", Resource::RLIMIT_DATA, memory_bytes, memory_bytes),
        ("address space", Resource::RLIMIT_AS, address_space_bytes, address_space_bytes),
    ] {
        let (_, most) = getrlimit(resource).map_err(failed(what))?;
        setrlimit(resource, soft.min(most), hard.min(most)).map_err(failed(what))?;
    }
    Ok(())
}

fn low_priority() -> Result<(), Errno> {
    // SAFETY: takes numbers only; 0 is the calling thread, whose later threads inherit it.
    #[expect(unsafe_code, reason = "nix has no setpriority")]
    let answer = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    Errno::result(answer).map(drop)
}
