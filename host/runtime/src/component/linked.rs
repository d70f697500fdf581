//! A component that can be called, with a fresh instance for each call.

use std::fmt;
use std::sync::Arc;

use wasmtime::component::{ComponentExportIndex, InstancePre, TypedFunc};
use wasmtime::{Engine, Store};

use crate::bindings::Export;
use crate::engine::Scheme;
use crate::guest::State;
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
