//! The component that the bench's peer runs: `wasi:http`, and so no plugin of ours.

use std::fs;

use anyhow::{Context, Result};
use camino::Utf8PathBuf;
use wit_component::ComponentEncoder;

use super::{Toolchain, cargo, replace};
use crate::setup::{Progress, repository};

/// Builds `tests/guests/peer-http` and has the file.
pub(crate) fn build_peer(progress: Progress<'_>) -> Result<Utf8PathBuf> {
    let toolchain = Toolchain::find(progress)?;
    let module = cargo::build(&toolchain, &repository().join("tests/guests/peer-http"), progress)?;
    let mut encoder = ComponentEncoder::default().validate(true).module(&module).context("the peer's world")?;
    let bytes = encoder.encode().context("wrapping the peer")?;
    let folder = repository().join("target/guests/peer");
    fs::create_dir_all(&folder).with_context(|| format!("creating {folder}"))?;
    let component = folder.join("hello.wasm");
    replace(&component, &bytes)?;
    Ok(component)
}
