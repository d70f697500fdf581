//! Durable steps. Beginning one writes nothing; committing it is one write.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{Digest, Scope, Tape, size_of_step};
use crate::bindings::step::{Begun, StepError};
use crate::journal::{JOURNAL_BYTES_MAX, STEP_NAME_BYTES_MAX, STEP_VALUE_BYTES_MAX, STEPS_MAX, Step, Writing};

/// A step that is done.
pub(super) struct Committed {
    pub(super) input: Digest,
    pub(super) value: Bytes,
}

/// A step that was begun.
pub(super) struct Open {
    name: String,
    input: Digest,
}

impl Tape {
    pub(crate) fn begin(&self, name: String, input: &[u8]) -> Result<Begun, StepError> {
        check_name(&name)?;
        let input: Digest = Sha256::digest(input).into();
        let mut inner = self.lock();
        if let Some(open) = inner.open.as_ref().filter(|open| open.name != name) {
            return Err(StepError::Misuse(format!(
                "step `{}` is open, so `{name}` cannot begin: commit the one before the next begins; one that failed is not committed, and the run has to end with its failure",
                open.name
            )));
        }
        let before = inner.committed.get(&name).map(|step| step.input).or_else(|| inner.begun.get(&name).copied());
        if before.is_some_and(|before| before != input) {
            return Err(StepError::InputChanged(format!(
                "step `{name}` was begun before with another input: what it depends on has to be the same in all runs of a request; take it from the request, from earlier steps or from the clock, and give another step another name"
            )));
        }
        if let Some(step) = inner.committed.get(&name) {
            return Ok(Begun::Done(step.value.to_vec()));
        }
        let count = inner.committed.len();
        if count >= STEPS_MAX {
            return Err(StepError::Limit(format!("this request has {count} steps, and {STEPS_MAX} is the most")));
        }
        inner.check_bytes(0).map_err(StepError::Limit)?;
        inner.begun.insert(name.clone(), input);
        inner.scope = Scope { name: name.as_str().into(), input: Some(input) };
        let key = self.0.journal.step_key(&name);
        inner.open = Some(Open { name, input });
        Ok(Begun::Fresh(key))
    }

    pub(crate) async fn commit(&self, name: String, value: Vec<u8>) -> Result<(), StepError> {
        let step = {
            let inner = self.lock();
            let Some(open) = inner.open.as_ref().filter(|open| open.name == name) else {
                let open = inner.open.as_ref().map_or_else(
                    || "no step is open".to_owned(),
                    |open| format!("the step that is open is `{}`", open.name),
                );
                return Err(StepError::Misuse(format!("step `{name}` cannot be committed: {open}; begin it first")));
            };
            if value.len() > STEP_VALUE_BYTES_MAX {
                return Err(StepError::Limit(format!(
                    "the value of step `{name}` has {} bytes; a value has {STEP_VALUE_BYTES_MAX} at most",
                    value.len()
                )));
            }
            inner.check_bytes(value.len()).map_err(StepError::Limit)?;
            Step { name, input: open.input, value: value.into() }
        };
        let written = self.write(Writing::Commit, Some(step.clone()), None).await;
        written.map_err(|error| StepError::Unavailable(error.to_string()))?;
        let mut inner = self.lock();
        inner.open = None;
        inner.scope = Scope::default();
        inner.bytes += size_of_step(&step);
        let Step { name, input, value } = step;
        inner.begun.remove(&name);
        inner.committed.insert(name, Committed { input, value });
        Ok(())
    }
}

impl super::Inner {
    /// Whether there is room for so much more.
    pub(super) fn check_bytes(&self, more: usize) -> Result<(), String> {
        if self.bytes.saturating_add(more) < JOURNAL_BYTES_MAX {
            return Ok(());
        }
        Err(format!(
            "the journal of this request has {} bytes, and {JOURNAL_BYTES_MAX} is the most: its steps' values and the answers to its calls",
            self.bytes
        ))
    }
}

fn check_name(name: &str) -> Result<(), StepError> {
    if name.is_empty() {
        return Err(StepError::Misuse("a step needs a name".to_owned()));
    }
    if name.len() > STEP_NAME_BYTES_MAX {
        return Err(StepError::Limit(format!(
            "the name of a step has {} bytes; a name has {STEP_NAME_BYTES_MAX} at most",
            name.len()
        )));
    }
    Ok(())
}
