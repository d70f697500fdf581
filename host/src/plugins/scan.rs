//! One scan: read what is there, tell what is new from what is known, and hand it on to the pipeline.
//!
//! It runs from its first line to its last on one blocking thread, and one at a time: a caller that goes away stops none
//! half way. It waits for no compiler and no case: what needs them is under way when it ends, and serves or is rejected
//! later. What is known is locked only while it is looked at or changed.

use super::folder::FolderError;
use super::manifest::{Above, Manifest};
use super::plan::{Candidate, Plan};
use super::record::{Move, Record};
use super::registry::ActiveApi;
use super::revision::Revision;
use super::source::{Fingerprint, Place, Source, SourceError};
use super::state::{Entry, Held, News, Origin, PluginStatus, Stage, State};
use super::{Plugins, lock};
use crate::causes::chain;
use ripost_domain::api::Digest;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// What a scan found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ScanReport {
    /// Plugins that cannot serve as they are, whether found out now or before.
    pub rejected: Vec<Rejected>,
    /// Why the plugins folder itself could not be read.
    pub error: Option<String>,
    /// When there is a reason to look again without an event: something is being written, or may come back.
    #[serde(skip)]
    pub(super) again_in: Option<Duration>,
}

/// A plugin that cannot serve as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// The plugin.
    pub key: String,
    /// How far it came.
    pub stage: Stage,
    /// Why, and what to do.
    pub reason: String,
}

impl ScanReport {
    fn look_again_in(&mut self, wait: Duration) {
        self.again_in = Some(self.again_in.map_or(wait, |earlier| earlier.min(wait)));
    }
}

/// What the events say about the plugins folder.
#[derive(Debug)]
pub(crate) struct Look {
    /// Judge again what was found bad.
    again: bool,
    settled: Settled,
}

#[derive(Debug)]
enum Settled {
    /// Nothing in the folder: something was pushed.
    None,
    /// All is at rest, says the caller.
    All,
    /// By the events.
    Only {
        /// Changed, and at rest since.
        at_rest: HashSet<String>,
        /// Being written: not to be looked at.
        moving: HashSet<String>,
    },
}

impl Look {
    pub(crate) fn settled() -> Self {
        Self { again: false, settled: Settled::All }
    }

    pub(crate) fn again() -> Self {
        Self { again: true, settled: Settled::All }
    }

    pub(super) fn by_events(at_rest: HashSet<String>, moving: HashSet<String>) -> Self {
        Self { again: false, settled: Settled::Only { at_rest, moving } }
    }

    pub(super) fn pushed() -> Self {
        Self { again: false, settled: Settled::None }
    }

    fn passes_over(&self, key: &str) -> bool {
        matches!(&self.settled, Settled::Only { moving, .. } if moving.contains(key))
    }

    /// Without an event nothing says that a change is whole: it must then look the same twice.
    fn trusts(&self, key: &str) -> bool {
        match &self.settled {
            Settled::All | Settled::None => true,
            Settled::Only { at_rest, .. } => at_rest.contains(key),
        }
    }
}

/// All that a scan knows from the scans before it.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) entries: BTreeMap<String, Entry>,
    /// As it was last written.
    pub(super) record: Record,
    /// The APIs of replaced revisions, to see whether somebody still holds one.
    pub(super) replaced: Vec<Weak<ActiveApi>>,
    /// Revisions that the last [`Plugins::collect`] found unused.
    pub(super) unused: BTreeSet<Digest>,
    pub(super) started: bool,
    /// What is being made ready or will be tried again by itself, by plugin.
    pub(super) coming: BTreeMap<String, (Digest, Arc<Manifest>)>,
    /// Requests that are still to be moved from one revision to another.
    pub(super) moves: Vec<Move>,
    /// Grows with each decision from outside a scan.
    pub(super) decisions: u64,
    /// The reason told last why the folder cannot be read.
    error: Option<FolderError>,
}

/// What a look at one plugin brought.
pub(super) enum Finding {
    /// Nothing to do: as before, or not to be looked at now.
    Same,
    /// What serves is in the folder (again).
    Serving,
    /// What is there is not to serve.
    Aside,
    Stopped,
    /// What is there has failed, and is tried again later.
    Waiting,
    /// Look again later.
    Moving,
    Gone,
    Bad(Stage, String),
    /// It was judged before, and found bad.
    Judged,
    Changed(Box<Candidate>),
}

