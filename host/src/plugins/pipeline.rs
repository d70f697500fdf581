//! From candidates to what serves: settle who may have which name, make ready one after the other, try, keep, and swap
//! what is ready. A candidate that fails on the way leaves its plugin as it was.

use super::loaded::{Failure, Loaded};
use super::manifest::Manifest;
use super::plan::{Candidate, Clash, Plan, Step};
use super::retry::Retry;
use super::revision::Revision;
use super::scan::{ScanReport, Turn};
use super::state::{News, Origin, Stage, Taken};
use super::{Above, Plugins, lock};
use ripost_domain::api::Digest;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is ready is put into service after this time at the latest, whatever else is still being made ready. At a start
/// with a thousand plugins the registry is made a few times, and not a thousand.
const BATCH: Duration = Duration::from_millis(100);

/// What keeps a candidate from serving, and whether the same bytes may fare better next time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Obstacle {
    /// They will not.
    Bad,
    /// They may, later.
    Passing,
    /// They will as soon as somebody else gives way.
    Others,
}

/// Whether a candidate has served before the host was stopped: then it is kept, whole, and its cases have passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proven {
    Yes,
    No,
}

/// What is to be made ready next.
enum Work {
    Candidate {
        key: String,
        revision: Arc<Revision>,
        manifest: Arc<Manifest>,
        proven: Proven,
    },
    /// What served when the host was stopped.
    Revive {
        key: String,
        digest: Digest,
    },
}

impl Plugins {
    /// Makes ready what is to serve, the candidates and last good revisions that nothing replaces, and puts it into
    /// service.
    pub(super) fn carry_out(&self, mut plan: Plan, report: &mut ScanReport) {
        let mut swapped_at = Instant::now();
        let mut told = false;
        loop {
            let work = {
                let mut turn = lock(&self.turn);
                plan.renew(&turn);
                while let Some(clash) = plan.clash(&turn) {
                    self.settle(&mut turn, &mut plan, clash);
                }
                if !std::mem::replace(&mut told, true) {
                    self.tell_of_candidates(&mut turn, &plan);
                }
                let work = next(&turn, &plan);
                if work.is_none() || swapped_at.elapsed() >= BATCH {
                    // A record that cannot be written rejects the candidates, which is told there.
                    let _ = self.swap(&mut turn, &mut plan, report);
                    swapped_at = Instant::now();
                }
                work
            };
            match work {
                None => return,
                Some(Work::Candidate { key, revision, manifest, proven }) => {
                    let made = self.make_ready(&key, &revision, manifest, proven);
                    let mut turn = lock(&self.turn);
                    plan.renew(&turn);
                    match (made, plan.candidates.get_mut(&key)) {
                        (Ok(loaded), Some(candidate)) => candidate.step = Step::Ready(loaded),
                        (Err(failure), Some(_)) => {
                            let Failure { stage, reason, obstacle } = failure;
                            self.reject(&mut turn, &mut plan, &key, stage, reason, obstacle);
                        }
                        // Something was decided about the plugin meanwhile.
                        (_, None) => {}
                    }
                }
                Some(Work::Revive { key, digest }) => self.revive(&mut plan, &key, digest),
            }
        }
    }

    fn tell_of_candidates(&self, turn: &mut Turn, plan: &Plan) {
        for (key, candidate) in plan.candidates.iter().filter(|(_, candidate)| !candidate.is_ready()) {
            if let Some(entry) = turn.entries.get_mut(key) {
                self.tell(entry, key, News::compiling(candidate.digest, Stage::Compile, &candidate.manifest));
            }
        }
        if !plan.candidates.is_empty() {
            self.publish(turn);
        }
    }

    /// Compile, link, try, keep. Under no lock.
    fn make_ready(
        &self,
        key: &str,
        revision: &Revision,
        manifest: Arc<Manifest>,
        proven: Proven,
    ) -> Result<Arc<Loaded>, Failure> {
        let loaded = Arc::new(self.load(revision, manifest.clone())?);
        if proven == Proven::Yes {
            return Ok(loaded);
        }
        if manifest.apis.iter().any(|api| api.cases.is_some()) {
            {
                let mut turn = lock(&self.turn);
                if let Some(entry) = turn.entries.get_mut(key) {
                    self.tell(entry, key, News::compiling(revision.digest(), Stage::Smoke, &manifest));
                }
                self.publish(&mut turn);
            }
            self.smoke(revision, &loaded)?;
        }
        let failed = |error: super::RevisionError| Failure {
            stage: Stage::Swap,
            reason: error.to_string(),
            obstacle: Obstacle::Passing,
        };
        self.keep(revision).map_err(failed)?;
        Ok(loaded)
    }

