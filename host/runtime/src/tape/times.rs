//! The clock: what it said before the last write it says again, so that what was made from it is the same; after that
//! time goes on, and never backwards.

use std::sync::Arc;

use super::{Inner, Tape, size_of_times};
use crate::journal::{TIMES_MAX, Times};

/// The clock of one scope.
#[derive(Default)]
pub(super) struct Read {
    /// What it said in the runs before.
    known: Vec<u64>,
    /// How often this run has asked.
    asked: usize,
}

impl Tape {
    pub(crate) fn now_ms(&self) -> u64 {
        let now = (self.0.now)();
        let mut inner = self.lock();
        let scope = Arc::clone(&inner.scope.name);
        let last = inner.last_ms;
        let read = inner.times.entry(Arc::clone(&scope)).or_default();
        let at = read.asked;
        read.asked += 1;
        let known = read.known.get(at).copied();
        let said = known.unwrap_or(now).max(last);
        inner.last_ms = said;
        if known.is_none() {
            inner.note(&scope, at, said);
        }
        said
    }
}

impl Inner {
    fn note(&mut self, scope: &Arc<str>, at: usize, said: u64) {
        // Those after the first that is not kept would stand in its place.
        if self.times_count >= TIMES_MAX {
            self.lossy = true;
            return;
        }
        self.times_count += 1;
        self.bytes += size_of::<u64>();
        let goes_on = |times: &&mut Times| *times.scope == **scope && times.first as usize + times.millis.len() == at;
        match self.pending.times.iter_mut().find(goes_on) {
            Some(times) => times.millis.push(said),
            None => self.pending.times.push(Times {
                scope: scope.to_string(),
                first: u32::try_from(at).unwrap_or(u32::MAX),
                millis: vec![said],
            }),
        }
    }

    pub(super) fn remember_times(&mut self, times: &Times) {
        let known = &mut self.times.entry(times.scope.as_str().into()).or_default().known;
        // What a failed write left out ends what is known.
        if times.first as usize == known.len() {
            known.extend_from_slice(&times.millis);
            self.bytes += size_of_times(times);
            self.times_count += times.millis.len();
        }
    }
}
