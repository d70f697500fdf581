//! Whose component is compiled next.
//!
//! There are few workers, and owners take turns at them by how long their components have kept one: a flood waits behind
//! itself. Within that, what served before comes first, and then the small: a component of 20 KiB does not wait for ten
//! of 12 MiB. While nobody else waits an owner may have all the workers; as soon as another owner does, the one that it
//! got last is taken back, and what it was compiling begins again later.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// What is to be compiled, for whom.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// Whose turn it is then.
    pub(crate) owner: Arc<str>,
    /// Whether somebody misses it.
    pub(crate) urgency: Urgency,
    /// Its size.
    pub(crate) bytes: u64,
    /// SHA-256 of the component: nobody compiles the same twice at once.
    pub(crate) component: [u8; 32],
}

/// Whether somebody misses what is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// It served before, or requests wait for it.
    Missed,
    /// It is new.
    New,
}

/// The workers, and who waits for one. Clones share them.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Mutex<State>>);

struct State {
    free: usize,
    waiting: Vec<Waiter>,
    working: Vec<Working>,
    /// How long each owner has kept workers since they were last all idle.
    kept: HashMap<Arc<str>, Duration>,
    numbers: u64,
}

struct Waiter {
    number: u64,
    claim: Claim,
    given: oneshot::Sender<Worker>,
}

struct Working {
    number: u64,
    claim: Claim,
    since: Instant,
    take_back: CancellationToken,
}

/// A worker that may be used until this is dropped.
pub(crate) struct Worker {
    turns: Turns,
    number: u64,
    take_back: CancellationToken,
}

impl Turns {
    pub(crate) fn new(workers: usize) -> Self {
        let state =
            State { free: workers.max(1), waiting: Vec::new(), working: Vec::new(), kept: HashMap::new(), numbers: 0 };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Waits for a worker.
    ///
    /// # Cancel safety
    /// Whoever stops waiting loses its place and nothing else.
    pub(crate) async fn worker(&self, claim: Claim) -> Worker {
        self.ask(claim).await.expect("a waiter is only dropped once it has its worker or nobody waits for it")
    }

    fn ask(&self, claim: Claim) -> oneshot::Receiver<Worker> {
        let (given, waits) = oneshot::channel();
        {
            let mut state = self.lock();
            state.numbers += 1;
            let number = state.numbers;
            state.waiting.push(Waiter { number, claim, given });
        }
        self.hand_out();
        waits
    }

    /// Gives free workers to those whose turn it is, and takes back what others wait for.
    fn hand_out(&self) {
        let mut given = Vec::new();
        {
            let mut state = self.lock();
            state.waiting.retain(|waiter| !waiter.given.is_closed());
            while state.free > 0
                && let Some(place) = state.next()
            {
                let Waiter { number, claim, given: to } = state.waiting.swap_remove(place);
                let take_back = CancellationToken::new();
                state.free -= 1;
                let working = Working { number, claim, since: Instant::now(), take_back: take_back.clone() };
                state.working.push(working);
                given.push((to, Worker { turns: self.clone(), number, take_back }));
            }
            state.take_back();
        }
        for (to, worker) in given {
            // Nobody waits any more: the worker is dropped here, outside the lock, and goes to the next.
            drop(to.send(worker));
        }
    }

    fn give_back(&self, number: u64) {
        {
            let mut state = self.lock();
            let Some(place) = state.working.iter().position(|working| working.number == number) else { return };
            let Working { claim, since, .. } = state.working.swap_remove(place);
            state.free += 1;
            *state.kept.entry(claim.owner).or_default() += since.elapsed();
            if state.working.is_empty() && state.waiting.is_empty() {
                state.kept.clear();
            }
        }
        self.hand_out();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn workers_of(&self, owner: &str) -> usize {
        self.working.iter().filter(|working| &*working.claim.owner == owner).count()
    }

    /// Who has the next free worker: none of those whose very component is being compiled.
    fn next(&self) -> Option<usize> {
        let places = self.waiting.iter().enumerate().filter(|(_, waiter)| !self.is_underway(&waiter.claim));
        let turn = |waiter: &Waiter| {
            let Claim { owner, urgency, bytes, .. } = &waiter.claim;
            let kept = self.kept.get(owner).copied().unwrap_or_default();
            (self.workers_of(owner), kept, *urgency, *bytes, waiter.number)
        };
        places.min_by_key(|(_, waiter)| turn(waiter)).map(|(place, _)| place)
    }

    fn is_underway(&self, claim: &Claim) -> bool {
        self.working.iter().any(|working| working.claim.component == claim.component)
    }

    /// A worker for each owner that waits and has none, as far as others have more than one.
    fn take_back(&self) {
        let waits = |waiter: &&Waiter| self.workers_of(&waiter.claim.owner) == 0 && !self.is_underway(&waiter.claim);
        let owed: HashSet<&str> = self.waiting.iter().filter(waits).map(|waiter| &*waiter.claim.owner).collect();
        let (coming, mut held): (Vec<&Working>, Vec<&Working>) =
            self.working.iter().partition(|working| working.take_back.is_cancelled());
        for _ in coming.len()..owed.len() {
            let has_more =
                |one: &&Working| held.iter().filter(|other| other.claim.owner == one.claim.owner).count() > 1;
            let Some(last) = held.iter().copied().filter(has_more).max_by_key(|one| (one.since, one.number)) else {
                return;
            };
            last.take_back.cancel();
            held.retain(|working| working.number != last.number);
        }
    }
}

impl Worker {
    /// Another owner waits for it: whoever has it is to stop, give it back, and ask again.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub(crate) async fn taken_back(&self) {
        self.take_back.cancelled().await;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.turns.give_back(self.number);
    }
}

#[cfg(test)]
mod tests;
