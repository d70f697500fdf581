//! From bytes to something that can be called: [`Facts`] (looked at, nothing run), [`Compiled`], and [`Linked`]
//! (type-checked too). Each step has its own errors, and all of them come before the first call.

mod admit;
mod facts;
mod inspection;
mod linked;
mod load_error;
mod toolchain;

use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;

use wasmtime::Engine;
use wasmtime::component::types::{self, ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, Linker};

use crate::bindings::{ApplyRequest, ApplyResponse, ApplyWebhook, Export, Handle, HandleHttp};
use crate::compiler::CompileError;
use crate::engine::{POOL_INSTANCES, POOL_MEMORIES, POOL_TABLES, Scheme};
use crate::guest::State;
use crate::limits::Limits;
use crate::role::{Role, TransformKind};

pub(crate) use self::admit::{inspect, kind};
pub(crate) use self::facts::{Facts, pack, unpack};
pub use self::inspection::Inspection;
pub(crate) use self::linked::Linked;
pub use self::linked::{Handler, Transform};
pub use self::load_error::LoadError;
pub use self::toolchain::Toolchain;

/// Machine code, not linked yet.
pub(crate) struct Compiled {
    component: Component,
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
        if scheme == Scheme::Large {
            // Made here, or else the first call would pay for it.
            component
                .initialize_copy_on_write_image()
                .map_err(|error| LoadError::Compile(CompileError::Unavailable(format!("{error:#}"))))?;
        }
        Ok(Compiled { component, facts, scheme, weight })
    }

    pub(crate) fn link(
        self,
        linker: &Linker<State>,
        digest: [u8; 32],
        memory_bytes_max: usize,
    ) -> Result<Linked, LoadError> {
        let shape = |error: wasmtime::Error| LoadError::WrongShape(format!("{error:#}"));
        let pre = linker.instantiate_pre(&self.component).map_err(shape)?;
        // With the host's resources in place of those that it imports.
        let ty = linker.substituted_component_type(&self.component).map_err(shape)?;
        let export = typed_export(linker.engine(), &self.component, &ty, &self.facts.export, self.facts.role)?;
        Ok(Linked {
            pre,
            export,
            role: self.facts.role,
            digest: hex(&digest),
            imports: self.facts.imports,
            scheme: self.scheme,
            memory_bytes_max,
            weight: self.weight,
            first_memory_bytes: usize::try_from(self.facts.first_memory_bytes).unwrap_or(usize::MAX),
            has_stretched: AtomicBool::new(false),
        })
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

/// Finds the function of a role and checks its type, so that a component built against another contract fails here and
/// not in the first call.
fn typed_export(
    engine: &Engine,
    component: &Component,
    ty: &types::Component,
    interface: &str,
    role: Role,
) -> Result<ComponentExportIndex, LoadError> {
    let missing = || LoadError::WrongShape(format!("`{interface}` has no function `{}`", role.function()));
    let instance = component.get_export_index(None, interface).ok_or_else(missing)?;
    let export = component.get_export_index(Some(&instance), role.function()).ok_or_else(missing)?;
    let function = function_type(engine, ty, interface, role).ok_or_else(missing)?;
    let checked = match role {
        Role::Handler => typecheck::<Handle>(&function, ty),
        Role::HttpHandler => typecheck::<HandleHttp>(&function, ty),
        Role::Transform(TransformKind::Request) => typecheck::<ApplyRequest>(&function, ty),
        Role::Transform(TransformKind::Response) => typecheck::<ApplyResponse>(&function, ty),
        Role::Transform(TransformKind::Webhook) => typecheck::<ApplyWebhook>(&function, ty),
    };
    checked.map_err(|error| LoadError::WrongShape(format!("{error:#}")))?;
    Ok(export)
}

fn typecheck<E: Export>(function: &ComponentFunc, ty: &types::Component) -> wasmtime::Result<()> {
    function.typecheck::<E::Params<'_>, E::Return>(&ty.instance_type())
}

fn function_type(engine: &Engine, ty: &types::Component, interface: &str, role: Role) -> Option<ComponentFunc> {
    let ComponentItem::ComponentInstance(interface) = ty.get_export(engine, interface)?.ty else { return None };
    let ComponentItem::ComponentFunc(function) = interface.get_export(engine, role.function())?.ty else { return None };
    Some(function)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
