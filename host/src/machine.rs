//! What the machine has for this process: its memory, or what a control group leaves of it.

use nix::unistd::{SysconfVar, sysconf};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Memory in bytes: of the machine, or the least that a control group around this process allows. `None`: it cannot be
/// told. Looked up once, so that all who ask are told the same.
pub(crate) fn memory_bytes() -> Option<u64> {
    static BYTES: OnceLock<Option<u64>> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let total = meminfo("MemTotal")?;
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let limits = group_files(&groups).into_iter().filter_map(|file| limit(&fs::read_to_string(file).ok()?));
        Some(limits.fold(total, u64::min))
    })
}

/// Of that, what is free now.
pub(crate) fn available_bytes() -> Option<u64> {
    meminfo("MemAvailable")
}

/// What this process has in RAM.
pub(crate) fn resident_bytes() -> Option<usize> {
    let page_bytes = usize::try_from(sysconf(SysconfVar::PAGE_SIZE).ok()??).ok()?;
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    statm.split(' ').nth(1)?.parse::<usize>().ok()?.checked_mul(page_bytes)
}

fn meminfo(name: &str) -> Option<u64> {
    field(&fs::read_to_string("/proc/meminfo").ok()?, name)
}

fn field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The files that may say a limit: of the group that `/proc/self/cgroup` names and of all around it, in both versions.
fn group_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let (root, names): (_, &[&str]) = match controllers {
            "" => ("/sys/fs/cgroup", &["memory.max", "memory.high"]),
            _ if controllers.split(',').any(|it| it == "memory") => {
                ("/sys/fs/cgroup/memory", &["memory.limit_in_bytes"])
            }
            _ => continue,
        };
        let path = Path::new(path.trim_start_matches('/'));
        // Inside a container the path may be one of the host's; the root is the container's own then.
        for folder in path.ancestors() {
            files.extend(names.iter().map(|name| Path::new(root).join(folder).join(name)));
        }
    }
    files
}

/// `max`, or as much as nobody has, is none.
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_what_the_kernel_writes() {
        let text = "MemTotal:       24684232 kB\nMemFree:        19499000 kB\nMemAvailable:   23998000 kB\n";
        assert_eq!(field(text, "MemTotal"), Some(24_684_232 << 10));
        assert_eq!(field(text, "Mem"), None);
        assert_eq!(field("", "MemTotal"), None);
        assert_eq!(limit("536870912\n"), Some(512 << 20));
        assert_eq!(limit("max\n"), None);
    }

    #[test]
    fn the_limit_of_each_group_around_this_process_counts() {
        let shown = |groups| group_files(groups).iter().map(|file| file.display().to_string()).collect::<Vec<_>>();
        assert_eq!(
            shown("0::/system.slice/ripost.service\n"),
            [
                "/sys/fs/cgroup/system.slice/ripost.service/memory.max",
                "/sys/fs/cgroup/system.slice/ripost.service/memory.high",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/system.slice/memory.high",
                "/sys/fs/cgroup/memory.max",
                "/sys/fs/cgroup/memory.high",
            ]
        );
        assert_eq!(
            shown("5:cpu,cpuacct:/a\n4:memory:/a\n"),
            ["/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        );
    }

    #[test]
    fn this_machine_has_memory() {
        let total = memory_bytes().unwrap();
        assert!(total > 64 << 20 && available_bytes().is_some() && resident_bytes().is_some(), "{total}");
    }
}