impl Finding {
    /// Whether it says anything about what is under way.
    fn is_final(&self) -> bool {
        !matches!(self, Self::Same | Self::Moving | Self::Changed(_))
    }
}

impl Plugins {
    /// What served when the host was stopped; made ready by the first scan.
    pub(super) fn turn_from(&self, record: Record) -> Turn {
        let mut entries = BTreeMap::new();
        for (key, recorded) in &record.plugins {
            let mut entry = Entry::default();
            (entry.previous, entry.pushed) = (recorded.previous, recorded.pushed);
            (entry.aside, entry.stopped) = (recorded.aside.clone(), recorded.stopped.clone());
            if let Some(active) = recorded.active {
                match self.kept_manifest(active) {
                    Ok(manifest) => {
                        let (manifest, since) = (Arc::new(manifest), recorded.since);
                        entry.held = Some(Held { digest: active, manifest, loaded: None, since });
                    }
                    Err(reason) => {
                        tracing::error!(plugin = key, revision = %active.short(), reason, "The last good revision of {key} cannot be used");
                        entry.lost = Some(active);
                    }
                }
            }
            entries.insert(key.clone(), entry);
        }
        let moves = record.moves.clone();
        Turn { entries, record, moves, ..Turn::default() }
    }

    fn kept_manifest(&self, digest: Digest) -> Result<Manifest, String> {
        self.kept(digest, Above::Refuse).map(|source| source.manifest)
    }

    /// A revision from the data folder.
    pub(super) fn kept(&self, digest: Digest, above: Above) -> Result<Source, String> {
        let revision: Revision = self.revisions.load(&digest).map_err(|error| chain(&error))?;
        let text = revision.manifest().ok_or("it has no manifest")?;
        let manifest =
            Manifest::parse(super::FILE_NAME, text, &self.config.bounds(above)).map_err(|error| error.to_string())?;
        Ok(Source { manifest, revision })
    }

    /// Reads what is there and makes ready what needs no compiling; the rest is under way when it returns. See
    /// [`Plugins::settled`].
    pub(crate) async fn look(self: &Arc<Self>, look: Look) -> ScanReport {
        let plugins = self.clone();
        match tokio::task::spawn_blocking(move || plugins.scan_now(&look)).await {
            Ok(report) => report,
            Err(error) => {
                tracing::error!(%error, "A scan of the plugins folder broke down; the next one begins anew");
                ScanReport { error: Some("the scan broke down".to_owned()), ..ScanReport::default() }
            }
        }
    }

    pub(super) fn scan_now(self: &Arc<Self>, look: &Look) -> ScanReport {
        let _scanning = lock(&self.scanning);
        let _busy = self.busy();
        let mut report = ScanReport::default();
        lock(&self.permits).settle();
        {
            let (mut turn, mut plan) = (lock(&self.turn), lock(&self.plan));
            self.examine_all(&mut turn, look, &mut plan, &mut report);
            plan.outdate();
        }
        self.carry_out();
        let mut turn = lock(&self.turn);
        turn.started = true;
        self.publish(&mut turn);
        report.rejected = self.rejected();
        report
    }

    /// The plugins that cannot serve as they are.
    pub(super) fn rejected(&self) -> Vec<Rejected> {
        let status = self.status.load();
        let rejected = status.iter().filter(|status| status.state == State::Rejected);
        rejected.map(|status| Rejected::from(&**status)).collect()
    }

    fn examine_all(&self, turn: &mut Turn, look: &Look, plan: &mut Plan, report: &mut ScanReport) {
        self.examine_pushed(turn, look, plan);
        if let Settled::None = look.settled {
            return;
        }
        let (places, error) = match self.folder.places() {
            Ok(places) => (Some(places), None),
            // Nothing is in it: its plugins are missing.
            Err(error @ FolderError::Gone(_)) => (Some(Vec::new()), Some(error)),
            Err(error) => (None, Some(error)),
        };
        if let Some(places) = places {
            self.examine_places(turn, &places, look, plan, report);
        }
        if turn.error != error {
            match &error {
                Some(error) => tracing::error!(%error, "The plugins folder cannot be read; what serves goes on"),
                None => tracing::info!(folder = %self.folder.named(), "The plugins folder can be read again"),
            }
        }
        report.error = error.as_ref().map(ToString::to_string);
        self.folder_error.store(report.error.clone().map(Arc::new));
        turn.error = error;
    }

