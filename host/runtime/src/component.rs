//! From bytes to something that can be called: [`Facts`] (looked at, nothing run), [`Compiled`], and [`Handler`]
//! (linked and type-checked). Each step has its own errors, and all of them come before the first call.

mod admit;
mod facts;
mod inspection;
mod load_error;

use std::fmt::{self, Write as _};
use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};

use crate::bindings::{HandleParams, HandleResult};
use crate::compiler::CompileError;
use crate::engine::{POOL_INSTANCES, POOL_MEMORIES, POOL_TABLES, Scheme};
use crate::guest::State;
use crate::limits::Limits;

pub(crate) use self::admit::{inspect, kind};
pub(crate) use self::facts::{Facts, pack, unpack};
pub use self::inspection::Inspection;
pub use self::load_error::LoadError;

/// Machine code, not linked yet.
pub(crate) struct Compiled {
    component: Component,
    export: ComponentExportIndex,
    facts: Facts,
    scheme: Scheme,
    weight: u32,
}

impl Compiled {
    /// `code` must come from this host's own compiler: it is run as it is.
    pub(crate) fn from_code(
        engine: &Engine,
        code: &[u8],
        facts: Facts,
        scheme: Scheme,
        limits: &Limits,
    ) -> Result<Self, LoadError> {
        #[expect(unsafe_code, reason = "wasmtime cannot check machine code; whoever made it is trusted")]
        // SAFETY: a `Compiler` returns nothing but what `compile` made for this engine: its own process's output, or an
        // artefact from a private folder whose MAC was checked over these very bytes.
        let component = unsafe { Component::deserialize(engine, code) };
        let component = component.map_err(|error| LoadError::Compile(CompileError::Refused(format!("{error:#}"))))?;
        let weight = weight(&component, &facts, limits)?;
        let export = handle_export(engine, &component, &facts.handle)?;
        if scheme == Scheme::Large {
            // Made here, or else the first call would pay for it.
            component
                .initialize_copy_on_write_image()
                .map_err(|error| LoadError::Compile(CompileError::Unavailable(format!("{error:#}"))))?;
        }
        Ok(Compiled { component, export, facts, scheme, weight })
    }

    pub(crate) fn link(
        self,
        linker: &Linker<State>,
        digest: [u8; 32],
        memory_bytes_max: usize,
    ) -> Result<Handler, LoadError> {
        let pre =
            linker.instantiate_pre(&self.component).map_err(|error| LoadError::WrongShape(format!("{error:#}")))?;
        Ok(Handler(Arc::new(Linked {
            pre,
            export: self.export,
            digest: hex(&digest),
            imports: self.facts.imports,
            scheme: self.scheme,
            memory_bytes_max,
            weight: self.weight,
        })))
    }
}

/// Places in the pool that one instance takes, counted in ordinary components; refuses what takes more than it may.
fn weight(component: &Component, facts: &Facts, limits: &Limits) -> Result<u32, LoadError> {
    let mut weight = facts.instances.div_ceil(POOL_INSTANCES);
    if let Some(needs) = component.resources_required() {
        let memories = usize::try_from(needs.num_memories).unwrap_or(usize::MAX);
        let tables = usize::try_from(needs.num_tables).unwrap_or(usize::MAX);
        for (what, count, count_max) in [("memories", memories, limits.memories), ("tables", tables, limits.tables)] {
            if count > count_max {
                return Err(LoadError::TooMany { what, limit: what, count, count_max });
            }
        }
        weight = weight.max(memories.div_ceil(POOL_MEMORIES)).max(tables.div_ceil(POOL_TABLES));
    }
    Ok(u32::try_from(weight.max(1)).unwrap_or(u32::MAX))
}

/// Finds `handle` and checks its type, so that a component built against another contract fails here and not in the
/// first call.
fn handle_export(engine: &Engine, component: &Component, name: &str) -> Result<ComponentExportIndex, LoadError> {
    let shape = |error: wasmtime::Error| LoadError::WrongShape(format!("{error:#}"));
    let missing = || LoadError::WrongShape(format!("`{name}` has no function `handle`"));
    let interface = component.get_export_index(None, name).ok_or_else(missing)?;
    let export = component.get_export_index(Some(&interface), "handle").ok_or_else(missing)?;
    let ty = component.component_type();
    let function = handle_type(engine, &ty, name).ok_or_else(missing)?;
    function.typecheck::<HandleParams<'_>, HandleResult>(&ty.instance_type()).map_err(shape)?;
    Ok(export)
}

fn handle_type(engine: &Engine, ty: &wasmtime::component::types::Component, name: &str) -> Option<ComponentFunc> {
    let ComponentItem::ComponentInstance(interface) = ty.get_export(engine, name)?.ty else { return None };
    let ComponentItem::ComponentFunc(function) = interface.get_export(engine, "handle")?.ty else { return None };
    Some(function)
}

/// A component that can be called, with a fresh instance for each call. Cheap to clone; calls that hold one finish on
/// it, whatever was loaded since.
#[derive(Clone)]
pub struct Handler(Arc<Linked>);

struct Linked {
    pre: InstancePre<State>,
    export: ComponentExportIndex,
    digest: String,
    imports: Vec<String>,
    scheme: Scheme,
    memory_bytes_max: usize,
    weight: u32,
}

impl Handler {
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

    pub(crate) fn pre(&self) -> &InstancePre<State> {
        &self.0.pre
    }

    pub(crate) fn export(&self) -> &ComponentExportIndex {
        &self.0.export
    }

    pub(crate) fn memory_bytes_max(&self) -> usize {
        self.0.memory_bytes_max
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Handler")
            .field("digest", &self.0.digest)
            .field("scheme", &self.0.scheme)
            .finish_non_exhaustive()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
