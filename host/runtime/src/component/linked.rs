//! A component that can be called, with a fresh instance for each call.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::component::{ComponentExportIndex, InstancePre, TypedFunc};
use wasmtime::{Engine, Store};

use crate::bindings::Export;
use crate::engine::Scheme;
use crate::guest::State;
use crate::memory::{LIGHT_BYTES, LIGHT_FIRST_BYTES};
use crate::role::{Role, TransformKind};

/// Linked, and its export known to have the type of its role.
pub(crate) struct Linked {
    pub(super) pre: InstancePre<State>,
    pub(super) export: ComponentExportIndex,
    pub(super) role: Role,
    pub(super) digest: String,
    pub(super) imports: Vec<String>,
    pub(super) scheme: Scheme,
    pub(super) memory_bytes_max: usize,
    pub(super) weight: u32,
    pub(super) first_memory_bytes: usize,
    /// A run of it has held a thread for longer than it should.
    pub(super) has_stretched: AtomicBool,
}

impl Linked {
    /// Instantiates it and calls its export.
    ///
    /// # Panics
    /// If it is asked for what another role exports.
    pub(crate) async fn call<E: Export>(
        &self,
        store: &mut Store<State>,
        params: E::Params<'_>,
    ) -> wasmtime::Result<E::Return> {
        assert!(self.role == E::ROLE, "a {} is called as a {}", self.role, E::ROLE);
        let instance = self.pre.instantiate_async(&mut *store).await?;
        let function = instance
            .get_func(&mut *store, self.export)
            .ok_or_else(|| wasmtime::Error::msg("the export that was there at load is gone"))?;
        #[expect(
            unsafe_code,
            reason = "comparing the two types again costs each call what comparing them once told us"
        )]
        // SAFETY: a `Linked` of this role exists only if `typed_export` found its export to have this type.
        let function = unsafe { TypedFunc::<E::Params<'_>, E::Return>::new_unchecked(function) };
        function.call_async(store, params).await
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.pre.engine()
    }

    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    pub(crate) fn memory_bytes_max(&self) -> usize {
        self.memory_bytes_max
    }

    /// What has to be set aside before a run of it begins; 0 for one that starts small.
    pub(crate) fn reserved_bytes(&self) -> usize {
        if self.first_memory_bytes > LIGHT_BYTES { self.first_memory_bytes } else { 0 }
    }

    /// What a run of it may have before it is heavy.
    pub(crate) fn light_memory_bytes(&self) -> usize {
        self.reserved_bytes() + LIGHT_BYTES
    }

    /// Whether its runs are heavy from the beginning.
    pub(crate) fn is_heavy(&self) -> bool {
        self.first_memory_bytes > LIGHT_FIRST_BYTES || self.has_stretched.load(Ordering::Relaxed)
    }

    /// From now on its runs are. `false`: they were before.
    pub(crate) fn becomes_heavy(&self) -> bool {
        !self.has_stretched.swap(true, Ordering::Relaxed)
    }
}

macro_rules! loaded {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Arc<Linked>);

        impl $name {
            /// SHA-256 of the component, in hexadecimal.
            #[must_use]
            pub fn digest(&self) -> &str {
                &self.0.digest
            }

            /// The capabilities it imports, by their short names (`log`, `kv`), and `wasi` if it imports any of that.
            #[must_use]
            pub fn imports(&self) -> &[String] {
                &self.0.imports
            }

            /// Which engine it runs in.
            #[must_use]
            pub fn scheme(&self) -> Scheme {
                self.0.scheme
            }

            /// Places in the pool that one run takes; 1 for an ordinary component.
            #[must_use]
            pub fn weight(&self) -> u32 {
                self.0.weight
            }

            pub(crate) fn linked(&self) -> &Arc<Linked> {
                &self.0
            }
        }

        impl From<Linked> for $name {
            fn from(linked: Linked) -> Self {
                $name(Arc::new(linked))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter
                    .debug_struct(stringify!($name))
                    .field("digest", &self.0.digest)
                    .field("scheme", &self.0.scheme)
                    .finish_non_exhaustive()
            }
        }
    };
}

loaded! {
    /// A handler that can be called. Cheap to clone; calls that hold one finish on it, whatever was loaded since.
    Handler
}

loaded! {
    /// A transform that can be called. Cheap to clone, as a [`Handler`] is.
    Transform
}

impl Transform {
    /// What it rewrites.
    #[must_use]
    pub fn kind(&self) -> TransformKind {
        match self.0.role {
            Role::Transform(kind) => kind,
            Role::Handler | Role::HttpHandler => unreachable!("a `Transform` is made of nothing but a transform"),
        }
    }
}
