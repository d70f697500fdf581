//! What a process does that reads its standard input, computes with several threads, and writes its standard output.

use super::{Rules, condition, masked};
use nix::libc;
use seccompiler::{BackendError, SeccompCmpOp, SeccompRule};

/// Calls that are allowed whatever their arguments are.
const ALWAYS: &[i64] = &[
    // What is open already. Not `statx`: it takes a path too, and no filter can look at that.
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_ppoll,
    // Memory.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    // Threads.
    libc::SYS_futex,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_restart_syscall,
    // Signals of its own.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // Time, randomness, its own consumption.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    // Answered by the filter before this one: see `without_clone3`.
    libc::SYS_clone3,
];

#[cfg(target_arch = "x86_64")]
const ALWAYS_HERE: &[i64] = &[libc::SYS_poll, libc::SYS_time];
#[cfg(not(target_arch = "x86_64"))]
const ALWAYS_HERE: &[i64] = &[];

/// Reading and setting flags of what is open, and another number for it.
const FCNTL: &[i32] = &[libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL, libc::F_DUPFD_CLOEXEC];
/// Names of threads and of memory, for whoever looks at the process. (`PR_SET_VMA` is not in libc everywhere.)
const PRCTL: &[u32] = &[libc::PR_SET_NAME.unsigned_abs(), 0x5356_4d41];

pub(super) fn rules() -> Result<Rules, BackendError> {
    let mut rules: Rules = ALWAYS.iter().chain(ALWAYS_HERE).map(|call| (*call, Vec::new())).collect();
    let one_of = |argument, values: Vec<u64>| {
        let rule = |value| SeccompRule::new(vec![condition(argument, SeccompCmpOp::Eq, value)?]);
        values.into_iter().map(rule).collect::<Result<Vec<_>, _>>()
    };
    rules.insert(libc::SYS_fcntl, one_of(1, FCNTL.iter().map(|command| u64::from(command.unsigned_abs())).collect())?);
    rules.insert(libc::SYS_prctl, one_of(0, PRCTL.iter().map(|option| u64::from(*option)).collect())?);
    // Memory that is code: a compiler writes it, and has no need to run it.
    let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![SeccompRule::new(vec![masked(2, executable, 0)?])?]);
    }
    // Threads, and no processes or namespaces.
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    let namespaces = libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET;
    let namespaces = u64::from(namespaces.unsigned_abs());
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![masked(0, thread | namespaces, thread)?])?]);
    // Its limits, to read them: the third argument would be the new ones. Both halves of that pointer must be zero.
    let pointer = |mask| {
        seccompiler::SeccompCondition::new(2, seccompiler::SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(mask), 0)
    };
    rules.insert(
        libc::SYS_prlimit64,
        vec![SeccompRule::new(vec![condition(0, SeccompCmpOp::Eq, 0)?, pointer(u64::MAX)?])?],
    );
    // Signals to itself alone: `abort`.
    let own = u64::from(std::process::id());
    rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![condition(0, SeccompCmpOp::Eq, own)?])?]);
    Ok(rules)
}
