//! What the outbound calls of all owners share: the client, the rules for addresses, and how many go at once.

use crate::egress::EgressClient;
use ripost_domain::address::UrlPolicy;
use ripost_runtime::OutboundError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Calls at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutletBounds {
    /// Of all owners.
    pub in_flight: usize,
    /// Of one.
    pub in_flight_per_owner: usize,
}

/// The way out of all handlers of this gateway.
pub struct Outlet {
    client: EgressClient,
    url_policy: UrlPolicy,
    bounds: OutletBounds,
    under_way: Mutex<UnderWay>,
}

#[derive(Default)]
struct UnderWay {
    total: usize,
    by_owner: HashMap<Arc<str>, usize>,
}

/// A place among the calls under way, until it is dropped.
pub(super) struct Place<'a> {
    outlet: &'a Outlet,
    owner: Arc<str>,
}

impl Outlet {
    /// Over a client that is for outbound calls alone.
    #[must_use]
    pub fn new(client: EgressClient, url_policy: UrlPolicy, bounds: OutletBounds) -> Self {
        Self { client, url_policy, bounds, under_way: Mutex::default() }
    }

    /// Ends all calls and closes all connections.
    pub fn shutdown(&self) {
        self.client.shutdown();
    }

    pub(super) const fn client(&self) -> &EgressClient {
        &self.client
    }

    pub(super) const fn url_policy(&self) -> &UrlPolicy {
        &self.url_policy
    }

    /// Whether handlers are told if a host is unknown, refuses or is silent. Not where the operator has opened networks
    /// that are not public: with it they could find out what runs in them.
    pub(super) fn tells_why(&self) -> bool {
        self.url_policy.addresses.allow.is_empty()
    }

    /// At once, or not: whoever waited here would hold an instance meanwhile.
    pub(super) fn enter(&self, owner: &Arc<str>) -> Result<Place<'_>, OutboundError> {
        let OutletBounds { in_flight, in_flight_per_owner } = self.bounds;
        let mut under_way = self.lock();
        if under_way.by_owner.get(owner).is_some_and(|count| *count >= in_flight_per_owner) {
            return Err(OutboundError::Limit(format!(
                "this owner has {in_flight_per_owner} outbound calls under way, the most that one owner has at once"
            )));
        }
        if under_way.total >= in_flight {
            return Err(OutboundError::Unavailable(format!(
                "all {in_flight} outbound calls that this gateway makes at once are under way"
            )));
        }
        under_way.total += 1;
        *under_way.by_owner.entry(owner.clone()).or_default() += 1;
        Ok(Place { outlet: self, owner: owner.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlet").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut under_way = self.outlet.lock();
        under_way.total -= 1;
        if let Some(count) = under_way.by_owner.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                under_way.by_owner.remove(&self.owner);
            }
        }
    }
}
