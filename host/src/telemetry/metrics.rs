//! What an operator needs to see first, for Prometheus and what reads like it.

mod page;

pub(crate) use self::page::Format;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use ripost_domain::api::ApiName;
use ripost_runtime::Usage;
use ripost_store::Part;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

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

/// One label with few values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Limited {
    /// Which limit.
    pub limit: &'static str,
}

/// One label with few values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// Why.
    pub reason: &'static str,
}

/// An API and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfApi {
    /// Who answers for it.
    pub owner: String,
    /// Which one.
    pub api: String,
}

type Seconds = Counter<f64, AtomicU64>;

/// What the runs of one API used: what an operator bills, and looks at when a machine is busy.
#[derive(Debug, Default)]
pub struct ApiMeters {
    runs: Counter,
    stopped: Counter,
    cpu_seconds: Seconds,
    wall_seconds: Seconds,
    memory_byte_seconds: Seconds,
    host_calls: Counter,
    outbound_calls: Counter,
    outbound_bytes: Counter,
    log_bytes: Counter,
}

impl ApiMeters {
    /// Adds what the transforms of one call used, which is no run.
    pub fn add_transforms(&self, usage: &Usage) {
        self.cpu_seconds.inc_by(usage.cpu.as_secs_f64());
        self.wall_seconds.inc_by(usage.wall.as_secs_f64());
        self.memory_byte_seconds.inc_by(usage.memory_bytes_peak as f64 * usage.wall.as_secs_f64());
        self.host_calls.inc_by(usage.host_calls);
        self.log_bytes.inc_by(usage.log_bytes);
    }

    /// Adds one run; `stopped`: it ended without an answer, by a trap or a limit.
    pub fn add(&self, usage: &Usage, stopped: bool) {
        self.runs.inc();
        if stopped {
            self.stopped.inc();
        }
        self.cpu_seconds.inc_by(usage.cpu.as_secs_f64());
        self.wall_seconds.inc_by(usage.wall.as_secs_f64());
        self.memory_byte_seconds.inc_by(usage.memory_bytes_peak as f64 * usage.wall.as_secs_f64());
        self.host_calls.inc_by(usage.host_calls);
        self.outbound_calls.inc_by(usage.outbound_calls);
        self.outbound_bytes.inc_by(usage.outbound_bytes);
        self.log_bytes.inc_by(usage.log_bytes);
    }
}

/// APIs with series of their own since the start.
const APIS_MAX: usize = 20_000;
/// Owner and API of what is beyond that; no name has an underscore in front.
const OTHERS: &str = "_others";

/// The families behind [`ApiMeters`].
#[derive(Default)]
struct ApiFamilies {
    known: RwLock<HashMap<ApiName, Arc<ApiMeters>>>,
    runs: Family<OfApi, Counter>,
    stopped: Family<OfApi, Counter>,
    cpu_seconds: Family<OfApi, Seconds>,
    wall_seconds: Family<OfApi, Seconds>,
    memory_byte_seconds: Family<OfApi, Seconds>,
    host_calls: Family<OfApi, Counter>,
    outbound_calls: Family<OfApi, Counter>,
    outbound_bytes: Family<OfApi, Counter>,
    log_bytes: Family<OfApi, Counter>,
}

