//! What is kept in the data folder and why, for `ripost revisions`.

use super::manifest::{Above, FILE_NAME, Manifest};
use super::{PluginError, Plugins, lock};
use ripost_domain::api::{ApiName, Digest, Name};
use ripost_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Why a revision is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kept {
    /// It serves, or would if its plugin were not stopped.
    Active,
    /// It served before the one that does.
    Previous,
    /// It was put aside, and is not to serve.
    Held,
    /// It was pushed, and does not serve.
    Pushed,
    /// Unfinished requests name it.
    Pinned,
    /// Nothing needs it; it goes soon.
    Unused,
}

impl Kept {
    /// As it is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Previous => "previous",
            Self::Held => "held",
            Self::Pushed => "pushed",
            Self::Pinned => "pinned",
            Self::Unused => "unused",
        }
    }
}

/// A revision in the data folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRevision {
    /// Of manifest, components, schemas and cases.
    pub digest: Digest,
    /// The plugin that it is a revision of, if that is still there.
    pub key: Option<String>,
    /// `[plugin] name`, if its manifest can be read.
    pub plugin: Option<String>,
    /// `[plugin] version`.
    pub version: Option<String>,
    /// The APIs that it offers.
    pub apis: Vec<String>,
    /// Why it is kept.
    pub state: Kept,
    /// Why it was put aside.
    pub reason: Option<String>,
    /// Since when it is kept.
    pub since: Timestamp,
    /// On disk.
    pub bytes: u64,
    /// Unfinished requests that name it.
    pub requests: u64,
}

impl Plugins {
    /// The files of a revision that is kept. For an owner all of its APIs must be its own.
    pub(crate) fn files_of(
        &self,
        digest: Digest,
        only: Option<&Name>,
    ) -> Result<BTreeMap<String, Vec<u8>>, PluginError> {
        let revision = self.revisions.load(&digest)?;
        if let Some(owner) = only {
            let manifest = revision.manifest().unwrap_or_default();
            let manifest = Manifest::parse(FILE_NAME, manifest, &self.config.bounds(Above::Lower));
            let apis = manifest.map(|manifest| manifest.apis).unwrap_or_default();
            if let Some(other) = apis.iter().find(|api| api.name.owner != *owner) {
                return Err(PluginError::Shared(other.name.clone()));
            }
        }
        Ok(revision.into_files())
    }

    /// All revisions that are kept, or those of one API: those that serve first, and the youngest first among equals.
    ///
    /// # Errors
    /// The folder or the store cannot be read.
    pub async fn revisions(self: &Arc<Self>, api: Option<&ApiName>) -> Result<Vec<KeptRevision>, PluginError> {
        let in_use = match self.pins.get() {
            Some(pins) => pins.in_use().await.map_err(|error| PluginError::Requests(format!("{error:#}")))?,
            None => HashMap::new(),
        };
        let api = api.cloned();
        self.decide(move |plugins| plugins.revisions_now(api.as_ref(), &in_use)).await
    }

    fn revisions_now(
        &self,
        api: Option<&ApiName>,
        in_use: &HashMap<Digest, u64>,
    ) -> Result<Vec<KeptRevision>, PluginError> {
        let known = self.why_kept();
        let bounds = self.config.bounds(Above::Lower);
        let mut revisions = Vec::new();
        for digest in self.revisions.list()? {
            let text = self.revisions.manifest(&digest);
            let manifest = text.and_then(|text| Manifest::parse(FILE_NAME, &text, &bounds).ok());
            if api.is_some_and(|api| !manifest.as_ref().is_some_and(|manifest| manifest.offers(api))) {
                continue;
            }
            // It may have gone this moment.
            let Ok((made, bytes)) = self.revisions.size(&digest) else { continue };
            let requests = in_use.get(&digest).copied().unwrap_or_default();
            let (key, state, reason) = match known.get(&digest) {
                Some((key, state, reason)) => (Some(key.clone()), *state, reason.clone()),
                None if requests > 0 => (None, Kept::Pinned, None),
                None => (None, Kept::Unused, None),
            };
            let names = manifest.iter().flat_map(|manifest| &manifest.apis);
            revisions.push(KeptRevision {
                digest,
                key,
                apis: names.map(|api| api.name.to_string()).collect(),
                plugin: manifest.as_ref().map(|manifest| manifest.plugin.to_string()),
                version: manifest.map(|manifest| manifest.version),
                state,
                reason,
                since: timestamp(made),
                bytes,
                requests,
            });
        }
        revisions.sort_by_key(|revision| (revision.state, std::cmp::Reverse(revision.since)));
        Ok(revisions)
    }

    fn why_kept(&self) -> HashMap<Digest, (String, Kept, Option<String>)> {
        let turn = lock(&self.turn);
        let mut known = HashMap::new();
        for (key, entry) in &turn.entries {
            let aside = entry.aside.as_ref();
            let held = entry.held.as_ref().map(|held| held.digest).or(entry.lost);
            // What comes last counts.
            let reasons = [
                (entry.pushed, Kept::Pushed, None),
                (entry.previous, Kept::Previous, None),
                (aside.map(|aside| aside.digest), Kept::Held, aside.map(|aside| aside.reason.clone())),
                (held, Kept::Active, None),
            ];
            for (digest, state, reason) in reasons {
                known.extend(digest.map(|digest| (digest, (key.clone(), state, reason))));
            }
        }
        known
    }
}

fn timestamp(time: SystemTime) -> Timestamp {
    let millis = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Timestamp::from_millis(i64::try_from(millis).unwrap_or_default())
}
