//! One lane, and one host.

use super::{Bounds, Verdict, WAITING_PER_LANE};
use ripost_domain::delivery::LaneId;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Whether an endpoint is tried at all.
#[derive(Debug, Clone, Copy)]
enum Breaker {
    Closed,
    /// Not before then.
    Open {
        until: Instant,
        wait: Duration,
    },
    /// One probe is on its way.
    Probing {
        wait: Duration,
    },
}

/// What is known of one endpoint.
#[derive(Debug)]
pub(super) struct Lane<T> {
    pub(super) host: Option<Arc<str>>,
    pub(super) waiting: VecDeque<T>,
    pub(super) reserved: u32,
    /// Its last attempt was a success.
    pub(super) proven: bool,
    /// Admitted when it was not.
    pub(super) unproven: u32,
    /// In a queue for its turn.
    pub(super) queued: bool,
    /// In the queue of those with more in the store.
    pub(super) hungry: bool,
    pub(super) in_store: bool,
    in_flight: u32,
    cap: u32,
    failures: u32,
    breaker: Breaker,
}

impl<T> Lane<T> {
    pub(super) fn new(cap: u32, _now: Instant) -> Self {
        Self {
            host: None,
            waiting: VecDeque::new(),
            reserved: 0,
            proven: false,
            unproven: 0,
            queued: false,
            hungry: false,
            in_store: false,
            in_flight: 0,
            cap: cap.max(1),
            failures: 0,
            breaker: Breaker::Closed,
        }
    }

    /// For how long nothing is sent.
    pub(super) fn closed_for(&self, now: Instant) -> Option<Duration> {
        match self.breaker {
            Breaker::Open { until, .. } if until > now => Some(until - now),
            _ => None,
        }
    }

    pub(super) fn probe_now(&mut self, now: Instant) {
        if let Breaker::Open { until, .. } = &mut self.breaker {
            *until = now;
        }
    }

    pub(super) fn may_fly(&self, now: Instant) -> bool {
        match self.breaker {
            Breaker::Closed => self.in_flight < self.cap,
            Breaker::Open { until, .. } => until <= now && self.in_flight == 0,
            Breaker::Probing { .. } => false,
        }
    }

    fn admitted(&self) -> u32 {
        self.reserved + self.in_flight + u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    /// How many more may come into memory: a failing endpoint has no waiting room.
    pub(super) fn room(&self, now: Instant) -> u32 {
        let allowed = match self.breaker {
            Breaker::Closed if self.proven => self.cap + WAITING_PER_LANE,
            // As many as it may have at once, and as many again.
            Breaker::Closed if self.failures == 0 => self.cap * 2,
            Breaker::Closed => self.cap,
            Breaker::Open { until, .. } if until <= now => 1,
            Breaker::Open { .. } | Breaker::Probing { .. } => 0,
        };
        allowed.saturating_sub(self.admitted())
    }

    /// From the store only as many as may fly soon: what is claimed is counted.
    pub(super) fn room_for_claim(&self, now: Instant) -> u32 {
        let allowed = match self.breaker {
            // Twice the cap keeps a healthy lane busy while the next claim is under way.
            Breaker::Closed if self.failures == 0 && self.proven => self.cap * 2,
            Breaker::Closed => self.cap,
            Breaker::Open { until, .. } if until <= now => 1,
            Breaker::Open { .. } | Breaker::Probing { .. } => 0,
        };
        allowed.saturating_sub(self.admitted())
    }

    /// Whether it could have more in flight than it has in memory.
    pub(super) fn has_idle_cap(&self) -> bool {
        self.admitted() < self.cap
    }

    pub(super) fn take_off(&mut self, now: Instant) {
        self.in_flight += 1;
        if let Breaker::Open { until, wait } = self.breaker
            && until <= now
        {
            self.breaker = Breaker::Probing { wait };
        }
    }

    /// For how long the breaker has opened, if this attempt opened it.
    pub(super) fn ended(&mut self, verdict: Verdict, bounds: &Bounds, now: Instant) -> Option<Duration> {
        self.in_flight = self.in_flight.saturating_sub(1);
        match verdict {
            Verdict::Good => {
                self.failures = 0;
                self.proven = true;
                self.breaker = Breaker::Closed;
                self.cap = (self.cap + 1).min(bounds.per_lane);
                None
            }
            Verdict::Bad => {
                self.failures = self.failures.saturating_add(1);
                self.proven = false;
                self.cap = (self.cap / 2).max(1);
                let (wait, is_new) = match self.breaker {
                    Breaker::Closed if self.failures < bounds.breaker_failures => return None,
                    Breaker::Closed => (bounds.breaker_wait, true),
                    Breaker::Probing { wait } => ((wait * 2).min(bounds.breaker_wait_max), false),
                    // Attempts from before it opened: they say nothing new.
                    Breaker::Open { .. } => return None,
                };
                self.breaker = Breaker::Open { until: now + wait, wait };
                is_new.then_some(wait)
            }
            Verdict::None => {
                if let Breaker::Probing { wait } = self.breaker {
                    self.breaker = Breaker::Open { until: now, wait };
                }
                None
            }
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.admitted() == 0 && !self.queued && !self.hungry
    }
}

/// What is known of one host, over all consumers.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) in_flight: u32,
    /// Lanes that wait for it.
    pub(super) blocked: VecDeque<LaneId>,
    bucket: Option<Bucket>,
}

/// A token bucket of one second's burst.
#[derive(Debug)]
struct Bucket {
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl Host {
    pub(super) fn new(per_second: Option<u32>, now: Instant) -> Self {
        let bucket = per_second.map(|per_second| {
            let per_second = f64::from(per_second.max(1));
            Bucket { per_second, tokens: per_second, at: now }
        });
        Self { in_flight: 0, blocked: VecDeque::new(), bucket }
    }

    /// How long until there is a token; `None`: there is one.
    pub(super) fn wait_for_token(&mut self, now: Instant) -> Option<Duration> {
        let bucket = self.bucket.as_mut()?;
        let gained = now.saturating_duration_since(bucket.at).as_secs_f64() * bucket.per_second;
        bucket.tokens = (bucket.tokens + gained).min(bucket.per_second);
        bucket.at = now;
        (bucket.tokens < 1.0).then(|| Duration::from_secs_f64((1.0 - bucket.tokens) / bucket.per_second))
    }

    pub(super) fn take_off(&mut self, now: Instant) {
        let _ = self.wait_for_token(now);
        self.in_flight += 1;
        if let Some(bucket) = &mut self.bucket {
            bucket.tokens -= 1.0;
        }
    }
}
