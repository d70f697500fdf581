//! Money that is spoken for and not held yet: that of calls which write nothing before they are answered.

use super::{Accept, Finish};
use ripost_domain::id::ConsumerId;
use ripost_domain::money::Amount;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A part of a consumer's balance that no other call can have. It is in memory only, and ends with the process, with its
/// last clone, or when it is turned into a hold.
#[derive(Debug, Clone)]
pub struct Reservation(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    of: Reservations,
    consumer: ConsumerId,
    micros: AtomicI64,
}

impl Reservation {
    /// Gives it up; the second time nothing happens.
    pub(crate) fn release(&self) {
        self.0.release();
    }
}

impl Inner {
    fn release(&self) {
        let micros = self.micros.swap(0, Ordering::AcqRel);
        if micros == 0 {
            return;
        }
        let mut reserved = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sum) = reserved.get_mut(&self.consumer) {
            *sum -= micros;
            if *sum <= 0 {
                reserved.remove(&self.consumer);
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.release();
    }
}

/// What is reserved now, by consumer. Whoever writes holds looks here for what they must leave.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reservations(Arc<Mutex<HashMap<ConsumerId, i64>>>);

impl Reservations {
    pub(crate) fn of(&self, consumer: ConsumerId) -> i64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&consumer).copied().unwrap_or(0)
    }

    /// The caller has seen that the balance covers it.
    pub(crate) fn add(&self, consumer: ConsumerId, amount: Amount) -> Reservation {
        let micros = amount.as_micros();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(consumer).or_default() += micros;
        Reservation(Arc::new(Inner { of: self.clone(), consumer, micros: AtomicI64::new(micros) }))
    }
}

/// A priced call that was answered on its own connection: all there is to write about it.
#[derive(Debug)]
pub struct Direct {
    /// The call, as if it had been accepted, leased to this process and without an idempotency key.
    pub accept: Accept,
    /// Its good end.
    pub finish: Finish,
    /// What pays for it.
    pub reservation: Reservation,
}
