//! What this kernel has.

use nix::errno::Errno;
use nix::libc;

/// `LANDLOCK_CREATE_RULESET_VERSION` of linux/landlock.h.
const VERSION: u32 = 1;

/// The version of Landlock's interface.
///
/// # Errors
/// Why there is none.
pub(super) fn landlock_abi() -> Result<i32, String> {
    // SAFETY: with this flag the kernel takes no pointer and only answers with a number.
    #[expect(unsafe_code, reason = "the `landlock` crate does not tell the version before a ruleset is in force")]
    let answer = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION) };
    match Errno::result(answer) {
        Ok(abi) => Ok(i32::try_from(abi).unwrap_or(i32::MAX)),
        Err(Errno::EOPNOTSUPP) => Err("it is switched off at boot; add landlock to the kernel's lsm= line".to_owned()),
        Err(Errno::ENOSYS) => Err("this kernel has none; Linux 5.19 and later do".to_owned()),
        Err(errno) => Err(format!("the kernel does not say which it has: {errno}")),
    }
}

/// Whether filters of system calls can be installed.
///
/// # Errors
/// Why not.
pub(super) fn seccomp() -> Result<(), String> {
    let action: u32 = libc::SECCOMP_RET_ERRNO;
    // SAFETY: the kernel reads the four bytes that `action` has.
    #[expect(unsafe_code, reason = "no crate of ours asks this")]
    let answer = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0_u32, std::ptr::from_ref::<u32>(&action))
    };
    match Errno::result(answer) {
        Ok(_) => Ok(()),
        Err(Errno::ENOSYS | Errno::EINVAL) => Err("this kernel has no seccomp filters".to_owned()),
        Err(errno) => Err(format!("the kernel does not say whether it has filters: {errno}")),
    }
}

/// How many threads this process has.
pub(super) fn threads() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("Threads:"))?.trim().parse().ok()
}
