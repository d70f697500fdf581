//! What a scan is about to change, and who may have which name.

use super::loaded::Loaded;
use super::manifest::Manifest;
use super::revision::Revision;
use super::scan::Turn;
use super::source::{Fingerprint, Source};
use super::state::State;
use ripost_domain::api::{ApiName, Digest};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A plugin as it was read, on its way into service.
pub(super) struct Candidate {
    pub(super) digest: Digest,
    pub(super) manifest: Arc<Manifest>,
    /// The fingerprint to go by once it is judged; none if it is too young for that.
    pub(super) judged: Option<Fingerprint>,
    /// The plugin's decisions when it was read.
    pub(super) decisions: u64,
    pub(super) step: Step,
}

pub(super) enum Step {
    Read(Arc<Revision>),
    Ready(Arc<Loaded>),
}

impl Candidate {
    pub(super) fn new(source: Source, judged: Option<Fingerprint>, decisions: u64) -> Self {
        let Source { manifest, revision } = source;
        let (digest, manifest) = (revision.digest(), Arc::new(manifest));
        Self { digest, manifest, judged, decisions, step: Step::Read(Arc::new(revision)) }
    }

    pub(super) fn is_ready(&self) -> bool {
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
    pub(super) revived: bool,
    claims: Claims,
    /// The turn's decisions that the claims are of.
    decisions: Option<u64>,
}

impl Plan {
    /// The candidates that are what served when the host was stopped.
    pub(super) fn split_off_what_served(&mut self, turn: &Turn) -> Self {
        let held = |key: &String| Some(turn.entries.get(key)?.held.as_ref()?.digest);
        let candidates = self.candidates.extract_if(.., |key, candidate| held(key) == Some(candidate.digest)).collect();
        Self { candidates, ..Self::default() }
    }

    /// Brings the plan up to what was decided meanwhile: candidates from before a decision about their plugin are dropped.
    pub(super) fn renew(&mut self, turn: &Turn) {
        if self.decisions == Some(turn.decisions) {
            return;
        }
        self.candidates
            .retain(|key, candidate| turn.entries.get(key).is_some_and(|entry| entry.decisions == candidate.decisions));
        self.retired.retain(|key| turn.entries.contains_key(key));
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
