//! How a handler says no: whose fault it is, and what the consumer reads.

use std::error::Error;

/// What follows from a failure: for the request, and for the consumer's money, which is released in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The consumer's mistake: final.
    Invalid,
    /// Not now: the host runs the handler again, while it has runs left.
    Retry {
        /// Seconds to wait; none leaves it to the host's schedule.
        after_s: Option<u32>,
    },
    /// The owner's failure: final.
    Failed,
}

/// What went wrong, for the consumer to read (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A short stable name in `lower-kebab`, which consumers may rely on.
    pub kind: String,
    /// One sentence, the same for every problem of this kind.
    pub title: String,
    /// What it is about this time, and what to do.
    pub detail: Option<String>,
    /// An HTTP status, 4xx or 5xx, for the consumer that waits for its answer.
    pub status: Option<u16>,
    /// Names and values for programs.
    pub attributes: Vec<(String, String)>,
}

/// Why a handler did not answer: a [`Verdict`] and a [`Problem`].
///
/// ```
/// use ripost_sdk::{Failure, Verdict};
///
/// let failure = Failure::retry("supplier-busy", "The supplier is busy").after_s(30).detail("it asked for half a minute");
/// assert_eq!(failure.verdict(), Verdict::Retry { after_s: Some(30) });
/// ```
///
/// It is not a `std::error::Error`, so that every such error can become a failure by `?`. That failure is the
/// owner's: the consumer reads only that something went wrong, and the error itself goes to the owner's log.
///
/// ```
/// use ripost_sdk::{Failure, Verdict};
///
/// fn parse(text: &str) -> Result<u32, Failure> {
///     Ok(text.parse::<u32>()?)
/// }
/// let failure = parse("many").unwrap_err();
/// assert_eq!(failure.verdict(), Verdict::Failed);
/// assert_eq!(failure.problem().kind, "unexpected-error");
/// assert_eq!(failure.cause(), Some("invalid digit found in string"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    verdict: Verdict,
    // Boxed: a `Result` is as large as its larger half, and this half is seldom there.
    problem: Box<Problem>,
    cause: Option<String>,
}

impl Failure {
    /// The consumer's mistake: final, the hold is released.
    #[must_use]
    pub fn invalid(kind: &str, title: &str) -> Self {
        Self::new(Verdict::Invalid, kind, title)
    }

    /// Not now: the handler runs again, at most as often as the API allows. The consumer reads the problem if no run
    /// is left.
    #[must_use]
    pub fn retry(kind: &str, title: &str) -> Self {
        Self::new(Verdict::Retry { after_s: None }, kind, title)
    }

    /// The owner's failure: final, the hold is released.
    #[must_use]
    pub fn failed(kind: &str, title: &str) -> Self {
        Self::new(Verdict::Failed, kind, title)
    }

    fn new(verdict: Verdict, kind: &str, title: &str) -> Self {
        let problem = Problem {
            kind: kind.to_owned(),
            title: title.to_owned(),
            detail: None,
            status: None,
            attributes: Vec::new(),
        };
        Self { verdict, problem: Box::new(problem), cause: None }
    }

    /// What it is about this time, and what to do.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.problem.detail = Some(detail.into());
        self
    }

    /// The HTTP status for a consumer that waits; anything but 4xx and 5xx is ignored by the host.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.problem.status = Some(status);
        self
    }

    /// Adds a name and value for programs.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: impl Into<String>) -> Self {
        self.problem.attributes.push((name.to_owned(), value.into()));
        self
    }

    /// Seconds to wait before the next run. Only [`Failure::retry`] has one: on the others this changes nothing.
    #[must_use]
    pub fn after_s(mut self, seconds: u32) -> Self {
        if let Verdict::Retry { after_s } = &mut self.verdict {
            *after_s = Some(seconds);
        }
        self
    }

    /// What lies behind it, for the owner's log; the consumer never sees it.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// What follows from it.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// What the consumer reads.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// What the owner reads.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    #[cfg(target_arch = "wasm32")]
    pub(crate) fn into_parts(self) -> (Verdict, Problem) {
        (self.verdict, *self.problem)
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut chain = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            chain.push_str(": ");
            chain.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::failed("unexpected-error", "The API met an error that it did not expect").caused_by(chain)
    }
}

#[cfg(test)]
mod tests {
    use std::{error::Error, fmt, io};

    use super::{Failure, Verdict};

    #[derive(Debug)]
    struct ReadTable(io::Error);
    impl fmt::Display for ReadTable {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("reading table `prices`")
        }
    }
    impl Error for ReadTable {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn an_error_of_the_owners_code_shows_its_chain_to_the_owner_and_nothing_to_the_consumer() {
        let failure = Failure::from(ReadTable(io::Error::other("disk on fire")));
        assert_eq!(failure.cause(), Some("reading table `prices`: disk on fire"));
        assert_eq!(failure.verdict(), Verdict::Failed);
        assert_eq!(failure.problem().detail, None);
        assert!(!format!("{:?}", failure.problem()).contains("disk"));
    }

    #[test]
    fn only_a_retry_has_a_time_to_wait() {
        assert_eq!(Failure::retry("busy", "Busy").after_s(5).verdict(), Verdict::Retry { after_s: Some(5) });
        assert_eq!(Failure::invalid("bad", "Bad").after_s(5).verdict(), Verdict::Invalid);
    }
}
