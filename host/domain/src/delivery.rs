//! Deliveries: their states, the retry schedule, and what an attempt's outcome leads to. All of it pure.

use crate::time::Timestamp;
use std::time::Duration;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waiting for its next attempt.
    Pending,
    /// An attempt is under way, and counted.
    InFlight,
    /// The endpoint said 2xx.
    Delivered,
    /// No attempts left; the payload stays readable.
    Exhausted,
    /// The endpoint said it is gone.
    Abandoned,
}

impl State {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Pending, Self::InFlight, Self::Delivered, Self::Exhausted, Self::Abandoned];

    /// The name on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InFlight => "in_flight",
            Self::Delivered => "delivered",
            Self::Exhausted => "exhausted",
            Self::Abandoned => "abandoned",
        }
    }

    /// Back from the name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// The longest `Retry-After` that is heeded.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// When each attempt is due after the one before it; as many attempts as entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    waits: Vec<Duration>,
}

/// The schedule is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a retry schedule has 1 to 50 waits of at most 24 h each")]
pub struct InvalidSchedule;

impl RetryPolicy {
    /// A policy from the wait before each attempt; the first is that of the first attempt.
    ///
    /// # Errors
    /// No waits, more than 50, or one above 24 hours.
    pub fn new(waits: Vec<Duration>) -> Result<Self, InvalidSchedule> {
        let fits = (1..=50).contains(&waits.len()) && waits.iter().all(|wait| *wait <= RETRY_AFTER_MAX);
        if fits { Ok(Self { waits }) } else { Err(InvalidSchedule) }
    }

    /// How many attempts there are in all.
    #[must_use]
    pub fn attempts_max(&self) -> u32 {
        u32::try_from(self.waits.len()).unwrap_or(u32::MAX)
    }

    /// The wait before each attempt.
    #[must_use]
    pub fn waits(&self) -> &[Duration] {
        &self.waits
    }
}

impl Default for RetryPolicy {
    /// Twelve attempts over about three days: the horizon of Standard Webhooks, with a quick second and third try
    /// because most failures are a receiver's restart.
    fn default() -> Self {
        let minutes = |count: u64| count * 60;
        let hours = |count: u64| count * 3600;
        let waits = [
            0,
            5,
            30,
            minutes(2),
            minutes(10),
            minutes(30),
            hours(2),
            hours(5),
            hours(10),
            hours(14),
            hours(20),
            hours(24),
        ];
        Self { waits: waits.into_iter().map(Duration::from_secs).collect() }
    }
}

/// A share of the wait that is added to it, so that many deliveries that failed together do not return together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jitter(u8);

impl Jitter {
    /// From one random byte: 0 to 10 per cent.
    #[must_use]
    pub const fn from_random(byte: u8) -> Self {
        Self(byte)
    }

    fn of(self, wait: Duration) -> Duration {
        wait.mul_f64(0.1 * f64::from(self.0) / 255.0)
    }
}

/// What came of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint answered.
    Answered {
        /// The status of its answer.
        status: u16,
        /// Its `Retry-After`, both forms already turned into a wait.
        retry_after: Option<Duration>,
    },
    /// It did not, or it must not be asked.
    Unanswered,
    /// We failed (resolver, sockets, shutdown): not counted against the schedule.
    OursToRepeat,
}

/// What follows an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Done.
    Delivered,
    /// Again, not before this.
    RetryAt(Timestamp),
    /// That was the last one.
    Exhausted,
    /// The endpoint said 410.
    Abandoned,
}

impl Next {
    /// The state that goes with it.
    #[must_use]
    pub const fn state(self) -> State {
        match self {
            Self::Delivered => State::Delivered,
            Self::RetryAt(_) => State::Pending,
            Self::Exhausted => State::Exhausted,
            Self::Abandoned => State::Abandoned,
        }
    }
}

/// The wait before trying again what failed because of us.
const OUR_WAIT: Duration = Duration::from_secs(5);

/// When the attempt after `attempts` counted ones is due; `None`: exhausted. Jitter only adds, `retry_after` is a floor.
#[must_use]
pub fn next_attempt_at(
    policy: &RetryPolicy,
    attempts: u32,
    now: Timestamp,
    retry_after: Option<Duration>,
    jitter: Jitter,
) -> Option<Timestamp> {
    let wait = *policy.waits.get(usize::try_from(attempts).ok()?)?;
    let floor = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
    Some(now.after((wait + jitter.of(wait)).max(floor)))
}

/// What follows the attempt that brought the count to `attempts`. 2xx is success and nothing else is.
#[must_use]
pub fn after_attempt(policy: &RetryPolicy, attempts: u32, outcome: Outcome, now: Timestamp, jitter: Jitter) -> Next {
    let retry_after = match outcome {
        Outcome::Answered { status: 200..=299, .. } => return Next::Delivered,
        Outcome::Answered { status: 410, .. } => return Next::Abandoned,
        Outcome::OursToRepeat => return Next::RetryAt(now.after(OUR_WAIT + jitter.of(OUR_WAIT))),
        Outcome::Answered { retry_after, .. } => retry_after,
        Outcome::Unanswered => None,
    };
    next_attempt_at(policy, attempts, now, retry_after, jitter).map_or(Next::Exhausted, Next::RetryAt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[test]
    fn the_default_schedule_is_twelve_attempts_over_about_three_days() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.attempts_max(), 12);
        let total: Duration = policy.waits().iter().sum();
        assert!((Duration::from_secs(3 * 86_400)..Duration::from_secs(4 * 86_400)).contains(&total), "{total:?}");
    }

    #[test]
    fn only_2xx_delivers_and_only_410_abandons() {
        let policy = RetryPolicy::default();
        for status in 100..600 {
            let outcome = Outcome::Answered { status, retry_after: None };
            let next = after_attempt(&policy, 1, outcome, NOW, Jitter(0)).state();
            let expected = match status {
                200..=299 => State::Delivered,
                410 => State::Abandoned,
                _ => State::Pending,
            };
            assert_eq!(next, expected, "{status}");
        }
    }

    #[test]
    fn the_last_attempt_exhausts_unless_the_failure_was_ours() {
        let policy = RetryPolicy::default();
        assert_eq!(after_attempt(&policy, 12, Outcome::Unanswered, NOW, Jitter(255)), Next::Exhausted);
        assert!(matches!(after_attempt(&policy, 12, Outcome::OursToRepeat, NOW, Jitter(255)), Next::RetryAt(_)));
    }

    proptest! {
        #[test]
        fn a_retry_is_never_early_and_jitter_adds_at_most_a_tenth(attempts in 1_u32..12, byte: u8, floor in 0_u64..200_000) {
            let policy = RetryPolicy::default();
            let floor = Duration::from_secs(floor);
            let at = next_attempt_at(&policy, attempts, NOW, Some(floor), Jitter(byte)).unwrap();
            let wait = policy.waits()[attempts as usize];
            prop_assert!(at.since(NOW) >= wait.max(floor.min(RETRY_AFTER_MAX)));
            prop_assert!(at.since(NOW) <= (wait + wait / 10).max(floor.min(RETRY_AFTER_MAX)));
        }
    }
}
