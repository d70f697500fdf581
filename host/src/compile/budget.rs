//! How much CPU time the components that an owner pushes may take of the compiler, an hour.
//!
//! What was used is forgotten evenly: of a budget of ten minutes, ten seconds a minute. One compilation may go over it,
//! for nobody knows before how long it takes; its owner waits that much longer then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_hours(1);
/// Of the budget: so much is free again when an owner that has used it up is told to come back.
const FREE_AGAIN: f64 = 0.1;

/// What each owner's components have taken of late.
pub(crate) struct Budget {
    /// Zero: as much as they like.
    per_hour: Duration,
    spent: Mutex<HashMap<Arc<str>, Spent>>,
}

struct Spent {
    cpu: Duration,
    at: Instant,
}

impl Budget {
    /// So much for each owner; zero: without end.
    pub(crate) fn new(per_hour: Duration) -> Self {
        Self { per_hour, spent: Mutex::default() }
    }

    pub(crate) fn per_hour(&self) -> Duration {
        self.per_hour
    }

    /// # Errors
    /// How long the owner has to wait.
    pub(crate) fn check(&self, owner: &str, now: Instant) -> Result<(), Duration> {
        let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let left = spent.get(owner).map_or(Duration::ZERO, |spent| self.left(spent, now));
        if self.per_hour.is_zero() || left < self.per_hour {
            return Ok(());
        }
        let over = left.saturating_sub(self.per_hour.mul_f64(1.0 - FREE_AGAIN));
        Err(over.mul_f64(HOUR.as_secs_f64() / self.per_hour.as_secs_f64()))
    }

    pub(crate) fn charge(&self, owner: &Arc<str>, cpu: Duration, now: Instant) {
        if self.per_hour.is_zero() {
            return;
        }
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let left = spent.get(owner).map_or(Duration::ZERO, |spent| self.left(spent, now));
        // Who has used nothing of late is no longer known.
        spent.retain(|_, spent| !self.left(spent, now).is_zero());
        spent.insert(owner.clone(), Spent { cpu: left + cpu, at: now });
    }

    /// What is not forgotten of it yet.
    fn left(&self, spent: &Spent, now: Instant) -> Duration {
        let share = now.saturating_duration_since(spent.at).as_secs_f64() / HOUR.as_secs_f64();
        spent.cpu.saturating_sub(self.per_hour.mul_f64(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn an_owner_that_has_used_its_budget_is_told_when_it_has_some_again_and_others_go_on() {
        let (budget, now) = (Budget::new(10 * MINUTE), Instant::now());
        let (evil, good): (Arc<str>, Arc<str>) = ("evil".into(), "good".into());
        budget.charge(&evil, 9 * MINUTE, now);
        assert_eq!(budget.check("evil", now), Ok(()), "nobody knows how long the next one takes");
        budget.charge(&evil, 2 * MINUTE, now);
        // Two minutes too much for nine tenths: twelve minutes at ten seconds a minute.
        let wait = budget.check("evil", now).unwrap_err();
        assert_eq!(wait.as_secs().div_ceil(60), 12);
        assert_eq!(budget.check("good", now), Ok(()));
        budget.charge(&good, MINUTE, now);
        assert!(budget.check("evil", now + Duration::from_mins(5)).is_err());
        assert_eq!(budget.check("evil", now + wait), Ok(()));
    }

    #[test]
    fn what_was_used_an_hour_ago_is_forgotten() {
        let (budget, now) = (Budget::new(10 * MINUTE), Instant::now());
        let owner: Arc<str> = "demo".into();
        for hour in 0..5 {
            let now = now + hour * HOUR;
            assert_eq!(budget.check("demo", now), Ok(()));
            budget.charge(&owner, 10 * MINUTE, now);
            assert!(budget.check("demo", now).is_err());
        }
        budget.charge(&"other".into(), MINUTE, now + 6 * HOUR);
        assert_eq!(budget.spent.lock().unwrap().len(), 1, "and so is the owner");
    }

    #[test]
    fn a_budget_of_nothing_is_none() {
        let (budget, now) = (Budget::new(Duration::ZERO), Instant::now());
        budget.charge(&"demo".into(), HOUR, now);
        assert_eq!(budget.check("demo", now), Ok(()));
    }
}
