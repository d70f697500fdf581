//! From candidates to a new registry: settle who may have which name, make the candidates ready, keep them, write down
//! what serves, and swap everything at once. A candidate that fails on the way leaves its plugin as it was.

use super::loaded::{Failure, Loaded};
use super::manifest::Manifest;
use super::record::{Record, Recorded};
use super::registry::{ActiveApi, Registry};
use super::revision::Revision;
use super::scan::{Activated, ScanReport, Turn};
use super::source::{Fingerprint, Source};
use super::state::{Held, News, Stage, State};
use super::{Above, PluginError, Plugins, lock};
use ripost_domain::api::{ApiName, Digest};
use ripost_store::failpoint;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A plugin's folder as it was read, on its way into service.
pub(super) struct Candidate {
    digest: Digest,
    manifest: Arc<Manifest>,
    /// The fingerprint to go by once it is judged; none if it is too young for that.
    judged: Option<Fingerprint>,
    step: Step,
}

enum Step {
    Read(Revision),
    Ready(Arc<Loaded>),
}

impl Candidate {
    pub(super) fn new(source: Source, judged: Option<Fingerprint>) -> Self {
        let Source { manifest, revision } = source;
        Self { digest: revision.digest(), manifest: Arc::new(manifest), judged, step: Step::Read(revision) }
    }

    fn is_ready(&self) -> bool {
        matches!(self.step, Step::Ready(_))
    }
}

/// What is to change.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) candidates: BTreeMap<String, Candidate>,
    /// Plugins that end.
    pub(super) retired: BTreeSet<String>,
    /// A last good revision was made ready.
    revived: bool,
}

impl Plan {
    /// The candidates that are what served when the host was stopped.
    pub(super) fn split_off_what_served(&mut self, turn: &Turn) -> Self {
        let held = |key: &String| Some(turn.entries.get(key)?.held.as_ref()?.digest);
        let candidates = self.candidates.extract_if(.., |key, candidate| held(key) == Some(candidate.digest)).collect();
        Self { candidates, ..Self::default() }
    }
}

/// What keeps a candidate from serving, and whether the same bytes may fare better next time.
#[derive(Debug)]
pub(super) enum Obstacle {
    Bad,
    Passing,
}

impl Plugins {
    /// Makes ready what is to serve: the candidates, and last good revisions that nothing replaces.
    pub(super) fn prepare(&self, turn: &mut Turn, plan: &mut Plan) {
        loop {
            while let Some(clash) = find_clash(turn, plan) {
                self.settle(turn, plan, clash);
            }
            let next = plan.candidates.iter().find(|(_, candidate)| !candidate.is_ready()).map(|(key, _)| key.clone());
            if let Some(key) = next {
                self.make_ready(turn, plan, &key);
                continue;
            }
            let waiting = turn.entries.iter().find(|(key, entry)| {
                let waits = entry.held.as_ref().is_some_and(|held| held.loaded.is_none());
                waits && !plan.candidates.contains_key(*key) && !plan.retired.contains(*key)
            });
            let Some(key) = waiting.map(|(key, _)| key.clone()) else { return };
            self.revive(turn, plan, &key);
        }
    }

    fn make_ready(&self, turn: &mut Turn, plan: &mut Plan, key: &str) {
        let Some(mut candidate) = plan.candidates.remove(key) else { return };
        let Step::Read(revision) = &candidate.step else { return };
        if let Some(entry) = turn.entries.get_mut(key) {
            self.tell(entry, key, News::compiling(candidate.digest));
        }
        self.publish(turn);
        let loaded = match self.load(revision, candidate.manifest.clone()) {
            Ok(loaded) => loaded,
            Err(Failure { stage, reason, obstacle }) => {
                return self.reject(turn, key, candidate, stage, reason, obstacle);
            }
        };
        if let Err(error) = self.revisions.save(revision) {
            return self.reject(turn, key, candidate, Stage::Swap, error.to_string(), Obstacle::Passing);
        }
        candidate.step = Step::Ready(Arc::new(loaded));
        plan.candidates.insert(key.to_owned(), candidate);
    }

