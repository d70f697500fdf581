//! What one run adds to the journal of its request, and what it is given from it.
//!
//! Everything is keyed by the step that is open (its *scope*): a committed step is not done again, and what it asked for
//! inside must not move what is asked for outside.

mod calls;
mod steps;
#[cfg(test)]
mod tests;
mod times;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use self::calls::Found;
use self::calls::Slot;
use self::steps::{Committed, Open};
use self::times::Read;
use crate::call::Clock;
use crate::journal::{Entries, Journal, JournalError, RecordedCall, Step, Times, Writing};

type Digest = [u8; 32];

/// Made when a guest first asks for something that is kept. Shared with calls that wasi runs beside the guest.
#[derive(Clone)]
pub(crate) struct Tape(Arc<Shared>);

struct Shared {
    journal: Arc<dyn Journal>,
    now: Clock,
    inner: Mutex<Inner>,
}

/// What a call or a value of the clock belongs to: the step that is open, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    name: Arc<str>,
    input: Option<Digest>,
}

#[derive(Default)]
struct Inner {
    scope: Scope,
    open: Option<Open>,
    committed: HashMap<String, Committed>,
    /// Inputs of steps that were begun and not committed, as far as they are known.
    begun: HashMap<String, Digest>,
    calls: HashMap<(Arc<str>, Digest), Vec<Slot>>,
    times: HashMap<Arc<str>, Read>,
    /// What the clock has said last.
    last_ms: u64,
    /// Goes with the next write.
    pending: Entries,
    /// All that the runs of this request have left, and what is pending.
    bytes: usize,
    times_count: usize,
    /// Something was asked for that is kept nowhere.
    lossy: bool,
}

/// What a run has asked for and was not written down: it goes with its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// As if it were written.
    pub entries: Entries,
    /// Something is kept nowhere: another run with all this may see something else.
    pub lossy: bool,
}

impl Tape {
    /// A tape that goes on behind what the runs before have left.
    pub(crate) fn new(journal: Arc<dyn Journal>, past: Option<&Entries>, now: Clock) -> Self {
        let mut inner = Inner::default();
        if let Some(past) = past {
            inner.remember(past);
        }
        Tape(Arc::new(Shared { journal, now, inner: Mutex::new(inner) }))
    }

    /// What is asked for now belongs to this.
    pub(crate) fn scope(&self) -> Scope {
        self.lock().scope.clone()
    }

    /// What is not written down; nothing if there is nothing.
    pub(crate) fn remains(&self) -> Option<Remains> {
        let mut inner = self.lock();
        let remains = Remains { entries: std::mem::take(&mut inner.pending), lossy: inner.lossy };
        (remains != Remains::default()).then_some(remains)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes something down, and with it what is pending. What could not be written is pending again, except for a step:
    /// whoever commits one is told.
    async fn write(
        &self,
        writing: Writing,
        step: Option<Step>,
        call: Option<RecordedCall>,
    ) -> Result<(), JournalError> {
        let pending = std::mem::take(&mut self.lock().pending);
        let mut entries = pending.clone();
        entries.steps.extend(step);
        entries.calls.extend(call);
        let written = self.0.journal.write(writing, entries).await;
        if written.is_err() {
            self.lock().put_back(pending);
        }
        written
    }
}

impl Inner {
    fn remember(&mut self, past: &Entries) {
        for step in &past.steps {
            self.bytes += size_of_step(step);
            self.committed.insert(step.name.clone(), Committed { input: step.input, value: step.value.clone() });
        }
        for call in &past.calls {
            self.remember_call(call);
        }
        for times in &past.times {
            self.remember_times(times);
        }
    }

    /// In front of what has become pending meanwhile.
    fn put_back(&mut self, mut unwritten: Entries) {
        let Entries { steps, calls, times } = std::mem::take(&mut self.pending);
        unwritten.steps.extend(steps);
        unwritten.calls.extend(calls);
        unwritten.times.extend(times);
        self.pending = unwritten;
    }
}

fn size_of_step(step: &Step) -> usize {
    step.name.len() + step.value.len()
}

fn size_of_times(times: &Times) -> usize {
    times.millis.len() * size_of::<u64>()
}