    /// What was pushed and does not serve, unless it was found bad.
    fn examine_pushed(&self, turn: &mut Turn, look: &Look, plan: &mut Plan) {
        let taken = still_taken(&turn.entries);
        for (key, entry) in &mut turn.entries {
            let Some(pushed) = entry.pushed else { continue };
            if plan.candidates.get(key).is_some_and(|candidate| candidate.is(pushed, entry.decisions)) {
                continue;
            }
            if look.again {
                (entry.refused, entry.retry) = (None, None);
            } else if taken.contains(key) {
                // Still somebody else's: what it is told is as it was, and it need not be read again.
                continue;
            }
            plan.drop_candidate(key);
            match self.decided(entry, pushed) {
                Some(Finding::Serving) => self.tell(entry, key, News::active()),
                Some(Finding::Aside | Finding::Stopped) => self.tell_decision(entry, key),
                Some(_) => {}
                None => match self.kept(pushed, Above::Refuse) {
                    Ok(source) => {
                        plan.insert(key, Candidate::new(source, None, entry.decisions));
                    }
                    Err(reason) => self.tell(entry, key, News::rejected(Some(pushed), Stage::Discover, reason)),
                },
            }
        }
    }

    fn examine_places(&self, turn: &mut Turn, places: &[Place], look: &Look, plan: &mut Plan, report: &mut ScanReport) {
        for place in places {
            let entry = turn.entries.entry(place.key.clone()).or_default();
            let finding = self.examine(entry, place, look, plan.candidates.get(&place.key));
            if finding.is_final() {
                plan.drop_candidate(&place.key);
            }
            match finding {
                Finding::Same | Finding::Waiting | Finding::Judged => {}
                Finding::Serving => {
                    entry.gone_since = None;
                    self.tell(entry, &place.key, News::active());
                }
                Finding::Aside | Finding::Stopped => {
                    entry.gone_since = None;
                    self.tell_decision(entry, &place.key);
                }
                Finding::Moving => report.look_again_in(self.config.quiet),
                Finding::Gone if entry.held.is_some() => self.miss(entry, &place.key, turn.started, report),
                // A component is meant to serve; anything else may be where it is for reasons of its own.
                Finding::Gone if entry.observed.as_ref().is_some_and(Fingerprint::has_component) => {
                    self.tell(entry, &place.key, News::rejected(None, Stage::Discover, SourceError::Gone.to_string()))
                }
                Finding::Gone => entry.pass_over(&place.key),
                Finding::Bad(stage, reason) => {
                    (entry.gone_since, entry.retry) = (None, None);
                    self.tell(entry, &place.key, News::rejected(None, stage, reason));
                }
                Finding::Changed(candidate) => {
                    entry.gone_since = None;
                    plan.insert(&place.key, *candidate);
                }
            }
        }
        let there: HashSet<&str> = places.iter().map(|place| place.key.as_str()).collect();
        // One that never served leaves nothing behind.
        turn.entries.retain(|key, entry| there.contains(key.as_str()) || entry.recorded().is_some());
        let started = turn.started;
        let gone = turn.entries.iter_mut().filter(|(key, entry)| {
            entry.origin() == Origin::Folder && entry.stopped.is_none() && !there.contains(key.as_str())
        });
        for (key, entry) in gone {
            plan.drop_candidate(key);
            self.miss(entry, key, started, report);
        }
    }

    fn examine(&self, entry: &mut Entry, place: &Place, look: &Look, underway: Option<&Candidate>) -> Finding {
        if look.passes_over(&place.key) {
            return Finding::Same;
        }
        if look.again {
            (entry.seen, entry.refused, entry.retry) = (None, None, None);
        }
        let now = self.clock.now();
        let fingerprint = match place.fingerprint() {
            Ok(fingerprint) => fingerprint,
            Err(error) => return finding(error),
        };
        if entry.seen.as_ref() == Some(&fingerprint) && entry.gone_since.is_none() {
            return Finding::Same;
        }
        let underway = underway.filter(|candidate| candidate.decisions == entry.decisions);
        if underway.is_some_and(|candidate| candidate.judged.as_ref() == Some(&fingerprint)) {
            return Finding::Same;
        }
        let settled = look.trusts(&place.key) || entry.observed.as_ref() == Some(&fingerprint);
        entry.observed = Some(fingerprint.clone());
        if !settled {
            return Finding::Moving;
        }
        entry.seen = None;
        // Stamps too young to show another write are read again next time.
        let judged: Option<Fingerprint> = fingerprint.is_conclusive(now).then(|| fingerprint.clone());
        let source = match place.read(&fingerprint, &self.config.bounds(Above::Refuse), self.config.bare) {
            Ok(source) => source,
            Err(error) => {
                if matches!(error, SourceError::Manifest(_) | SourceError::Refused(_)) {
                    entry.seen = judged;
                }
                return finding(error);
            }
        };
        let digest = source.revision.digest();
        match self.decided(entry, digest) {
            None => Finding::Changed(Box::new(Candidate::new(source, judged, entry.decisions))),
            // Not judged for good: it is read again.
            Some(Finding::Waiting) => Finding::Waiting,
            Some(finding) => {
                entry.seen = judged;
                if let Finding::Serving = finding {
                    entry.refused = None;
                }
                finding
            }
        }
    }

