//! What an operator decides about a plugin: remove, stop, start.

use super::folder::FolderError;
use super::manifest::Manifest;
use super::record::Record;
use super::scan::{Look, Turn};
use super::state::{News, Origin, Stopped};
use super::{Above, FILE_NAME, PluginError, Plugins, lock};
use ripost_domain::api::{ApiName, Digest, Name};
use ripost_store::failpoint;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// The record of what is known now.
pub(super) fn record_of(turn: &Turn) -> Record {
    let lines = turn.entries.iter().filter_map(|(key, entry)| Some((key.clone(), entry.recorded()?)));
    Record::new(lines.collect(), turn.moves.clone())
}

impl Turn {
    /// A plugin is decided about: what a scan is making ready of it is out of date.
    pub(super) fn decide(&mut self, key: &str) {
        self.decisions += 1;
        if let Some(entry) = self.entries.get_mut(key) {
            entry.decisions += 1;
            entry.touch();
        }
    }
}

impl Plugins {
    /// Runs a decision off the async threads, to its end whoever goes away.
    pub(super) async fn decide<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> Result<T, PluginError> + Send + 'static,
    ) -> Result<T, PluginError> {
        let plugins = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&plugins)).await.map_err(|_| PluginError::Lost)?;
        // What was under way of the plugin is given up.
        if lock(&self.turn).started {
            self.pass_soon();
        }
        done
    }

    /// Ends a plugin that was pushed, or whose folder is gone: its APIs are unknown from now on, and requests that were
    /// accepted run to their end.
    ///
    /// # Errors
    /// No such plugin, its folder is still there, or what serves cannot be written down.
    pub async fn remove(self: &Arc<Self>, key: &str) -> Result<(), PluginError> {
        let key = key.to_owned();
        self.decide(move |plugins| plugins.remove_now(&key)).await
    }

    fn remove_now(&self, key: &str) -> Result<(), PluginError> {
        let mut turn = lock(&self.turn);
        let entry = turn.entries.get(key).ok_or_else(|| PluginError::Unknown(key.to_owned()))?;
        if entry.origin() == Origin::Folder {
            // A folder that is gone has none.
            let there = self.folder.places().or_else(|error| match error {
                FolderError::Gone(_) => Ok(Vec::new()),
                error => Err(PluginError::Folder(error.to_string())),
            })?;
            if there.iter().any(|place| place.key == key) {
                return Err(PluginError::StillThere(key.to_owned()));
            }
        }
        let mut record = record_of(&turn);
        record.plugins.remove(key);
        self.write(&mut turn, record).map_err(PluginError::Record)?;
        turn.decide(key);
        if let Some(loaded) = turn.entries.remove(key).and_then(|entry| entry.held?.loaded) {
            self.replaced(&mut turn, loaded);
        }
        self.renew_registry(&turn);
        self.publish(&mut turn);
        tracing::info!(plugin = key, "Plugin {key} is removed");
        Ok(())
    }

    /// Takes a plugin out of service, until another revision comes or [`Plugins::start`]; returns its revisions, whose
    /// unfinished requests are for the caller to end. Its names stay its own: nobody else takes them over meanwhile.
    ///
    /// # Errors
    /// No such plugin, or what serves cannot be written down.
    pub async fn stop(self: &Arc<Self>, key: &str) -> Result<Vec<Digest>, PluginError> {
        let key = key.to_owned();
        self.decide(move |plugins| plugins.stop_now(&key)).await
    }

    fn stop_now(&self, key: &str) -> Result<Vec<Digest>, PluginError> {
        let since = self.clock.now();
        let mut turn = lock(&self.turn);
        let entry = turn.entries.get(key).ok_or_else(|| PluginError::Unknown(key.to_owned()))?;
        let held = entry.held.as_ref();
        let before = entry.stopped.iter().flat_map(|stopped| stopped.digests.iter().copied());
        let now = [held.map(|held| held.digest), entry.candidate(), entry.pushed];
        let digests: BTreeSet<Digest> = now.into_iter().flatten().chain(before).collect();
        let (manifest, loaded) = (held.map(|held| held.manifest.clone()), held.and_then(|held| held.loaded.clone()));
        let revisions = manifest.map(|manifest| self.revisions_of(&manifest)).transpose()?.unwrap_or_default();
        let stopped = Stopped { digests: digests.into_iter().collect(), revisions: revisions.clone(), since };
        let mut record = record_of(&turn);
        if let Some(line) = record.plugins.get_mut(key) {
            line.stopped = Some(stopped.clone());
        }
        self.write(&mut turn, record).map_err(PluginError::Record)?;
        failpoint::hit("stop.after_record");
        turn.decide(key);
        // Runs that are under way find it until they end.
        if let Some(loaded) = loaded {
            self.replaced(&mut turn, loaded);
        }
        if let Some(entry) = turn.entries.get_mut(key) {
            entry.stopped = Some(stopped);
            self.tell(entry, key, News::stopped(key));
        }
        self.renew_registry(&turn);
        self.publish(&mut turn);
        Ok(revisions)
    }

    /// Whose requests are not run any more.
    pub(super) fn renew_stopped(&self, turn: &Turn) {
        let stopped = turn.entries.values().filter_map(|entry| entry.stopped.as_ref());
        let revisions: HashSet<Digest> = stopped.flat_map(|stopped| stopped.revisions.iter().copied()).collect();
        if !(revisions.is_empty() && self.stopped.load().is_empty()) {
            self.stopped.store(Arc::new(revisions));
        }
    }

    /// All kept revisions of a plugin: those of its name that offer one of its APIs.
    fn revisions_of(&self, manifest: &Manifest) -> Result<Vec<Digest>, super::RevisionError> {
        let bounds = self.config.bounds(Above::Lower);
        let mut revisions = self.revisions.list()?;
        revisions.retain(|digest| {
            let Some(text) = self.revisions.manifest(digest) else { return false };
            let Ok(other) = Manifest::parse(FILE_NAME, &text, &bounds) else { return false };
            other.plugin == manifest.plugin && other.apis.iter().any(|api| manifest.offers(&api.name))
        });
        Ok(revisions)
    }

    /// Lets a plugin serve what is there again, whatever was decided before: after a stop, a rollback or a quarantine.
    ///
    /// # Errors
    /// No such plugin, or what serves cannot be written down.
    pub async fn start(self: &Arc<Self>, key: &str) -> Result<(), PluginError> {
        self.start_of(key, None).await
    }

    /// The same by an owner, who may undo what it may do: a rollback, or a quarantine, of a plugin that is all its own.
    /// A stop is the operator's to end.
    ///
    /// # Errors
    /// As [`Plugins::start`]; or the plugin has APIs of others, or the operator stopped it.
    pub async fn start_of(self: &Arc<Self>, key: &str, only: Option<&Name>) -> Result<(), PluginError> {
        let (key, only) = (key.to_owned(), only.cloned());
        let start = move |plugins: &Arc<Self>| {
            if let Some(owner) = &only {
                plugins.check_all_of(owner, &key)?;
            }
            plugins.start_now(&key, only.is_some())
        };
        self.decide(start).await?;
        self.look(Look::settled()).await;
        Ok(())
    }

    /// Whether what serves and what was put aside are of this owner alone. Of a plugin that has nothing of the owner's
    /// it does not say that it is there.
    fn check_all_of(&self, owner: &Name, key: &str) -> Result<(), PluginError> {
        let unknown = || PluginError::Unknown(key.to_owned());
        let digests: Vec<Digest> = {
            let turn = lock(&self.turn);
            let entry = turn.entries.get(key).ok_or_else(unknown)?;
            let aside = entry.aside.as_ref().map(|aside| aside.digest);
            entry.held.as_ref().map(|held| held.digest).into_iter().chain(aside).chain(entry.pushed).collect()
        };
        let mut apis = Vec::new();
        for digest in digests {
            let kept = self.kept(digest, Above::Lower).map_err(|reason| PluginError::Load { digest, reason })?;
            apis.extend(kept.manifest.apis.into_iter().map(|api| api.name));
        }
        let (own, others): (Vec<ApiName>, Vec<ApiName>) = apis.into_iter().partition(|api| api.owner == *owner);
        match (own.into_iter().next(), others.is_empty()) {
            (None, _) => Err(unknown()),
            (Some(_), true) => Ok(()),
            (Some(api), false) => Err(PluginError::Shared(api)),
        }
    }

    fn start_now(&self, key: &str, by_owner: bool) -> Result<(), PluginError> {
        let mut turn = lock(&self.turn);
        let entry = turn.entries.get(key).ok_or_else(|| PluginError::Unknown(key.to_owned()))?;
        if by_owner && entry.stopped.is_some() {
            return Err(PluginError::OperatorsStop(key.to_owned()));
        }
        let mut record = record_of(&turn);
        if let Some(line) = record.plugins.get_mut(key) {
            (line.stopped, line.aside) = (None, None);
        }
        self.write(&mut turn, record).map_err(PluginError::Record)?;
        turn.decide(key);
        if let Some(entry) = turn.entries.get_mut(key) {
            (entry.stopped, entry.aside, entry.seen, entry.refused) = (None, None, None, None);
            entry.retry = None;
            self.tell_decision(entry, key);
        }
        self.renew_registry(&turn);
        self.publish(&mut turn);
        Ok(())
    }
}
