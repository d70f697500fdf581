//! A new revision that keeps breaking down is put aside.
//!
//! Only a new one, and only if it breaks down in a good share of its runs: a consumer who knows an input that brings a
//! handler down must not be able to take an old good revision out of service with it.

use super::Plugins;
use super::scan::Turn;
use super::state::Why;
use ripost_domain::api::{ApiName, Digest};
use ripost_domain::time::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// It gave an answer, whatever that was.
    Answered,
    /// It trapped, or came to a limit.
    Broke,
}

/// A new revision, watched.
#[derive(Debug)]
pub(super) struct Probation {
    key: String,
    until: Timestamp,
    apis: HashMap<ApiName, Counts>,
    over: AtomicBool,
}

#[derive(Debug, Default)]
struct Counts {
    runs: AtomicU64,
    broke: AtomicU64,
}

impl Plugins {
    /// Takes note of a run. Once for each run; without a new revision it costs a look at an empty table, and no lock ever.
    /// Must be called inside a tokio runtime.
    pub fn ran(self: &Arc<Self>, digest: Digest, api: &ApiName, ran: Ran) {
        let probations = self.probations.load();
        let Some(probation) = probations.get(&digest) else { return };
        let Some(counts) = probation.apis.get(api) else { return };
        let runs = counts.runs.fetch_add(1, Ordering::Relaxed) + 1;
        if ran == Ran::Answered {
            return;
        }
        let broke = counts.broke.fetch_add(1, Ordering::Relaxed) + 1;
        let share = broke.saturating_mul(2) >= runs;
        if broke < u64::from(self.config.quarantine_after) || !share || self.clock.now() >= probation.until {
            return;
        }
        if probation.over.swap(true, Ordering::Relaxed) {
            return;
        }
        let reason = format!("{broke} of its first {runs} runs of `{api}` trapped or came to a limit");
        let (plugins, key) = (self.clone(), probation.key.clone());
        // To its end whoever is going away; nobody waits for it.
        tokio::task::spawn_blocking(move || match plugins.put_aside(&key, digest, Why::Quarantine, reason) {
            Ok(_) => {
                plugins.quarantines.fetch_add(1, Ordering::Relaxed);
                tokio::runtime::Handle::current().block_on(plugins.carry_out_moves());
            }
            Err(error) => {
                tracing::error!(plugin = key, revision = %digest.short(), %error, "A revision that keeps breaking down cannot be put aside");
            }
        });
    }

    /// Which revisions are new, and have one before them to go back to.
    pub(super) fn renew_probations(&self, turn: &Turn) {
        let now = self.clock.now();
        let before = self.probations.load();
        let mut probations = HashMap::new();
        for (key, entry) in turn.entries.iter().filter(|(_, entry)| entry.previous.is_some()) {
            let (Some(held), Some(loaded)) = (&entry.held, entry.serving()) else { continue };
            let Some(until) = held.since.map(|since| since.after(self.config.probation)) else { continue };
            if until <= now || self.config.quarantine_after == 0 {
                continue;
            }
            let known = before.get(&held.digest).filter(|known| known.until == until);
            let probation = known.cloned().unwrap_or_else(|| {
                let apis = loaded.apis.iter().map(|api| (api.name.clone(), Counts::default())).collect();
                Arc::new(Probation { key: key.clone(), until, apis, over: AtomicBool::new(false) })
            });
            probations.insert(held.digest, probation);
        }
        if !(before.is_empty() && probations.is_empty()) {
            self.probations.store(Arc::new(probations));
        }
    }
}
