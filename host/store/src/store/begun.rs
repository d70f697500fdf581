//! Runs that have begun: a crash counts these and no others against their requests.

use std::sync::{Arc, Mutex, PoisonError};

/// A run that is noted as begun. Kept until what came of it is written: from then on its place is another run's.
#[derive(Debug)]
#[must_use]
pub struct BegunRun {
    places: Arc<Places>,
    place: u32,
}

/// Numbered places, each of one run at a time.
#[derive(Debug, Default)]
pub(crate) struct Places(Mutex<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    free: Vec<u32>,
    /// The first that was never taken.
    next: u32,
}

impl BegunRun {
    pub(crate) fn take(places: &Arc<Places>) -> Self {
        let mut numbers = places.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = numbers.free.pop().unwrap_or_else(|| {
            numbers.next += 1;
            numbers.next - 1
        });
        drop(numbers);
        Self { places: places.clone(), place }
    }

    pub(crate) const fn place(&self) -> u32 {
        self.place
    }
}

impl Drop for BegunRun {
    fn drop(&mut self) {
        self.places.0.lock().unwrap_or_else(PoisonError::into_inner).free.push(self.place);
    }
}
