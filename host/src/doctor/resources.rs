//! Memory, swap, time.

use super::Finding;
use crate::app::clock;
use crate::config::Config;
use crate::machine;
use ripost_domain::time::{Clock as _, SystemClock, Timestamp};
use ripost_domain::units::format_size;
use ripost_store::sqlite::Beside;
use std::fs;
use std::time::UNIX_EPOCH;

/// What the gateway itself takes, with something to spare.
const OWN_BYTES: u64 = 150 << 20;
/// 2025-01-01: this program is younger, so a clock before it was never set.
const EARLIEST_MS: i64 = 1_735_689_600_000;

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
    let newest = Beside::open(&config.data).ok().flatten().and_then(|database| database.newest().ok().flatten());
    judge(now, written.max().map(Timestamp::from_millis), newest)
}

fn judge(now: Timestamp, written: Option<Timestamp>, newest: Option<Timestamp>) -> Finding {
    let to_do = "set the clock (NTP): signatures carry its time, and receivers refuse those that are 5 minutes off";
    if now.as_millis() < EARLIEST_MS {
        return Finding::fail(format!("{now}, which is long ago"), to_do);
    }
    if let Some(newest) = newest.filter(|newest| clock::is_ahead(*newest, now)) {
        return Finding::warn(
            format!("{now}, which is before the newest request or delivery in the database ({newest})"),
            to_do,
        );
    }
    if written.is_some_and(|written| clock::is_ahead(written, now)) {
        return Finding::warn(format!("{now}, which is before the newest file in the data folder"), to_do);
    }
    Finding::ok(now.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;
    use std::time::Duration;

    #[test]
    fn a_clock_that_was_never_set_fails_and_one_behind_the_data_warns() {
        let at = Timestamp::from_millis;
        let now = at(EARLIEST_MS);
        let (still, ahead) = (now.after(clock::AHEAD_MAX), now.after(clock::AHEAD_MAX + Duration::from_millis(1)));
        assert_eq!(judge(at(1_000), None, None).level, Level::Fail);
        assert_eq!(judge(now, None, None).level, Level::Ok);
        assert_eq!(judge(now, Some(still), Some(still)).level, Level::Ok);
        assert_eq!(judge(now, Some(ahead), None).level, Level::Warn);
        let database = judge(now, Some(ahead), Some(ahead));
        assert!(database.level == Level::Warn && database.says.contains("database"), "{database:?}");
    }
}
