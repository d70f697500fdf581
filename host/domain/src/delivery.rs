//! Deliveries: their states, the retry schedule, and what an attempt's outcome leads to. All of it pure.

use crate::id::ConsumerId;
use crate::time::Timestamp;
use sha2::{Digest as _, Sha256};
use std::ops::RangeInclusive;
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

/// An endpoint of one consumer's (scheme, host, port and path): what deliveries are kept apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId([u8; 16]);

impl LaneId {
    /// The lane of `endpoint`, which has no query in it.
    #[must_use]
    pub fn of(consumer: ConsumerId, endpoint: &str) -> Self {
        let hash = Sha256::new().chain_update(consumer.as_bytes()).chain_update(endpoint.as_bytes()).finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        Self(id)
    }

    /// As stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Back from the store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// The longest `Retry-After` that is heeded.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// When each attempt is due after the one before it; as many attempts as entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    waits: Vec<Duration>,
}

/// How many attempts a schedule may have.
pub const RETRY_WAITS: RangeInclusive<usize> = 1..=50;

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
        let fits = RETRY_WAITS.contains(&waits.len()) && waits.iter().all(|wait| *wait <= RETRY_AFTER_MAX);
        if fits { Ok(Self { waits }) } else { Err(InvalidSchedule) }
    }

    /// How many attempts there are in all.
    #[must_use]
    pub fn attempts_max(&self) -> u32 {
        u32::try_from(self.waits.len()).unwrap_or(u32::MAX)
    }

    /// When a delivery made at `made_at` is given up: by the consumer's bound if there is one, else well after the
    /// schedule is through, with room for jitter and one long `Retry-After`.
    #[must_use]
    pub fn give_up_at(&self, made_at: Timestamp, max_age: Option<Duration>) -> Timestamp {
        let whole: Duration = self.waits.iter().sum();
        made_at.after(max_age.unwrap_or(whole + whole / 10 + RETRY_AFTER_MAX))
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

/// What an endpoint can ask for by the header `webhook-delivery`, as hosted Svix has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// No more deliveries to this URL.
    Disable,
    /// No more attempts of this delivery.
    AbortMessage,
}

impl Wish {
    /// From the header's value; anything else is no wish.
    #[must_use]
    pub fn from_header(value: &str) -> Option<Self> {
        match value.trim() {
            "disable" => Some(Self::Disable),
            "abort-message" => Some(Self::AbortMessage),
            _ => None,
        }
    }
}

/// Why a delivery ended without having been delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No attempts left.
    Schedule,
    /// The next attempt would have been too late to be worth it.
    MaxAge,
    /// The endpoint said 410.
    Gone,
    /// The endpoint wants no more deliveries.
    Disabled,
    /// The endpoint does not want this one.
    Aborted,
    /// A transform of the API's could not make what is to be sent.
    TransformFailed,
}

impl Reason {
    /// The name on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::MaxAge => "max-age",
            Self::Gone => "gone",
            Self::Disabled => "disabled",
            Self::Aborted => "aborted",
            Self::TransformFailed => "transform-failed",
        }
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
        /// What it asks of us besides.
        wish: Option<Wish>,
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
    /// The endpoint wants it no more.
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

/// What follows the attempt that brought the count since the schedule began to `attempts`, and why if it is the end.
/// 2xx is success and nothing else is; nothing is tried after `give_up_at`.
#[must_use]
pub fn after_attempt(
    policy: &RetryPolicy,
    attempts: u32,
    outcome: Outcome,
    now: Timestamp,
    give_up_at: Timestamp,
    jitter: Jitter,
) -> (Next, Option<Reason>) {
    let at = match outcome {
        Outcome::Answered { status: 200..=299, .. } => return (Next::Delivered, None),
        Outcome::Answered { status: 410, .. } => return (Next::Abandoned, Some(Reason::Gone)),
        Outcome::Answered { wish: Some(Wish::Disable), .. } => return (Next::Abandoned, Some(Reason::Disabled)),
        Outcome::Answered { wish: Some(Wish::AbortMessage), .. } => return (Next::Abandoned, Some(Reason::Aborted)),
        Outcome::OursToRepeat => Some(now.after(OUR_WAIT + jitter.of(OUR_WAIT))),
        Outcome::Answered { retry_after, .. } => next_attempt_at(policy, attempts, now, retry_after, jitter),
        Outcome::Unanswered => next_attempt_at(policy, attempts, now, None, jitter),
    };
    match at {
        None => (Next::Exhausted, Some(Reason::Schedule)),
        Some(at) if at > give_up_at => (Next::Exhausted, Some(Reason::MaxAge)),
        Some(at) => (Next::RetryAt(at), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);

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
            let outcome = Outcome::Answered { status, retry_after: None, wish: None };
            let next = after_attempt(&policy, 1, outcome, NOW, NEVER, Jitter(0)).0.state();
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
        let after = |outcome| after_attempt(&policy, 12, outcome, NOW, NEVER, Jitter(255));
        assert_eq!(after(Outcome::Unanswered), (Next::Exhausted, Some(Reason::Schedule)));
        assert!(matches!(after(Outcome::OursToRepeat).0, Next::RetryAt(_)));
    }

    #[test]
    fn twelve_failures_take_as_long_as_the_schedule_says_and_never_less() {
        let policy = RetryPolicy::default();
        let give_up_at = policy.give_up_at(NOW, None);
        for byte in [0, 128, 255] {
            let (mut now, mut attempts) = (NOW, 0);
            let end = loop {
                attempts += 1;
                // Each attempt takes its whole deadline.
                now = now.after(Duration::from_secs(20));
                match after_attempt(&policy, attempts, Outcome::Unanswered, now, give_up_at, Jitter(byte)) {
                    (Next::RetryAt(at), None) => {
                        let wait = policy.waits()[attempts as usize];
                        assert!((wait..=wait + wait / 10).contains(&at.since(now)), "attempt {attempts}");
                        now = at;
                    }
                    end => break end,
                }
            };
            assert_eq!((attempts, end), (12, (Next::Exhausted, Some(Reason::Schedule))));
        }
    }

    #[test]
    fn nothing_is_tried_after_the_consumers_bound() {
        let policy = RetryPolicy::default();
        let give_up_at = policy.give_up_at(NOW, Some(Duration::from_secs(30)));
        let after = |attempts| after_attempt(&policy, attempts, Outcome::Unanswered, NOW, give_up_at, Jitter(0));
        assert!(matches!(after(1).0, Next::RetryAt(_)));
        assert_eq!(after(3), (Next::Exhausted, Some(Reason::MaxAge)));
        let whole: Duration = policy.waits().iter().sum();
        assert!(policy.give_up_at(NOW, None) > NOW.after(whole + RETRY_AFTER_MAX), "the schedule itself always fits");
    }

    #[test]
    fn an_endpoint_can_refuse_one_delivery_or_all_and_a_success_stays_one() {
        let policy = RetryPolicy::default();
        let after = |status, wish| {
            let outcome = Outcome::Answered { status, retry_after: None, wish: Wish::from_header(wish) };
            after_attempt(&policy, 1, outcome, NOW, NEVER, Jitter(0))
        };
        assert_eq!(after(500, "disable"), (Next::Abandoned, Some(Reason::Disabled)));
        assert_eq!(after(500, " abort-message "), (Next::Abandoned, Some(Reason::Aborted)));
        assert_eq!(after(200, "disable"), (Next::Delivered, None));
        assert!(matches!(after(500, "Disable").0, Next::RetryAt(_)));
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
