//! A semaphore that is fair by owner: whoever waits, takes turns with the other owners and not with their crowds.
//!
//! Each owner has a queue of its own, first come, first served; a permit that is freed goes to the next owner in turn.
//! No owner holds more than its share, so a flood fills its own queue and nobody else's place.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Permits, shared fairly among owners. Clones share them.
#[derive(Clone)]
pub struct FairSemaphore(Arc<Shared>);

struct Shared {
    /// What one owner may hold at most.
    share: u32,
    state: Mutex<State>,
}

struct State {
    free: u32,
    owners: HashMap<Arc<str>, Owner>,
    /// Owners with somebody waiting, in the order of their turns.
    turns: VecDeque<Arc<str>>,
}

#[derive(Default)]
struct Owner {
    held: u32,
    waiting: VecDeque<Waiter>,
}

struct Waiter {
    permits: u32,
    granted: oneshot::Sender<FairPermit>,
}

/// Permits held; dropping gives them back.
pub struct FairPermit {
    shared: Arc<Shared>,
    owner: Arc<str>,
    permits: u32,
}

impl FairSemaphore {
    /// So many permits, of which one owner holds at most `share` (at least one, at most all).
    #[must_use]
    pub fn new(permits: u32, share: u32) -> Self {
        let permits = permits.max(1);
        let state = State { free: permits, owners: HashMap::new(), turns: VecDeque::new() };
        FairSemaphore(Arc::new(Shared { share: share.clamp(1, permits), state: Mutex::new(state) }))
    }

    /// Waits for its turn. A wish above an owner's share is cut to the share.
    ///
    /// # Cancel safety
    /// Whoever stops waiting loses its place and nothing else.
    pub async fn acquire(&self, owner: &Arc<str>, permits: u32) -> FairPermit {
        let waiting = match self.ask(owner, permits) {
            Ok(permit) => return permit,
            Err(waiting) => waiting,
        };
        waiting.await.expect("a waiter is only dropped once it has its permits or nobody waits for it")
    }

    /// At once, or not at all: also not when others of the same owner wait.
    #[must_use]
    pub fn try_acquire(&self, owner: &Arc<str>, permits: u32) -> Option<FairPermit> {
        let permits = permits.clamp(1, self.0.share);
        self.take(&mut self.0.lock(), owner, permits)
    }

    /// How many are free.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.0.lock().free
    }

    /// Owners whose share has no room for so many more, or with somebody waiting already.
    #[must_use]
    pub fn without_room_for(&self, permits: u32) -> Vec<Arc<str>> {
        let state = self.0.lock();
        let full = |(_, owner): &(&Arc<str>, &Owner)| {
            owner.held.saturating_add(permits) > self.0.share || !owner.waiting.is_empty()
        };
        state.owners.iter().filter(full).map(|(name, _)| Arc::clone(name)).collect()
    }

    /// What one owner may hold at most.
    #[must_use]
    pub fn share(&self) -> u32 {
        self.0.share
    }

    /// How many of one owner's wait.
    #[must_use]
    pub fn waiting(&self, owner: &str) -> usize {
        self.0.lock().owners.get(owner).map_or(0, |owner| owner.waiting.len())
    }

    fn ask(&self, owner: &Arc<str>, permits: u32) -> Result<FairPermit, oneshot::Receiver<FairPermit>> {
        let permits = permits.clamp(1, self.0.share);
        let mut state = self.0.lock();
        if let Some(permit) = self.take(&mut state, owner, permits) {
            return Ok(permit);
        }
        let (granted, waiting) = oneshot::channel();
        let entry = state.owners.entry(Arc::clone(owner)).or_default();
        let first = entry.waiting.is_empty();
        entry.waiting.push_back(Waiter { permits, granted });
        if first {
            state.turns.push_back(Arc::clone(owner));
        }
        Err(waiting)
    }

    fn take(&self, state: &mut State, owner: &Arc<str>, permits: u32) -> Option<FairPermit> {
        // Whoever waits for want of permits comes first; whoever waits for its own share is in nobody's way.
        if state.free < permits || state.someone_could_use(self.0.share) {
            return None;
        }
        let entry = state.owners.entry(Arc::clone(owner)).or_default();
        if entry.held + permits > self.0.share || !entry.waiting.is_empty() {
            let idle = entry.held == 0 && entry.waiting.is_empty();
            if idle {
                state.owners.remove(owner);
            }
            return None;
        }
        entry.held += permits;
        state.free -= permits;
        Some(FairPermit { shared: Arc::clone(&self.0), owner: Arc::clone(owner), permits })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(self: &Arc<Self>, owner: &Arc<str>, permits: u32) {
        let granted = {
            let mut state = self.lock();
            state.free += permits;
            if let Entry::Occupied(mut entry) = state.owners.entry(Arc::clone(owner)) {
                entry.get_mut().held -= permits;
                if entry.get().held == 0 && entry.get().waiting.is_empty() {
                    entry.remove();
                }
            }
            self.hand_out(&mut state)
        };
        for (waiter, permit) in granted {
            // Nobody waits any more: the permit is dropped here, outside the lock, and goes to the next.
            drop(waiter.send(permit));
        }
    }

    /// Gives what is free to whose turn it is, as far as it goes.
    fn hand_out(self: &Arc<Self>, state: &mut State) -> Vec<(oneshot::Sender<FairPermit>, FairPermit)> {
        let mut granted = Vec::new();
        let mut passed = 0;
        while passed < state.turns.len() {
            let Some(owner) = state.turns.pop_front() else { break };
            let Some(entry) = state.owners.get_mut(&owner) else { continue };
            while entry.waiting.front().is_some_and(|waiter| waiter.granted.is_closed()) {
                entry.waiting.pop_front();
            }
            let Some(permits) = entry.waiting.front().map(|waiter| waiter.permits) else {
                if entry.held == 0 {
                    state.owners.remove(&owner);
                }
                continue;
            };
            if entry.held + permits > self.share {
                state.turns.push_back(owner);
                passed += 1;
                continue;
            }
            if permits > state.free {
                // Its turn stays its turn, or a wish for many would never be met.
                state.turns.push_front(owner);
                break;
            }
            let Some(waiter) = entry.waiting.pop_front() else { continue };
            entry.held += permits;
            state.free -= permits;
            if !entry.waiting.is_empty() {
                state.turns.push_back(Arc::clone(&owner));
            }
            granted.push((waiter.granted, FairPermit { shared: Arc::clone(self), owner, permits }));
            passed = 0;
        }
        granted
    }
}

impl State {
    /// Whether somebody waits who is below its share: what is free is being saved for it.
    fn someone_could_use(&self, share: u32) -> bool {
        self.turns.iter().any(|owner| {
            self.owners.get(owner).is_some_and(|entry| {
                entry
                    .waiting
                    .iter()
                    .find(|waiter| !waiter.granted.is_closed())
                    .is_some_and(|w| entry.held + w.permits <= share)
            })
        })
    }
}

impl Drop for FairPermit {
    fn drop(&mut self) {
        self.shared.give_back(&self.owner, self.permits);
    }
}

impl fmt::Debug for FairPermit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FairPermit").field("owner", &self.owner).field("permits", &self.permits).finish()
    }
}

impl fmt::Debug for FairSemaphore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        formatter
            .debug_struct("FairSemaphore")
            .field("free", &state.free)
            .field("share", &self.0.share)
            .field("owners", &state.owners.len())
            .finish()
    }
}

#[cfg(test)]
mod tests;
