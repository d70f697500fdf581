//! How slowly an answer may be read.

use std::time::Duration;
use tokio::time::Instant;

/// A reader that takes nothing for `patience`, or less than `bytes_per_second` for longer than that, is ended.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long a reader may take nothing.
    pub patience: Duration,
    /// What a reader has to take in the long run.
    pub bytes_per_second: usize,
}

impl Pace {
    /// Until when a reader that has just stopped may take nothing.
    pub(super) fn begin(self, now: Instant) -> Instant {
        now + self.patience
    }

    /// The same after it has taken some bytes. They earn the time that they may take, and never more than `patience`: what
    /// was read fast is no credit for a stop.
    pub(super) fn after(self, deadline: Instant, now: Instant, bytes: usize) -> Instant {
        let earned = Duration::from_millis((bytes as u64).saturating_mul(1000) / self.bytes_per_second.max(1) as u64);
        (deadline + earned.min(self.patience)).min(self.begin(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_ended_when_it_stops_or_drips_and_not_for_being_slow() {
        let pace = Pace { patience: Duration::from_secs(30), bytes_per_second: 1024 };
        let start = Instant::now();
        // Reads so many bytes each second, and is ended after how many seconds.
        let ended_after = |bytes: usize| {
            let mut deadline = pace.begin(start);
            (1..=3600).find(|second| {
                let now = start + Duration::from_secs(*second);
                if now >= deadline {
                    return true;
                }
                deadline = pace.after(deadline, now, bytes);
                false
            })
        };
        assert_eq!(ended_after(0), Some(30));
        assert_eq!(ended_after(200), Some(38));
        assert_eq!(ended_after(1024), None);
        // What it took at first is no credit.
        let fast = pace.after(pace.begin(start), start, 1 << 30);
        assert_eq!(fast, start + pace.patience);
    }
}
