//! Runs that broke and have no row: of synchronous calls, of request transforms before the accept, and of response
//! transforms on what an upstream posted.
//!
//! Their callers are told the id and nothing of what the owner's code said, so the owner must be able to look it up. They
//! are kept in memory, the newest of each owner, and end with the process; a run that answers costs nothing here.

use ripost_domain::api::ApiName;
use ripost_domain::id::RequestId;
use ripost_store::RunReceipt;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Of one owner.
const PER_OWNER_MAX: usize = 32;
/// Of all, and what their logs may take up.
const RUNS_MAX: usize = 1024;
const BYTES_MAX: usize = 8 << 20;

/// A run that broke.
#[derive(Debug, Clone)]
pub(crate) struct BrokenRun {
    /// What its caller was told.
    pub(crate) id: RequestId,
    /// Which API.
    pub(crate) api: ApiName,
    /// What it used and said.
    pub(crate) run: RunReceipt,
}

/// The newest of them, oldest first.
#[derive(Debug, Default)]
pub(super) struct Unstored(Mutex<VecDeque<BrokenRun>>);

impl Unstored {
    pub(super) fn keep(&self, broken: BrokenRun) {
        let mut runs = self.runs();
        let of_owner = |other: &BrokenRun| other.api.owner == broken.api.owner;
        if runs.iter().filter(|other| of_owner(other)).count() >= PER_OWNER_MAX
            && let Some(oldest) = runs.iter().position(of_owner)
        {
            runs.remove(oldest);
        }
        runs.push_back(broken);
        let mut bytes: usize = runs.iter().map(|broken| broken.run.lines.len()).sum();
        while runs.len() > RUNS_MAX || bytes > BYTES_MAX {
            let Some(oldest) = runs.pop_front() else { break };
            bytes -= oldest.run.lines.len();
        }
    }

    pub(super) fn find(&self, id: RequestId) -> Option<BrokenRun> {
        self.runs().iter().find(|broken| broken.id == id).cloned()
    }

    fn runs(&self) -> MutexGuard<'_, VecDeque<BrokenRun>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ripost_domain::time::Timestamp;
    use ripost_runtime::Usage;

    fn broken(number: u8, owner: &str, lines: usize) -> BrokenRun {
        let run = super::super::run::receipt(1, Timestamp::from_millis(0), "handler-trapped", &Usage::default());
        BrokenRun {
            id: RequestId::from_bytes([number; 16]),
            api: format!("{owner}/a").parse().unwrap(),
            run: RunReceipt { lines: Bytes::from(vec![b'x'; lines]), ..run },
        }
    }

    #[test]
    fn an_owner_that_breaks_all_the_time_pushes_out_its_own_oldest_and_nobody_elses() {
        let unstored = Unstored::default();
        unstored.keep(broken(255, "quiet", 10));
        for number in 0..100 {
            unstored.keep(broken(number, "loud", 10));
        }
        let found = |number| unstored.find(RequestId::from_bytes([number; 16])).is_some();
        assert!(found(255) && found(99) && found(68) && !found(67) && !found(0));
    }

    #[test]
    fn their_logs_are_bounded_together() {
        let unstored = Unstored::default();
        for number in 0..20 {
            unstored.keep(broken(number, &format!("owner-{number}"), 1 << 20));
        }
        let kept: usize = unstored.runs().iter().map(|broken| broken.run.lines.len()).sum();
        assert_eq!(kept, BYTES_MAX);
    }
}
