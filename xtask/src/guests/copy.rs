//! A copy of the examples that builds anywhere: to be edited without touching the originals.

use std::fs;

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};

use super::read;
use crate::setup::repository;

/// Copies the examples' workspace to `to`, which must be empty or not there, and returns the folder of one of them.
///
/// All of it, not one crate, so that the lock file stays exact. Its paths to the SDK become absolute.
pub(crate) fn copy_example(name: &str, to: &Utf8Path) -> Result<Utf8PathBuf> {
    let examples = repository().join("examples");
    if !examples.join(name).join("plugin.toml").is_file() {
        bail!("there is no example `{name}`");
    }
    if to.read_dir_utf8().is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{to} is not empty");
    }
    copy_dir(&examples, to)?;

    let manifest = to.join("Cargo.toml");
    let mut workspace: toml::Table = read(&manifest)?.parse().with_context(|| format!("reading {manifest}"))?;
    let dependencies = workspace
        .get_mut("workspace")
        .and_then(|workspace| workspace.get_mut("dependencies"))
        .and_then(toml::Value::as_table_mut)
        .with_context(|| format!("{manifest} has no [workspace.dependencies]"))?;
    for (_, dependency) in dependencies.iter_mut() {
        if let Some(toml::Value::String(path)) = dependency.get_mut("path") {
            *path = examples.join(&*path).canonicalize_utf8().with_context(|| format!("finding {path}"))?.into();
        }
    }
    fs::write(&manifest, workspace.to_string()).with_context(|| format!("writing {manifest}"))?;
    Ok(to.join(name))
}

fn copy_dir(from: &Utf8Path, to: &Utf8Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("creating {to}"))?;
    for entry in from.read_dir_utf8().with_context(|| format!("listing {from}"))? {
        let entry = entry.with_context(|| format!("listing {from}"))?;
        let copy = to.join(entry.file_name());
        match entry.file_type().with_context(|| format!("looking at {}", entry.path()))? {
            kind if kind.is_dir() && entry.file_name() == "target" => {}
            kind if kind.is_dir() => copy_dir(entry.path(), &copy)?,
            _ => {
                fs::copy(entry.path(), &copy).with_context(|| format!("copying {}", entry.path()))?;
            }
        }
    }
    Ok(())
}
