//! From candidates to what serves: settle who may have which name, look at each, have made ready what is not, and swap
//! what is ready. A candidate that fails on the way leaves its plugin as it was.
//!
//! A pass does what takes no time: it asks no compiler and runs no case. What takes time is an [`Errand`], which goes on by
//! itself and brings about another pass when it is done. So nobody who reads the folder, pushes or decides waits for
//! somebody's compiler.

use super::errand::{Errand, Goal};
use super::loaded::{Assembly, Failure, Loaded};
use super::manifest::Manifest;
use super::plan::{Candidate, Clash, Plan, Revival, Step};
use super::retry::Retry;
use super::revision::Revision;
use super::scan::{Look, Turn};
use super::state::{Entry, News, Origin, Stage, Taken};
use super::{Plugins, lock};
use ripost_domain::api::Digest;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What is ready is put into service after this time at the latest, whatever else is still being looked at. At a start
/// with a thousand plugins the registry is made a few times, and not a thousand.
const BATCH: Duration = Duration::from_millis(100);

/// What keeps a candidate from serving, and whether the same bytes may fare better next time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Obstacle {
    /// They will not.
    Bad,
    /// They may, later.
    Passing,
    /// They may, after this time.
    For(Duration),
    /// They will as soon as somebody else gives way.
    Others,
    /// The compiler was taken away from them.
    Interrupted,
}

/// What is to be looked at next.
enum Work {
    Candidate(Errand, Arc<Revision>),
    /// What served when the host was stopped.
    Revival(Errand),
}

impl Plugins {
    /// One pass. Blocking, for a look at each byte of what is new.
    pub(super) fn carry_out(self: &Arc<Self>) {
        let mut swapped_at = Instant::now();
        {
            let (mut turn, mut plan) = (lock(&self.turn), lock(&self.plan));
            self.settle_names(&mut turn, &mut plan);
            self.tell_what_comes(&mut turn, &plan);
        }
        loop {
            let work = {
                let (mut turn, mut plan) = (lock(&self.turn), lock(&self.plan));
                self.settle_names(&mut turn, &mut plan);
                let work = next(&turn, &mut plan);
                if work.is_none() || swapped_at.elapsed() >= BATCH {
                    // A record that cannot be written rejects the candidates, which is told there.
                    let _ = self.swap(&mut turn, &mut plan);
                    swapped_at = Instant::now();
                }
                // What was rejected may leave something else to do.
                let work = work.or_else(|| next(&turn, &mut plan));
                if work.is_none() {
                    self.tell_what_comes(&mut turn, &plan);
                }
                work
            };
            match work {
                None => break,
                Some(Work::Candidate(errand, revision)) => self.look_over(errand, &revision),
                Some(Work::Revival(errand)) => self.look_back(errand),
            }
        }
        self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }

    /// Another pass, soon: passes that follow each other closely are one.
    pub(super) fn pass_soon(self: &Arc<Self>) {
        if self.pass_is_due.swap(true, Ordering::SeqCst) {
            return;
        }
        let (plugins, busy) = (self.clone(), self.busy());
        self.tasks.spawn(async move {
            let _busy = busy;
            let since = lock(&plugins.passed_at).map_or(BATCH, |passed| passed.elapsed());
            tokio::time::sleep(BATCH.saturating_sub(since)).await;
            let passing = tokio::task::spawn_blocking(move || {
                plugins.pass_is_due.store(false, Ordering::SeqCst);
                plugins.carry_out();
                *lock(&plugins.passed_at) = Some(Instant::now());
            });
            if let Err(error) = passing.await {
                tracing::error!(%error, "Putting plugins into service broke down; the next scan goes on with it");
            }
        });
    }

    fn settle_names(self: &Arc<Self>, turn: &mut Turn, plan: &mut Plan) {
        plan.renew(turn);
        while let Some(clash) = plan.clash(turn) {
            self.settle(turn, plan, clash);
        }
    }

