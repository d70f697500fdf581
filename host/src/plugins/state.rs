//! What is known of each plugin, and how it is told: in the log, a line for each change, and in `ripost status`.

use super::loaded::Loaded;
use super::manifest::Manifest;
use super::record::Recorded;
use super::retry::Retry;
use super::source::Fingerprint;
use ripost_domain::api::{ApiName, Digest};
use ripost_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// How a plugin, or one of its APIs, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// What is there is what serves.
    Active,
    /// What is there is being made ready; the revision before it serves.
    Compiling,
    /// What is there cannot serve; the last good revision does, if there is one.
    Rejected,
    /// The folder is gone; the last good revision serves.
    Missing,
    /// What is there was put aside, by its own failures or by the operator; the revision before it serves.
    Quarantined,
    /// Nothing serves, because the operator says so.
    Stopped,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Active, Self::Compiling, Self::Rejected, Self::Missing, Self::Quarantined, Self::Stopped];

    /// As status, log and metrics call it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Compiling => "compiling",
            Self::Rejected => "rejected",
            Self::Missing => "missing",
            Self::Quarantined => "quarantined",
            Self::Stopped => "stopped",
        }
    }
}

/// How far a revision came that does not serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Finding its files.
    Discover,
    /// Reading its manifest.
    Manifest,
    /// Looking at its components and at whom its names belong to.
    Admit,
    /// Making machine code.
    Compile,
    /// Joining it to what the host offers.
    Link,
    /// Running its own cases.
    Smoke,
    /// Keeping it and putting it into service.
    Swap,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discover => "discover",
            Self::Manifest => "manifest",
            Self::Admit => "admit",
            Self::Compile => "compile",
            Self::Link => "link",
            Self::Smoke => "smoke",
            Self::Swap => "swap",
        })
    }
}

/// Where a plugin comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A folder in the plugins folder.
    Folder,
    /// `ripost push`.
    Push,
}

/// A plugin, for `ripost status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginStatus {
    /// What it is asked for by: its folder's name in the plugins folder, or `owner/name` of a pushed one.
    pub key: String,
    /// Where it comes from.
    pub source: Origin,
    /// The name in the manifest that serves.
    pub plugin: Option<String>,
    /// The version in the manifest that serves.
    pub version: Option<String>,
    /// The APIs that serve, and those that would if what is there could.
    pub apis: Vec<ApiStatus>,
    /// How it is.
    pub state: State,
    /// The revision that serves.
    pub active: Option<Digest>,
    /// The one before it.
    pub previous: Option<Digest>,
    /// The revision that is there, if it is not the one that serves and could be read.
    pub candidate: Option<Digest>,
    /// How far the one that is there came.
    pub stage: Option<Stage>,
    /// Why it does not serve, and what to do.
    pub reason: Option<String>,
    /// Since when it is so.
    pub since: Timestamp,
}

/// An API of a plugin, for `ripost status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiStatus {
    /// `owner/slug`.
    pub name: String,
    /// How it is.
    pub state: State,
    /// The revision that answers it.
    pub revision: Option<Digest>,
    /// How far a newer one came.
    pub stage: Option<Stage>,
    /// Why that does not serve.
    pub reason: Option<String>,
    /// What its handler imports and is refused, and what grant it needs: a sentence each.
    pub not_granted: Vec<String>,
}

/// A revision that is not to serve although it is there: until another comes, or the operator says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Aside {
    pub(super) digest: Digest,
    pub(super) why: Why,
    pub(super) reason: String,
    pub(super) since: Timestamp,
}

/// Who put a revision aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Why {
    /// The operator.
    Rollback,
    /// Its own failures.
    Quarantine,
}

/// A plugin that the operator stopped: until another revision comes, or the operator says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stopped {
    /// What served, and what was on its way then: not to serve again by itself.
    pub(super) digests: Vec<Digest>,
    /// Whose requests end with it.
    #[serde(default)]
    pub(super) revisions: Vec<Digest>,
    pub(super) since: Timestamp,
}

/// A revision that serves, or that served when the host was stopped.
pub(super) struct Held {
    pub(super) digest: Digest,
    pub(super) manifest: Arc<Manifest>,
    /// None: known from the record, and not made ready yet.
    pub(super) loaded: Option<Arc<Loaded>>,
    /// Since when it serves; none if that is not known.
    pub(super) since: Option<Timestamp>,
}

