//! Back to the revision before: by the operator, or because a new one keeps breaking down.
//!
//! The revision that is put aside stays aside until another comes, over restarts as well. Requests that were accepted
//! under it and have not ended are answered by its successor: in memory at once ([`Plugins::api_at`] follows), in the store
//! by a move that the record remembers until it is done.

use super::operate::record_of;
use super::record::Move;
use super::scan::Turn;
use super::state::{Aside, Held, Why};
use super::{Above, PluginError, Plugins, lock};
use ripost_domain::api::{ApiName, Digest, Name};
use ripost_store::failpoint;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Revisions that were put aside, and who answers in their place.
pub(super) type Successors = HashMap<Digest, Digest>;
/// Steps from a revision to the one that answers in its place.
const STEPS_MAX: usize = 8;

/// A plugin went back to the revision before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// The plugin.
    pub key: String,
    /// What was put aside.
    pub from: Digest,
    /// What serves in its place.
    pub to: Digest,
}

/// Who knows which unfinished requests name which revision.
#[async_trait::async_trait]
pub trait Pins: Send + Sync {
    /// Unfinished requests of these APIs that name `from` name `to` from now on; how many there were. Asked again after
    /// a crash.
    async fn repin(&self, from: Digest, to: Digest, apis: Vec<ApiName>) -> anyhow::Result<u64>;

    /// How many unfinished requests name each revision.
    async fn in_use(&self) -> anyhow::Result<HashMap<Digest, u64>>;
}

impl Plugins {
    /// Says who knows the requests, and makes up for what a crash left undone. Once, at the start.
    pub async fn set_pins(self: &Arc<Self>, pins: Arc<dyn Pins>) {
        if self.pins.set(pins).is_err() {
            tracing::error!("The requests' revisions are known already; who knows them is set once");
        }
        self.carry_out_moves().await;
    }

    /// The plugin that offers an API goes back to the revision before the one that serves, and holds there until another
    /// one comes. Requests that have not ended go with it.
    ///
    /// # Errors
    /// Nobody offers the API, there is no revision before, it cannot be made ready, or somebody else offers one of its
    /// APIs by now.
    pub async fn rollback(self: &Arc<Self>, api: &ApiName) -> Result<RolledBack, PluginError> {
        self.rollback_of(api, None).await
    }

    /// The same by an owner: a plugin is swapped as a whole, so both revisions must be all of that owner's.
    ///
    /// # Errors
    /// As [`Plugins::rollback`]; or one of the two has APIs of others.
    pub async fn rollback_of(self: &Arc<Self>, api: &ApiName, only: Option<&Name>) -> Result<RolledBack, PluginError> {
        let (wanted, only) = (api.clone(), only.cloned());
        let rolled_back = self.decide(move |plugins| {
            let (key, from, to) = plugins.server_of(&wanted)?;
            if let Some(owner) = &only
                && !(plugins.is_all_of(owner, from)? && to.map_or(Ok(true), |to| plugins.is_all_of(owner, to))?)
            {
                return Err(PluginError::Shared(wanted));
            }
            let who = if only.is_some() { "owner" } else { "operator" };
            plugins.put_aside(&key, from, Why::Rollback, format!("the {who} rolled it back"))
        });
        let rolled_back = rolled_back.await?;
        self.carry_out_moves().await;
        Ok(rolled_back)
    }

    /// The plugin that serves an API, by which revision, and the one before.
    fn server_of(&self, api: &ApiName) -> Result<(String, Digest, Option<Digest>), PluginError> {
        let turn = lock(&self.turn);
        let serves = turn.entries.iter().find_map(|(key, entry)| {
            let loaded = entry.serving()?;
            loaded.api(api).map(|_| (key.clone(), loaded.digest, entry.previous))
        });
        serves.ok_or_else(|| PluginError::NotServed(api.clone()))
    }

    fn is_all_of(&self, owner: &Name, digest: Digest) -> Result<bool, PluginError> {
        let kept = self.kept(digest, Above::Lower).map_err(|reason| PluginError::Load { digest, reason })?;
        Ok(kept.manifest.apis.iter().all(|api| api.name.owner == *owner))
    }

