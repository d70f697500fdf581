//! `step`: durable steps, for requests that are kept.

use crate::bindings::step::{Begun, Host, StepError};
use crate::guest::State;

const WHY: &str = "steps are for requests that are stored, and nothing of this call is";

impl Host for State {
    async fn begin(&mut self, name: String, input: Vec<u8>) -> Result<Begun, StepError> {
        let tape = self.tape().ok_or_else(|| StepError::Unavailable(WHY.to_owned()))?;
        tape.begin(name, &input)
    }

    async fn commit(&mut self, name: String, value: Vec<u8>) -> Result<(), StepError> {
        let tape = self.tape().ok_or_else(|| StepError::Unavailable(WHY.to_owned()))?.clone();
        tape.commit(name, value).await
    }
}
