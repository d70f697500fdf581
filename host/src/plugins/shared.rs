//! Components that are ready, over all plugins: the same bytes under the same limits are compiled and linked once.

use super::lock;
use ripost_domain::api::Digest;
use ripost_runtime::{Handler, Limits, Transform, TransformKind};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

/// A component, ready to be called.
#[derive(Debug)]
pub(super) enum Component {
    Handler(Handler),
    Transform(Transform),
}

/// What a component is used as: the same bytes may be more than one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Handler,
    Transform(TransformKind),
}

/// Who is still in use. It keeps nothing alive: that is for the revisions.
#[derive(Debug, Default)]
pub(super) struct Shared {
    ready: Mutex<HashMap<Digest, Vec<Slot>>>,
}

#[derive(Debug)]
struct Slot {
    role: Role,
    limits: Limits,
    component: Weak<Component>,
}

impl Shared {
    pub(super) fn get(&self, digest: &Digest, role: Role, limits: &Limits) -> Option<Arc<Component>> {
        let ready = lock(&self.ready);
        let mut slots = ready.get(digest)?.iter().filter(|slot| slot.role == role && slot.limits == *limits);
        slots.find_map(|slot| slot.component.upgrade())
    }

    pub(super) fn insert(&self, digest: Digest, role: Role, limits: &Limits, component: &Arc<Component>) {
        let mut ready = lock(&self.ready);
        ready.retain(|_, slots| {
            slots.retain(|slot| slot.component.strong_count() > 0);
            !slots.is_empty()
        });
        let slot = Slot { role, limits: limits.clone(), component: Arc::downgrade(component) };
        ready.entry(digest).or_default().push(slot);
    }
}
