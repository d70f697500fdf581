//! What the figures were measured on.

use super::load::Latencies;
use anyhow::{Context as _, Result};
use std::io::Write as _;
use std::time::Instant;

fn first_value(path: &str, name: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name)).and_then(|rest| rest.split_once(':'));
    value.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}

/// Processor, memory, kernel, file system, and what a data sync costs in this run.
pub(super) fn describe() -> Result<String> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpu = first_value("/proc/cpuinfo", "model name");
    let kib: u64 = first_value("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let target = ripost_tests::places::target();
    let mut syncs = Latencies::default();
    let mut file = tempfile::tempfile_in(&target).context("a file to sync")?;
    for _ in 0..300 {
        file.write_all(&[0x5a; 4096])?;
        let begun = Instant::now();
        file.sync_data()?;
        syncs.add(begun.elapsed());
    }
    Ok(format!(
        "- {cores} cores ({cpu}), {} GiB, Linux {}\n- a data sync of 4 KiB: median {:.2} ms, p99 {:.2} ms ({})\n- {}\n",
        kib >> 20,
        kernel.trim().split('-').next().unwrap_or_default(),
        syncs.percentile(0.5),
        syncs.percentile(0.99),
        file_system(&target),
        today()
    ))
}

/// The type of the file system that a folder is on.
fn file_system(folder: &camino::Utf8Path) -> String {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let fields = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let longest = fields.filter(|(mount, _)| folder.as_str().starts_with(mount)).max_by_key(|(mount, _)| mount.len());
    longest.map_or_else(|| "unknown".to_owned(), |(_, kind)| kind.to_owned())
}

/// Today, as the gateway writes times.
fn today() -> String {
    use ripost_domain::time::{Clock as _, SystemClock};
    SystemClock::start().now().to_string().chars().take(10).collect()
}