    /// Serves what served when the host was stopped.
    fn revive(&self, turn: &mut Turn, plan: &mut Plan, key: &str) {
        let Some(entry) = turn.entries.get_mut(key) else { return };
        let Some(held) = &mut entry.held else { return };
        match self.load_kept(held.digest, Above::Refuse) {
            Ok(loaded) => {
                held.loaded = Some(Arc::new(loaded));
                plan.revived = true;
                tracing::warn!(plugin = key, revision = %held.digest.short(), "The last good revision of {key} serves on");
                if entry.state().is_none() {
                    // Its folder could not be looked at; the next scan tells.
                    self.tell(entry, key, News::active());
                }
            }
            Err(error) => {
                let digest = held.digest;
                (entry.lost, entry.held) = (Some(digest), None);
                self.tell(
                    entry,
                    key,
                    News::rejected(Some(digest), Stage::Swap, format!("the last good revision cannot serve: {error}")),
                );
            }
        }
    }

    fn reject(
        &self,
        turn: &mut Turn,
        key: &str,
        candidate: Candidate,
        stage: Stage,
        reason: String,
        obstacle: Obstacle,
    ) {
        let Some(entry) = turn.entries.get_mut(key) else { return };
        if let Obstacle::Bad = obstacle {
            (entry.refused, entry.seen) = (Some(candidate.digest), candidate.judged);
        }
        self.tell(entry, key, News::rejected(Some(candidate.digest), stage, reason));
    }

    fn settle(&self, turn: &mut Turn, plan: &mut Plan, clash: Clash) {
        let Clash { api, keeper, loser } = clash;
        if let Some(candidate) = plan.candidates.remove(&loser) {
            let reason = format!(
                "`{api}` is offered by the plugin in folder `{keeper}` already; change owner or slug, or remove one of the two"
            );
            return self.reject(turn, &loser, candidate, Stage::Admit, reason, Obstacle::Passing);
        }
        tracing::warn!(
            plugin = loser,
            successor = keeper,
            "Plugin {loser} is gone, and {keeper} offers {api} in its place"
        );
        plan.retired.insert(loser);
    }

