//! What is about to change, and who may have which name. It outlives the scans that add to it: what is compiled meanwhile
//! is in it until it serves or is rejected.

use super::loaded::Loaded;
use super::manifest::Manifest;
use super::revision::Revision;
use super::scan::Turn;
use super::source::{Fingerprint, Source};
use super::state::State;
use ripost_domain::api::{ApiName, Digest};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A plugin as it was read, on its way into service.
pub(super) struct Candidate {
    /// Tells it from others of the same plugin.
    pub(super) number: u64,
    pub(super) digest: Digest,
    pub(super) manifest: Arc<Manifest>,
    /// The fingerprint to go by once it is judged; none if it is too young for that.
    pub(super) judged: Option<Fingerprint>,
    /// The plugin's decisions when it was read.
    pub(super) decisions: u64,
    /// The size of its components.
    pub(super) bytes: u64,
    pub(super) step: Step,
    /// Ends what is done for it once it has left the plan.
    pub(super) withdrawn: CancellationToken,
    _withdraws: DropGuard,
}

pub(super) enum Step {
    Read(Arc<Revision>),
    /// Somebody makes it ready.
    Underway,
    Ready(Arc<Loaded>),
}

impl Candidate {
    pub(super) fn new(source: Source, judged: Option<Fingerprint>, decisions: u64) -> Self {
        let Source { manifest, revision } = source;
        let (digest, manifest) = (revision.digest(), Arc::new(manifest));
        let bytes = manifest.components(0).into_keys().filter_map(|file| Some(revision.file(file)?.len() as u64)).sum();
        let withdrawn = CancellationToken::new();
        let _withdraws = withdrawn.clone().drop_guard();
        let step = Step::Read(Arc::new(revision));
        Self { number: 0, digest, manifest, judged, decisions, bytes, step, withdrawn, _withdraws }
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.step, Step::Ready(_))
    }

    /// Nobody has looked at it yet.
    pub(super) fn is_unread(&self) -> bool {
        matches!(self.step, Step::Read(_))
    }

    /// Whether it is this revision, and nothing was decided about the plugin since.
    pub(super) fn is(&self, digest: Digest, decisions: u64) -> bool {
        self.digest == digest && self.decisions == decisions
    }
}

/// A last good revision that nothing serves yet, and that is to serve again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Revival {
    /// Somebody makes it ready.
    Underway(Digest),
    /// It is to be compiled, and so is what is to take its place: that comes first.
    Yields(Digest),
}

/// What is to change.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) candidates: BTreeMap<String, Candidate>,
    pub(super) revivals: BTreeMap<String, Revival>,
    /// Plugins that end.
    pub(super) retired: BTreeSet<String>,
    /// Something is known that the registry does not say yet: a last good revision was made ready, or what is expected
    /// to serve is another.
    pub(super) is_news: bool,
    claims: Claims,
    /// The turn's decisions that the claims are of.
    decisions: Option<u64>,
    numbers: u64,
}

impl Plan {
    /// Takes a candidate up, in the place of an earlier one of that plugin. The same that is under way goes on.
    pub(super) fn insert(&mut self, key: &str, mut candidate: Candidate) {
        if let Some(before) = self.candidates.get_mut(key)
            && before.is(candidate.digest, candidate.decisions)
        {
            before.judged = candidate.judged.or_else(|| before.judged.take());
            return;
        }
        self.numbers += 1;
        candidate.number = self.numbers;
        self.candidates.insert(key.to_owned(), candidate);
        self.decisions = None;
    }

    /// What is there of a plugin is not what was to serve: that is given up.
    pub(super) fn drop_candidate(&mut self, key: &str) {
        if self.candidates.remove(key).is_some() {
            self.decisions = None;
        }
    }

    /// The candidate of this number, unless it has left the plan.
    pub(super) fn candidate(&mut self, key: &str, number: u64) -> Option<&mut Candidate> {
        self.candidates.get_mut(key).filter(|candidate| candidate.number == number)
    }

    /// Whether somebody makes this revision ready.
    pub(super) fn is_underway(&self, digest: Digest) -> bool {
        self.candidates.values().any(|candidate| candidate.digest == digest)
            || self.revivals.values().any(|revival| *revival == Revival::Underway(digest))
    }

    /// The claims are to be reckoned anew: plugins have come or gone.
    pub(super) fn outdate(&mut self) {
        self.decisions = None;
    }

    /// Brings the plan up to what was decided meanwhile: candidates from before a decision about their plugin are dropped.
    pub(super) fn renew(&mut self, turn: &Turn) {
        if self.decisions == Some(turn.decisions) {
            return;
        }
        self.candidates
            .retain(|key, candidate| turn.entries.get(key).is_some_and(|entry| entry.decisions == candidate.decisions));
        self.retired.retain(|key| turn.entries.contains_key(key));
        self.revivals.retain(|key, _| turn.entries.contains_key(key));
        self.claims = Claims::default();
        for (key, entry) in turn.entries.iter().filter(|(key, _)| !self.retired.contains(*key)) {
            let candidate = self.candidates.get(key).map(|candidate| &candidate.manifest);
            if let Some(manifest) = candidate.or(entry.held.as_ref().map(|held| &held.manifest)) {
                self.claims.add(key, manifest);
            }
        }
        self.decisions = Some(turn.decisions);
    }

