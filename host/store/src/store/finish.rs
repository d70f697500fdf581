//! The end of a request.

use super::{Callback, NewDelivery, RunReceipt};
use bytes::Bytes;
use ripost_domain::event::Event;
use ripost_domain::id::RequestId;
use ripost_domain::money::{Amount, Capture, Split};
use ripost_domain::request::{self, Settlement};
use ripost_domain::time::Timestamp;

/// What the owner answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers as the owner gave them, lower-case names.
    pub headers: Vec<(String, Bytes)>,
    /// The body.
    pub body: Bytes,
}

/// What becomes of the hold of a request that was withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndOfHold {
    /// It goes back to the consumer.
    Released,
    /// The owner is paid for what it had begun.
    Captured,
}

/// A request's end: a result is captured, everything else released; of one that was withdrawn it says so.
#[derive(Debug, Clone)]
pub enum Ending {
    /// The owner's answer.
    Completed {
        /// The result.
        answer: Answer,
        /// How much of the hold it costs.
        capture: Capture,
    },
    /// It failed.
    Failed {
        /// The problem (RFC 9457) as JSON.
        problem: Bytes,
        /// If the failure was an answer (a 4xx or 5xx of the owner's): it stays readable as the result.
        answer: Option<Answer>,
    },
    /// Withdrawn; the problem says by whom.
    Cancelled {
        /// The problem.
        problem: Bytes,
        /// What becomes of the money.
        hold: EndOfHold,
    },
    /// The deadline passed.
    Expired {
        /// The problem.
        problem: Bytes,
    },
}

impl Ending {
    /// The state it leads to.
    #[must_use]
    pub const fn state(&self) -> request::State {
        match self {
            Self::Completed { .. } => request::State::Completed,
            Self::Failed { .. } => request::State::Failed,
            Self::Cancelled { .. } => request::State::Cancelled,
            Self::Expired { .. } => request::State::Expired,
        }
    }

    /// What is told of it.
    #[must_use]
    pub const fn event(&self) -> Event {
        match self {
            Self::Completed { .. } => Event::Completed,
            Self::Failed { .. } => Event::Failed,
            Self::Cancelled { .. } => Event::Cancelled,
            Self::Expired { .. } => Event::Expired,
        }
    }

    /// How much of a hold is captured; `None`: it is released.
    #[must_use]
    pub const fn capture(&self) -> Option<Capture> {
        match self {
            Self::Completed { capture, .. } => capture.unless_nothing(),
            Self::Cancelled { hold: EndOfHold::Captured, .. } => Some(Capture::Whole),
            Self::Failed { .. } | Self::Cancelled { hold: EndOfHold::Released, .. } | Self::Expired { .. } => None,
        }
    }

    /// What becomes of a priced request's money.
    #[must_use]
    pub const fn settlement(&self) -> Settlement {
        match self.capture() {
            Some(_) => Settlement::Captured,
            None => Settlement::Released,
        }
    }

    /// The settlement of a request that cost this, and what its consumer has paid; of a free one nothing is said.
    #[must_use]
    pub fn settled(&self, split: Split) -> (Settlement, Option<Amount>) {
        if split.price.is_zero() {
            return (Settlement::None, None);
        }
        let captured = self.capture().and_then(|capture| capture.of(split)).map_or(Amount::ZERO, |part| part.price);
        (self.settlement(), Some(captured))
    }
}

/// The end of a run: outcome, money and delivery in one transaction.
#[derive(Debug, Clone)]
pub struct Finish {
    /// Which request.
    pub id: RequestId,
    /// The run's fencing epoch; only the current one may finish.
    pub epoch: u32,
    /// From which state: `Running`, `AwaitingCallback`, or `Accepted` for one that ended before it ran, or by a callback
    /// of an earlier run.
    pub from: request::State,
    /// The runs that count, with the one that ended it: a cancelled or expired request may have had none.
    pub attempt: u32,
    /// How it ended.
    pub ending: Ending,
    /// When.
    pub finished_at: Timestamp,
    /// What the run used that ended it; `None`: there was none.
    pub run: Option<RunReceipt>,
    /// What else that run was told by the host, for replays: bounded by the caller; `None`: nothing.
    pub tape: Option<Bytes>,
    /// The callback that brought the end, if one did.
    pub callback: Option<Callback>,
    /// If a webhook goes out.
    pub delivery: Option<NewDelivery>,
}

/// What a finish did with the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// `Captured`, `Released` or `None`.
    pub settlement: Settlement,
}
