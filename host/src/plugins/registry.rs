//! The snapshot of all active revisions. A call takes one and keeps it to its end, so that a reload never changes it
//! half way.

use super::manifest::{ApiSpec, OnError, Upstream};
use crate::gateway::cors::Origins;
use crate::schema::Schema;
use crate::upstreams::Reach;
use ripost_domain::api::{ApiName, Digest};
use ripost_domain::delivery::RetryPolicy;
use ripost_runtime::{Grants, Handler, Limits, Transform};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// An API of a revision, ready to be called.
#[derive(Debug)]
pub struct ActiveApi {
    /// Owner and slug.
    pub name: ApiName,
    /// The owner again, as what turns are taken by.
    pub owner: Arc<str>,
    /// The revision: manifest and components.
    pub digest: Digest,
    /// The plugin's name, from its manifest.
    pub plugin: String,
    /// The plugin's version, from its manifest.
    pub version: String,
    /// Price and bounds of a request.
    pub spec: ApiSpec,
    /// What a run may use.
    pub limits: Arc<Limits>,
    /// What the handler's `config.get` answers from.
    pub config: Arc<BTreeMap<String, String>>,
    /// How its deliveries are retried, if not as the operator has it.
    pub retry: Option<Arc<RetryPolicy>>,
    /// Whose pages may call it, besides those that the operator lets in.
    pub origins: Arc<Origins>,
    /// What its runs may reach.
    pub grants: Grants,
    /// Who answers.
    pub target: Target,
    /// What stands between consumer and whoever answers; of the same revision.
    pub transforms: Arc<Transforms>,
    /// What its bodies have to be; of the same revision.
    pub schema: Option<Arc<Schema>>,
    /// Runs at once; the same for all revisions of this API.
    pub permits: Arc<Semaphore>,
}

/// Who answers an API's requests.
#[derive(Debug)]
pub enum Target {
    /// A component.
    Handler(Handler),
    /// A service of the owner's.
    Upstream {
        /// Where, and when it answers.
        upstream: Upstream,
        /// How far its address may reach.
        reach: Reach,
    },
}

impl Target {
    /// The component, if it is one.
    #[must_use]
    pub fn handler(&self) -> Option<&Handler> {
        match self {
            Self::Handler(handler) => Some(handler),
            Self::Upstream { .. } => None,
        }
    }
}

/// The transforms of one API, in the order in which they run.
#[derive(Debug)]
pub struct Transforms {
    /// On what the consumer sent.
    pub request: Vec<NamedTransform>,
    /// On the handler's answer.
    pub response: Vec<NamedTransform>,
    /// On the webhook's payload.
    pub webhook: Vec<NamedTransform>,
    /// What becomes of a webhook whose transform fails.
    pub webhook_on_error: OnError,
    /// What each of them may use.
    pub limits: Arc<Limits>,
}

impl Transforms {
    /// Of an API that has none.
    #[must_use]
    pub fn none(limits: Arc<Limits>) -> Self {
        let (request, response, webhook) = (Vec::new(), Vec::new(), Vec::new());
        Self { request, response, webhook, webhook_on_error: OnError::Fail, limits }
    }

    /// Whether there is none of any kind.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty() && self.webhook.is_empty()
    }
}

/// A transform and what problems call it by.
#[derive(Debug, Clone)]
pub struct NamedTransform {
    /// Its file in the revision.
    pub file: String,
    /// What is called.
    pub transform: Transform,
}

/// All active APIs.
#[derive(Debug, Default)]
pub struct Registry {
    by_owner: HashMap<Box<str>, HashMap<Box<str>, Arc<ActiveApi>>>,
    /// In the order of their names.
    awaited: Vec<ApiName>,
    /// Whose pages may call any of them.
    origins: Origins,
    stopped: Names,
    coming: Names,
}

/// Slugs by owner.
type Names = HashMap<Box<str>, HashSet<Box<str>>>;

/// Why a name is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// The operator has stopped the plugin that offers it.
    Stopped,
    /// It is being made ready, for the first time or after a start.
    Coming,
    /// Nobody offers it.
    Unknown,
}

impl Registry {
    /// Of these APIs, and the names of those that the operator has stopped, that served before, and that are being made
    /// ready; of two with one name the later counts, which
    /// the caller has ruled out.
    pub(super) fn new<'a>(
        apis: impl IntoIterator<Item = &'a Arc<ActiveApi>>,
        stopped: impl IntoIterator<Item = &'a ApiName>,
        awaited: impl IntoIterator<Item = &'a ApiName>,
        coming: impl IntoIterator<Item = &'a ApiName>,
    ) -> Self {
        let mut registry = Self::default();
        for api in apis {
            registry.origins.add(&api.origins);
            let slugs = registry.by_owner.entry(api.name.owner.as_str().into()).or_default();
            slugs.insert(api.name.slug.as_str().into(), api.clone());
        }
        for name in stopped {
            insert(&mut registry.stopped, name);
        }
        for name in coming {
            insert(&mut registry.coming, name);
        }
        for name in awaited {
            insert(&mut registry.coming, name);
            registry.awaited.push(name.clone());
        }
        registry.awaited.sort_unstable();
        registry
    }

    /// The API of this name. Once for each call; allocates nothing.
    #[must_use]
    pub fn api(&self, owner: &str, slug: &str) -> Option<&Arc<ActiveApi>> {
        self.by_owner.get(owner)?.get(slug)
    }

    /// Whose pages may call one of them at least.
    #[must_use]
    pub fn origins(&self) -> &Origins {
        &self.origins
    }

    /// Why there is no API of this name. Callers of one that is stopped or on its way are told to come back (503) rather
    /// than that there is no such API (404): their URL is right.
    #[must_use]
    pub fn absent(&self, owner: &str, slug: &str) -> Absent {
        let has = |names: &Names| names.get(owner).is_some_and(|slugs| slugs.contains(slug));
        if has(&self.stopped) {
            Absent::Stopped
        } else if has(&self.coming) {
            Absent::Coming
        } else {
            Absent::Unknown
        }
    }

    /// The APIs that served when the host was stopped and do not yet again, in the order of their names.
    #[must_use]
    pub fn awaited(&self) -> &[ApiName] {
        &self.awaited
    }

    /// All of them, in the order of their names.
    #[must_use]
    pub fn apis(&self) -> Vec<&Arc<ActiveApi>> {
        let mut apis: Vec<&Arc<ActiveApi>> = self.by_owner.values().flat_map(HashMap::values).collect();
        apis.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        apis
    }
}

fn insert(names: &mut Names, name: &ApiName) {
    names.entry(name.owner.as_str().into()).or_default().insert(name.slug.as_str().into());
}
