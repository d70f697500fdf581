//! What a gateway never does.

use super::{Rules, condition, masked};
use nix::libc;
use seccompiler::{BackendError, SeccompCmpOp, SeccompRule};

/// Calls that are refused whatever their arguments are.
const NEVER: &[i64] = &[
    // Into other processes: their memory, their files.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_mrelease,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    // The file system as a whole, and files by other than their path.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_mknodat,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // Namespaces, in which an ordinary user is an administrator.
    libc::SYS_unshare,
    libc::SYS_setns,
    // Parts of the kernel with a long list of holes, which no library of ours uses.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_personality,
    libc::SYS_remap_file_pages,
    // The machine.
    libc::SYS_reboot,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
];

#[cfg(target_arch = "x86_64")]
const NEVER_HERE: &[i64] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_mknod,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
    libc::SYS_nfsservctl,
    libc::SYS_lookup_dcookie,
];
#[cfg(not(target_arch = "x86_64"))]
const NEVER_HERE: &[i64] = &[];

/// With `clone` as with `unshare`.
const NAMESPACES: &[i32] = &[
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// What stands for the process itself where others have a descriptor (Linux 6.14): wasmtime gives memory back that way,
/// many pieces with one call. It is an `int`, so half a register.
const PIDFD_SELF: u64 = (-10_000_i32).cast_unsigned() as u64;

/// Types into the terminal that the gateway was started from, as if its operator did. (`TIOCLINUX` is not in libc.)
const TERMINAL: &[u64] = &[libc::TIOCSTI, 0x541C];

pub(super) fn rules() -> Result<Rules, BackendError> {
    let mut rules: Rules = NEVER.iter().chain(NEVER_HERE).map(|call| (*call, Vec::new())).collect();
    let namespaces = NAMESPACES.iter().map(|flag| u64::from(flag.unsigned_abs()));
    let clone = namespaces.map(|flag| SeccompRule::new(vec![masked(0, flag, flag)?])).collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_clone, clone);
    let of_others = SeccompRule::new(vec![condition(0, SeccompCmpOp::Ne, PIDFD_SELF)?])?;
    rules.insert(libc::SYS_process_madvise, vec![of_others]);
    let terminal = TERMINAL.iter().map(|request| SeccompRule::new(vec![condition(1, SeccompCmpOp::Eq, *request)?]));
    rules.insert(libc::SYS_ioctl, terminal.collect::<Result<_, _>>()?);
    // Sockets of all families but these: packets, kernel cryptography, virtual machines, and dozens that nobody reviews.
    let known = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6].map(|family| u64::from(family.unsigned_abs()));
    let others =
        known.into_iter().map(|family| condition(0, SeccompCmpOp::Ne, family)).collect::<Result<Vec<_>, _>>()?;
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(others)?]);
    Ok(rules)
}
