//! What an operator needs to see first, in Prometheus' text format.

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// One label with few values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    /// What came of it.
    pub outcome: &'static str,
}

/// One label with few values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Class {
    /// `delivered`, or the class of the failure.
    pub class: String,
}

/// One label with few values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct State {
    /// The state it ended in.
    pub state: &'static str,
}

/// All series; cheap to touch on the hot path.
pub struct Metrics {
    registry: Registry,
    /// Requests accepted (committed).
    pub accepted: Counter,
    /// Calls answered with a problem before they were accepted.
    pub refused: Family<State, Counter>,
    /// Requests ended.
    pub finished: Family<State, Counter>,
    /// Runs by outcome.
    pub runs: Family<Outcome, Counter>,
    /// Wall time of runs.
    pub run_seconds: Histogram,
    /// Attempts by class.
    pub attempts: Family<Class, Counter>,
    /// From accept to the first 2xx.
    pub delivered_seconds: Histogram,
    /// Deliveries ended without having been delivered, by state.
    pub(crate) undeliverable: Family<State, Counter>,
    /// URLs disabled at their endpoints' wish.
    pub(crate) urls_disabled: Counter,
    /// Breakers that opened.
    pub(crate) breakers_opened: Counter,
    pub(crate) lanes: Family<State, Gauge>,
    pub(crate) store_commits: Gauge,
    pub(crate) store_operations: Gauge,
    pub(crate) store_queued: Gauge,
    pub(crate) requests: Family<State, Gauge>,
    pub(crate) deliveries: Family<State, Gauge>,
    pub(crate) reloads: Family<Outcome, Gauge>,
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.0005, 2.0, 18));
        let metrics = Self {
            registry: Registry::default(),
            accepted: Counter::default(),
            refused: Family::default(),
            finished: Family::default(),
            runs: Family::default(),
            run_seconds: seconds(),
            attempts: Family::default(),
            delivered_seconds: seconds(),
            undeliverable: Family::default(),
            urls_disabled: Counter::default(),
            breakers_opened: Counter::default(),
            lanes: Family::default(),
            store_commits: Gauge::default(),
            store_operations: Gauge::default(),
            store_queued: Gauge::default(),
            requests: Family::default(),
            deliveries: Family::default(),
            reloads: Family::default(),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let mut registry = Registry::default();
        registry.register("ripost_requests_accepted", "Requests accepted, committed", self.accepted.clone());
        registry.register("ripost_requests_refused", "Calls refused before they were accepted", self.refused.clone());
        registry.register("ripost_requests_finished", "Requests ended, by state", self.finished.clone());
        registry.register("ripost_runs", "Runs of handlers, by outcome", self.runs.clone());
        registry.register("ripost_run_duration_seconds", "Wall time of a run", self.run_seconds.clone());
        registry.register("ripost_delivery_attempts", "Attempts of deliveries, by class", self.attempts.clone());
        registry.register("ripost_delivered_seconds", "From accept to the 2xx", self.delivered_seconds.clone());
        registry.register(
            "ripost_deliveries_undeliverable",
            "Deliveries ended without having been delivered, by state",
            self.undeliverable.clone(),
        );
        registry.register(
            "ripost_webhook_urls_disabled",
            "URLs disabled by their endpoints",
            self.urls_disabled.clone(),
        );
        registry.register(
            "ripost_delivery_breakers_opened",
            "Endpoints left alone for a while",
            self.breakers_opened.clone(),
        );
        registry.register(
            "ripost_delivery_lanes",
            "Endpoints known, open breakers, in flight, waiting in memory and in the store",
            self.lanes.clone(),
        );
        registry.register("ripost_store_commits_total", "Groups committed since start", self.store_commits.clone());
        registry.register("ripost_store_operations_total", "Operations in those groups", self.store_operations.clone());
        registry.register("ripost_store_queued", "Operations waiting for the writer", self.store_queued.clone());
        registry.register("ripost_requests", "Requests not ended, by state", self.requests.clone());
        registry.register("ripost_deliveries", "Deliveries not delivered, by state", self.deliveries.clone());
        registry.register("ripost_plugin_reloads_total", "Revisions swapped in or rejected", self.reloads.clone());
        self.registry = registry;
        self
    }

    /// The whole page.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut page = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut page, &self.registry);
        page
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
