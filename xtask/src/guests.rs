//! Builds guests: a crate, or a script with its `package.json`, that has a `plugin.toml` beside it becomes a folder that
//! can be copied into any `plugins/`.

mod cargo;
mod component;
mod copy;
mod javascript;
mod peer;
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
    /// `<out>/<name>`, with manifest and component and nothing else of ours.
    pub(crate) dir: Utf8PathBuf,
    /// The component in it.
    pub(crate) component: Utf8PathBuf,
    /// Of the component: SHA-256 in hex.
    pub(crate) digest: String,
    /// Of the component.
    pub(crate) size_bytes: u64,
    /// The interfaces that the component asks a host for.
    pub(crate) imports: Vec<String>,
    /// What the build took.
    pub(crate) took: Duration,
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
}

/// Builds the crate or script in `plugin_dir` and puts its plugin into `<out_dir>/<name>`.
///
/// The component is there before the manifest that names it, and each of the two appears by a rename, so a host that
/// watches `out_dir` never sees half a file. A file that would not change is not touched.
pub(crate) fn build(plugin_dir: &Utf8Path, out_dir: &Utf8Path, progress: Progress<'_>) -> Result<BuiltPlugin> {
    let started = Instant::now();
    let manifest_text = read(&plugin_dir.join("plugin.toml"))?;
    let manifest: Manifest =
        toml::from_str(&manifest_text).with_context(|| format!("reading {plugin_dir}/plugin.toml"))?;
    let file_name = the_one_handler(&manifest).with_context(|| format!("{plugin_dir}/plugin.toml"))?;

    let (bytes, imports) = if javascript::is_guest(plugin_dir) {
        javascript::build(plugin_dir, progress)?
    } else {
        let toolchain = Toolchain::find(progress)?;
        let module = cargo::build(&toolchain, plugin_dir, progress)?;
        progress("wrapping it as a component");
        component::wrap(&module).with_context(|| format!("the component of {plugin_dir}"))?
    };

    let dir = out_dir.join(&manifest.plugin.name);
    fs::create_dir_all(&dir).with_context(|| format!("creating {dir}"))?;
    let component = dir.join(file_name);
    replace(&component, &bytes)?;
    replace(&dir.join("plugin.toml"), manifest_text.as_bytes())?;
    Ok(BuiltPlugin {
        name: manifest.plugin.name,
        dir,
        component,
        digest: hex(&bytes),
        size_bytes: bytes.len() as u64,
        imports,
        took: started.elapsed(),
    })
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
        let is_guest = dir.join("Cargo.toml").is_file() || javascript::is_guest(&dir);
        if dir.join("plugin.toml").is_file() && is_guest {
            dirs.push(dir);
        }
    }
    dirs.sort();
    Ok(dirs)
}

/// A crate or script makes one component, so a manifest beside it can name only one.
fn the_one_handler(manifest: &Manifest) -> Result<&str> {
    let mut handlers: Vec<&str> = manifest.api.iter().filter_map(|api| api.handler.as_deref()).collect();
    handlers.sort_unstable();
    handlers.dedup();
    match handlers.as_slice() {
        [one] if Utf8Path::new(one).file_name() == Some(one) => Ok(one),
        [one] => bail!("`handler = \"{one}\"` is not the name of a file beside the manifest"),
        [] => bail!("no `[[api]]` has a `handler`: there is nothing to build"),
        several => bail!("a crate makes one component, and this manifest names {}", several.join(", ")),
    }
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
