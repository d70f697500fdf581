//! Makes a component of one JavaScript file with `componentize-qjs`, in the version of the guest's lock file.

use std::{
    fs,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};

use super::{component, hex, read, replace};
use crate::setup::{self, Progress, repository};

const SOURCE: &str = "handler.js";
/// What decides which packages are installed.
const PACKAGES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

/// Whether this folder is such a guest.
pub(super) fn is_guest(plugin_dir: &Utf8Path) -> bool {
    plugin_dir.join("package.json").is_file()
}

/// Builds the component and names what it imports.
///
/// It is made once for each set of sources: the engine's snapshot in it differs from one build to the next, and a host
/// would take each for a new revision.
pub(super) fn build(plugin_dir: &Utf8Path, progress: Progress<'_>) -> Result<(Vec<u8>, Vec<String>)> {
    let name = plugin_dir.file_name().context("the guest's folder has a name")?;
    let folder = repository().join("target/guests/javascript").join(name);
    fs::create_dir_all(&folder).with_context(|| format!("creating {folder}"))?;
    let lock = fs::File::create(folder.join("xtask.lock")).context("creating the lock of the guest's build")?;
    lock.lock().context("waiting for another build of this guest")?;

    let contract = read(&repository().join("wit/ripost.wit"))?;
    let mut inputs = contract + &read(&plugin_dir.join(SOURCE))?;
    for file in PACKAGES {
        inputs.push_str(&read(&plugin_dir.join(file))?);
    }
    let (made, made_of) = (folder.join("component.wasm"), folder.join("made-of"));
    let digest = hex(inputs.as_bytes());
    if !fs::read_to_string(&made_of).is_ok_and(|before| before == digest) {
        let tool = install(plugin_dir, &folder, progress)?;
        progress("componentize-qjs");
        let _ = fs::remove_file(&made_of);
        let mut command = Command::new(tool);
        command.arg("--wit").arg(repository().join("wit")).args(["--world", "ripost:plugin/handler"]);
        command.arg("--js").arg(plugin_dir.join(SOURCE)).arg("-o").arg(&made);
        // The engine's calls to wasi would be refused by every host of ours, and none of them matters to a handler.
        run(command.args(["--sync", "--stub-wasi", "--opt-size"]), "is the script what it should be?")?;
        fs::write(&made_of, digest).with_context(|| format!("writing {made_of}"))?;
    }
    let bytes = fs::read(&made).with_context(|| format!("reading {made}"))?;
    let imports = component::imports(&bytes)?;
    Ok((bytes, imports))
}

/// The tool, installed beside the build once for each lock file.
fn install(plugin_dir: &Utf8Path, folder: &Utf8Path, progress: Progress<'_>) -> Result<Utf8PathBuf> {
    let tool = folder.join("node_modules/.bin/componentize-qjs");
    let mut versions = String::new();
    for file in PACKAGES {
        versions.push_str(&read(&plugin_dir.join(file))?);
    }
    let stamp = folder.join("installed");
    if tool.is_file() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == versions) {
        return Ok(tool);
    }
    setup::node(progress)?;
    for file in PACKAGES {
        replace(&folder.join(file), read(&plugin_dir.join(file))?.as_bytes())?;
    }
    progress("npm ci");
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts"]).current_dir(folder);
    run(&mut npm, "the JavaScript guest of the tests comes from npm: make its registry reachable, then try again")?;
    fs::write(&stamp, versions).with_context(|| format!("writing {stamp}"))?;
    Ok(tool)
}

fn run(command: &mut Command, advice: &str) -> Result<()> {
    let what = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {what}"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{what} failed: {advice}\n{}", String::from_utf8_lossy(&said).trim());
    }
    Ok(())
}
