//! Memory, swap, time.

use super::Finding;
use crate::config::Config;
use ripost_domain::time::{Clock as _, SystemClock, Timestamp};
use std::fs;
use std::time::UNIX_EPOCH;

/// The gateway itself takes some 100 MiB; the rest is for guests.
const MEMORY_MIN_KIB: u64 = 512 << 10;
/// 2025-01-01: this program is younger, so a clock before it was never set.
const EARLIEST_MS: i64 = 1_735_689_600_000;
/// How far the data may be ahead of the clock: that of two machines that share a disk.
const AHEAD_MAX_MS: i64 = 60_000;

pub(super) fn memory(_: &Config) -> Finding {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let (Some(total), Some(available)) = (meminfo(&text, "MemTotal"), meminfo(&text, "MemAvailable")) else {
        return Finding::warn("cannot be told", "see free -m");
    };
    // Of a control group, if one bounds us.
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse::<u64>().ok());
    let most = group.map_or(total, |bytes| total.min(bytes >> 10));
    let says = format!("{} MiB, {} MiB available", most >> 10, available.min(most) >> 10);
    if most < MEMORY_MIN_KIB {
        return Finding::warn(says, "lower runs.concurrency, so that guests cannot use up all of it");
    }
    Finding::ok(says)
}

/// Only said: what guests had in memory is never read back from swap, but it can be written there.
pub(super) fn swap(_: &Config) -> Finding {
    let text = fs::read_to_string("/proc/swaps").unwrap_or_default();
    Finding::ok(match text.lines().skip(1).count() {
        0 => "none".to_owned(),
        count => {
            format!(
                "{count} in use: secrets and guests' memory can end up on it (MemorySwapMax=0 in the unit keeps ours off)"
            )
        }
    })
}

pub(super) fn clock(config: &Config) -> Finding {
    let now = SystemClock::start().now();
    let written = fs::read_dir(&config.data).into_iter().flatten().filter_map(|entry| {
        let modified = entry.ok()?.metadata().ok()?.modified().ok()?;
        i64::try_from(modified.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
    });
    judge(now, written.max())
}

fn judge(now: Timestamp, written_ms: Option<i64>) -> Finding {
    let to_do = "set the clock (NTP): signatures carry its time, and receivers refuse those that are 5 minutes off";
    if now.as_millis() < EARLIEST_MS {
        return Finding::fail(format!("{now}, which is long ago"), to_do);
    }
    if written_ms.is_some_and(|written| written > now.as_millis() + AHEAD_MAX_MS) {
        return Finding::warn(format!("{now}, which is before the newest file in the data folder"), to_do);
    }
    Finding::ok(now.to_string())
}

fn meminfo(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn a_clock_that_was_never_set_fails_and_one_behind_the_data_warns() {
        let at = Timestamp::from_millis;
        assert_eq!(judge(at(1_000), None).level, Level::Fail);
        assert_eq!(judge(at(EARLIEST_MS), None).level, Level::Ok);
        assert_eq!(judge(at(EARLIEST_MS), Some(EARLIEST_MS + AHEAD_MAX_MS)).level, Level::Ok);
        assert_eq!(judge(at(EARLIEST_MS), Some(EARLIEST_MS + AHEAD_MAX_MS + 1)).level, Level::Warn);
    }

    #[test]
    fn memory_is_read_from_what_the_kernel_writes() {
        let text = "MemTotal:       24684232 kB\nMemFree:        19499000 kB\nMemAvailable:   23998000 kB\n";
        assert_eq!(meminfo(text, "MemTotal"), Some(24_684_232));
        assert_eq!(meminfo(text, "Mem"), None);
        assert_eq!(meminfo("", "MemTotal"), None);
    }
}
