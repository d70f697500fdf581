//! The smallest components there are: enough to be compiled, linked and told apart.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const CONTRACT: &str = include_str!("../../../../wit/ripost.wit");

/// A handler that traps when it is called; another `mark` gives other bytes.
pub(crate) fn handler(mark: &str) -> Vec<u8> {
    component(mark, "", "ripost:plugin/handler@1.0.0")
}

/// A handler that never ends.
pub(crate) fn spins() -> Vec<u8> {
    let spins = "(func $spin (loop $again (br $again))) (start $spin)";
    component("spins", spins, "ripost:plugin/handler@1.0.0")
}

/// One that imports `kv`, which no guest is granted.
pub(crate) fn asks_kv() -> Vec<u8> {
    let import = "(import \"ripost:plugin/kv@1.0.0\" \"delete\" (func (param i32 i32 i32)))";
    component("kv", import, "ripost:plugin/handler@1.0.0")
}

/// A component of another world: a transform.
pub(crate) fn of_another_world() -> Vec<u8> {
    component("other", "", "ripost:plugin/webhook-transform@1.0.0")
}

/// A core module.
pub(crate) fn module() -> Vec<u8> {
    wat::parse_str("(module)").unwrap()
}

fn component(mark: &str, imports: &str, world: &str) -> Vec<u8> {
    let export = if world.contains("webhook") { "transform-webhook@1.0.0#apply" } else { "handle@1.0.0#handle" };
    let text = format!(
        "(module {imports} (memory (export \"memory\") 1) (data (i32.const 0) \"{mark}\")
           (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) i32.const 1024)
           (func (export \"ripost:plugin/{export}\") (param {}) (result i32) unreachable))",
        if world.contains("webhook") { "i32 i32 i32 i32 i32 i32 i32 i32" } else { "i32" }
    );
    let mut module = wat::parse_str(text).unwrap();
    let mut resolve = Resolve::default();
    let package = resolve.push_source("ripost.wit", CONTRACT).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}
