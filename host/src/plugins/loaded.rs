//! From a revision's bytes to APIs that can be called.

use super::manifest::{ApiManifest, ApiTarget, ApiTransforms, Manifest};
use super::pipeline::Obstacle;
use super::registry::{ActiveApi, NamedTransform, Target, Transforms};
use super::revision::Revision;
use super::shared::{Component, Role};
use super::state::Stage;
use super::{Plugins, lock};
use crate::schema::Schema;
use crate::upstreams::Reach;
use ripost_domain::api::{ApiName, Digest};
use ripost_runtime::{CompileError, Limits, LoadError, TransformKind};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A revision, ready to serve.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) digest: Digest,
    pub(super) manifest: Arc<Manifest>,
    pub(super) apis: Vec<Arc<ActiveApi>>,
    /// Keeps them for whoever needs the same ones.
    _components: Components,
}

type Components = Vec<Arc<Component>>;

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
    /// Compiles and links a revision's components, and compiles its schemas. **Blocking**, for as long as the compiler takes.
    pub(super) fn load(&self, revision: &Revision, manifest: Arc<Manifest>) -> Result<Loaded, Failure> {
        let mut components = Vec::new();
        let mut parts = Vec::with_capacity(manifest.apis.len());
        for api in &manifest.apis {
            parts.push((
                self.target(revision, api, &mut components)?,
                self.transforms(revision, &api.transforms, &mut components)?,
                schema(revision, api)?,
            ));
        }
        let mut permits = lock(&self.permits);
        let apis = manifest.apis.iter().zip(parts).map(|(api, (target, transforms, schema))| {
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
                origins: api.origins.clone(),
                grants: self.granting.grants(&api.name, &api.grants),
                target,
                transforms,
                schema,
                permits: permits.of(&api.name, api.spec.concurrency),
            })
        });
        let apis = apis.collect();
        Ok(Loaded { digest: revision.digest(), apis, manifest: manifest.clone(), _components: components })
    }

    fn target(&self, revision: &Revision, api: &ApiManifest, kept: &mut Components) -> Result<Target, Failure> {
        let file = match &api.target {
            ApiTarget::Handler(file) => file,
            ApiTarget::Upstream(upstream) => {
                let reach = if revision.is_guarded() { Reach::Guarded } else { Reach::Any };
                return Ok(Target::Upstream { upstream: upstream.clone(), reach });
            }
        };
        let component = self.component(revision, file, Role::Handler, &api.limits, kept)?;
        match &*component {
            Component::Handler(handler) => Ok(Target::Handler(handler.clone())),
            Component::Transform(_) => unreachable!("it was asked for as a handler"),
        }
    }

    fn transforms(
        &self,
        revision: &Revision,
        asked: &ApiTransforms,
        kept: &mut Components,
    ) -> Result<Arc<Transforms>, Failure> {
        if asked.files().next().is_none() {
            return Ok(self.no_transforms.clone());
        }
        let mut chain = |files: &[String], kind| {
            let load = |file: &String| {
                let component = self.component(revision, file, Role::Transform(kind), &self.config.transform, kept)?;
                match &*component {
                    Component::Transform(transform) => {
                        Ok(NamedTransform { file: file.clone(), transform: transform.clone() })
                    }
                    Component::Handler(_) => unreachable!("it was asked for as a transform"),
                }
            };
            files.iter().map(load).collect::<Result<Vec<_>, Failure>>()
        };
        Ok(Arc::new(Transforms {
            request: chain(&asked.request, TransformKind::Request)?,
            response: chain(&asked.response, TransformKind::Response)?,
            webhook: chain(&asked.webhook, TransformKind::Webhook)?,
            webhook_on_error: asked.webhook_on_error,
            limits: self.no_transforms.limits.clone(),
        }))
    }

    /// A component of a revision, made ready or found ready.
    fn component(
        &self,
        revision: &Revision,
        file: &str,
        role: Role,
        limits: &Limits,
        kept: &mut Components,
    ) -> Result<Arc<Component>, Failure> {
        let failure =
            |stage, reason: String| Failure { stage, reason: format!("`{file}`: {reason}"), obstacle: Obstacle::Bad };
        let (Some(wasm), Some(digest)) = (revision.file(file), revision.file_digest(file)) else {
            return Err(failure(Stage::Discover, "the revision does not have it".to_owned()));
        };
        if let Some(ready) = self.shared.get(&digest, role, limits) {
            if !kept.iter().any(|component| Arc::ptr_eq(component, &ready)) {
                kept.push(ready.clone());
            }
            return Ok(ready);
        }
        let load = || match role {
            Role::Handler => self.runtime.load(wasm, limits).map(Component::Handler),
            Role::Transform(kind) => self.runtime.load_transform(wasm, kind, limits).map(Component::Transform),
        };
        // A panic of the compiler over somebody's bytes is their revision's end and nobody else's.
        match catch_unwind(AssertUnwindSafe(load)) {
            Ok(Ok(component)) => {
                let component = Arc::new(component);
                self.shared.insert(digest, role, limits, &component);
                kept.push(component.clone());
                Ok(component)
            }
            Ok(Err(error @ LoadError::Compile(CompileError::Unavailable(_)))) => {
                Err(Failure { obstacle: Obstacle::Passing, ..failure(Stage::Compile, error.to_string()) })
            }
            Ok(Err(error @ LoadError::Compile(_))) => Err(failure(Stage::Compile, error.to_string())),
            Ok(Err(error @ LoadError::WrongShape(_))) => Err(failure(Stage::Link, error.to_string())),
            Ok(Err(error)) => Err(failure(Stage::Admit, error.to_string())),
            Err(_) => Err(failure(Stage::Compile, "the compiler broke down over it; build it again".to_owned())),
        }
    }
}

/// The schema of an API's bodies, compiled.
fn schema(revision: &Revision, api: &ApiManifest) -> Result<Option<Arc<Schema>>, Failure> {
    let Some(file) = &api.schema else { return Ok(None) };
    let text = revision.file(file).unwrap_or_default();
    match Schema::compile(text) {
        Ok(schema) => Ok(Some(Arc::new(schema))),
        Err(error) => {
            Err(Failure { stage: Stage::Admit, reason: format!("`{file}`: {error}"), obstacle: Obstacle::Bad })
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