/// What is told of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct News {
    pub(super) state: State,
    pub(super) candidate: Option<Digest>,
    pub(super) stage: Option<Stage>,
    pub(super) reason: Option<String>,
    /// What the candidate offers.
    offers: Vec<String>,
}

impl News {
    fn new(state: State) -> Self {
        Self { state, candidate: None, stage: None, reason: None, offers: Vec::new() }
    }

    pub(super) fn active() -> Self {
        Self::new(State::Active)
    }

    pub(super) fn compiling(candidate: Digest, stage: Stage, manifest: &Manifest) -> Self {
        let offers = offers(manifest);
        Self { candidate: Some(candidate), stage: Some(stage), offers, ..Self::new(State::Compiling) }
    }

    pub(super) fn rejected(candidate: Option<Digest>, stage: Stage, reason: String) -> Self {
        Self { candidate, stage: Some(stage), reason: Some(reason), ..Self::new(State::Rejected) }
    }

    pub(super) fn of(self, manifest: &Manifest) -> Self {
        Self { offers: offers(manifest), ..self }
    }

    pub(super) fn missing() -> Self {
        let reason =
            "the folder or its manifest is gone and the last good revision serves; put it back, or remove the plugin";
        Self { stage: Some(Stage::Discover), reason: Some(reason.to_owned()), ..Self::new(State::Missing) }
    }

    pub(super) fn aside(key: &str, aside: &Aside) -> Self {
        let reason = format!("{}; another revision ends that, or `ripost plugins start {key}`", aside.reason);
        Self { candidate: Some(aside.digest), reason: Some(reason), ..Self::new(State::Quarantined) }
    }

    pub(super) fn stopped(key: &str) -> Self {
        let reason = format!(
            "the operator stopped it; another revision puts it into service again, or the operator with `ripost plugins start {key}`"
        );
        Self { reason: Some(reason), ..Self::new(State::Stopped) }
    }
}

fn offers(manifest: &Manifest) -> Vec<String> {
    manifest.apis.iter().map(|api| api.name.to_string()).collect()
}

/// A revision that waits for a name that somebody else has.
pub(super) struct Taken {
    pub(super) digest: Digest,
    pub(super) api: ApiName,
    /// The plugin that has it.
    pub(super) by: String,
}

/// All that is known of one plugin.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) held: Option<Held>,
    /// What served before `held`.
    pub(super) previous: Option<Digest>,
    /// The last good revision, if it cannot be made ready; stays in the record.
    pub(super) lost: Option<Digest>,
    /// What was pushed last; none: the plugin is a folder.
    pub(super) pushed: Option<Digest>,
    pub(super) aside: Option<Aside>,
    pub(super) stopped: Option<Stopped>,
    /// What the folder looked like when it was judged for good; the same again needs no reading.
    pub(super) seen: Option<Fingerprint>,
    /// What the folder looked like last time.
    pub(super) observed: Option<Fingerprint>,
    /// A revision that was found bad; the same again needs no compiling.
    pub(super) refused: Option<Digest>,
    /// One that failed and may fare better later.
    pub(super) retry: Option<Retry>,
    /// What was pushed and somebody else offers.
    pub(super) taken: Option<Taken>,
    pub(super) gone_since: Option<Instant>,
    /// Grows with each decision from outside a scan: a candidate from before it is dropped.
    pub(super) decisions: u64,
    told: Option<(News, Timestamp)>,
    /// It is no plugin.
    stray: bool,
    /// As it was shown last; none: something has changed.
    shown: Option<Arc<PluginStatus>>,
}

impl Entry {
    /// Notes how the plugin is now and logs it if that is news; true if it was.
    pub(super) fn tell(&mut self, key: &str, news: News, now: Timestamp) -> bool {
        (self.shown, self.stray) = (None, false);
        if self.told.as_ref().is_some_and(|(old, _)| *old == news) {
            return false;
        }
        let serving = self.serving().map_or_else(|| "none".to_owned(), |loaded| loaded.digest.short());
        let candidate = news.candidate.as_ref().map(Digest::short);
        let (revision, reason) = (candidate.as_deref(), news.reason.as_deref());
        let stage = news.stage.map(tracing::field::display);
        match news.state {
            State::Active => tracing::info!(plugin = key, serving, "Plugin {key} serves revision {serving}"),
            State::Compiling => tracing::info!(plugin = key, serving, revision, stage, "Plugin {key} has changed"),
            State::Rejected => {
                tracing::warn!(plugin = key, serving, revision, stage, reason, "Plugin {key} is rejected");
            }
            State::Missing => tracing::warn!(plugin = key, serving, reason, "Plugin {key} is missing"),
            State::Quarantined => {
                tracing::warn!(plugin = key, serving, revision, reason, "Plugin {key} has a revision put aside");
            }
            State::Stopped => tracing::warn!(plugin = key, reason, "Plugin {key} is stopped"),
        }
        self.told = Some((news, now));
        true
    }

