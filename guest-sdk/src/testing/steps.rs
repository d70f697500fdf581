//! Steps of a handler's own tests: kept for as long as the context is, so that the same request can be run again.

use super::Recorder;
use crate::{StepError, step::Begun};

/// A committed step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedStep {
    /// Its name.
    pub name: String,
    /// JSON of what it was begun with; none: whatever it is begun with.
    pub input: Option<Vec<u8>>,
    /// JSON of its value.
    pub value: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Steps {
    committed: Vec<CommittedStep>,
    /// Name and input.
    open: Option<(String, Vec<u8>)>,
}

impl Recorder {
    /// The committed steps, in order.
    #[must_use]
    pub fn steps(&self) -> Vec<CommittedStep> {
        self.state.borrow().steps.committed.clone()
    }

    /// What follows is another run of the same request: committed steps are done, and no other has begun.
    pub fn run_again(&self) {
        self.state.borrow_mut().steps.open = None;
    }

    pub(crate) fn set_step(&self, name: &str, value: Vec<u8>) {
        let step = CommittedStep { name: name.to_owned(), input: None, value };
        self.state.borrow_mut().steps.committed.push(step);
    }

    pub(crate) fn step_begin(&self, name: &str, input: &[u8]) -> Result<Begun, StepError> {
        let Steps { committed, open } = &mut self.state.borrow_mut().steps;
        if let Some((open, _)) = open.as_ref().filter(|(open, _)| open != name) {
            return Err(StepError::Misuse(format!("step `{open}` is open, so `{name}` cannot begin")));
        }
        let done = committed.iter().find(|step| step.name == name);
        let before = done.and_then(|step| step.input.as_ref()).or(open.as_ref().map(|(_, input)| input));
        if before.is_some_and(|before| before != input) {
            return Err(StepError::InputChanged(format!("step `{name}` was begun before with another input")));
        }
        if let Some(step) = done {
            return Ok(Begun::Done(step.value.clone()));
        }
        *open = Some((name.to_owned(), input.to_owned()));
        Ok(Begun::Fresh(format!("key-of-{name}")))
    }

    pub(crate) fn step_commit(&self, name: &str, value: &[u8]) -> Result<(), StepError> {
        let Steps { committed, open } = &mut self.state.borrow_mut().steps;
        let Some((_, input)) = open.take_if(|(open, _)| open == name) else {
            return Err(StepError::Misuse(format!("step `{name}` cannot be committed: it is not open")));
        };
        committed.push(CommittedStep { name: name.to_owned(), input: Some(input), value: value.to_owned() });
        Ok(())
    }
}