    /// What there is to say of a revision without making it ready; none: it is to be made ready.
    pub(super) fn decided(&self, entry: &Entry, digest: Digest) -> Option<Finding> {
        if entry.stopped.as_ref().is_some_and(|stopped| stopped.digests.contains(&digest)) {
            return Some(Finding::Stopped);
        }
        if entry.aside.as_ref().is_some_and(|aside| aside.digest == digest) {
            return Some(Finding::Aside);
        }
        let loaded = entry.serving().is_some_and(|loaded| loaded.digest == digest);
        if loaded {
            return Some(Finding::Serving);
        }
        if entry.retry.as_ref().is_some_and(|retry| retry.waits(digest, Instant::now())) {
            return Some(Finding::Waiting);
        }
        let refused = entry.refused == Some(digest) && entry.gone_since.is_none();
        (refused && entry.state() == Some(State::Rejected)).then_some(Finding::Judged)
    }

    /// Tells of what the operator or its own failures decided about a plugin.
    pub(super) fn tell_decision(&self, entry: &mut Entry, key: &str) {
        let news = match (&entry.stopped, &entry.aside) {
            (Some(_), _) => News::stopped(key),
            (None, Some(aside)) => News::aside(key, aside),
            (None, None) => News::active(),
        };
        self.tell(entry, key, news);
    }

    /// Editors delete and create: only what stays away is missing, and it goes on serving even then.
    fn miss(&self, entry: &mut Entry, key: &str, started: bool, report: &mut ScanReport) {
        let gone = entry.gone_since.get_or_insert_with(Instant::now).elapsed();
        entry.observed = None;
        match self.config.deleted_grace.checked_sub(gone) {
            Some(left) if started && !left.is_zero() => report.look_again_in(left),
            _ => self.tell(entry, key, News::missing()),
        }
    }

    pub(super) fn tell(&self, entry: &mut Entry, key: &str, news: News) {
        let rejected = news.state == State::Rejected;
        if entry.tell(key, news, self.clock.now()) && rejected {
            self.reloads_rejected.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn publish(&self, turn: &mut Turn) {
        let status: Vec<Arc<PluginStatus>> =
            turn.entries.iter_mut().filter_map(|(key, entry)| entry.status(key)).collect();
        self.status.store(Arc::new(status));
        let strays = turn.entries.iter().filter(|(_, entry)| entry.is_stray()).map(|(key, _)| key.clone());
        self.strays.store(Arc::new(strays.collect()));
    }
}

/// Pushed plugins whose last revision wants a name that is somebody else's as before.
fn still_taken(entries: &BTreeMap<String, Entry>) -> HashSet<String> {
    let is_taken = |entry: &Entry| {
        let taken = entry.taken.as_ref().filter(|taken| entry.pushed == Some(taken.digest))?;
        let holder = entries.get(&taken.by).filter(|holder| holder.state() != Some(State::Missing))?;
        holder.held.as_ref().filter(|held| held.manifest.offers(&taken.api))
    };
    entries.iter().filter(|(_, entry)| is_taken(entry).is_some()).map(|(key, _)| key.clone()).collect()
}

fn finding(error: SourceError) -> Finding {
    let stage = match error {
        SourceError::Torn => return Finding::Moving,
        SourceError::Gone => return Finding::Gone,
        SourceError::Manifest(_) => Stage::Manifest,
        SourceError::Refused(_) | SourceError::Read { .. } => Stage::Discover,
    };
    Finding::Bad(stage, chain(&error))
}

impl From<&PluginStatus> for Rejected {
    fn from(status: &PluginStatus) -> Self {
        Self {
            key: status.key.clone(),
            stage: status.stage.unwrap_or(Stage::Discover),
            reason: status.reason.clone().unwrap_or_default(),
        }
    }
}