    /// Notes that it is no plugin, and logs it if that is news: there is nothing to tell of its state.
    pub(super) fn pass_over(&mut self, key: &str) {
        (self.told, self.shown) = (None, None);
        if !std::mem::replace(&mut self.stray, true) {
            let file = super::FILE_NAME;
            tracing::info!(
                folder = key,
                "{key} in the plugins folder has no {file} and no component, so it is no plugin"
            );
        }
    }

    /// Whether it is no plugin.
    pub(super) fn is_stray(&self) -> bool {
        self.stray
    }

    /// Something that is shown has changed without news.
    pub(super) fn touch(&mut self) {
        self.shown = None;
    }

    /// What was told last.
    pub(super) fn state(&self) -> Option<State> {
        self.told.as_ref().map(|(news, _)| news.state)
    }

    /// What was on its way, or found wanting, when last told.
    pub(super) fn candidate(&self) -> Option<Digest> {
        self.told.as_ref().and_then(|(news, _)| news.candidate)
    }

    /// What answers calls.
    pub(super) fn serving(&self) -> Option<&Arc<Loaded>> {
        if self.stopped.is_some() {
            return None;
        }
        self.held.as_ref()?.loaded.as_ref()
    }

    pub(super) fn origin(&self) -> Origin {
        if self.pushed.is_some() { Origin::Push } else { Origin::Folder }
    }

    /// Its line in the record; none if there is nothing to remember.
    pub(super) fn recorded(&self) -> Option<Recorded> {
        let active = self.held.as_ref().map(|held| held.digest).or(self.lost);
        if active.is_none() && self.pushed.is_none() {
            return None;
        }
        Some(Recorded {
            active,
            previous: self.previous,
            since: self.held.as_ref().and_then(|held| held.since),
            pushed: self.pushed,
            aside: self.aside.clone(),
            stopped: self.stopped.clone(),
        })
    }

    /// For `ripost status`; none until there is something to tell.
    pub(super) fn status(&mut self, key: &str) -> Option<Arc<PluginStatus>> {
        if self.shown.is_none() {
            self.shown = self.show(key).map(Arc::new);
        }
        self.shown.clone()
    }

    fn show(&self, key: &str) -> Option<PluginStatus> {
        let (news, since) = self.told.as_ref()?;
        let loaded = self.serving();
        let api = |name: &str, revision, not_granted| ApiStatus {
            name: name.to_owned(),
            state: news.state,
            revision,
            stage: news.stage,
            reason: news.reason.clone(),
            not_granted,
        };
        let mut apis: Vec<ApiStatus> = loaded
            .iter()
            .flat_map(|loaded| loaded.apis.iter().zip(&loaded.manifest.apis))
            .map(|(active, asked)| {
                let not_granted =
                    active.target.handler().map(|handler| asked.grants.lacks(handler.imports())).unwrap_or_default();
                api(&active.name.to_string(), Some(active.digest), not_granted)
            })
            .collect();
        let held = self.held.as_ref().map(|held| offers(&held.manifest)).unwrap_or_default();
        let idle = if self.stopped.is_some() { held } else { Vec::new() };
        for name in news.offers.iter().chain(&idle) {
            if !apis.iter().any(|api| api.name == *name) {
                apis.push(api(name, None, Vec::new()));
            }
        }
        Some(PluginStatus {
            key: key.to_owned(),
            source: self.origin(),
            plugin: loaded.map(|loaded| loaded.manifest.plugin.to_string()),
            version: loaded.map(|loaded| loaded.manifest.version.clone()),
            apis,
            state: news.state,
            active: loaded.map(|loaded| loaded.digest),
            previous: self.previous,
            candidate: news.candidate,
            stage: news.stage,
            reason: news.reason.clone(),
            since: *since,
        })
    }
}