    /// Blocking, for as long as the revision before takes to be made ready.
    pub(super) fn put_aside(
        self: &Arc<Self>,
        key: &str,
        from: Digest,
        why: Why,
        reason: String,
    ) -> Result<RolledBack, PluginError> {
        let to = {
            let turn = lock(&self.turn);
            serves(&turn, key, from)?.ok_or_else(|| PluginError::NoPrevious(key.to_owned()))?
        };
        let ready = lock(&self.older).get(to);
        let loaded = match ready {
            Some(loaded) => loaded,
            None => Arc::new(tokio::runtime::Handle::current().block_on(self.recall(to))?),
        };
        let now = self.clock.now();
        let aside = Aside { digest: from, why, reason, since: now };
        let mut turn = lock(&self.turn);
        if serves(&turn, key, from)? != Some(to) {
            return Err(PluginError::Changed(key.to_owned()));
        }
        for (other, entry) in turn.entries.iter().filter(|(other, _)| *other != key) {
            let held = entry.held.iter().flat_map(|held| &held.manifest.apis);
            if let Some(api) = held.map(|api| &api.name).find(|name| loaded.api(name).is_some()) {
                return Err(PluginError::Taken { api: api.clone(), by: other.clone() });
            }
        }
        let mut record = record_of(&turn);
        let step = Move { from, to };
        if let Some(line) = record.plugins.get_mut(key) {
            (line.active, line.previous, line.since) = (Some(to), None, Some(now));
            line.aside = Some(aside.clone());
        }
        record.moves.push(step);
        self.write(&mut turn, record).map_err(PluginError::Record)?;
        failpoint::hit("rollback.after_record");
        turn.moves.push(step);
        turn.decide(key);
        let held = Held { digest: to, manifest: loaded.manifest.clone(), loaded: Some(loaded), since: Some(now) };
        if let Some(entry) = turn.entries.get_mut(key) {
            let before = entry.held.replace(held);
            (entry.previous, entry.aside) = (None, Some(aside));
            self.tell_decision(entry, key);
            if let Some(loaded) = before.and_then(|held| held.loaded) {
                self.replaced(&mut turn, loaded);
            }
        }
        self.renew_registry(&turn);
        self.successors.rcu(|successors| {
            let mut successors = Successors::clone(successors);
            // It may have been the one that was put aside before.
            successors.remove(&to);
            successors.insert(from, to);
            successors
        });
        self.publish(&mut turn);
        Ok(RolledBack { key: key.to_owned(), from, to })
    }

    /// Moves in the store what the record says is still to be moved. What fails is tried again at the next call.
    pub async fn carry_out_moves(self: &Arc<Self>) {
        let Some(pins) = self.pins.get() else { return };
        let _one = self.moving.lock().await;
        self.moves_late.store(false, Ordering::SeqCst);
        let moves = lock(&self.turn).moves.clone();
        for step in moves {
            let plugins = self.clone();
            let offers = tokio::task::spawn_blocking(move || plugins.kept(step.to, Above::Lower)).await;
            let apis = match offers {
                Ok(Ok(source)) => source.manifest.apis.into_iter().map(|api| api.name).collect(),
                Ok(Err(reason)) => {
                    tracing::error!(from = %step.from.short(), to = %step.to.short(), reason, "Requests stay with the revision that was put aside: its successor cannot be read");
                    continue;
                }
                Err(_) => continue,
            };
            failpoint::hit("rollback.before_repin");
            match pins.repin(step.from, step.to, apis).await {
                Ok(requests) => {
                    tracing::info!(from = %step.from.short(), to = %step.to.short(), requests, "Moved what had not ended to the revision that serves");
                    failpoint::hit("rollback.after_repin");
                    let done = self.decide(move |plugins| plugins.moved(step)).await;
                    if let Err(error) = done {
                        tracing::warn!(%error, "That requests were moved could not be written down; it is done again");
                    }
                }
                Err(error) => {
                    tracing::error!(from = %step.from.short(), to = %step.to.short(), error = format!("{error:#}"), "Requests could not be moved to the revision that serves; it is tried again");
                }
            }
        }
    }

    /// A request was accepted, durably, under a revision. One that was put aside meanwhile has had its requests moved
    /// perhaps before this one was there to be seen: they are looked for once more.
    pub async fn accepted_under(self: &Arc<Self>, digest: Digest) {
        let to = self.successor(digest);
        if to == digest || self.moves_late.swap(true, Ordering::SeqCst) {
            return;
        }
        let step = Move { from: digest, to };
        let written = self.decide(move |plugins| plugins.move_again(step)).await;
        if let Err(error) = written {
            tracing::warn!(%error, "That late requests are to be moved could not be written down; they are moved all the same");
        }
        self.carry_out_moves().await;
    }

    fn move_again(&self, step: Move) -> Result<(), PluginError> {
        let mut turn = lock(&self.turn);
        if turn.moves.contains(&step) {
            return Ok(());
        }
        turn.moves.push(step);
        let mut record = record_of(&turn);
        if !record.moves.contains(&step) {
            record.moves.push(step);
        }
        self.write(&mut turn, record).map_err(PluginError::Record)
    }

    fn moved(&self, step: Move) -> Result<(), PluginError> {
        let mut turn = lock(&self.turn);
        let before = turn.moves.clone();
        turn.moves.retain(|other| *other != step);
        let record = record_of(&turn);
        self.write(&mut turn, record).map_err(|error| {
            turn.moves = before;
            PluginError::Record(error)
        })
    }

    /// Who answers for a revision: itself, or who took its place.
    pub(super) fn successor(&self, digest: Digest) -> Digest {
        let successors = self.successors.load();
        let mut answers = digest;
        for _ in 0..STEPS_MAX {
            match successors.get(&answers) {
                Some(next) => answers = *next,
                None => break,
            }
        }
        answers
    }
}

/// The revision before, if `digest` is what serves.
fn serves(turn: &Turn, key: &str, digest: Digest) -> Result<Option<Digest>, PluginError> {
    let entry = turn.entries.get(key).ok_or_else(|| PluginError::Unknown(key.to_owned()))?;
    if entry.serving().is_some_and(|loaded| loaded.digest == digest) {
        Ok(entry.previous)
    } else {
        Err(PluginError::Changed(key.to_owned()))
    }
}
