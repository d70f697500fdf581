//! A request's execution: its states, and what an owner's answer means for it.

use std::time::Duration;

/// Where the execution of a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Durable and waiting for a run.
    Accepted,
    /// A process holds a lease on it.
    Running,
    /// An upstream acknowledged it and will call back.
    AwaitingCallback,
    /// Answered by the owner; the hold is captured.
    Completed,
    /// Not answered, and never will be; the hold is released.
    Failed,
    /// Withdrawn by the consumer; the hold is released.
    Cancelled,
    /// Its deadline passed; the hold is released.
    Expired,
}

impl State {
    /// All states, for tables and tests.
    pub const ALL: [Self; 7] = [
        Self::Accepted,
        Self::Running,
        Self::AwaitingCallback,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// The name on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::AwaitingCallback => "awaiting_callback",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// Back from the name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether nothing follows.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Expired)
    }

    /// Whether the machine may go from here to `next`.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            // By a callback that an earlier run led to, it may be completed without another one.
            Self::Accepted => !matches!(next, Self::Accepted | Self::AwaitingCallback),
            Self::Running => !matches!(next, Self::Running),
            Self::AwaitingCallback => next.is_terminal(),
            Self::Completed | Self::Failed | Self::Cancelled | Self::Expired => false,
        }
    }
}

/// What becomes of a request's money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// The call is free.
    None,
    /// Set aside at accept.
    Held,
    /// Moved to owner and platform with the result.
    Captured,
    /// Given back.
    Released,
}

impl Settlement {
    /// The name on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Held => "held",
            Self::Captured => "captured",
            Self::Released => "released",
        }
    }

    /// Back from the name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::Held, Self::Captured, Self::Released].into_iter().find(|state| state.as_str() == name)
    }
}

/// Whose failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The call was wrong; calling again as it is will not help.
    Consumer,
    /// The owner's side did not do its part.
    Owner,
}

/// What an owner's answer means: the same table for components, `wasi:http` and upstreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The result; capture.
    Completed,
    /// Not now; run again, after so long if the owner said so.
    RunAgain {
        /// The owner's wish.
        after: Option<Duration>,
    },
    /// Final; release.
    Failed(Fault),
}

/// Judges an answer by its status: 2xx and 3xx complete; 408, 425, 429, 503 and any 5xx with `Retry-After` run
/// again; other 4xx are the consumer's failure and everything else is the owner's.
#[must_use]
pub const fn judge(status: u16, retry_after: Option<Duration>) -> Verdict {
    match status {
        200..=399 => Verdict::Completed,
        408 | 425 | 429 | 503 => Verdict::RunAgain { after: retry_after },
        400..=499 => Verdict::Failed(Fault::Consumer),
        500..=599 if retry_after.is_some() => Verdict::RunAgain { after: retry_after },
        _ => Verdict::Failed(Fault::Owner),
    }
}

/// How long to wait before run `attempt` + 1 when the owner did not say: 1, 2, 4 … seconds, at most a minute.
#[must_use]
pub fn run_backoff(attempt: u32) -> Duration {
    Duration::from_secs(1 << attempt.saturating_sub(1).min(6)).min(Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_answers() {
        let wait = Some(Duration::from_secs(9));
        for (status, retry_after, verdict) in [
            (200, None, Verdict::Completed),
            (204, None, Verdict::Completed),
            (303, None, Verdict::Completed),
            (408, None, Verdict::RunAgain { after: None }),
            (425, None, Verdict::RunAgain { after: None }),
            (429, wait, Verdict::RunAgain { after: wait }),
            (503, None, Verdict::RunAgain { after: None }),
            (500, wait, Verdict::RunAgain { after: wait }),
            (500, None, Verdict::Failed(Fault::Owner)),
            (502, None, Verdict::Failed(Fault::Owner)),
            (400, None, Verdict::Failed(Fault::Consumer)),
            (404, wait, Verdict::Failed(Fault::Consumer)),
            (199, None, Verdict::Failed(Fault::Owner)),
            (600, None, Verdict::Failed(Fault::Owner)),
        ] {
            assert_eq!(judge(status, retry_after), verdict, "{status} {retry_after:?}");
        }
    }

    #[test]
    fn nothing_follows_an_ended_request_and_every_state_has_a_name() {
        for state in State::ALL {
            assert_eq!(State::from_name(state.as_str()), Some(state));
            assert_eq!(State::ALL.into_iter().any(|next| state.may_become(next)), !state.is_terminal(), "{state:?}");
        }
    }

    #[test]
    fn runs_are_spaced_further_and_further_up_to_a_minute() {
        let waits: Vec<u64> = (1..=9).map(|attempt| run_backoff(attempt).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }
}