    /// Says which plugins have changed, and which names are to be expected: whoever calls one of these is told to come
    /// back rather than that there is no such API.
    fn tell_what_comes(&self, turn: &mut Turn, plan: &Plan) {
        for (key, candidate) in plan.candidates.iter().filter(|(_, candidate)| candidate.is_unread()) {
            if let Some(entry) = turn.entries.get_mut(key) {
                self.tell(entry, key, News::compiling(candidate.digest, Stage::Compile, &candidate.manifest));
            }
        }
        let coming = coming(turn, plan);
        let as_before = turn.coming.len() == coming.len()
            && turn.coming.iter().zip(&coming).all(|((key, before), (other, now))| key == other && before.0 == now.0);
        if !as_before {
            turn.coming = coming;
            self.renew_registry(turn);
        }
        self.publish(turn);
    }

    /// A candidate is looked at for the first time: what needs neither compiler nor trial is ready, or refused, at once.
    fn look_over(self: &Arc<Self>, errand: Errand, revision: &Arc<Revision>) {
        match self.look_at(revision, &errand.manifest) {
            Ok(Assembly::Whole(loaded)) if !errand.is_to_be_tried() => {
                let kept = self.keep_for(&errand, revision).map(|()| Arc::new(loaded));
                self.conclude(&errand, kept);
            }
            Ok(assembly) => {
                // What was pushed is in the data folder: a hundred that wait need not all be in memory.
                let at_hand = (!errand.is_kept()).then(|| revision.clone());
                self.spawn_errand(errand, at_hand, assembly);
            }
            Err(failure) => self.conclude(&errand, Err(failure)),
        }
    }

    /// A panic over one revision must not end the pass for all others.
    fn look_at(&self, revision: &Revision, manifest: &Arc<Manifest>) -> Result<Assembly, Failure> {
        let looked = catch_unwind(AssertUnwindSafe(|| self.assemble(revision, manifest, &[])));
        looked.unwrap_or_else(|_| {
            let reason = "looking at it broke down; the operator finds more in the log".to_owned();
            Err(Failure { stage: Stage::Admit, reason, obstacle: Obstacle::Bad })
        })
    }

    /// The same of what served when the host was stopped. If it is to be compiled and a newer revision is on its way, that
    /// one comes first.
    fn look_back(self: &Arc<Self>, errand: Errand) {
        let revision = match self.revisions.load(&errand.digest) {
            Ok(revision) => revision,
            Err(error) => {
                let failure = Failure { stage: Stage::Discover, reason: error.to_string(), obstacle: Obstacle::Bad };
                return self.conclude(&errand, Err(failure));
            }
        };
        match self.look_at(&revision, &errand.manifest) {
            Ok(Assembly::Whole(loaded)) => self.conclude(&errand, Ok(Arc::new(loaded))),
            Ok(lacks) => {
                let mut plan = lock(&self.plan);
                if plan.candidates.contains_key(&errand.key) {
                    plan.revivals.insert(errand.key.clone(), Revival::Yields(errand.digest));
                    return;
                }
                drop(plan);
                self.spawn_errand(errand, None, lacks);
            }
            Err(failure) => self.conclude(&errand, Err(failure)),
        }
    }

    /// What came of an errand. Blocking, shortly; a pass has to follow.
    pub(super) fn conclude(self: &Arc<Self>, errand: &Errand, done: Result<Arc<Loaded>, Failure>) {
        let (mut turn, mut plan) = (lock(&self.turn), lock(&self.plan));
        plan.renew(&turn);
        match errand.goal {
            Goal::Candidate { number, .. } => match (done, plan.candidate(&errand.key, number)) {
                (Ok(loaded), Some(candidate)) => candidate.step = Step::Ready(loaded),
                (Err(failure), Some(_)) => self.reject(&mut turn, &mut plan, &errand.key, failure),
                // Something else is there by now, or was decided about the plugin.
                (_, None) => {}
            },
            Goal::Revival => self.revived(&mut turn, &mut plan, errand, done),
        }
    }

