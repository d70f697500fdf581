//! What webhooks tell of a request.

use crate::request::State;

/// What has happened. Consumers ask for an end by one word, however it comes; that word names it in routes and in the
/// store as well ([`Event::subscription`]). What is sent says how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Its first run has begun.
    Started,
    /// It is so far. Only ever sent, never stored.
    Progress,
    /// It has ended with a result.
    Completed,
    /// It has ended without one.
    Failed,
    /// It was withdrawn.
    Cancelled,
    /// Its deadline has passed.
    Expired,
}

impl Event {
    /// All events.
    pub const ALL: [Self; 6] =
        [Self::Started, Self::Progress, Self::Completed, Self::Failed, Self::Cancelled, Self::Expired];

    /// The end that this state is; `None`: it is none.
    #[must_use]
    pub const fn of_end(state: State) -> Option<Self> {
        match state {
            State::Completed => Some(Self::Completed),
            State::Failed => Some(Self::Failed),
            State::Cancelled => Some(Self::Cancelled),
            State::Expired => Some(Self::Expired),
            State::Accepted | State::Running | State::AwaitingCallback => None,
        }
    }

    /// Back from the word of a subscription, and the state of the request.
    #[must_use]
    pub fn of_subscription(word: &str, state: State) -> Option<Self> {
        match word {
            "started" => Some(Self::Started),
            "progress" => Some(Self::Progress),
            "completed" => Self::of_end(state),
            _ => None,
        }
    }

    /// As the member `event` and the header `Ripost-Event` have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Progress => "progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// As the member `type` has it, here and in CloudEvents.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Started => "ripost.request.started",
            Self::Progress => "ripost.request.progress",
            Self::Completed => "ripost.request.completed",
            Self::Failed => "ripost.request.failed",
            Self::Cancelled => "ripost.request.cancelled",
            Self::Expired => "ripost.request.expired",
        }
    }

    /// What a consumer asks for to be told, what routes name it by, and what its row has.
    #[must_use]
    pub const fn subscription(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Progress => "progress",
            Self::Completed | Self::Failed | Self::Cancelled | Self::Expired => "completed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_comes_back_from_its_subscription_and_the_state_it_tells_of() {
        for event in Event::ALL {
            let state = State::from_name(event.as_str()).unwrap_or(State::Running);
            assert_eq!(Event::of_subscription(event.subscription(), state), Some(event));
            assert_eq!(event.kind(), format!("ripost.request.{}", event.as_str()));
        }
        assert_eq!(Event::of_subscription("completed", State::Running), None, "it has not ended");
        assert_eq!(Event::of_subscription("failed", State::Failed), None, "nobody asks for that");
        for state in State::ALL {
            assert_eq!(Event::of_end(state).map(Event::as_str), state.is_terminal().then_some(state.as_str()));
        }
    }
}
