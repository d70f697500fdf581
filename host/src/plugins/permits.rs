//! How many runs of one API go at once, over all its revisions: a reload never doubles it.

use ripost_domain::api::ApiName;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

type Taking = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// The semaphores, by API.
#[derive(Default)]
pub(super) struct Permits {
    gates: HashMap<ApiName, Gate>,
}

struct Gate {
    semaphore: Arc<Semaphore>,
    /// Permits there are, those that are being taken away included.
    total: u32,
    /// Takes away what is too many. It waits in the semaphore's own queue, so that running ones end in peace and new
    /// ones do not overtake it; the semaphore hands it permits whether it is polled or not.
    taking: Option<(u32, Taking)>,
}

impl Permits {
    /// The API's semaphore; made with this many permits if it is new, else as it is.
    pub(super) fn of(&mut self, api: &ApiName, concurrency: u32) -> Arc<Semaphore> {
        let gate = self.gates.entry(api.clone()).or_insert_with(|| Gate {
            semaphore: Arc::new(Semaphore::new(concurrency as usize)),
            total: concurrency,
            taking: None,
        });
        gate.semaphore.clone()
    }

    /// Brings the API's semaphore to this many permits: more at once, fewer as running ones end.
    pub(super) fn resize(&mut self, api: &ApiName, concurrency: u32) {
        if let Some(gate) = self.gates.get_mut(api) {
            gate.resize(concurrency);
        }
    }

    /// Goes on with what could not be taken away at once, and forgets what nobody has any more.
    pub(super) fn settle(&mut self) {
        for gate in self.gates.values_mut() {
            gate.settle();
        }
        self.gates.retain(|_, gate| gate.taking.is_some() || Arc::strong_count(&gate.semaphore) > 1);
    }
}

impl Gate {
    fn resize(&mut self, concurrency: u32) {
        self.settle();
        let goal = self.total - self.taking.as_ref().map_or(0, |(fewer, _)| *fewer);
        if goal == concurrency {
            return;
        }
        // What it has already been given goes back.
        self.taking = None;
        if let Some(more) = concurrency.checked_sub(self.total) {
            self.semaphore.add_permits(more as usize);
            self.total = concurrency;
        } else {
            let fewer = self.total - concurrency;
            self.taking = Some((fewer, Box::pin(self.semaphore.clone().acquire_many_owned(fewer))));
            self.settle();
        }
    }

    fn settle(&mut self) {
        let Some((fewer, taking)) = &mut self.taking else { return };
        if let std::task::Poll::Ready(permit) = taking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            permit.expect("the semaphore is never closed").forget();
            self.total -= *fewer;
            self.taking = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api() -> ApiName {
        ApiName { owner: "demo".parse().unwrap(), slug: "a".parse().unwrap() }
    }

    #[test]
    fn an_api_has_one_semaphore_over_all_its_revisions() {
        let mut permits = Permits::default();
        let first = permits.of(&api(), 3);
        assert!(Arc::ptr_eq(&first, &permits.of(&api(), 5)));
        permits.resize(&api(), 5);
        assert_eq!(first.available_permits(), 5);
        permits.resize(&api(), 2);
        assert_eq!(first.available_permits(), 2);
    }

    #[test]
    fn fewer_permits_are_reached_as_running_ones_end() {
        let mut permits = Permits::default();
        let gate = permits.of(&api(), 4);
        let mut running: Vec<_> = (0..4).map(|_| gate.clone().try_acquire_owned().unwrap()).collect();
        permits.resize(&api(), 2);
        for _ in 0..2 {
            running.pop();
            assert_eq!(gate.available_permits(), 0, "three and two still run");
        }
        running.pop();
        assert_eq!(gate.available_permits(), 1);
        permits.settle();
        drop(running);
        assert_eq!(gate.available_permits(), 2);
        permits.resize(&api(), 4);
        assert_eq!(gate.available_permits(), 4);
    }

    #[test]
    fn a_change_of_mind_while_permits_are_taken_away_loses_none() {
        let mut permits = Permits::default();
        let gate = permits.of(&api(), 4);
        let running: Vec<_> = (0..3).map(|_| gate.clone().try_acquire_owned().unwrap()).collect();
        permits.resize(&api(), 1);
        permits.resize(&api(), 6);
        assert_eq!(gate.available_permits(), 3);
        drop(running);
        assert_eq!(gate.available_permits(), 6);
    }

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let mut permits = Permits::default();
        let gate = permits.of(&api(), 4);
        permits.settle();
        assert_eq!(permits.gates.len(), 1);
        drop(gate);
        permits.settle();
        assert_eq!(permits.gates.len(), 0);
    }
}
