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
use ripost_runtime::{CompileError, Job, Limits, LoadError, TransformKind};
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
    _components: Vec<Arc<Component>>,
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

/// What came of a look at a revision.
pub(super) enum Assembly {
    /// All of it is there.
    Whole(Loaded),
    /// These are fine and still to be compiled, the smallest first.
    Lacks(Vec<Want>),
}

/// A component that a revision needs, and what it is needed as.
#[derive(Debug, Clone)]
pub(super) struct Want {
    file: String,
    role: Role,
    limits: Arc<Limits>,
    pub(super) digest: Digest,
    pub(super) bytes: u64,
}

impl Plugins {
    /// Looks at all of a revision and joins what is compiled already; `made` is what the caller has had compiled for it.
    /// Never asks the compiler. **Blocking**, for a look at each byte.
    pub(super) fn assemble(
        &self,
        revision: &Revision,
        manifest: &Arc<Manifest>,
        made: &[Arc<Component>],
    ) -> Result<Assembly, Failure> {
        let schemas = manifest.apis.iter().map(|api| schema(revision, api)).collect::<Result<Vec<_>, _>>()?;
        let (mut components, mut lacks) = (made.to_vec(), Vec::new());
        for want in self.wants(revision, manifest)? {
            match self.compiled(revision, &want)? {
                Some(component) if components.iter().any(|kept| Arc::ptr_eq(kept, &component)) => {}
                Some(component) => components.push(component),
                None => lacks.push(want),
            }
        }
        if !lacks.is_empty() {
            lacks.sort_by_key(|want| want.bytes);
            return Ok(Assembly::Lacks(lacks));
        }
        let mut parts = Vec::with_capacity(manifest.apis.len());
        for (api, schema) in manifest.apis.iter().zip(schemas) {
            parts.push((self.target(revision, api)?, self.transforms(revision, &api.transforms)?, schema));
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
        Ok(Assembly::Whole(Loaded {
            digest: revision.digest(),
            apis,
            manifest: manifest.clone(),
            _components: components,
        }))
    }

    /// Has a component compiled. **Blocking**, for as long as the compiler takes; whoever calls has the turn for it.
    pub(super) fn make(&self, revision: &Revision, want: &Want, job: &Job) -> Result<Arc<Component>, Failure> {
        // Another revision may have had the same one compiled meanwhile.
        if let Some(ready) = self.shared.get(&want.digest, want.role, &want.limits) {
            return Ok(ready);
        }
        let wasm = want.wasm(revision)?;
        let made = match want.role {
            Role::Handler => guarded(|| self.runtime.load_within(wasm, &want.limits, job).map(Component::Handler)),
            Role::Transform(kind) => {
                guarded(|| self.runtime.load_transform_within(wasm, kind, &want.limits, job).map(Component::Transform))
            }
        };
        made.map(|component| self.share(want, component)).map_err(|error| want.failure(error))
    }

    /// A component that needs no compiling. **Blocking**, for a look at its bytes.
    fn compiled(&self, revision: &Revision, want: &Want) -> Result<Option<Arc<Component>>, Failure> {
        if let Some(ready) = self.shared.get(&want.digest, want.role, &want.limits) {
            return Ok(Some(ready));
        }
        let wasm = want.wasm(revision)?;
        let found = match want.role {
            Role::Handler => guarded(|| Ok(self.runtime.load_compiled(wasm, &want.limits)?.map(Component::Handler))),
            Role::Transform(kind) => guarded(|| {
                Ok(self.runtime.load_compiled_transform(wasm, kind, &want.limits)?.map(Component::Transform))
            }),
        };
        let found = found.map_err(|error| want.failure(error))?;
        Ok(found.map(|component| self.share(want, component)))
    }

    fn share(&self, want: &Want, component: Component) -> Arc<Component> {
        let component = Arc::new(component);
        self.shared.insert(want.digest, want.role, &want.limits, &component);
        component
    }

    /// The components of a revision, each once.
    fn wants(&self, revision: &Revision, manifest: &Manifest) -> Result<Vec<Want>, Failure> {
        let mut wants: Vec<Want> = Vec::new();
        let mut add = |want: Want| {
            if !wants.iter().any(|other| other.is_same(&want)) {
                wants.push(want);
            }
        };
        for api in &manifest.apis {
            if let ApiTarget::Handler(file) = &api.target {
                add(Want::new(revision, file, Role::Handler, &api.limits)?);
            }
            for (files, kind) in [
                (&api.transforms.request, TransformKind::Request),
                (&api.transforms.response, TransformKind::Response),
                (&api.transforms.webhook, TransformKind::Webhook),
            ] {
                for file in files {
                    add(Want::new(revision, file, Role::Transform(kind), &self.no_transforms.limits)?);
                }
            }
        }
        Ok(wants)
    }

    fn target(&self, revision: &Revision, api: &ApiManifest) -> Result<Target, Failure> {
        let file = match &api.target {
            ApiTarget::Handler(file) => file,
            ApiTarget::Upstream(upstream) => {
                let reach = if revision.is_guarded() { Reach::Guarded } else { Reach::Any };
                return Ok(Target::Upstream { upstream: upstream.clone(), reach });
            }
        };
        match &*self.ready_component(&Want::new(revision, file, Role::Handler, &api.limits)?)? {
            Component::Handler(handler) => Ok(Target::Handler(handler.clone())),
            Component::Transform(_) => unreachable!("it was asked for as a handler"),
        }
    }

    fn transforms(&self, revision: &Revision, asked: &ApiTransforms) -> Result<Arc<Transforms>, Failure> {
        if asked.files().next().is_none() {
            return Ok(self.no_transforms.clone());
        }
        let chain = |files: &[String], kind| {
            let load = |file: &String| {
                let want = Want::new(revision, file, Role::Transform(kind), &self.no_transforms.limits)?;
                match &*self.ready_component(&want)? {
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

    /// One that [`Plugins::assemble`] has found, and holds.
    fn ready_component(&self, want: &Want) -> Result<Arc<Component>, Failure> {
        let ready = self.shared.get(&want.digest, want.role, &want.limits);
        ready.ok_or_else(|| want.failed(Stage::Link, "it was ready and is not any more".to_owned(), Obstacle::Passing))
    }
}

impl Want {
    fn new(revision: &Revision, file: &str, role: Role, limits: &Arc<Limits>) -> Result<Self, Failure> {
        let (Some(wasm), Some(digest)) = (revision.file(file), revision.file_digest(file)) else {
            let reason = format!("`{file}`: the revision does not have it");
            return Err(Failure { stage: Stage::Discover, reason, obstacle: Obstacle::Bad });
        };
        Ok(Self { file: file.to_owned(), role, limits: limits.clone(), digest, bytes: wasm.len() as u64 })
    }

    fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest && self.role == other.role && self.limits == other.limits
    }

    fn wasm<'r>(&self, revision: &'r Revision) -> Result<&'r [u8], Failure> {
        let missing = || self.failed(Stage::Discover, "the revision does not have it".to_owned(), Obstacle::Bad);
        revision.file(&self.file).ok_or_else(missing)
    }

    fn failed(&self, stage: Stage, reason: String, obstacle: Obstacle) -> Failure {
        Failure { stage, reason: format!("`{}`: {reason}", self.file), obstacle }
    }

    fn failure(&self, error: Option<LoadError>) -> Failure {
        let Some(error) = error else {
            let reason = "the compiler broke down over it; build it again".to_owned();
            return self.failed(Stage::Compile, reason, Obstacle::Bad);
        };
        let (stage, obstacle) = match &error {
            LoadError::Compile(CompileError::Unavailable(_)) => (Stage::Compile, Obstacle::Passing),
            LoadError::Compile(CompileError::Interrupted) => (Stage::Compile, Obstacle::Interrupted),
            LoadError::Compile(_) => (Stage::Compile, Obstacle::Bad),
            LoadError::WrongShape(_) => (Stage::Link, Obstacle::Bad),
            _ => (Stage::Admit, Obstacle::Bad),
        };
        self.failed(stage, error.to_string(), obstacle)
    }
}

/// A panic over somebody's bytes is their revision's end and nobody else's; it is an error without a word.
fn guarded<T>(load: impl FnOnce() -> Result<T, LoadError>) -> Result<T, Option<LoadError>> {
    catch_unwind(AssertUnwindSafe(load)).map_err(|_| None)?.map_err(Some)
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
