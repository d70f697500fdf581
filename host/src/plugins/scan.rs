//! One scan: read what is there, tell what is new from what is known, judge it, swap.
//!
//! It runs from its first line to its last on one blocking thread, under [`Turn`]: two never mix, and a caller that
//! goes away stops none half way.

use super::manifest::{Above, Manifest};
use super::record::Record;
use super::registry::ActiveApi;
use super::revision::Revision;
use super::source::{self, Fingerprint, Place, SourceError};
use super::state::{Entry, Held, News, PluginStatus, Stage, State};
use super::swap::{Candidate, Plan};
use super::{Plugins, lock};
use crate::wall;
use ripost_domain::api::Digest;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// What a scan did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ScanReport {
    /// Revisions that this scan put into service.
    pub activated: Vec<Activated>,
    /// Plugins whose folder cannot serve, whether found out now or before.
    pub rejected: Vec<Rejected>,
    /// Why the plugins folder itself could not be read.
    pub error: Option<String>,
    /// When there is a reason to look again without an event: something is being written, or may come back.
    #[serde(skip)]
    pub(super) again_in: Option<Duration>,
}

/// A revision that was put into service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Activated {
    /// The plugin's folder.
    pub folder: String,
    /// The revision.
    pub digest: Digest,
}

/// A plugin whose folder cannot serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// The plugin's folder.
    pub folder: String,
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
pub(super) struct Look {
    /// Judge again what was found bad.
    again: bool,
    settled: Settled,
}

#[derive(Debug)]
enum Settled {
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
    pub(super) fn settled() -> Self {
        Self { again: false, settled: Settled::All }
    }

    pub(super) fn again() -> Self {
        Self { again: true, settled: Settled::All }
    }

    pub(super) fn by_events(at_rest: HashSet<String>, moving: HashSet<String>) -> Self {
        Self { again: false, settled: Settled::Only { at_rest, moving } }
    }

    fn passes_over(&self, key: &str) -> bool {
        matches!(&self.settled, Settled::Only { moving, .. } if moving.contains(key))
    }

