//! Seccomp: which system calls this process can still make.
//!
//! The gateway has a **deny list**: it is a server with a database, a resolver, TLS and an async runtime, and which
//! calls those make changes with each update of the C library; an allow list would break a gateway that works, at a
//! moment nobody chose. What it denies is what such a server never does and what exploits of the kernel are made of.
//! The compile worker has an **allow list**: it reads, computes and writes, and that does not change.
//!
//! What is refused gives `EPERM` and kills nobody: a library that tries and falls back goes on.

mod allow;
mod deny;

use super::{Report, kernel};
use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};
use std::collections::BTreeMap;

/// Calls by number; one with no rules matches whatever its arguments are, else one of its rules must hold.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Calls of the x32 ABI have this bit and pass for those of x86-64: without this they would walk around every list.
const X32_BIT: u32 = 0x4000_0000;

pub(super) fn serve(report: &mut Report) {
    let count = deny::rules().map(|rules| rules.len());
    install(report, &count.map_or_else(|_| String::new(), |count| format!("{count} system calls denied")), || {
        Ok(vec![without_clone3()?, filter(deny::rules()?, SeccompAction::Allow, refusal())?])
    });
}

pub(super) fn compile(report: &mut Report) {
    let count = allow::rules().map(|rules| rules.len());
    install(
        report,
        &count.map_or_else(|_| String::new(), |count| format!("all but {count} system calls denied")),
        || {
            // The last first: it forbids to install another.
            Ok(vec![without_clone3()?, filter(allow::rules()?, refusal(), SeccompAction::Allow)?])
        },
    );
}

fn refusal() -> SeccompAction {
    SeccompAction::Errno(libc::EPERM.unsigned_abs())
}

/// The arguments of `clone3` are in memory, where no filter can look: without it the C library takes `clone`.
fn without_clone3() -> Result<BpfProgram, BackendError> {
    let absent = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    filter(Rules::from([(libc::SYS_clone3, Vec::new())]), SeccompAction::Allow, absent)
}

fn filter(rules: Rules, otherwise: SeccompAction, matched: SeccompAction) -> Result<BpfProgram, BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let program: BpfProgram = SeccompFilter::new(rules, otherwise, matched, arch)?.try_into()?;
    Ok(without_x32().into_iter().chain(program).collect())
}

/// Three instructions before all others: load the number, and if it is one of x32 say that there is no such call.
fn without_x32() -> [sock_filter; 3] {
    let code = |parts: &[u32]| parts.iter().fold(0_u16, |code, part| code | u16::try_from(*part).unwrap_or_default());
    let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
    [
        sock_filter { code: code(&[libc::BPF_LD, libc::BPF_W, libc::BPF_ABS]), jt: 0, jf: 0, k: 0 },
        sock_filter { code: code(&[libc::BPF_JMP, libc::BPF_JGE, libc::BPF_K]), jt: 0, jf: 1, k: X32_BIT },
        sock_filter { code: code(&[libc::BPF_RET, libc::BPF_K]), jt: 0, jf: 0, k: absent },
    ]
}

fn install(report: &mut Report, what: &str, programs: impl FnOnce() -> Result<Vec<BpfProgram>, BackendError>) {
    let installed = kernel::seccomp().and_then(|()| {
        let programs = programs().map_err(|error| error.to_string())?;
        programs.iter().try_for_each(|program| seccompiler::apply_filter(program).map_err(|error| error.to_string()))
    });
    match installed {
        Ok(()) => report.up(what),
        Err(why) => report.missing(format!("system calls: {why}")),
    }
}

/// Holds if the bits of `mask` in an argument are those of `value`.
fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, BackendError> {
    condition(argument, SeccompCmpOp::MaskedEq(mask), value)
}

/// All arguments looked at here are those of which the kernel takes 32 bits, flags in the lower half included.
fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}
