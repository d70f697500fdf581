//! What runs, since when, and how much waits.

use super::Admin;
use super::access::Principal;
use crate::plugins::PluginStatus;
use crate::problem::Problem;
use crate::readiness::{Code, Readiness};
use crate::telemetry::metrics::{Outcome, Reason, State, set};
use ripost_domain::api::Name;
use ripost_domain::time::Timestamp;
use ripost_store::Failures;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// The host as it stands.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// Of this program.
    pub version: String,
    /// When it started.
    pub started_at: Timestamp,
    /// Each plugin with its state and the reason for it.
    pub plugins: Vec<PluginStatus>,
    /// Folders in the plugins folder that are no plugins; for operators.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strays: Vec<String>,
    /// Whether calls can be taken, and why not; for operators. `/readyz` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Readiness>,
    /// Why nothing more is accepted; for operators. None: there is room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_full: Option<String>,
    /// APIs with requests of the last day that failed or expired.
    #[serde(default)]
    pub failures: Vec<FailuresShown>,
    /// How much waits; for operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queues: Option<Queues>,
}

/// An API's requests of the last day that ended without a result; of each kind at most 10 000 of an owner's are counted.
#[derive(Debug, Serialize, Deserialize)]
pub struct FailuresShown {
    /// `owner/slug`.
    pub api: String,
    /// That failed, whoever's mistake it was.
    pub failed: u64,
    /// That were not answered before their deadline.
    pub expired: u64,
}

/// What the last day is.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How much waits.
#[derive(Debug, Serialize, Deserialize)]
pub struct Queues {
    /// Requests waiting for a run in the store.
    pub requests_accepted: u64,
    /// Requests leased to a run.
    pub requests_running: u64,
    /// Requests whose upstream will call back.
    #[serde(default)]
    pub requests_awaiting: u64,
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

/// For an owner what is its own, and nothing of how busy the host is.
pub(super) async fn read(admin: &Admin, principal: &Principal) -> Result<Status, Problem> {
    let mut plugins = admin.plugins.status();
    if let Some(owner) = principal.only() {
        plugins.retain_mut(|plugin| is_of(owner, plugin));
    }
    let queues = match principal {
        Principal::Operator => Some(queues(admin).await?),
        Principal::Owner(_) => None,
    };
    let readiness = match principal {
        Principal::Operator => Some(admin.readiness.read()),
        Principal::Owner(_) => None,
    };
    let strays = match principal {
        Principal::Operator => admin.plugins.strays().to_vec(),
        Principal::Owner(_) => Vec::new(),
    };
    let storage_full = match principal {
        Principal::Operator => admin.room.why(),
        Principal::Owner(_) => None,
    };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let failures = failures(admin, principal).await?;
    Ok(Status { version, started_at: admin.started_at, plugins, strays, readiness, storage_full, failures, queues })
}

/// Of an owner, or of all that offer something.
async fn failures(admin: &Admin, principal: &Principal) -> Result<Vec<FailuresShown>, Problem> {
    let owners: BTreeSet<Name> = match principal {
        Principal::Operator => admin.plugins.registry().apis().iter().map(|api| api.name.owner.clone()).collect(),
        Principal::Owner(owner) => BTreeSet::from([owner.clone()]),
    };
    let since = admin.clock.now().before(DAY);
    let mut shown = Vec::new();
    for owner in &owners {
        let counted = admin.store.failures(owner, since).await?.into_iter();
        shown.extend(counted.map(|Failures { api, failed, expired }| FailuresShown {
            api: api.to_string(),
            failed,
            expired,
        }));
    }
    Ok(shown)
}

/// Whether a plugin has anything of an owner's; the rest is taken out of what is told of it.
fn is_of(owner: &Name, plugin: &mut PluginStatus) -> bool {
    let own = format!("{owner}/");
    let all_own = plugin.apis.iter().all(|api| api.name.starts_with(&own));
    let pushed = plugin.key.starts_with(&own);
    plugin.apis.retain(|api| api.name.starts_with(&own));
    // What is said of a folder that several share may name what is another's.
    if !all_own {
        plugin.reason = None;
        plugin.apis.iter_mut().for_each(|api| api.reason = None);
    }
    pushed || !plugin.apis.is_empty()
}

async fn queues(admin: &Admin) -> Result<Queues, Problem> {
    let stats = admin.store.stats().await?;
    Ok(Queues {
        requests_accepted: stats.requests_accepted,
        requests_running: stats.requests_running,
        requests_awaiting: stats.requests_awaiting,
        requests_in_memory: admin.live.len(),
        deliveries_pending: stats.deliveries_pending,
        deliveries_in_flight: stats.deliveries_in_flight,
        deliveries_exhausted: stats.deliveries_exhausted,
        store_queued: stats.queued,
    })
}

/// Brings the gauges up to date.
pub(super) async fn measure(admin: &Admin) -> Result<(), Problem> {
    let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let stats = admin.store.stats().await?;
    let metrics = &admin.metrics;
    set(&metrics.store_commits, stats.commits);
    set(&metrics.store_operations, stats.operations);
    metrics.store_queued.set(gauge(stats.queued));
    let requests = [
        ("accepted", stats.requests_accepted),
        ("running", stats.requests_running),
        ("awaiting_callback", stats.requests_awaiting),
    ];
    for (state, count) in requests {
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
        set(&metrics.reloads.get_or_create(&Outcome { outcome }), count);
    }
    for (state, counts) in admin.plugins.counts() {
        let state = State { state: state.as_str() };
        metrics.plugins.get_or_create(&state).set(gauge(counts.plugins));
        metrics.plugin_apis.get_or_create(&state).set(gauge(counts.apis));
    }
    for (cause, count) in admin.store.refused() {
        set(&metrics.store_refused.get_or_create(&Reason { reason: cause.as_str() }), count);
    }
    let readiness = admin.readiness.read();
    for code in Code::ALL {
        metrics.not_ready.get_or_create(&Reason { reason: code.as_str() }).set(i64::from(readiness.has(*code)));
    }
    set(&metrics.quarantines, admin.plugins.quarantines());
    let memory = admin.runs.memory();
    for (state, bytes) in [("limit", memory.bytes_max), ("reserved", memory.reserved_bytes)] {
        metrics.guest_memory_bytes.get_or_create(&State { state }).set(gauge(bytes));
    }
    metrics.memory_waiting.set(gauge(memory.waiting));
    for (outcome, count) in [("waited", memory.waited), ("put_back", memory.given_up)] {
        set(&metrics.memory_waits.get_or_create(&Outcome { outcome }), count);
    }
    Ok(())
}