    /// Without an event nothing says that a change is whole: it must then look the same twice.
    fn trusts(&self, key: &str) -> bool {
        match &self.settled {
            Settled::All => true,
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
    /// The reason told last why the folder cannot be read.
    error: Option<String>,
}

/// What a look at one plugin brought.
enum Finding {
    /// Nothing to do: as before, or not to be looked at now.
    Same,
    /// What serves is in the folder (again).
    Serving,
    /// Look again later.
    Moving,
    Gone,
    Bad(Stage, String),
    Changed(Box<Candidate>),
}

impl Plugins {
    /// What served when the host was stopped; made ready by the first scan.
    pub(super) fn turn_from(&self, record: Record) -> Turn {
        let mut entries = BTreeMap::new();
        for (key, recorded) in &record.plugins {
            let mut entry = Entry::default();
            entry.previous = recorded.previous;
            match self.kept_manifest(recorded.active) {
                Ok(manifest) => {
                    entry.held = Some(Held { digest: recorded.active, manifest: Arc::new(manifest), loaded: None })
                }
                Err(reason) => {
                    tracing::error!(plugin = key, revision = %recorded.active.short(), reason, "The last good revision of {key} cannot be used");
                    entry.lost = Some(recorded.active);
                }
            }
            entries.insert(key.clone(), entry);
        }
        Turn { entries, record, ..Turn::default() }
    }

    fn kept_manifest(&self, digest: Digest) -> Result<Manifest, String> {
        let revision: Revision = self.revisions.load(&digest).map_err(|error| error.to_string())?;
        let text = revision.manifest().ok_or("it has no manifest")?;
        Manifest::parse(super::FILE_NAME, text, &self.bounds(Above::Refuse)).map_err(|error| error.to_string())
    }

    pub(super) async fn scan_with(self: &Arc<Self>, look: Look) -> ScanReport {
        let plugins = self.clone();
        match tokio::task::spawn_blocking(move || plugins.scan_now(&look)).await {
            Ok(report) => report,
            Err(error) => {
                tracing::error!(%error, "A scan of the plugins folder broke down; the next one begins anew");
                ScanReport { error: Some("the scan broke down".to_owned()), ..ScanReport::default() }
            }
        }
    }

    fn scan_now(&self, look: &Look) -> ScanReport {
        let mut turn = lock(&self.turn);
        let turn = &mut *turn;
        let mut report = ScanReport::default();
        lock(&self.permits).settle();
        let mut plan = Plan::default();
        match source::places(&self.config.folder) {
            Ok(places) => {
                turn.error = None;
                self.examine_all(turn, &places, look, &mut plan, &mut report);
            }
            Err(error) => {
                let error = format!("reading {}: {error}{}", self.config.folder, wall::hint_replaced(&error));
                if turn.error.as_ref() != Some(&error) {
                    tracing::error!(error, "The plugins folder cannot be read; what serves goes on");
                }
                turn.error = Some(error.clone());
                report.error = Some(error);
            }
        }
        if !turn.started {
            // What served when the host was stopped comes first, and needs no compiling: whatever a new revision makes the
            // compiler do, it keeps nobody else from being served.
            let mut served = plan.split_off_what_served(turn);
            self.prepare(turn, &mut served);
            let _ = self.swap(turn, served, &mut report);
        }
        self.prepare(turn, &mut plan);
        // A record that cannot be written rejects the candidates, which is told there.
        let _ = self.swap(turn, plan, &mut report);
        turn.started = true;
        self.publish(turn);
        let rejected = self.status.load();
        report.rejected =
            rejected.iter().filter(|status| status.state == State::Rejected).map(Rejected::from).collect();
        report
    }

    fn examine_all(&self, turn: &mut Turn, places: &[Place], look: &Look, plan: &mut Plan, report: &mut ScanReport) {
        for place in places {
            let entry = turn.entries.entry(place.key.clone()).or_default();
            match self.examine(entry, place, look) {
                Finding::Same => {}
                Finding::Serving => {
                    entry.gone_since = None;
                    self.tell(entry, &place.key, News::active());
                }
                Finding::Moving => report.look_again_in(self.config.quiet),
                Finding::Gone if entry.held.is_some() => self.miss(entry, &place.key, turn.started, report),
                Finding::Gone => {
                    self.tell(entry, &place.key, News::rejected(None, Stage::Discover, SourceError::Gone.to_string()))
                }
                Finding::Bad(stage, reason) => {
                    entry.gone_since = None;
                    self.tell(entry, &place.key, News::rejected(None, stage, reason));
                }
                Finding::Changed(candidate) => {
                    entry.gone_since = None;
                    plan.candidates.insert(place.key.clone(), *candidate);
                }
            }
        }
        let there: HashSet<&str> = places.iter().map(|place| place.key.as_str()).collect();
        // One that never served leaves nothing behind.
        turn.entries.retain(|key, entry| there.contains(key.as_str()) || entry.held.is_some() || entry.lost.is_some());
        let started = turn.started;
        for (key, entry) in turn.entries.iter_mut().filter(|(key, _)| !there.contains(key.as_str())) {
            self.miss(entry, key, started, report);
        }
    }

    fn examine(&self, entry: &mut Entry, place: &Place, look: &Look) -> Finding {
        if look.passes_over(&place.key) {
            return Finding::Same;
        }
        if look.again {
            (entry.seen, entry.refused) = (None, None);
        }
        let now = self.clock.now();
        let fingerprint = match place.fingerprint() {
            Ok(fingerprint) => fingerprint,
            Err(error) => return finding(error),
        };
        if entry.seen.as_ref() == Some(&fingerprint) && entry.gone_since.is_none() {
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
        let source = match place.read(&fingerprint, &self.bounds(Above::Refuse), self.config.bare) {
            Ok(source) => source,
            Err(error) => {
                if matches!(error, SourceError::Manifest(_) | SourceError::Refused(_)) {
                    entry.seen = judged;
                }
                return finding(error);
            }
        };
        let digest = source.revision.digest();
        if entry.held.as_ref().is_some_and(|held| held.digest == digest && held.loaded.is_some()) {
            (entry.seen, entry.refused) = (judged, None);
            return Finding::Serving;
        }
        if entry.refused == Some(digest) && entry.gone_since.is_none() && entry.state() == Some(State::Rejected) {
            entry.seen = judged;
            return Finding::Same;
        }
        Finding::Changed(Box::new(Candidate::new(source, judged)))
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

    pub(super) fn publish(&self, turn: &Turn) {
        let status: Vec<PluginStatus> = turn.entries.iter().filter_map(|(key, entry)| entry.status(key)).collect();
        self.status.store(Arc::new(status));
    }
}

fn finding(error: SourceError) -> Finding {
    let stage = match error {
        SourceError::Torn => return Finding::Moving,
        SourceError::Gone => return Finding::Gone,
        SourceError::Manifest(_) => Stage::Manifest,
        SourceError::Refused(_) | SourceError::Read { .. } => Stage::Discover,
    };
    Finding::Bad(stage, error.to_string())
}

impl From<&PluginStatus> for Rejected {
    fn from(status: &PluginStatus) -> Self {
        Self {
            folder: status.folder.clone(),
            stage: status.stage.unwrap_or(Stage::Discover),
            reason: status.reason.clone().unwrap_or_default(),
        }
    }
}