    /// Serves what served when the host was stopped.
    fn revived(
        self: &Arc<Self>,
        turn: &mut Turn,
        plan: &mut Plan,
        errand: &Errand,
        done: Result<Arc<Loaded>, Failure>,
    ) {
        let (key, digest) = (errand.key.as_str(), errand.digest);
        if plan.revivals.get(key) == Some(&Revival::Underway(digest)) {
            plan.revivals.remove(key);
        }
        let has_successor = plan.candidates.contains_key(key);
        let waits =
            |entry: &&mut Entry| entry.held.as_ref().is_some_and(|held| held.digest == digest && held.loaded.is_none());
        let Some(entry) = turn.entries.get_mut(key).filter(waits) else { return };
        plan.is_news = true;
        let loaded = match done {
            Ok(loaded) => loaded,
            Err(failure) => {
                let reason = format!("the last good revision cannot serve: {}", failure.reason);
                match failure.obstacle {
                    Obstacle::Bad | Obstacle::Others => {
                        plan.forget_held(turn, key);
                        let Some(entry) = turn.entries.get_mut(key) else { return };
                        (entry.lost, entry.held) = (Some(digest), None);
                    }
                    obstacle => {
                        entry.retry = Some(self.retry(entry, digest, &errand.manifest, obstacle));
                    }
                }
                if let Some(entry) = turn.entries.get_mut(key)
                    && !has_successor
                {
                    self.tell(entry, key, News::rejected(Some(digest), Stage::Swap, reason));
                }
                return;
            }
        };
        if let Some(held) = &mut entry.held {
            held.loaded = Some(loaded);
        }
        entry.retry = None;
        entry.touch();
        if has_successor {
            tracing::info!(plugin = key, revision = %digest.short(), "Plugin {key} serves its last good revision until the new one is ready");
        } else if entry.aside.is_none() && entry.pushed.is_none() {
            tracing::warn!(plugin = key, revision = %digest.short(), "The last good revision of {key} serves on");
        }
        if entry.state().is_none() {
            // Its folder could not be looked at; the next scan tells.
            self.tell_decision(entry, key);
        }
    }

    pub(super) fn reject(self: &Arc<Self>, turn: &mut Turn, plan: &mut Plan, key: &str, failure: Failure) {
        let Some(candidate) = plan.withdraw(turn, key) else { return };
        let Some(entry) = turn.entries.get_mut(key) else { return };
        let Failure { stage, reason, obstacle } = failure;
        match obstacle {
            Obstacle::Bad => {
                (entry.refused, entry.seen, entry.retry) = (Some(candidate.digest), candidate.judged, None);
            }
            Obstacle::Passing | Obstacle::For(_) | Obstacle::Interrupted => {
                entry.retry = Some(self.retry(entry, candidate.digest, &candidate.manifest, obstacle));
            }
            Obstacle::Others => entry.retry = None,
        }
        self.tell(entry, key, News::rejected(Some(candidate.digest), stage, reason).of(&candidate.manifest));
    }