    /// Writes down what is to serve, and swaps. Fails, and changes nothing, if it cannot be written down.
    pub(super) fn swap(&self, turn: &mut Turn, plan: Plan, report: &mut ScanReport) -> Result<(), io::Error> {
        if plan.candidates.is_empty() && plan.retired.is_empty() && !plan.revived {
            return Ok(());
        }
        let record = planned_record(turn, &plan);
        let written = if record == turn.record { Ok(()) } else { record.write(self.revisions.folder()) };
        let revived = plan.revived;
        match written {
            Ok(()) => {
                turn.record = record;
                failpoint::hit("revision.before_swap");
                self.apply(turn, plan, report);
            }
            Err(error) => {
                for (key, candidate) in plan.candidates {
                    let reason = format!("writing down what serves: {error}");
                    self.reject(turn, &key, candidate, Stage::Swap, reason, Obstacle::Passing);
                }
                if revived {
                    self.renew_registry(turn);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn apply(&self, turn: &mut Turn, plan: Plan, report: &mut ScanReport) {
        for key in plan.retired {
            if let Some(held) = turn.entries.remove(&key).and_then(|entry| entry.held) {
                self.replaced(turn, held);
            }
        }
        let mut activated = Vec::new();
        for (key, candidate) in plan.candidates {
            let Step::Ready(loaded) = candidate.step else { continue };
            let Some(entry) = turn.entries.get_mut(&key) else { continue };
            let held = Held { digest: candidate.digest, manifest: candidate.manifest, loaded: Some(loaded) };
            let before = entry.held.replace(held);
            if let Some(before) = before.as_ref().map(|held| held.digest).filter(|digest| *digest != candidate.digest) {
                entry.previous = Some(before);
            }
            (entry.seen, entry.refused, entry.lost, entry.gone_since) = (candidate.judged, None, None, None);
            if let Some(before) = before {
                self.replaced(turn, before);
            }
            activated.push(Activated { folder: key, digest: candidate.digest });
        }
        self.renew_registry(turn);
        self.reloads_ok.fetch_add(activated.len() as u64, Ordering::Relaxed);
        for Activated { folder, .. } in &activated {
            if let Some(entry) = turn.entries.get_mut(folder) {
                self.tell(entry, folder, News::active());
            }
        }
        report.activated.extend(activated);
    }

    /// Keeps what was replaced at hand. Before the swap: in between, a request of the old revision finds it in both places.
    fn replaced(&self, turn: &mut Turn, held: Held) {
        if let Some(loaded) = held.loaded {
            turn.replaced.retain(|api| api.strong_count() > 0);
            turn.replaced.extend(loaded.apis.iter().map(Arc::downgrade));
            lock(&self.older).insert(loaded);
        }
    }

    fn renew_registry(&self, turn: &Turn) {
        let serving: Vec<&Arc<ActiveApi>> = turn
            .entries
            .values()
            .filter_map(|entry| entry.held.as_ref()?.loaded.as_ref())
            .flat_map(|loaded| &loaded.apis)
            .collect();
        self.registry.store(Arc::new(Registry::new(serving.iter().copied())));
        let mut permits = lock(&self.permits);
        for api in serving {
            permits.resize(&api.name, api.spec.concurrency);
        }
    }

    /// Ends a plugin whose folder is gone: its APIs are unknown from now on, and requests that were accepted run to
    /// their end.
    ///
    /// # Errors
    /// No such plugin, its folder is still there, or what serves cannot be written down.
    pub async fn remove(self: &Arc<Self>, folder: &str) -> Result<(), PluginError> {
        let (plugins, folder) = (self.clone(), folder.to_owned());
        let removing = tokio::task::spawn_blocking(move || {
            let mut turn = lock(&plugins.turn);
            if !turn.entries.contains_key(&folder) {
                return Err(PluginError::Unknown(folder));
            }
            let there = super::source::places(&plugins.config.folder).map_err(PluginError::Record)?;
            if there.iter().any(|place| place.key == folder) {
                return Err(PluginError::StillThere(folder));
            }
            let plan = Plan { retired: BTreeSet::from([folder.clone()]), ..Plan::default() };
            plugins.swap(&mut turn, plan, &mut ScanReport::default()).map_err(PluginError::Record)?;
            plugins.publish(&turn);
            tracing::info!(plugin = folder, "Plugin {folder} is removed");
            Ok(())
        });
        removing.await.map_err(|_| PluginError::Lost)?
    }
}

/// Two plugins that would serve one name.
struct Clash {
    api: ApiName,
    keeper: String,
    loser: String,
}

/// Who comes first to a name. Kept in this order, so that a copy of a folder never takes a name away, and a folder that
/// was renamed has it again once the old one counts as missing.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Rank {
    Holds,
    Wants,
    HeldAndMissing,
}

fn find_clash(turn: &Turn, plan: &Plan) -> Option<Clash> {
    let mut claims: BTreeMap<&ApiName, Vec<(Rank, &str)>> = BTreeMap::new();
    for (key, entry) in turn.entries.iter().filter(|(key, _)| !plan.retired.contains(*key)) {
        let candidate = plan.candidates.get(key);
        let held = entry.held.as_ref().map(|held| &held.manifest);
        let Some(manifest) = candidate.map(|candidate| &candidate.manifest).or(held) else { continue };
        for api in &manifest.apis {
            let holds = held.is_some_and(|held| held.apis.iter().any(|own| own.name == api.name));
            let rank = match (holds, candidate) {
                (true, None) if entry.state() == Some(State::Missing) => Rank::HeldAndMissing,
                (true, _) => Rank::Holds,
                (false, _) => Rank::Wants,
            };
            claims.entry(&api.name).or_default().push((rank, key));
        }
    }
    claims.into_iter().find_map(|(api, mut claims)| {
        claims.sort_unstable();
        let &[(_, keeper), .., (rank, loser)] = claims.as_slice() else { return None };
        // What serves gives way to what can serve, not to what is only hoped for.
        let too_early =
            rank == Rank::HeldAndMissing && plan.candidates.get(keeper).is_some_and(|keeper| !keeper.is_ready());
        (!too_early).then(|| Clash { api: api.clone(), keeper: keeper.to_owned(), loser: loser.to_owned() })
    })
}

fn planned_record(turn: &Turn, plan: &Plan) -> Record {
    let lines = turn.entries.iter().filter(|(key, _)| !plan.retired.contains(*key)).filter_map(|(key, entry)| {
        let held = entry.held.as_ref().map(|held| held.digest);
        let recorded = match plan.candidates.get(key).map(|candidate| candidate.digest) {
            Some(active) => Recorded { active, previous: held.filter(|held| *held != active).or(entry.previous) },
            None => Recorded { active: held.or(entry.lost)?, previous: entry.previous },
        };
        Some((key.clone(), recorded))
    });
    Record::new(lines.collect())
}
