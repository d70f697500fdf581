//! Memory, swap, time.

use super::Finding;
use crate::config::Config;
use crate::machine;
use ripost_domain::time::{Clock as _, SystemClock, Timestamp};
use ripost_domain::units::format_size;
use std::fs;
use std::time::UNIX_EPOCH;

/// What the gateway itself takes, with something to spare.
const OWN_BYTES: u64 = 150 << 20;
/// 2025-01-01: this program is younger, so a clock before it was never set.
const EARLIEST_MS: i64 = 1_735_689_600_000;
/// How far the data may be ahead of the clock: that of two machines that share a disk.
const AHEAD_MAX_MS: i64 = 60_000;

pub(super) fn memory(config: &Config) -> Finding {
    let (Some(total), Some(available)) = (machine::memory_bytes(), machine::available_bytes()) else {
        return Finding::warn("cannot be told", "see free -m, and set sandbox.memory");
    };
    let plan = config.memory_plan();
    let mib = |bytes: u64| bytes >> 20;
    let says = format!(
        "{} MiB, {} MiB available; guests share {}, one run can have {}",
        mib(total),
        mib(available.min(total)),
        format_size(plan.bytes),
        format_size(config.ceiling().memory_bytes),
    );
    if plan.bytes as u64 + OWN_BYTES > total {
        return Finding::warn(says, "lower sandbox.memory, or the kernel ends the gateway when guests use all of it");
    }
    let more = plan.light_bytes_wanted.saturating_sub(plan.light_bytes);
    if (plan.bytes + more) as u64 + OWN_BYTES > total {
        let light = format_size(plan.light_bytes_wanted);
        return Finding::warn(says, format!("lower runs.concurrency: so many small runs can have {light} besides"));
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
}
