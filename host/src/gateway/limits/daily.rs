//! How many requests were accepted today, in UTC, for those who have a limit of it. The truth is the requests' own rows:
//! what the store has of a day is counted when it is first asked for, and from then on in memory. No row is written.
//!
//! A call that writes nothing (`delivery = "off"`) is counted for as long as this process remembers it.

use ripost_domain::api::ApiName;
use ripost_domain::id::ConsumerId;
use ripost_domain::time::Timestamp;
use ripost_store::{Store, StoreError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const DAY_MS: i64 = 86_400_000;

/// Days of consumers that are remembered; those that are forgotten are counted in the store again.
const KNOWN_MAX: usize = 100_000;

/// Whose requests, at which API (`None`: all), on which day since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Scope {
    consumer: ConsumerId,
    api: Option<ApiName>,
    day: i64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Used {
    count: u64,
    /// Of these, those that are being accepted.
    pending: u32,
}

#[derive(Default)]
struct Known {
    /// The latest day of any scope.
    day: i64,
    scopes: HashMap<Scope, Used>,
}

/// The counts.
pub(super) struct Daily {
    store: Arc<dyn Store>,
    known: Mutex<Known>,
    /// One is counted at a time: whoever comes meanwhile is counted too.
    counting: tokio::sync::Mutex<()>,
}

/// One that is being accepted. Given back when dropped, unless it was accepted.
pub(super) struct Claim {
    daily: Arc<Daily>,
    scope: Scope,
    kept: bool,
    /// With this one.
    pub(super) used: u64,
}

impl Claim {
    /// It has been accepted.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(used) = self.daily.known().scopes.get_mut(&self.scope) {
            used.pending = used.pending.saturating_sub(1);
            used.count = used.count.saturating_sub(u64::from(!self.kept));
        }
    }
}

/// The limit is reached.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reached;

/// When the day of a moment is over.
pub(super) fn end_of_day(at: Timestamp) -> Timestamp {
    Timestamp::from_millis((day_of(at) + 1) * DAY_MS)
}

fn day_of(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(DAY_MS)
}

impl Daily {
    pub(super) fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { store, known: Mutex::default(), counting: tokio::sync::Mutex::default() })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more of the day at `at`, unless there are `max` already.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub(super) async fn claim(
        self: &Arc<Self>,
        consumer: ConsumerId,
        api: Option<&ApiName>,
        at: Timestamp,
        max: u32,
    ) -> Result<Result<Claim, Reached>, StoreError> {
        let scope = Scope { consumer, api: api.cloned(), day: day_of(at) };
        loop {
            if let Some(claimed) = self.claim_known(&scope, max) {
                return Ok(claimed);
            }
            self.count(&scope).await?;
        }
    }

    /// `None`: it is not known yet.
    fn claim_known(self: &Arc<Self>, scope: &Scope, max: u32) -> Option<Result<Claim, Reached>> {
        let mut known = self.known();
        let used = known.scopes.get_mut(scope)?;
        if used.count >= u64::from(max) {
            return Some(Err(Reached));
        }
        used.count += 1;
        used.pending += 1;
        Some(Ok(Claim { daily: self.clone(), scope: scope.clone(), kept: false, used: used.count }))
    }

    /// Gets to know what the store has of a day.
    async fn count(&self, scope: &Scope) -> Result<(), StoreError> {
        let _counting = self.counting.lock().await;
        if self.known().scopes.contains_key(scope) {
            return Ok(());
        }
        let count = self.stored(scope).await?;
        let mut known = self.known();
        let is_full = known.scopes.len() >= KNOWN_MAX;
        if is_full || scope.day > known.day {
            known.day = scope.day.max(known.day);
            // What is being accepted stays, whichever day it is of: the store does not have it yet.
            known.scopes.retain(|_, used| used.pending > 0);
        }
        known.scopes.insert(scope.clone(), Used { count, pending: 0 });
        Ok(())
    }

    async fn stored(&self, scope: &Scope) -> Result<u64, StoreError> {
        let from = Timestamp::from_millis(scope.day * DAY_MS);
        let until = from.after(Duration::from_millis(DAY_MS.unsigned_abs()));
        self.store.accepted_between(scope.consumer, scope.api.as_ref(), from, until).await
    }

    /// A consumer's limit has changed: what was accepted while it had none is in the store.
    pub(super) fn forget(&self, consumer: ConsumerId) {
        self.known().scopes.retain(|scope, used| scope.consumer != consumer || used.pending > 0);
    }

    /// How many there were of a consumer's today, over all APIs.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub(super) async fn used(&self, consumer: ConsumerId, at: Timestamp) -> Result<u64, StoreError> {
        let scope = Scope { consumer, api: None, day: day_of(at) };
        let known = self.known().scopes.get(&scope).map(|used| used.count);
        match known {
            Some(count) => Ok(count),
            None => self.stored(&scope).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight_in_utc() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        for (now, end) in [
            ("2026-11-24T00:00:00Z", "2026-11-25T00:00:00.000Z"),
            ("2026-11-24T23:59:59.999Z", "2026-11-25T00:00:00.000Z"),
            ("2026-12-31T12:00:00Z", "2027-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(end_of_day(at(now)).to_string(), end);
        }
    }
}
