//! What runs, since when, and how much waits.

use super::Admin;
use crate::plugins::PluginStatus;
use crate::problem::Problem;
use crate::telemetry::metrics::{Outcome, State};
use ripost_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The host as it stands.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// Of this program.
    pub version: String,
    /// When it started.
    pub started_at: Timestamp,
    /// Each plugin with its state and the reason for it.
    pub plugins: Vec<PluginStatus>,
    /// How much waits.
    pub queues: Queues,
}

/// How much waits.
#[derive(Debug, Serialize, Deserialize)]
pub struct Queues {
    /// Requests waiting for a run in the store.
    pub requests_accepted: u64,
    /// Requests leased to a run.
    pub requests_running: u64,
    /// Of those, in this process's memory.
    pub requests_in_memory: usize,
    /// Deliveries waiting for an attempt.
    pub deliveries_pending: u64,
    /// Attempts under way.
    pub deliveries_in_flight: u64,
    /// Deliveries with no attempts left.
    pub deliveries_exhausted: u64,
    /// Operations waiting for the writer.
    pub store_queued: u64,
}

pub(super) async fn read(admin: &Admin) -> Result<Status, Problem> {
    let stats = admin.store.stats().await?;
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: admin.started_at,
        plugins: admin.plugins.status(),
        queues: Queues {
            requests_accepted: stats.requests_accepted,
            requests_running: stats.requests_running,
            requests_in_memory: admin.live.len(),
            deliveries_pending: stats.deliveries_pending,
            deliveries_in_flight: stats.deliveries_in_flight,
            deliveries_exhausted: stats.deliveries_exhausted,
            store_queued: stats.queued,
        },
    })
}

/// Brings the gauges up to date.
pub(super) async fn measure(admin: &Admin) -> Result<(), Problem> {
    let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let stats = admin.store.stats().await?;
    let metrics = &admin.metrics;
    metrics.store_commits.set(gauge(stats.commits));
    metrics.store_operations.set(gauge(stats.operations));
    metrics.store_queued.set(gauge(stats.queued));
    for (state, count) in [("accepted", stats.requests_accepted), ("running", stats.requests_running)] {
        metrics.requests.get_or_create(&State { state }).set(gauge(count));
    }
    let deliveries = [
        ("pending", stats.deliveries_pending),
        ("in_flight", stats.deliveries_in_flight),
        ("exhausted", stats.deliveries_exhausted),
        ("abandoned", stats.deliveries_abandoned),
    ];
    let counts = admin.webhooks.sender.counts();
    for (state, count) in [
        ("known", counts.lanes as u64),
        ("breaker_open", counts.breakers_open as u64),
        ("in_flight", u64::from(counts.in_flight)),
        ("waiting_in_memory", u64::from(counts.waiting)),
        ("waiting_in_store", stats.lanes_waiting),
    ] {
        metrics.lanes.get_or_create(&State { state }).set(gauge(count));
    }
    for (state, count) in deliveries {
        metrics.deliveries.get_or_create(&State { state }).set(gauge(count));
    }
    let reloads = admin.plugins.reloads();
    for (outcome, count) in [("ok", reloads.ok), ("rejected", reloads.rejected)] {
        metrics.reloads.get_or_create(&Outcome { outcome }).set(gauge(count));
    }
    Ok(())
}
