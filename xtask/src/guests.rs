//! Builds guests: a crate or a script that has a `plugin.toml` beside it becomes a folder that can be copied into any
//! `plugins/`. Other components that the manifest names are built from the crates of their names beside it.

mod cargo;
mod component;
mod copy;
mod peer;
mod script;
mod toolchain;

use std::{
    fs,
    io::Write,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use sha2::{Digest, Sha256};

pub(crate) use self::{copy::copy_example, peer::build_peer, toolchain::Toolchain};
use crate::setup::{Progress, repository};

/// A plugin folder, ready to be served.
#[derive(Debug, Clone)]
pub(crate) struct BuiltPlugin {
    /// As its manifest says.
    pub(crate) name: String,
    /// `<out>/<name>`, with manifest, components and cases and nothing else of ours.
    pub(crate) dir: Utf8PathBuf,
    /// The components in it, in the manifest's order; at least one.
    pub(crate) components: Vec<BuiltComponent>,
    /// What the build took.
    pub(crate) took: Duration,
}

impl BuiltPlugin {
    /// The component that the manifest names first.
    pub(crate) fn first(&self) -> &BuiltComponent {
        &self.components[0]
    }
}

/// One component of a plugin.
#[derive(Debug, Clone)]
pub(crate) struct BuiltComponent {
    /// Where it is.
    pub(crate) path: Utf8PathBuf,
    /// SHA-256 in hex.
    pub(crate) digest: String,
    /// Its size.
    pub(crate) size_bytes: u64,
    /// The interfaces that it asks a host for.
    pub(crate) imports: Vec<String>,
}

/// The part of a manifest that a build needs; the host reads the rest, and refuses what it does not know.
#[derive(Deserialize)]
struct Manifest {
    plugin: Plugin,
    #[serde(default)]
    api: Vec<Api>,
}

#[derive(Deserialize)]
struct Plugin {
    name: String,
}

#[derive(Deserialize)]
struct Api {
    handler: Option<String>,
    #[serde(default)]
    transforms: Transforms,
    schema: Option<String>,
    cases: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Transforms {
    request: Vec<String>,
    response: Vec<String>,
    webhook: Vec<String>,
}

/// Builds the components of the manifest in `plugin_dir` and puts the plugin into `<out_dir>/<name>`.
///
/// Whatever the manifest names is there before the manifest, and each file appears by a rename, so a host that watches
/// `out_dir` never sees half a file. A file that would not change is not touched.
pub(crate) fn build(plugin_dir: &Utf8Path, out_dir: &Utf8Path, progress: Progress<'_>) -> Result<BuiltPlugin> {
    let started = Instant::now();
    let manifest_text = read(&plugin_dir.join("plugin.toml"))?;
    let manifest: Manifest =
        toml::from_str(&manifest_text).with_context(|| format!("reading {plugin_dir}/plugin.toml"))?;
    let named = components(&manifest).with_context(|| format!("{plugin_dir}/plugin.toml"))?;

    let dir = out_dir.join(&manifest.plugin.name);
    fs::create_dir_all(&dir).with_context(|| format!("creating {dir}"))?;
    let mut built = Vec::new();
    for file in &named {
        let source = source_of(plugin_dir, file, named.len()).with_context(|| format!("{plugin_dir}/plugin.toml"))?;
        let (bytes, imports) = build_component(&source, progress)?;
        let path = dir.join(file);
        replace(&path, &bytes)?;
        built.push(BuiltComponent { path, digest: hex(&bytes), size_bytes: bytes.len() as u64, imports });
    }
    for name in manifest.api.iter().flat_map(|api| [&api.schema, &api.cases]).flatten() {
        copy_in(&plugin_dir.join(name), &dir.join(name))?;
    }
    replace(&dir.join("plugin.toml"), manifest_text.as_bytes())?;
    Ok(BuiltPlugin { name: manifest.plugin.name, dir, components: built, took: started.elapsed() })
}

fn build_component(source: &Utf8Path, progress: Progress<'_>) -> Result<(Vec<u8>, Vec<String>)> {
    if let Some(tool) = script::Tool::of(source)? {
        return script::build(tool, source, progress);
    }
    let toolchain = Toolchain::find(progress)?;
    let module = cargo::build(&toolchain, source, progress)?;
    progress("wrapping it as a component");
    component::wrap(&module).with_context(|| format!("the component of {source}"))
}

/// Builds every plugin of these folders of the repository.
pub(crate) fn build_all(folders: &[&str], out_dir: &Utf8Path, progress: Progress<'_>) -> Result<Vec<BuiltPlugin>> {
    let mut built = Vec::new();
    for folder in folders {
        for plugin_dir in plugin_dirs(&repository().join(folder))? {
            let name = plugin_dir.file_name().unwrap_or_default().to_owned();
            built.push(build(&plugin_dir, out_dir, &|line| progress(&format!("{name}: {line}")))?);
        }
    }
    Ok(built)
}

/// SHA-256 of a file, in hex.
#[cfg(test)]
pub(crate) fn digest(path: &Utf8Path) -> Result<String> {
    Ok(hex(&fs::read(path).with_context(|| format!("reading {path}"))?))
}

/// The guests of a folder, which have a manifest, by name.
fn plugin_dirs(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let entries = folder.read_dir_utf8().with_context(|| format!("listing {folder}"))?;
    let mut dirs = Vec::new();
    for entry in entries {
        let dir = entry.with_context(|| format!("listing {folder}"))?.into_path();
        if dir.join("plugin.toml").is_file() && is_source(&dir)? {
            dirs.push(dir);
        }
    }
    dirs.sort();
    Ok(dirs)
}

fn is_source(dir: &Utf8Path) -> Result<bool> {
    Ok(dir.join("Cargo.toml").is_file() || script::Tool::of(dir)?.is_some())
}

/// The components that a manifest names, each once: handlers, then transforms.
fn components(manifest: &Manifest) -> Result<Vec<&str>> {
    let handlers = manifest.api.iter().filter_map(|api| api.handler.as_ref());
    let transforms =
        manifest.api.iter().flat_map(|Api { transforms: Transforms { request, response, webhook }, .. }| {
            request.iter().chain(response).chain(webhook)
        });
    let mut names: Vec<&str> = Vec::new();
    for name in handlers.chain(transforms).map(String::as_str) {
        if Utf8Path::new(name).file_name() != Some(name) || !name.ends_with(".wasm") {
            bail!("`{name}` is not the name of a component beside the manifest, such as `reports.wasm`");
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        bail!("no `[[api]]` has a `handler` or a transform: there is nothing to build");
    }
    Ok(names)
}

/// Where a component is built from: a plugin's only one, and one of its own name, in its own folder, any other in the
/// folder of its name beside it.
fn source_of(plugin_dir: &Utf8Path, file: &str, count: usize) -> Result<Utf8PathBuf> {
    let plugin_dir = plugin_dir.canonicalize_utf8().with_context(|| format!("finding {plugin_dir}"))?;
    let name = file.trim_end_matches(".wasm");
    if count == 1 || plugin_dir.file_name() == Some(name) {
        return Ok(plugin_dir);
    }
    let beside = plugin_dir.parent().unwrap_or(&plugin_dir).join(name);
    if !is_source(&beside)? {
        bail!("it names `{file}`, and there is no crate `{name}` to build it from: put one into {beside}");
    }
    Ok(beside)
}

/// A file or a folder of files that the manifest names. What is no longer there goes.
fn copy_in(from: &Utf8Path, to: &Utf8Path) -> Result<()> {
    if !from.is_dir() {
        return replace(to, &fs::read(from).with_context(|| format!("reading {from}"))?);
    }
    fs::create_dir_all(to).with_context(|| format!("creating {to}"))?;
    for entry in from.read_dir_utf8().with_context(|| format!("listing {from}"))? {
        let entry = entry.with_context(|| format!("listing {from}"))?;
        copy_in(entry.path(), &to.join(entry.file_name()))?;
    }
    for entry in to.read_dir_utf8().with_context(|| format!("listing {to}"))? {
        let entry = entry.with_context(|| format!("listing {to}"))?;
        if !from.join(entry.file_name()).exists() {
            fs::remove_file(entry.path()).with_context(|| format!("removing {}", entry.path()))?;
        }
    }
    Ok(())
}

fn read(path: &Utf8Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {path}"))
}

fn replace(path: &Utf8Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let (dir, name) = (path.parent().unwrap_or(Utf8Path::new(".")), path.file_name().unwrap_or_default());
    let fresh = dir.join(format!(".{name}.{}.new", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = fs::File::create(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().with_context(|| format!("writing {path}"))
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