    /// When a revision is tried again, which then happens by itself.
    fn retry(self: &Arc<Self>, entry: &Entry, digest: Digest, manifest: &Arc<Manifest>, obstacle: Obstacle) -> Retry {
        let now = Instant::now();
        let retry = match obstacle {
            Obstacle::For(wait) => Retry::at(digest, manifest.clone(), now + wait),
            _ => Retry::after(entry.retry.as_ref(), digest, manifest.clone(), now),
        };
        let (plugins, wait) = (Arc::downgrade(self), retry.wait(now));
        self.tasks.spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(plugins) = plugins.upgrade() {
                // Folders are looked at by their own clock.
                plugins.look(Look::pushed()).await;
            }
        });
        retry
    }

    fn settle(self: &Arc<Self>, turn: &mut Turn, plan: &mut Plan, clash: Clash) {
        let Clash { api, keeper, loser } = clash;
        if plan.candidates.contains_key(&loser) {
            let holder = match turn.entries.get(&keeper).map(Entry::origin) {
                Some(Origin::Push) => format!("the pushed plugin `{keeper}`"),
                _ => format!("the plugin in folder `{keeper}`"),
            };
            let reason =
                format!("`{api}` is offered by {holder} already; change owner or slug, or remove one of the two");
            if let Some(entry) = turn.entries.get_mut(&loser) {
                entry.taken = entry.pushed.map(|digest| Taken { digest, api, by: keeper });
            }
            let failure = Failure { stage: Stage::Admit, reason, obstacle: Obstacle::Others };
            return self.reject(turn, plan, &loser, failure);
        }
        tracing::warn!(
            plugin = loser,
            successor = keeper,
            "Plugin {loser} is gone, and {keeper} offers {api} in its place"
        );
        plan.retire(turn, loser);
    }
}

/// The manifests of what is being made ready, or will be tried again by itself, by plugin.
fn coming(turn: &Turn, plan: &Plan) -> BTreeMap<String, (Digest, Arc<Manifest>)> {
    let candidates = plan.candidates.iter().map(|(key, candidate)| (key, candidate.digest, &candidate.manifest));
    let again = turn.entries.iter().filter_map(|(key, entry)| {
        let (digest, manifest) = entry.retry.as_ref()?.of();
        Some((key, digest, manifest))
    });
    // A candidate counts for more than what it takes the place of.
    again.chain(candidates).map(|(key, digest, manifest)| (key.clone(), (digest, manifest.clone()))).collect()
}

/// What is to be looked at next: what served before, then what is small.
fn next(turn: &Turn, plan: &mut Plan) -> Option<Work> {
    let is_proven = |key: &String, candidate: &Candidate| {
        let held = turn.entries.get(key).and_then(|entry| entry.held.as_ref());
        held.is_some_and(|held| held.digest == candidate.digest)
    };
    let unread = plan.candidates.iter_mut().filter(|(_, candidate)| candidate.is_unread());
    let first = unread.min_by_key(|(key, candidate)| (!is_proven(key, candidate), candidate.bytes));
    if let Some((key, candidate)) = first {
        let proven = is_proven(key, candidate);
        let pushed = turn.entries.get(key).is_some_and(|entry| entry.pushed == Some(candidate.digest));
        let Step::Read(revision) = std::mem::replace(&mut candidate.step, Step::Underway) else { return None };
        let errand = Errand {
            key: key.clone(),
            digest: candidate.digest,
            manifest: candidate.manifest.clone(),
            goal: Goal::Candidate { number: candidate.number, proven, pushed },
            withdrawn: candidate.withdrawn.clone(),
        };
        return Some(Work::Candidate(errand, revision));
    }
    let (key, held) = turn.entries.iter().find_map(|(key, entry)| {
        let held = entry.held.as_ref().filter(|held| held.loaded.is_none() && entry.stopped.is_none())?;
        let candidate = plan.candidates.get(key);
        let waits = match plan.revivals.get(key) {
            Some(Revival::Underway(digest)) => *digest != held.digest,
            Some(Revival::Yields(digest)) => *digest != held.digest || candidate.is_none(),
            None => true,
        };
        let is_the_same = candidate.is_some_and(|candidate| candidate.digest == held.digest);
        let is_too_early = entry.retry.as_ref().is_some_and(|retry| retry.waits(held.digest, Instant::now()));
        (waits && !is_the_same && !is_too_early && !plan.retired.contains(key)).then_some((key, held))
    })?;
    plan.revivals.insert(key.clone(), Revival::Underway(held.digest));
    Some(Work::Revival(Errand {
        key: key.clone(),
        digest: held.digest,
        manifest: held.manifest.clone(),
        goal: Goal::Revival,
        withdrawn: CancellationToken::new(),
    }))
}
