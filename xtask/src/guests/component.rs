//! A core module, as rustc makes it, to a component, as the host loads it.

use anyhow::{Context, Result, bail};
use wit_component::{ComponentEncoder, DecodedWasm};

/// What our own contract is called.
const OURS: &str = "ripost:plugin/";
/// Who exports this was built by a toolchain that imports wasi, and a host gives that.
const HTTP: &str = "wasi:http/incoming-handler@0.2.";

/// The component and the interfaces that it imports.
pub(super) fn wrap(module: &[u8]) -> Result<(Vec<u8>, Vec<String>)> {
    let bytes = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .context("reading the module's world: has the crate a #[ripost_sdk::handler] or a transform?")?
        .encode()
        .context("wrapping the module")?;
    let imports = imports(&bytes)?;
    Ok((bytes, imports))
}

/// The interfaces that a component imports: those that a host gives, and no others.
pub(super) fn imports(bytes: &[u8]) -> Result<Vec<String>> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(bytes).context("reading the component")? else {
        bail!("it is a package of interfaces and no component");
    };
    let world = &resolve.worlds[world];
    if world.exports.is_empty() {
        bail!("it exports nothing: has the crate a #[ripost_sdk::handler] or a transform?");
    }
    let imports: Vec<String> = world.imports.keys().map(|key| resolve.name_world_key(key)).collect();
    let is_http = world.exports.keys().any(|key| resolve.name_world_key(key).starts_with(HTTP));
    let given = |import: &str| import.starts_with(OURS) || (is_http && import.starts_with("wasi:"));
    if let Some(other) = imports.iter().find(|import| !given(import)) {
        bail!("it imports `{other}`, which no host gives: the only imports are `{OURS}…`");
    }
    Ok(imports)
}
