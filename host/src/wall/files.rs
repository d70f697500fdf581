//! Landlock: which files this process can still reach, whoever it runs as. Metadata (`stat`) stays visible to it.

use super::{Report, ServePaths, kernel, own};
use crate::causes::chain;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};
use std::path::Path;

/// All rights that we handle. What a later version adds is not given up by itself: it could break a gateway that was
/// never tried on such a kernel.
const NEWEST: ABI = ABI::V6;

/// From which version of the interface on (and which kernel) something is covered.
struct Part {
    abi: i32,
    kernel: &'static str,
    covers: &'static str,
}

/// Version 1 cannot move a file from one folder to another, which the store does: it is as good as none.
const FILES: Part = Part { abi: 2, kernel: "5.19", covers: "files" };
const TCP: Part = Part { abi: 4, kernel: "6.7", covers: "TCP" };
const PARTS: &[Part] = &[
    Part { abi: 3, kernel: "6.2", covers: "truncation" },
    Part { abi: 5, kernel: "6.10", covers: "device control" },
    Part { abi: 6, kernel: "6.12", covers: "signals and abstract sockets" },
];

/// What the resolver, the C library and the runtime look up while a gateway serves. Not `/etc`: it has `shadow`.
const SYSTEM_READ: &[&str] = &[
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    // Dynamic loader, for children.
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    // How many processors there are, also within a control group; how much memory.
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/vm/overcommit_memory",
    // Which boot of the machine this is: what a killed process left in the page cache is there, or is not.
    "/proc/sys/kernel/random/boot_id",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/sys/kernel/mm/transparent_hugepage",
    "/dev/urandom",
    "/dev/random",
    "/dev/zero",
];
/// A child's standard input, output or error.
const SYSTEM_WRITE: &[&str] = &["/dev/null"];

pub(super) fn serve(paths: &ServePaths, report: &mut Report) {
    let wanted = PARTS.iter().collect::<Vec<_>>();
    enforce("only the gateway's folders", &wanted, report, |report| {
        let mut rules =
            Ruleset::default().handle_access(AccessFs::from_all(NEWEST))?.scope(Scope::from_all(NEWEST))?.create()?;
        match own::own() {
            Ok(own) => {
                for path in own.paths {
                    rules = allow(rules, &path, read() | AccessFs::Execute).0?;
                }
            }
            Err(error) => report.missing(format!("its own program, which compiles components: /proc/self: {error}")),
        }
        for (paths, access) in [(SYSTEM_READ, read()), (SYSTEM_WRITE, read() | write())] {
            for path in paths {
                rules = allow(rules, Path::new(path), access).0?;
            }
        }
        let named = |name, path, access| (name, path, access);
        let own = [named("data", &paths.data, read() | write()), named("plugins_folder", &paths.plugins, read())];
        let more = paths.read.iter().map(|path| named("wall.read", path, read()));
        let most = paths.write.iter().map(|path| named("wall.write", path, read() | write()));
        for (name, path, access) in own.into_iter().chain(more).chain(most) {
            let (added, skipped) = allow(rules, path.as_std_path(), access);
            rules = added?;
            if let Some(why) = skipped {
                report.missing(format!("{name} {path}: {why}"));
            }
        }
        Ok(rules)
    });
}

pub(super) fn compile(report: &mut Report) {
    let wanted = [&TCP].into_iter().chain(PARTS).collect::<Vec<_>>();
    enforce("no files", &wanted, report, |_| {
        Ruleset::default()
            .handle_access(AccessFs::from_all(NEWEST))?
            .handle_access(AccessNet::from_all(NEWEST))?
            .scope(Scope::from_all(NEWEST))?
            .create()
    });
}

fn read() -> BitFlags<AccessFs> {
    AccessFs::ReadFile | AccessFs::ReadDir
}

/// Files and folders, and nothing that is more than that: no devices, sockets, pipes or links.
fn write() -> BitFlags<AccessFs> {
    AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}

/// Adds a rule for what is at `path` now, and says why if there is nothing that can be opened.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> (Result<RulesetCreated, RulesetError>, Option<String>) {
    let opened = std::fs::metadata(path).map_err(|error| error.to_string()).and_then(|metadata| {
        let opened = PathFd::new(path).map_err(|error| error.to_string())?;
        Ok((opened, metadata.is_dir()))
    });
    match opened {
        Ok((opened, true)) => (rules.add_rule(PathBeneath::new(opened, access)), None),
        Ok((opened, false)) => (rules.add_rule(PathBeneath::new(opened, access & AccessFs::from_file(NEWEST))), None),
        Err(why) => (Ok(rules), Some(why)),
    }
}

fn enforce(
    what: &str,
    wanted: &[&Part],
    report: &mut Report,
    rules: impl FnOnce(&mut Report) -> Result<RulesetCreated, RulesetError>,
) {
    let abi = match kernel::landlock_abi() {
        Ok(abi) if abi >= FILES.abi => abi,
        Ok(abi) => {
            return report.missing(format!("{what}: Landlock {abi} is too old, Linux {} has a newer", FILES.kernel));
        }
        Err(why) => return report.missing(format!("{what}: no Landlock: {why}")),
    };
    match rules(report).and_then(RulesetCreated::restrict_self) {
        Ok(status) if status.ruleset != RulesetStatus::NotEnforced => {
            let (has, lacks): (Vec<_>, Vec<_>) = wanted.iter().partition(|part| abi >= part.abi);
            let covers = [&FILES].into_iter().chain(has).map(|part| part.covers).collect::<Vec<_>>();
            report.up(format!("{what} (Landlock {abi}: {})", covers.join(", ")));
            for part in lacks {
                report.missing(format!("{}: Linux {} has it", part.covers, part.kernel));
            }
        }
        Ok(_) => report.missing(format!("{what}: the kernel enforced nothing")),
        Err(error) => report.missing(format!("{what}: {}", chain(&error))),
    }
}

/// What this kernel has, for `ripost doctor`.
///
/// # Errors
/// What is missing of it.
pub(super) fn described() -> Result<String, String> {
    let abi = kernel::landlock_abi()?;
    let lacks = [&FILES, &TCP].into_iter().chain(PARTS).filter(|part| abi < part.abi);
    let lacks = lacks.map(|part| format!("{} (Linux {})", part.covers, part.kernel)).collect::<Vec<_>>();
    if lacks.is_empty() {
        Ok(format!("version {abi}"))
    } else {
        Err(format!("version {abi} lacks {}", lacks.join(", ")))
    }
}
