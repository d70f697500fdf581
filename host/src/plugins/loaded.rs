//! From a revision's bytes to APIs that can be called.

use super::manifest::Manifest;
use super::registry::ActiveApi;
use super::revision::Revision;
use super::state::Stage;
use super::swap::Obstacle;
use super::{Plugins, lock};
use ripost_domain::api::{ApiName, Digest};
use ripost_runtime::{CompileError, Handler, Limits, LoadError};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A revision, ready to serve.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) digest: Digest,
    pub(super) manifest: Arc<Manifest>,
    pub(super) apis: Vec<Arc<ActiveApi>>,
}

impl Loaded {
    pub(super) fn api(&self, name: &ApiName) -> Option<&Arc<ActiveApi>> {
        self.apis.iter().find(|api| api.name == *name)
    }
}

/// Why a revision cannot serve.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) stage: Stage,
    pub(super) reason: String,
    pub(super) obstacle: Obstacle,
}

impl Plugins {
    /// Compiles and links a revision's handlers. **Blocking**, for as long as the compiler takes.
    pub(super) fn load(&self, revision: &Revision, manifest: Arc<Manifest>) -> Result<Loaded, Failure> {
        let mut handlers: Vec<(&str, &Limits, Handler)> = Vec::new();
        for api in &manifest.apis {
            let known = handlers.iter().any(|(file, limits, _)| *file == api.handler && **limits == *api.limits);
            if !known {
                let handler = self.compile(revision, &api.handler, &api.limits)?;
                handlers.push((&api.handler, &api.limits, handler));
            }
        }
        let mut permits = lock(&self.permits);
        let apis = manifest.apis.iter().map(|api| {
            let handler = handlers.iter().find(|(file, limits, _)| *file == api.handler && **limits == *api.limits);
            Arc::new(ActiveApi {
                name: api.name.clone(),
                owner: Arc::from(api.name.owner.as_str()),
                digest: revision.digest(),
                plugin: manifest.plugin.to_string(),
                version: manifest.version.clone(),
                spec: api.spec,
                limits: api.limits.clone(),
                config: api.config.clone(),
                retry: api.retry.clone(),
                grants: self.granting.grants(&api.name, &api.grants),
                handler: handler.expect("each API's handler was compiled above").2.clone(),
                permits: permits.of(&api.name, api.spec.concurrency),
            })
        });
        let apis = apis.collect();
        Ok(Loaded { digest: revision.digest(), apis, manifest: manifest.clone() })
    }

    fn compile(&self, revision: &Revision, file: &str, limits: &Limits) -> Result<Handler, Failure> {
        let failure =
            |stage, reason: String| Failure { stage, reason: format!("`{file}`: {reason}"), obstacle: Obstacle::Bad };
        let Some(wasm) = revision.file(file) else {
            return Err(failure(Stage::Discover, "the revision does not have it".to_owned()));
        };
        // A panic of the compiler over somebody's bytes is their revision's end and nobody else's.
        match catch_unwind(AssertUnwindSafe(|| self.runtime.load(wasm, limits))) {
            Ok(Ok(handler)) => Ok(handler),
            Ok(Err(error @ LoadError::Compile(CompileError::Unavailable(_)))) => {
                Err(Failure { obstacle: Obstacle::Passing, ..failure(Stage::Compile, error.to_string()) })
            }
            Ok(Err(error @ LoadError::Compile(_))) => Err(failure(Stage::Compile, error.to_string())),
            Ok(Err(error)) => Err(failure(Stage::Admit, error.to_string())),
            Err(_) => Err(failure(Stage::Compile, "the compiler broke down over it; build it again".to_owned())),
        }
    }
}

/// Revisions that were replaced, or came back for an old request: the last few, so that what was accepted under them
/// needs no second compiling.
#[derive(Debug)]
pub(super) struct Older {
    /// The one used last in front.
    revisions: VecDeque<Arc<Loaded>>,
    max: usize,
}

impl Older {
    pub(super) fn new(max: usize) -> Self {
        Self { revisions: VecDeque::new(), max }
    }

    pub(super) fn get(&mut self, digest: Digest) -> Option<Arc<Loaded>> {
        let place = self.revisions.iter().position(|loaded| loaded.digest == digest)?;
        let loaded = self.revisions.remove(place)?;
        self.revisions.push_front(loaded.clone());
        Some(loaded)
    }

    pub(super) fn insert(&mut self, loaded: Arc<Loaded>) {
        self.remove(loaded.digest);
        self.revisions.push_front(loaded);
        self.revisions.truncate(self.max);
    }

    pub(super) fn remove(&mut self, digest: Digest) {
        self.revisions.retain(|loaded| loaded.digest != digest);
    }

    pub(super) fn contains(&self, digest: Digest) -> bool {
        self.revisions.iter().any(|loaded| loaded.digest == digest)
    }
}
