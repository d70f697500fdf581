//! The one moment in which what serves changes: written down first, then swapped as a whole.

use super::loaded::{Failure, Loaded};
use super::operate::record_of;
use super::pipeline::Obstacle;
use super::plan::{Plan, Step};
use super::record::{Record, Recorded};
use super::registry::Registry;
use super::rollback::Successors;
use super::scan::Turn;
use super::state::{Held, News, Stage};
use super::{Plugins, lock};
use ripost_domain::api::Digest;
use ripost_store::failpoint;
use std::collections::{BTreeSet, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Plugins {
    /// Writes down what is to serve, and swaps what is ready. Fails, and changes nothing, if it cannot be written down.
    pub(super) fn swap(self: &Arc<Self>, turn: &mut Turn, plan: &mut Plan) -> io::Result<()> {
        let batch = plan.ready(turn).filter(|batch| !(batch.is_empty() && plan.retired.is_empty()));
        let Some(batch) = batch else {
            if std::mem::take(&mut plan.is_news) {
                let written = self.write(turn, record_of(turn));
                self.renew_registry(turn);
                self.publish(turn);
                return written;
            }
            return Ok(());
        };
        if let Err(error) = self.write(turn, self.planned(turn, plan, &batch)) {
            for key in &batch {
                let reason = format!("writing down what serves: {error}");
                self.reject(turn, plan, key, Failure { stage: Stage::Swap, reason, obstacle: Obstacle::Passing });
            }
            if std::mem::take(&mut plan.is_news) {
                self.renew_registry(turn);
            }
            return Err(error);
        }
        failpoint::hit("revision.before_swap");
        self.apply(turn, plan, &batch);
        Ok(())
    }

    /// Makes this the record, durably, unless it is already.
    pub(super) fn write(&self, turn: &mut Turn, record: Record) -> io::Result<()> {
        if record != turn.record {
            record.write(self.revisions.folder())?;
            turn.record = record;
        }
        Ok(())
    }

    /// What the record says once the plan is carried out.
    fn planned(&self, turn: &Turn, plan: &Plan, batch: &BTreeSet<String>) -> Record {
        let now = self.clock.now();
        let lines = turn.entries.iter().filter(|(key, _)| !plan.retired.contains(*key)).filter_map(|(key, entry)| {
            let line = entry.recorded();
            let Some(candidate) = plan.candidates.get(key).filter(|_| batch.contains(key)) else {
                return line.map(|line| (key.clone(), line));
            };
            let same = entry.held.as_ref().filter(|held| held.digest == candidate.digest);
            let line = match (line, same) {
                (Some(line), Some(_)) => Recorded { stopped: None, ..line },
                (line, _) => Recorded {
                    active: Some(candidate.digest),
                    previous: entry.held.as_ref().map(|held| held.digest).or(entry.previous),
                    since: Some(now),
                    aside: None,
                    stopped: None,
                    ..line.unwrap_or_default()
                },
            };
            Some((key.clone(), line))
        });
        let served: HashSet<Digest> = batch.iter().filter_map(|key| Some(plan.candidates.get(key)?.digest)).collect();
        Record::new(lines.collect(), turn.moves.iter().filter(|step| !served.contains(&step.from)).copied().collect())
    }

    fn apply(&self, turn: &mut Turn, plan: &mut Plan, batch: &BTreeSet<String>) {
        for key in std::mem::take(&mut plan.retired) {
            if let Some(loaded) = turn.entries.remove(&key).and_then(|entry| entry.held?.loaded) {
                self.replaced(turn, loaded);
            }
        }
        plan.is_news = false;
        plan.outdate();
        let mut activated: Vec<(&String, Digest)> = Vec::new();
        for key in batch {
            let Some(candidate) = plan.candidates.remove(key) else { continue };
            let Step::Ready(loaded) = candidate.step else { continue };
            let line = turn.record.plugins.get(key).cloned().unwrap_or_default();
            let Some(entry) = turn.entries.get_mut(key) else { continue };
            let (digest, manifest) = (candidate.digest, candidate.manifest);
            let before = entry.held.replace(Held { digest, manifest, loaded: Some(loaded), since: line.since });
            (entry.previous, entry.aside, entry.stopped) = (line.previous, line.aside, line.stopped);
            (entry.seen, entry.refused, entry.lost, entry.gone_since) = (candidate.judged, None, None, None);
            (entry.retry, entry.taken) = (None, None);
            if let Some(loaded) = before.and_then(|held| held.loaded) {
                self.replaced(turn, loaded);
            }
            activated.push((key, digest));
        }
        self.answer_for_themselves(turn, &activated);
        self.renew_registry(turn);
        self.reloads_ok.fetch_add(activated.len() as u64, Ordering::Relaxed);
        for (key, _) in &activated {
            if let Some(entry) = turn.entries.get_mut(*key) {
                self.tell(entry, key, News::active());
            }
        }
        self.publish(turn);
    }

    /// A revision that was put aside once and serves again: what is accepted under it from now on is its own to answer.
    fn answer_for_themselves(&self, turn: &mut Turn, activated: &[(&String, Digest)]) {
        let again: HashSet<Digest> = activated.iter().map(|(_, digest)| *digest).collect();
        turn.moves.retain(|step| !again.contains(&step.from));
        if self.successors.load().keys().any(|digest| again.contains(digest)) {
            self.successors.rcu(|successors| {
                let mut successors = Successors::clone(successors);
                successors.retain(|digest, _| !again.contains(digest));
                successors
            });
        }
    }

    /// Keeps what was replaced at hand. Before the swap: in between, a request of the old revision finds it in both places.
    pub(super) fn replaced(&self, turn: &mut Turn, loaded: Arc<Loaded>) {
        turn.replaced.retain(|api| api.strong_count() > 0);
        turn.replaced.extend(loaded.apis.iter().map(Arc::downgrade));
        lock(&self.older).insert(loaded);
    }

    pub(super) fn renew_registry(&self, turn: &Turn) {
        let serving = turn.entries.values().filter_map(|entry| entry.serving());
        let stopped = turn.entries.values().filter(|entry| entry.stopped.is_some());
        let stopped = stopped.filter_map(|entry| entry.held.as_ref()).flat_map(|held| &held.manifest.apis);
        let awaited = turn.entries.values().filter(|entry| entry.stopped.is_none());
        let awaited = awaited.filter_map(|entry| entry.held.as_ref().filter(|held| held.loaded.is_none()));
        let coming =
            turn.coming.iter().filter(|(key, _)| turn.entries.get(*key).is_some_and(|entry| entry.stopped.is_none()));
        let coming = coming.flat_map(|(_, (_, manifest))| &manifest.apis);
        let registry = Registry::new(
            serving.clone().flat_map(|loaded| &loaded.apis),
            stopped.map(|api| &api.name),
            awaited.flat_map(|held| &held.manifest.apis).map(|api| &api.name),
            coming.map(|api| &api.name),
        );
        self.registry.store(Arc::new(registry));
        self.renew_probations(turn);
        self.renew_stopped(turn);
        let mut permits = lock(&self.permits);
        for api in serving.flat_map(|loaded| &loaded.apis) {
            permits.resize(&api.name, api.spec.concurrency);
        }
    }
}
