//! The API of a request: of the revision that serves, or of an older one that the request was accepted under, which is
//! then made ready from the data folder.

use super::loaded::{Assembly, Failure, Loaded};
use super::manifest::{Above, FILE_NAME, Manifest};
use super::pipeline::Obstacle;
use super::registry::ActiveApi;
use super::{PluginError, Plugins, lock};
use crate::compile::{Claim, Urgency};
use ripost_domain::api::{ApiName, Digest};
use ripost_runtime::Job;
use std::sync::{Arc, Weak};

impl Plugins {
    /// An API as it was in a revision: the active one, or one that a request was accepted under. If that one was put aside
    /// since, its successor answers.
    ///
    /// # Errors
    /// The revision is not in the data folder, is damaged, cannot be made ready, never had that API, or is of a plugin that
    /// the operator stopped.
    pub async fn api_at(self: &Arc<Self>, digest: Digest, api: &ApiName) -> Result<Arc<ActiveApi>, PluginError> {
        if let Some(active) = self.active(digest, api) {
            return Ok(active);
        }
        if self.stopped.load().contains(&digest) {
            return Err(PluginError::Stopped(digest));
        }
        self.api_of(digest, api).await
    }

    /// The same for a request with a committed step: it stays with the revision that committed it, put aside or not.
    ///
    /// # Errors
    /// As [`Plugins::api_at`].
    pub async fn api_bound(self: &Arc<Self>, digest: Digest, api: &ApiName) -> Result<Arc<ActiveApi>, PluginError> {
        if self.stopped.load().contains(&digest) {
            return Err(PluginError::Stopped(digest));
        }
        self.loaded_at(digest, api).await
    }

    /// The same, and of a stopped plugin too: for what there is to say of its requests.
    ///
    /// # Errors
    /// As [`Plugins::api_at`].
    pub async fn api_of(self: &Arc<Self>, digest: Digest, api: &ApiName) -> Result<Arc<ActiveApi>, PluginError> {
        let successor = self.successor(digest);
        if successor != digest {
            match self.loaded_at(successor, api).await {
                // What it does not offer, or cannot, the one that was put aside still does.
                Err(PluginError::NoSuchApi { .. } | PluginError::Revision(_) | PluginError::Load { .. }) => {}
                answered => return answered,
            }
        }
        self.loaded_at(digest, api).await
    }

    async fn loaded_at(self: &Arc<Self>, digest: Digest, api: &ApiName) -> Result<Arc<ActiveApi>, PluginError> {
        if let Some(found) = self.ready(digest, api) {
            return found;
        }
        let one = self.older_turn(digest);
        let _turn = one.lock().await;
        if let Some(found) = self.ready(digest, api) {
            return found;
        }
        // What served before the start is being made ready anyway.
        let mut changes = self.changes.subscribe();
        while self.is_underway(digest) {
            tokio::select! {
                changed = changes.changed() => changed.expect("the sender lives in `self`"),
                () = self.stopping.cancelled() => return Err(stopping(digest)),
            }
        }
        if let Some(found) = self.ready(digest, api) {
            return found;
        }
        // Each holds its revision in memory.
        let _place = self.recalling.acquire(&Arc::from(api.owner.as_str()), 1).await;
        let loaded = Arc::new(self.recall(digest).await?);
        lock(&self.older).insert(loaded.clone());
        find(&loaded, api)
    }

    fn older_turn(&self, digest: Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = lock(&self.older_turns);
        if let Some(turn) = turns.get(&digest).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(digest, Arc::downgrade(&turn));
        turn
    }

    fn is_underway(&self, digest: Digest) -> bool {
        lock(&self.plan).is_underway(digest)
    }

    /// Whether a revision was put aside, or its plugin stopped, since somebody was given it. Once for each run; no lock.
    #[must_use]
    pub fn is_out_of_service(&self, digest: Digest) -> bool {
        self.successors.load().contains_key(&digest) || self.stopped.load().contains(&digest)
    }

    fn active(&self, digest: Digest, api: &ApiName) -> Option<Arc<ActiveApi>> {
        let registry = self.registry.load();
        registry.api(api.owner.as_str(), api.slug.as_str()).filter(|active| active.digest == digest).cloned()
    }

    fn ready(&self, digest: Digest, api: &ApiName) -> Option<Result<Arc<ActiveApi>, PluginError>> {
        if let Some(active) = self.active(digest, api) {
            return Some(Ok(active));
        }
        let loaded = lock(&self.older).get(digest)?;
        Some(find(&loaded, api))
    }

    /// Makes a revision ready from the data folder, under the ceiling of today.
    pub(super) async fn recall(self: &Arc<Self>, digest: Digest) -> Result<Loaded, PluginError> {
        let failed = |Failure { reason, obstacle, .. }: Failure| match obstacle {
            Obstacle::Bad | Obstacle::Others => PluginError::Load { digest, reason },
            Obstacle::Passing | Obstacle::For(_) | Obstacle::Interrupted => PluginError::NotNow { digest, reason },
        };
        let plugins = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let revision = plugins.revisions.load(&digest)?;
            let failed = |reason: String| PluginError::Load { digest, reason };
            let text = revision.manifest().ok_or_else(|| failed(format!("it has no {FILE_NAME}")))?;
            let manifest = Manifest::parse(FILE_NAME, text, &plugins.config.bounds(Above::Lower));
            let manifest = manifest.map_err(|error| failed(error.to_string()))?;
            Ok::<_, PluginError>((Arc::new(revision), Arc::new(manifest)))
        });
        let (revision, manifest) = reading.await.map_err(|_| PluginError::Lost)??;
        let owner: Arc<str> = manifest.apis.first().map_or("", |api| api.name.owner.as_str()).into();
        let mut made = Vec::new();
        loop {
            let (of, manifest, there) = (revision.clone(), manifest.clone(), made.clone());
            let assembly = self.blocking(move |plugins| plugins.assemble(&of, &manifest, &there)).await;
            let lacks = match assembly.map_err(failed)? {
                Assembly::Whole(loaded) => return Ok(loaded),
                Assembly::Lacks(lacks) => lacks,
            };
            for want in lacks {
                let (owner, component) = (owner.clone(), *want.digest.as_bytes());
                let claim = Claim { owner, urgency: Urgency::Missed, bytes: want.bytes, component };
                let _worker = tokio::select! {
                    worker = self.recalls.worker(claim) => worker,
                    () = self.stopping.cancelled() => return Err(stopping(digest)),
                };
                let of = revision.clone();
                let making = self.blocking(move |plugins| plugins.make(&of, &want, &Job::default()));
                made.push(making.await.map_err(failed)?);
            }
        }
    }
}

fn stopping(digest: Digest) -> PluginError {
    PluginError::NotNow { digest, reason: "the gateway is stopping".to_owned() }
}

fn find(loaded: &Loaded, api: &ApiName) -> Result<Arc<ActiveApi>, PluginError> {
    let found = loaded.api(api).cloned();
    found.ok_or_else(|| PluginError::NoSuchApi { digest: loaded.digest, api: api.clone() })
}