    /// Serves what served when the host was stopped.
    fn revive(&self, plan: &mut Plan, key: &str, digest: Digest) {
        let loaded = self.load_kept(digest, Above::Refuse);
        let mut turn = lock(&self.turn);
        plan.renew(&turn);
        let waits = |turn: &Turn| {
            let held = turn.entries.get(key)?.held.as_ref()?;
            (held.digest == digest && held.loaded.is_none()).then_some(())
        };
        if waits(&turn).is_none() {
            return;
        }
        let loaded = match loaded {
            Ok(loaded) => Arc::new(loaded),
            Err(error) => {
                plan.forget_held(&turn, key);
                let Some(entry) = turn.entries.get_mut(key) else { return };
                (entry.lost, entry.held) = (Some(digest), None);
                let reason = format!("the last good revision cannot serve: {error}");
                return self.tell(entry, key, News::rejected(Some(digest), Stage::Swap, reason));
            }
        };
        let Some(entry) = turn.entries.get_mut(key) else { return };
        if let Some(held) = &mut entry.held {
            held.loaded = Some(loaded);
        }
        entry.touch();
        plan.revived = true;
        if entry.aside.is_none() && entry.pushed.is_none() {
            tracing::warn!(plugin = key, revision = %digest.short(), "The last good revision of {key} serves on");
        }
        if entry.state().is_none() {
            // Its folder could not be looked at; the next scan tells.
            self.tell_decision(entry, key);
        }
    }

    pub(super) fn reject(
        &self,
        turn: &mut Turn,
        plan: &mut Plan,
        key: &str,
        stage: Stage,
        reason: String,
        obstacle: Obstacle,
    ) {
        let Some(candidate) = plan.withdraw(turn, key) else { return };
        let Some(entry) = turn.entries.get_mut(key) else { return };
        match obstacle {
            Obstacle::Bad => (entry.refused, entry.seen) = (Some(candidate.digest), candidate.judged),
            Obstacle::Passing => {
                entry.retry = Some(Retry::after(entry.retry.as_ref(), candidate.digest, Instant::now()))
            }
            Obstacle::Others => {}
        }
        self.tell(entry, key, News::rejected(Some(candidate.digest), stage, reason).of(&candidate.manifest));
    }

    fn settle(&self, turn: &mut Turn, plan: &mut Plan, clash: Clash) {
        let Clash { api, keeper, loser } = clash;
        if plan.candidates.contains_key(&loser) {
            let holder = match turn.entries.get(&keeper).map(super::state::Entry::origin) {
                Some(Origin::Push) => format!("the pushed plugin `{keeper}`"),
                _ => format!("the plugin in folder `{keeper}`"),
            };
            let reason =
                format!("`{api}` is offered by {holder} already; change owner or slug, or remove one of the two");
            if let Some(entry) = turn.entries.get_mut(&loser) {
                entry.taken = entry.pushed.map(|digest| Taken { digest, api, by: keeper });
            }
            return self.reject(turn, plan, &loser, Stage::Admit, reason, Obstacle::Others);
        }
        tracing::warn!(
            plugin = loser,
            successor = keeper,
            "Plugin {loser} is gone, and {keeper} offers {api} in its place"
        );
        plan.retire(turn, loser);
    }
}

fn next(turn: &Turn, plan: &Plan) -> Option<Work> {
    let unready = plan.candidates.iter().find_map(|(key, candidate): (&String, &Candidate)| match &candidate.step {
        Step::Read(revision) => Some((key.clone(), revision.clone(), candidate.manifest.clone())),
        Step::Ready(_) => None,
    });
    if let Some((key, revision, manifest)) = unready {
        let held = turn.entries.get(&key).and_then(|entry| entry.held.as_ref());
        let proven = if held.is_some_and(|held| held.digest == revision.digest()) { Proven::Yes } else { Proven::No };
        return Some(Work::Candidate { key, revision, manifest, proven });
    }
    turn.entries.iter().find_map(|(key, entry)| {
        let held = entry.held.as_ref().filter(|held| held.loaded.is_none() && entry.stopped.is_none())?;
        let waits = !plan.candidates.contains_key(key) && !plan.retired.contains(key);
        waits.then(|| Work::Revive { key: key.clone(), digest: held.digest })
    })
}
