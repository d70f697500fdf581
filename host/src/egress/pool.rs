//! Connections that wait for their next request.

use super::connection::Connection;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How many connections wait, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) per_origin: usize,
    pub(super) total: usize,
    /// Unused.
    pub(super) idle: Duration,
    /// Since it was opened: a receiver that moved is found again.
    pub(super) age: Duration,
}

pub(super) struct Pool {
    bounds: Bounds,
    parked: Mutex<Parked>,
}

#[derive(Default)]
struct Parked {
    by_origin: HashMap<Box<str>, Vec<Waiting>>,
    total: usize,
    closed: bool,
}

struct Waiting {
    connection: Box<Connection>,
    since: Instant,
}

impl Pool {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, parked: Mutex::default() }
    }

    /// The connection that was used last: the others may be let go. It may have been closed meanwhile.
    pub(super) fn take(&self, origin: &str) -> Option<Box<Connection>> {
        let now = Instant::now();
        loop {
            let waiting = {
                let mut parked = self.lock();
                let waiting = parked.by_origin.get_mut(origin)?.pop()?;
                parked.total -= 1;
                waiting
            };
            if self.is_fresh(&waiting, now) {
                return Some(waiting.connection);
            }
            // Dropped here, outside the lock.
        }
    }

    /// Keeps a connection for the next request, or closes it if there are enough.
    pub(super) fn put(&self, origin: &str, connection: Box<Connection>) {
        let now = Instant::now();
        let waiting = Waiting { connection, since: now };
        if !self.is_fresh(&waiting, now) {
            return;
        }
        let mut parked = self.lock();
        let beside = parked.by_origin.get(origin).map_or(0, Vec::len);
        if parked.closed || parked.total >= self.bounds.total || beside >= self.bounds.per_origin {
            drop(parked); // before `waiting` is: closing a socket is a system call
            return;
        }
        match parked.by_origin.get_mut(origin) {
            Some(list) => list.push(waiting),
            None => drop(parked.by_origin.insert(origin.into(), vec![waiting])),
        }
        parked.total += 1;
    }

    /// Closes those of one origin.
    pub(super) fn forget(&self, origin: &str) {
        let forgotten = {
            let mut parked = self.lock();
            let forgotten = parked.by_origin.remove(origin).unwrap_or_default();
            parked.total -= forgotten.len();
            forgotten
        };
        drop(forgotten);
    }

    /// Closes those that waited too long or that the other side closed.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        let mut spent = Vec::new();
        let mut parked = self.lock();
        for list in parked.by_origin.values_mut() {
            spent.extend(
                list.extract_if(.., |waiting| !self.is_fresh(waiting, now) || !waiting.connection.is_idle_now()),
            );
        }
        parked.by_origin.retain(|_, list| !list.is_empty());
        parked.total -= spent.len();
        drop(parked);
    }

    /// Closes all of them; none is kept from now on.
    pub(super) fn close(&self) {
        let closed = {
            let mut parked = self.lock();
            parked.closed = true;
            parked.total = 0;
            std::mem::take(&mut parked.by_origin)
        };
        drop(closed);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().total
    }

    fn is_fresh(&self, waiting: &Waiting, now: Instant) -> bool {
        now.duration_since(waiting.since) < self.bounds.idle
            && now.duration_since(waiting.connection.opened()) < self.bounds.age
    }

    fn lock(&self) -> MutexGuard<'_, Parked> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
