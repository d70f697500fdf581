//! Runs cargo for one guest, in a target folder of the guests' own.

use std::{
    collections::VecDeque,
    env, fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use super::{
    read,
    toolchain::{TARGET, Toolchain},
};
use crate::setup::{Progress, repository};

/// Lines of cargo's output that an error shows.
const OUTPUT_LINES_MAX: usize = 100;

#[derive(Deserialize)]
struct CargoToml {
    package: Package,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

/// Builds the crate and returns its core module.
pub(super) fn build(toolchain: &Toolchain, plugin_dir: &Utf8Path, progress: Progress<'_>) -> Result<Vec<u8>> {
    let plugin_dir = plugin_dir.canonicalize_utf8().with_context(|| format!("finding {plugin_dir}"))?;
    let cargo_toml: CargoToml = toml::from_str(&read(&plugin_dir.join("Cargo.toml"))?)
        .with_context(|| format!("reading {plugin_dir}/Cargo.toml"))?;
    let package = cargo_toml.package.name;

    let target_dir = repository().join("target/guests");
    fs::create_dir_all(&target_dir).with_context(|| format!("creating {target_dir}"))?;
    // Until the module is read: another build of a package of this name would put its own in the same place.
    let lock = fs::File::create(target_dir.join("xtask.lock")).context("creating the lock of the guests' builds")?;
    lock.lock().context("waiting for another build of guests")?;

    let common = ["--release", "--locked", "--package", &package, "--target", TARGET, "--target-dir"];
    forget_a_package_of_another_place(&target_dir, &package, &plugin_dir, || {
        let mut clean = toolchain.cargo();
        run(clean.arg("clean").args(common).arg(&target_dir).current_dir(&plugin_dir), &|_| ())
    })?;
    let mut build = toolchain.cargo();
    build.arg("build").args(common).arg(&target_dir).args(toolchain.build_flags()).arg("--config").arg(remap_paths());
    run(build.current_dir(&plugin_dir), progress).with_context(|| format!("building {plugin_dir}"))?;

    let module = target_dir.join(TARGET).join("release").join(format!("{}.wasm", package.replace('-', "_")));
    fs::read(&module).with_context(|| format!("reading {module}: is the crate's `crate-type` `cdylib`?"))
}

/// Cargo names a `cdylib` by its package alone. A copy of a plugin writes over the original's module, and cargo,
/// which looks at the sources only, would then call the original fresh and hand out the copy's.
fn forget_a_package_of_another_place(
    target_dir: &Utf8Path,
    package: &str,
    plugin_dir: &Utf8Path,
    clean: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let built_from = target_dir.join(format!("{package}.built-from"));
    match fs::read_to_string(&built_from) {
        Ok(before) if before == plugin_dir.as_str() => return Ok(()),
        Ok(_) => clean()?,
        Err(_) => {}
    }
    fs::write(&built_from, plugin_dir.as_str()).with_context(|| format!("writing {built_from}"))
}

/// A panic's message has the path of its file. With the paths of this machine in it, a component would tell where it
/// was built, and would have another digest in every checkout.
fn remap_paths() -> String {
    let home = env::var("CARGO_HOME").or_else(|_| env::var("HOME").map(|home| format!("{home}/.cargo")));
    let places = [(repository(), ""), (Utf8PathBuf::from(home.unwrap_or_else(|_| "/".to_owned())), "cargo")];
    let flags = places.map(|(from, to)| toml::Value::from(format!("--remap-path-prefix={from}={to}")));
    format!("target.{TARGET}.rustflags={}", toml::Value::from(flags.to_vec()))
}

fn run(command: &mut Command, progress: Progress<'_>) -> Result<()> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", command.get_program().display()))?;
    let stderr = child.stderr.take().expect("stderr is piped");
    let mut last = VecDeque::new();
    for line in BufReader::new(stderr).lines() {
        let line = line.context("reading what cargo says")?;
        progress(line.trim());
        if last.len() == OUTPUT_LINES_MAX {
            last.pop_front();
        }
        last.push_back(line);
    }
    if !child.wait().context("waiting for cargo")?.success() {
        let output = last.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
        bail!("cargo failed:\n{output}");
    }
    Ok(())
}
