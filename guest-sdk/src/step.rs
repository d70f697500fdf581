//! Durable steps: what must not be done twice.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

use crate::{Failure, context::Host};

/// A step that is being done. See [`Context::step`](crate::Context::step).
#[derive(Debug)]
pub struct Step {
    key: String,
}

/// What is to be done about a step.
pub(crate) enum Begun {
    /// It was done; what it committed.
    Done(Vec<u8>),
    /// It is to be done; its key.
    Fresh(String),
}

/// Why there is no value of a step.
#[derive(Debug)]
pub enum StepError {
    /// The step was begun before with another input.
    InputChanged(String),
    /// Nested, or another step has failed before and its error was dropped.
    Misuse(String),
    /// Too many, or too large; the text has the figures.
    Limit(String),
    /// Steps cannot be kept: the call is not stored, or the host's store does not answer now.
    Unavailable(String),
    /// The value is not JSON, or cannot be read back from what it is as JSON.
    Value(String),
    /// The step's own work has failed: nothing is committed, and the next run does it again.
    Work(Failure),
}

impl Step {
    /// An idempotency key for what is done outside, the same in all runs of the request: send it as `Idempotency-Key`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

pub(crate) fn run<T: Serialize + DeserializeOwned>(
    host: &Host,
    name: &str,
    input: Result<Vec<u8>, serde_json::Error>,
    work: impl FnOnce(&Step) -> Result<T, Failure>,
) -> Result<T, StepError> {
    let no_value =
        |what: &str, error: serde_json::Error| StepError::Value(format!("the {what} of step `{name}`: {error}"));
    let input = input.map_err(|error| no_value("input", error))?;
    match host.step_begin(name, &input)? {
        Begun::Done(value) => serde_json::from_slice(&value).map_err(|error| no_value("committed value", error)),
        Begun::Fresh(key) => {
            let value = work(&Step { key }).map_err(StepError::Work)?;
            let value = serde_json::to_vec(&value).map_err(|error| no_value("value", error))?;
            // What the next run would be given, so that all runs go on with the same.
            let read = serde_json::from_slice(&value).map_err(|error| no_value("value", error))?;
            host.step_commit(name, &value)?;
            Ok(read)
        }
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InputChanged(text)
            | Self::Misuse(text)
            | Self::Limit(text)
            | Self::Unavailable(text)
            | Self::Value(text) => formatter.write_str(text),
            Self::Work(failure) => formatter.write_str(failure.cause().unwrap_or(&failure.problem().title)),
        }
    }
}

/// The work's own failure is passed on as it is; steps that cannot be kept now ask for another run; the others are the
/// owner's failure.
impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        let cause = error.to_string();
        let failure = match error {
            StepError::Work(failure) => return failure,
            StepError::Unavailable(_) => Self::retry("steps-unavailable", "The API cannot keep what it does now"),
            StepError::InputChanged(_) | StepError::Misuse(_) | StepError::Limit(_) | StepError::Value(_) => {
                Self::failed("step-failed", "The API could not do one of its steps")
            }
        };
        failure.caused_by(cause)
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, collections::BTreeMap};

    use super::StepError;
    use crate::{Context, Failure, Verdict};

    #[test]
    fn a_step_is_done_once_over_the_runs_of_a_request_and_gives_the_first_value() {
        let ctx = Context::test();
        let done = Cell::new(0);
        let charge = || {
            ctx.step("charge", |step| {
                done.set(done.get() + 1);
                Ok(format!("{} {}", step.key(), done.get()))
            })
        };
        let first = charge().unwrap();
        ctx.recorded().run_again();
        assert_eq!((charge().unwrap(), done.get()), (first, 1));
        let steps = ctx.recorded().steps();
        assert_eq!((steps.len(), steps[0].name.as_str()), (1, "charge"));
    }

    #[test]
    fn work_that_fails_commits_nothing_and_is_done_again_in_the_next_run_only() {
        let ctx = Context::test();
        let busy = || Failure::retry("busy", "Busy");
        let failure = Failure::from(ctx.step("a", |_| Err::<(), _>(busy())).unwrap_err());
        assert_eq!(failure.verdict(), Verdict::Retry { after_s: None });
        assert!(ctx.recorded().steps().is_empty());
        let error = ctx.step("b", |_| Ok(())).unwrap_err();
        assert!(matches!(&error, StepError::Misuse(text) if text.contains("`a`")), "{error:?}");
        ctx.recorded().run_again();
        assert_eq!(ctx.step("a", |_| Ok(1)).unwrap(), 1);
        ctx.step("b", |_| Ok(())).unwrap();
    }

    #[test]
    fn steps_do_not_nest_and_their_input_does_not_change() {
        let ctx = Context::test();
        let nested = ctx.step("outer", |_| Ok(ctx.step("inner", |_| Ok(1))?));
        let Err(StepError::Work(failure)) = nested else { panic!("{nested:?}") };
        assert!(failure.cause().is_some_and(|cause| cause.contains("`outer`")), "{failure:?}");
        ctx.recorded().run_again();
        let ctx = Context::test();
        ctx.step_with("charge", &("order", 1), |_| Ok(())).unwrap();
        ctx.step_with("charge", &("order", 1), |_| Ok(())).unwrap();
        let error = ctx.step_with("charge", &("order", 2), |_| Ok(())).unwrap_err();
        assert!(matches!(&error, StepError::InputChanged(text) if text.contains("`charge`")), "{error:?}");
        assert_eq!(Failure::from(error).verdict(), Verdict::Failed);
    }

    #[test]
    fn what_was_committed_before_is_given_and_not_done() {
        let ctx = Context::test().with_step("charge", &"ch_1");
        let charge: String = ctx.step_with("charge", &42, |_| panic!("it was done")).unwrap();
        assert_eq!(charge, "ch_1");
        let error = ctx.step("charge", |_| Ok(1_u8)).unwrap_err();
        assert!(matches!(error, StepError::Value(_)), "of another shape: {error:?}");
    }

    #[test]
    fn a_value_that_cannot_be_json_is_an_error_that_says_so() {
        let ctx = Context::test();
        let error = ctx.step("a", |_| Ok(BTreeMap::from([(vec![1], 1)]))).unwrap_err();
        assert!(matches!(&error, StepError::Value(text) if text.contains("the value of step `a`")), "{error:?}");
        let error = ctx.step_with("b", &BTreeMap::from([(vec![1], 1)]), |_| Ok(())).unwrap_err();
        assert!(matches!(error, StepError::Value(_)), "{error:?}");
    }
}
