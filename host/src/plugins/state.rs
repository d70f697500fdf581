//! What is known of each plugin, and how it is told: in the log, a line for each change, and in `ripost status`.

use super::loaded::Loaded;
use super::manifest::Manifest;
use super::source::Fingerprint;
use ripost_domain::api::Digest;
use ripost_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// How a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// What is in the folder is what serves.
    Active,
    /// What is in the folder is being made ready; the revision before it serves.
    Compiling,
    /// What is in the folder cannot serve; the last good revision does, if there is one.
    Rejected,
    /// The folder is gone; the last good revision serves.
    Missing,
}

/// How far a revision came that was rejected.
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

/// A plugin, for `ripost status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginStatus {
    /// Its folder's name in the plugins folder.
    pub folder: String,
    /// The name in the manifest that serves.
    pub plugin: Option<String>,
    /// The version in the manifest that serves.
    pub version: Option<String>,
    /// The APIs that serve.
    pub apis: Vec<ApiStatus>,
    /// How it is.
    pub state: State,
    /// The revision that serves.
    pub active: Option<Digest>,
    /// The one before it.
    pub previous: Option<Digest>,
    /// The revision in the folder, if it is not the one that serves and could be read.
    pub candidate: Option<Digest>,
    /// How far the one in the folder came.
    pub stage: Option<Stage>,
    /// Why it does not serve, and what to do.
    pub reason: Option<String>,
    /// Since when it is so.
    pub since: Timestamp,
}

/// An API that serves, for `ripost status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiStatus {
    /// `owner/slug`.
    pub name: String,
    /// What its handler imports and is refused, and what grant it needs: a sentence each.
    pub not_granted: Vec<String>,
}

/// A revision that serves, or that served when the host was stopped.
pub(super) struct Held {
    pub(super) digest: Digest,
    pub(super) manifest: Arc<Manifest>,
    /// None: known from the record, and not made ready yet.
    pub(super) loaded: Option<Arc<Loaded>>,
}

/// What is told of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct News {
    pub(super) state: State,
    pub(super) candidate: Option<Digest>,
    pub(super) stage: Option<Stage>,
    pub(super) reason: Option<String>,
}

impl News {
    pub(super) fn active() -> Self {
        Self { state: State::Active, candidate: None, stage: None, reason: None }
    }

    pub(super) fn compiling(candidate: Digest) -> Self {
        Self { state: State::Compiling, candidate: Some(candidate), stage: Some(Stage::Compile), reason: None }
    }

    pub(super) fn rejected(candidate: Option<Digest>, stage: Stage, reason: String) -> Self {
        Self { state: State::Rejected, candidate, stage: Some(stage), reason: Some(reason) }
    }

    pub(super) fn missing() -> Self {
        let reason =
            "the folder or its manifest is gone and the last good revision serves; put it back, or remove the plugin";
        Self { state: State::Missing, candidate: None, stage: Some(Stage::Discover), reason: Some(reason.to_owned()) }
    }
}

/// All that is known of one plugin.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) held: Option<Held>,
    /// What served before `held`.
    pub(super) previous: Option<Digest>,
    /// The last good revision, if it cannot be made ready; stays in the record.
    pub(super) lost: Option<Digest>,
    /// What the folder looked like when it was judged for good; the same again needs no reading.
    pub(super) seen: Option<Fingerprint>,
    /// What the folder looked like last time.
    pub(super) observed: Option<Fingerprint>,
    /// A revision that was found bad; the same again needs no compiling.
    pub(super) refused: Option<Digest>,
    pub(super) gone_since: Option<Instant>,
    told: Option<(News, Timestamp)>,
}

impl Entry {
    /// Notes how the plugin is now and logs it if that is news; true if it was.
    pub(super) fn tell(&mut self, folder: &str, news: News, now: Timestamp) -> bool {
        if self.told.as_ref().is_some_and(|(old, _)| *old == news) {
            return false;
        }
        let serving = self.held.as_ref().map_or_else(|| "none".to_owned(), |held| held.digest.short());
        let candidate = news.candidate.as_ref().map(Digest::short);
        let (revision, reason) = (candidate.as_deref(), news.reason.as_deref());
        let stage = news.stage.map(tracing::field::display);
        match news.state {
            State::Active => tracing::info!(plugin = folder, serving, "Plugin {folder} serves revision {serving}"),
            State::Compiling => tracing::info!(plugin = folder, serving, revision, "Plugin {folder} has changed"),
            State::Rejected => {
                tracing::warn!(plugin = folder, serving, revision, stage, reason, "Plugin {folder} is rejected");
            }
            State::Missing => tracing::warn!(plugin = folder, serving, reason, "Plugin {folder} is missing"),
        }
        self.told = Some((news, now));
        true
    }

    /// What was told last.
    pub(super) fn state(&self) -> Option<State> {
        self.told.as_ref().map(|(news, _)| news.state)
    }

    /// For `ripost status`; none until there is something to tell.
    pub(super) fn status(&self, folder: &str) -> Option<PluginStatus> {
        let (news, since) = self.told.as_ref()?;
        let loaded = self.held.as_ref().and_then(|held| held.loaded.as_deref());
        let apis =
            loaded.iter().flat_map(|loaded| loaded.apis.iter().zip(&loaded.manifest.apis)).map(|(api, asked)| {
                ApiStatus { name: api.name.to_string(), not_granted: asked.grants.lacks(api.handler.imports()) }
            });
        Some(PluginStatus {
            folder: folder.to_owned(),
            plugin: loaded.map(|loaded| loaded.manifest.plugin.to_string()),
            version: loaded.map(|loaded| loaded.manifest.version.clone()),
            apis: apis.collect(),
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