impl ApiFamilies {
    fn of(&self, api: &ApiName) -> Arc<ApiMeters> {
        if let Some(meters) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(api) {
            return meters.clone();
        }
        // Names come and go with plugins, and their series stay: beyond so many, the rest is counted as one.
        let is_full = self.known.read().unwrap_or_else(PoisonError::into_inner).len() >= APIS_MAX;
        let label = match is_full {
            true => OfApi { owner: OTHERS.to_owned(), api: OTHERS.to_owned() },
            false => OfApi { owner: api.owner.to_string(), api: api.slug.to_string() },
        };
        let counter = |family: &Family<OfApi, Counter>| family.get_or_create(&label).clone();
        let seconds = |family: &Family<OfApi, Seconds>| family.get_or_create(&label).clone();
        let meters = Arc::new(ApiMeters {
            runs: counter(&self.runs),
            stopped: counter(&self.stopped),
            cpu_seconds: seconds(&self.cpu_seconds),
            wall_seconds: seconds(&self.wall_seconds),
            memory_byte_seconds: seconds(&self.memory_byte_seconds),
            host_calls: counter(&self.host_calls),
            outbound_calls: counter(&self.outbound_calls),
            outbound_bytes: counter(&self.outbound_bytes),
            log_bytes: counter(&self.log_bytes),
        });
        if !is_full {
            self.known.write().unwrap_or_else(PoisonError::into_inner).insert(api.clone(), meters.clone());
        }
        meters
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("ripost_api_runs", "Runs, by API", self.runs.clone());
        registry.register("ripost_api_runs_stopped", "Runs that a trap or a limit ended", self.stopped.clone());
        registry.register(
            "ripost_api_cpu_seconds",
            "CPU time of guests and their host calls",
            self.cpu_seconds.clone(),
        );
        registry.register("ripost_api_wall_seconds", "Wall time of runs", self.wall_seconds.clone());
        registry.register(
            "ripost_api_memory_byte_seconds",
            "Peak memory of runs times their wall time",
            self.memory_byte_seconds.clone(),
        );
        registry.register("ripost_api_host_calls", "Calls from guests into the host", self.host_calls.clone());
        registry.register("ripost_api_outbound_calls", "Calls to the outside", self.outbound_calls.clone());
        registry.register("ripost_api_outbound_bytes", "Bodies sent and received in them", self.outbound_bytes.clone());
        registry.register("ripost_api_log_bytes", "What guests wrote to their logs", self.log_bytes.clone());
    }
}

