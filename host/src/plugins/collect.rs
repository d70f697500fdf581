//! Revisions that nothing needs any more leave the data folder.

use super::record::Record;
use super::revision::{Revision, RevisionError};
use super::scan::Turn;
use super::{PluginError, Plugins, lock};
use ripost_domain::api::Digest;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

impl Plugins {
    /// Removes revisions that are neither active nor the one before, nor in `in_use` (what unfinished requests name),
    /// nor held by a call that is on its way, and returns them.
    ///
    /// One goes at the second call in a row that finds it unused: a request that is accepted while the caller gathers
    /// `in_use` would otherwise lose its revision. Call it every few minutes.
    ///
    /// # Errors
    /// A folder that cannot be read or removed; the others stay for the next time.
    pub async fn collect(self: &Arc<Self>, in_use: &HashSet<Digest>) -> Result<Vec<Digest>, PluginError> {
        let (plugins, in_use) = (self.clone(), in_use.clone());
        let collecting = tokio::task::spawn_blocking(move || plugins.collect_now(&in_use));
        Ok(collecting.await.map_err(|_| PluginError::Lost)??)
    }

    /// Keeps a revision that is to serve. What the last look found unused counts for nothing from now on: it has until the
    /// second look after this to be named by whatever needs it.
    pub(super) fn keep(&self, revision: &Revision) -> Result<(), RevisionError> {
        lock(&self.turn).unused.remove(&revision.digest());
        self.revisions.save(revision)
    }

    fn collect_now(&self, in_use: &HashSet<Digest>) -> Result<Vec<Digest>, RevisionError> {
        let mut turn = lock(&self.turn);
        if !turn.started || Record::is_set_aside(self.revisions.folder()) {
            return Ok(Vec::new());
        }
        let kept = self.needed(&turn);
        let listed = self.revisions.list()?;
        let unused: BTreeSet<Digest> =
            listed.into_iter().filter(|digest| !kept.contains(digest) && !in_use.contains(digest)).collect();
        let before = std::mem::take(&mut turn.unused);
        let mut removed = Vec::new();
        for digest in unused.intersection(&before) {
            lock(&self.older).remove(*digest);
            self.revisions.remove(digest)?;
            tracing::info!(revision = %digest.short(), "Revision {} is no longer needed and was removed", digest.short());
            removed.push(*digest);
        }
        turn.unused = unused.difference(&before).copied().collect();
        Ok(removed)
    }

    fn needed(&self, turn: &Turn) -> HashSet<Digest> {
        let mut kept = HashSet::new();
        for entry in turn.entries.values() {
            kept.extend(entry.held.as_ref().map(|held| held.digest));
            kept.extend(entry.previous);
            kept.extend(entry.lost);
            kept.extend(entry.pushed);
            kept.extend(entry.aside.as_ref().map(|aside| aside.digest));
        }
        kept.extend(turn.moves.iter().map(|step| step.to));
        let older = lock(&self.older);
        for api in turn.replaced.iter().filter_map(std::sync::Weak::upgrade) {
            // This one, and the one of `older`; any other is a call on its way.
            if Arc::strong_count(&api) > 1 + usize::from(older.contains(api.digest)) {
                kept.insert(api.digest);
            }
        }
        kept
    }
}
