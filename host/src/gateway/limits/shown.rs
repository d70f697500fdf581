//! A consumer's limits and what it has used of them, as `GET /consumer` shows them.

use super::daily::end_of_day;
use super::{Holding, Limiter};
use crate::gateway::identity::Caller;
use ripost_domain::limit::Rate;
use ripost_domain::time::Timestamp;
use ripost_store::StoreError;
use serde::Serialize;

/// The limits at all APIs; those of one API are in the fields of its answers.
#[derive(Debug, Serialize)]
pub struct Shown {
    rate: Option<RateShown>,
    polls: Option<RateShown>,
    concurrency: Concurrency,
    daily: Option<DailyShown>,
}

#[derive(Debug, Serialize)]
struct RateShown {
    max: Rate,
    /// Now, with this key.
    left: u32,
}

#[derive(Debug, Serialize)]
struct Concurrency {
    max: Option<u32>,
    used: u32,
}

#[derive(Debug, Serialize)]
struct DailyShown {
    max: u32,
    used: u64,
    #[serde(rename = "resetsAt")]
    resets_at: Timestamp,
}

impl Limiter {
    /// What holds for a caller, and what is used of it.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn shown(&self, caller: &Caller) -> Result<Shown, StoreError> {
        let (Holding { rate, concurrency, daily }, at, now) = (self.holding(caller.id), self.clock.now(), self.nanos());
        let of = |max: Rate, full_at| RateShown { max, left: max.left(full_at, now) };
        let daily = match daily {
            Some(max) => {
                Some(DailyShown { max, used: self.daily.used(caller.id, at).await?, resets_at: end_of_day(at) })
            }
            None => None,
        };
        Ok(Shown {
            rate: rate.map(|rate| of(rate, self.keys.full_at(&caller.key()))),
            polls: self.config.polls.map(|rate| of(rate, self.polls.full_at(&caller.key()))),
            concurrency: Concurrency { max: concurrency, used: self.unfinished.of(caller.id) },
            daily,
        })
    }
}