/// All series; cheap to touch on the hot path.
pub struct Metrics {
    registry: Registry,
    /// Requests accepted (committed).
    pub accepted: Counter,
    /// Calls answered with a problem before they were accepted.
    pub refused: Family<State, Counter>,
    /// Calls over a limit of their consumer's, by limit.
    pub(crate) limited: Family<Limited, Counter>,
    /// Calls refused because the gateway has too much to do, by what there is too much of.
    pub(crate) shed: Family<Reason, Counter>,
    /// Connections that the gateway ended, by what was wrong with them.
    pub(crate) connections_cut: Family<Reason, Counter>,
    /// Requests ended.
    pub finished: Family<State, Counter>,
    /// Runs by outcome.
    pub runs: Family<Outcome, Counter>,
    /// Chains of request transforms, by outcome.
    pub(crate) request_transforms: Family<Outcome, Counter>,
    /// What was posted to callback URLs, by outcome.
    pub(crate) callbacks: Family<Outcome, Counter>,
    /// Upstreams told that a request has ended without them, by outcome.
    pub(crate) upstream_cancels: Family<Outcome, Counter>,
    /// Webhooks that a transform made, by outcome.
    pub(crate) webhook_transforms: Family<Outcome, Counter>,
    /// Instances at this moment.
    runs_in_flight: Gauge,
    /// Memory that is set aside for guests, and what there is.
    pub(crate) guest_memory_bytes: Family<State, Gauge>,
    pub(crate) memory_waiting: Gauge,
    pub(crate) memory_waits: Family<Outcome, Counter>,
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
    pub(crate) store_commits: Counter,
    pub(crate) store_operations: Counter,
    pub(crate) store_queued: Gauge,
    pub(crate) requests: Family<State, Gauge>,
    pub(crate) deliveries: Family<State, Gauge>,
    pub(crate) reloads: Family<Outcome, Counter>,
    pub(crate) plugins: Family<State, Gauge>,
    pub(crate) plugin_apis: Family<State, Gauge>,
    pub(crate) quarantines: Counter,
    pub(crate) not_ready: Family<Reason, Gauge>,
    pub(crate) store_refused: Family<Reason, Counter>,
    pub(crate) storage_database_bytes: Gauge,
    pub(crate) storage_files_bytes: Gauge,
    pub(crate) storage_free_bytes: Gauge,
    forgotten: Family<Outcome, Counter>,
    apis: ApiFamilies,
    /// Components given to the compiler, by what came of it.
    pub compilations: Family<Outcome, Counter>,
    /// How long that took, without the wait for its turn.
    pub compile_seconds: Histogram,
    /// Looks into the cache of compiled components: `hit`, `miss`, `rejected`.
    pub artefacts: Family<Outcome, Counter>,
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
            limited: Family::default(),
            shed: Family::default(),
            connections_cut: Family::default(),
            finished: Family::default(),
            runs: Family::default(),
            request_transforms: Family::default(),
            callbacks: Family::default(),
            upstream_cancels: Family::default(),
            webhook_transforms: Family::default(),
            runs_in_flight: Gauge::default(),
            guest_memory_bytes: Family::default(),
            memory_waiting: Gauge::default(),
            memory_waits: Family::default(),
            run_seconds: seconds(),
            attempts: Family::default(),
            delivered_seconds: seconds(),
            undeliverable: Family::default(),
            urls_disabled: Counter::default(),
            breakers_opened: Counter::default(),
            lanes: Family::default(),
            store_commits: Counter::default(),
            store_operations: Counter::default(),
            store_queued: Gauge::default(),
            requests: Family::default(),
            deliveries: Family::default(),
            reloads: Family::default(),
            plugins: Family::default(),
            plugin_apis: Family::default(),
            quarantines: Counter::default(),
            not_ready: Family::default(),
            store_refused: Family::default(),
            storage_database_bytes: Gauge::default(),
            storage_files_bytes: Gauge::default(),
            storage_free_bytes: Gauge::default(),
            forgotten: Family::default(),
            apis: ApiFamilies::default(),
            compilations: Family::default(),
            compile_seconds: Histogram::new(exponential_buckets(0.01, 2.0, 14)),
            artefacts: Family::default(),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let mut registry = Registry::default();
        registry.register("ripost_requests_accepted", "Requests accepted, committed", self.accepted.clone());
        registry.register("ripost_requests_refused", "Calls refused before they were accepted", self.refused.clone());
        registry.register(
            "ripost_calls_limited",
            "Calls over a limit of their consumer, by limit",
            self.limited.clone(),
        );
        registry.register(
            "ripost_calls_shed",
            "Calls refused for too much work, by what there is too much of: bodies, backlog, writer, answers",
            self.shed.clone(),
        );
        registry.register(
            "ripost_connections_cut",
            "Connections that the gateway ended: share (their address had as many as it may), unread (an answer was not read in time), resets (too many calls were withdrawn)",
            self.connections_cut.clone(),
        );
        registry.register("ripost_requests_finished", "Requests ended, by state", self.finished.clone());
        registry.register("ripost_runs", "Runs of handlers, by outcome", self.runs.clone());
        registry.register(
            "ripost_request_transforms",
            "Calls that request transforms rewrote, by outcome",
            self.request_transforms.clone(),
        );
        registry.register(
            "ripost_callbacks",
            "What owners' services posted to callback URLs, by outcome",
            self.callbacks.clone(),
        );
        registry.register(
            "ripost_upstream_cancels",
            "Owners' services told that a request was cancelled or has expired, by outcome",
            self.upstream_cancels.clone(),
        );
        registry.register(
            "ripost_webhook_transforms",
            "Payloads that webhook transforms made, by outcome",
            self.webhook_transforms.clone(),
        );
        registry.register("ripost_runs_in_flight", "Instances at this moment", self.runs_in_flight.clone());
        registry.register(
            "ripost_guest_memory_bytes",
            "Memory set aside for guests that start with much or grow, and what there is",
            self.guest_memory_bytes.clone(),
        );
        registry.register("ripost_runs_waiting_for_memory", "Runs that wait for memory", self.memory_waiting.clone());
        registry.register(
            "ripost_memory_waits",
            "Runs that waited for memory, and those of them that were put back",
            self.memory_waits.clone(),
        );
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
        registry.register("ripost_store_commits", "Groups committed since start", self.store_commits.clone());
        registry.register("ripost_store_operations", "Operations in those groups", self.store_operations.clone());
        registry.register("ripost_store_queued", "Operations waiting for the writer", self.store_queued.clone());
        registry.register("ripost_requests", "Requests not ended, by state", self.requests.clone());
        registry.register("ripost_deliveries", "Deliveries not delivered, by state", self.deliveries.clone());
        registry.register("ripost_plugin_reloads", "Revisions swapped in or rejected", self.reloads.clone());
        registry.register("ripost_plugins", "Plugins, by state", self.plugins.clone());
        registry.register("ripost_apis", "APIs of plugins, by state", self.plugin_apis.clone());
        let quarantines = self.quarantines.clone();
        registry.register("ripost_quarantines", "Revisions put aside for their failures", quarantines);
        registry.register(
            "ripost_not_ready",
            "Reasons for which the gateway is not ready or degraded, as /readyz has them: 1 while it holds",
            self.not_ready.clone(),
        );
        let store_refused = self.store_refused.clone();
        registry.register("ripost_store_refused", "Writes that the store refused, by their cause", store_refused);
        registry.register(
            "ripost_storage_database_bytes",
            "The database and its log",
            self.storage_database_bytes.clone(),
        );
        registry.register(
            "ripost_storage_files_bytes",
            "Results and payloads that are files",
            self.storage_files_bytes.clone(),
        );
        registry.register(
            "ripost_storage_free_bytes",
            "Left on the disk of the data folder",
            self.storage_free_bytes.clone(),
        );
        registry.register("ripost_retention", "Requests whose part was removed", self.forgotten.clone());
        self.apis.register(&mut registry);
        registry.register("ripost_compilations", "Components compiled, by outcome", self.compilations.clone());
        registry.register(
            "ripost_compile_seconds",
            "From starting the compiler to its answer, without the wait for its turn",
            self.compile_seconds.clone(),
        );
        registry.register(
            "ripost_artefact_cache",
            "Looks into the cache of compiled components, by what was found",
            self.artefacts.clone(),
        );
        self.registry = registry;
        self
    }

    /// Counts an instance for as long as the guard lives.
    #[must_use]
    pub fn run_in_flight(&self) -> InFlight {
        self.runs_in_flight.inc();
        InFlight(self.runs_in_flight.clone())
    }

    /// Requests of which this part was removed for its age.
    #[must_use]
    pub(crate) fn forgotten(&self, part: Part) -> Counter {
        let outcome = match part {
            Part::Contents => "contents",
            Part::Everything => "everything",
        };
        self.forgotten.get_or_create(&Outcome { outcome }).clone()
    }

    /// The meters of one API.
    #[must_use]
    pub fn of_api(&self, api: &ApiName) -> Arc<ApiMeters> {
        self.apis.of(api)
    }

    /// The whole page.
    #[must_use]
    pub(crate) fn encode(&self, format: Format) -> String {
        let mut page = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut page, &self.registry);
        format.write(page)
    }
}

/// A total that is counted elsewhere, as it is when it is looked at.
pub(crate) fn set(counter: &Counter, total: u64) {
    counter.inner().store(total, Ordering::Relaxed);
}

/// Something is under way.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_come_and_go_do_not_make_the_page_grow_for_ever() {
        let metrics = Metrics::new();
        let api = |slug: usize| ApiName { owner: "demo".parse().unwrap(), slug: format!("a{slug}").parse().unwrap() };
        for slug in 0..APIS_MAX + 10 {
            metrics.of_api(&api(slug)).runs.inc();
        }
        let page = metrics.encode(Format::OpenMetrics);
        let runs: Vec<&str> = page.lines().filter(|line| line.starts_with("ripost_api_runs_total{")).collect();
        assert_eq!(runs.len(), APIS_MAX + 1);
        let others = runs.iter().find(|line| line.contains("api=\"_others\"")).unwrap();
        assert!(others.ends_with(" 10"), "{others}");
    }
}