    /// A plugin's candidate, which leaves the plan: what it holds is claimed again.
    pub(super) fn withdraw(&mut self, turn: &Turn, key: &str) -> Option<Candidate> {
        let candidate = self.candidates.remove(key)?;
        self.claims.remove(key, &candidate.manifest);
        if let Some(held) = turn.entries.get(key).and_then(|entry| entry.held.as_ref()) {
            self.claims.add(key, &held.manifest);
        }
        Some(candidate)
    }

    pub(super) fn retire(&mut self, turn: &Turn, key: String) {
        self.forget_held(turn, &key);
        self.retired.insert(key);
    }

    /// What a plugin holds is claimed no more.
    pub(super) fn forget_held(&mut self, turn: &Turn, key: &str) {
        if let Some(held) = turn.entries.get(key).and_then(|entry| entry.held.as_ref()) {
            self.claims.remove(key, &held.manifest);
        }
    }

    /// Two plugins that would serve one name.
    pub(super) fn clash(&self, turn: &Turn) -> Option<Clash> {
        self.claims.contested.iter().find_map(|api| {
            let keys = self.claims.by_name.get(api)?;
            let mut claims: Vec<(Rank, &str)> =
                keys.iter().filter_map(|key| Some((self.rank(turn, key, api)?, key.as_str()))).collect();
            claims.sort_unstable();
            let &[(_, keeper), .., (rank, loser)] = claims.as_slice() else { return None };
            // What serves gives way to what can serve, not to what is only hoped for.
            let too_early =
                rank == Rank::HeldAndMissing && self.candidates.get(keeper).is_some_and(|keeper| !keeper.is_ready());
            (!too_early).then(|| Clash { api: api.clone(), keeper: keeper.to_owned(), loser: loser.to_owned() })
        })
    }

    fn rank(&self, turn: &Turn, key: &str, api: &ApiName) -> Option<Rank> {
        let entry = turn.entries.get(key)?;
        let holds = entry.held.as_ref().is_some_and(|held| held.manifest.offers(api));
        Some(match (holds, self.candidates.contains_key(key)) {
            (true, false) if entry.state() == Some(State::Missing) => Rank::HeldAndMissing,
            (true, _) => Rank::Holds,
            (false, _) => Rank::Wants,
        })
    }

    /// The candidates that can be swapped in now: ready, and no name of theirs is served by a plugin that stays as it is
    /// until later. None: all of it has to wait.
    pub(super) fn ready(&self, turn: &Turn) -> Option<BTreeSet<String>> {
        let ready = self.candidates.iter().filter(|(_, candidate)| candidate.is_ready());
        let mut batch: BTreeSet<String> = ready.map(|(key, _)| key.clone()).collect();
        let ready = batch.len();
        if batch.is_empty() || ready == self.candidates.len() {
            return Some(batch);
        }
        let mut holders: HashMap<&ApiName, &str> = HashMap::new();
        for (key, entry) in turn.entries.iter().filter(|(key, _)| !self.retired.contains(*key)) {
            // Of those that stay as they are, clashes are settled.
            if let (Some(held), true) = (&entry.held, self.candidates.contains_key(key)) {
                holders.extend(held.manifest.apis.iter().map(|api| (&api.name, key.as_str())));
            }
        }
        loop {
            let waits = batch.iter().find(|key| {
                let Some(candidate) = self.candidates.get(*key) else { return true };
                candidate.manifest.apis.iter().any(|api| {
                    holders.get(&api.name).is_some_and(|holder| *holder != key.as_str() && !batch.contains(*holder))
                })
            });
            match waits.cloned() {
                Some(key) => batch.remove(&key),
                // One that waits may be the one that a retired plugin gave way to.
                None if batch.len() < ready && !self.retired.is_empty() => return None,
                None => return Some(batch),
            };
        }
    }
}

/// Who wants to serve which name.
#[derive(Default)]
struct Claims {
    by_name: HashMap<ApiName, Vec<String>>,
    /// Names that more than one plugin claims.
    contested: BTreeSet<ApiName>,
}

impl Claims {
    fn add(&mut self, key: &str, manifest: &Manifest) {
        for api in &manifest.apis {
            let keys = self.by_name.entry(api.name.clone()).or_default();
            keys.push(key.to_owned());
            if keys.len() > 1 {
                self.contested.insert(api.name.clone());
            }
        }
    }

    fn remove(&mut self, key: &str, manifest: &Manifest) {
        for api in &manifest.apis {
            let Some(keys) = self.by_name.get_mut(&api.name) else { continue };
            keys.retain(|claimer| claimer != key);
            if keys.len() < 2 {
                self.contested.remove(&api.name);
            }
        }
    }
}

/// Two plugins that would serve one name.
pub(super) struct Clash {
    pub(super) api: ApiName,
    pub(super) keeper: String,
    pub(super) loser: String,
}

/// Who comes first to a name. Kept in this order, so that a copy of a folder never takes a name away, and a folder that
/// was renamed has it again once the old one counts as missing.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Rank {
    Holds,
    Wants,
    HeldAndMissing,
}
