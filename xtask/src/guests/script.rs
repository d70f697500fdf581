//! Makes a component of one script with a public tool, in the version that the guest's own files name.

use std::{
    fs,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use ripost_tests::Node;

use super::{component, hex, read, replace};
use crate::setup::{self, Progress, repository};

/// What decides which packages npm installs.
const NPM_PACKAGES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];
/// The same for pip.
const PIP_PACKAGES: [&str; 1] = ["requirements.txt"];

/// Who makes the component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    /// `componentize-qjs`: QuickJS, and our contract.
    Qjs,
    /// `componentize-js`: `SpiderMonkey`, and `wasi:http`.
    Starling,
    /// `componentize-py`: `CPython`, and `wasi:http`.
    Python,
}

impl Tool {
    /// That of a folder, if it is a script's.
    pub(super) fn of(plugin_dir: &Utf8Path) -> Result<Option<Self>> {
        if plugin_dir.join("requirements.txt").is_file() {
            return Ok(Some(Self::Python));
        }
        let package = plugin_dir.join("package.json");
        if !package.is_file() {
            return Ok(None);
        }
        let text = read(&package)?;
        match [Self::Qjs, Self::Starling].into_iter().find(|tool| text.contains(&format!("\"{}\":", tool.package()))) {
            Some(tool) => Ok(Some(tool)),
            None => bail!("{package} depends on no tool that makes components: `componentize-qjs` is one"),
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Qjs => "componentize-qjs",
            Self::Starling => "@bytecodealliance/componentize-js",
            Self::Python => "componentize-py",
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Qjs | Self::Starling => &NPM_PACKAGES,
            Self::Python => &PIP_PACKAGES,
        }
    }

    fn source(self) -> &'static str {
        match self {
            Self::Qjs | Self::Starling => "handler.js",
            Self::Python => "app.py",
        }
    }

    fn contract(self) -> Utf8PathBuf {
        repository().join(match self {
            Self::Qjs => "wit/ripost.wit",
            Self::Starling | Self::Python => "tests/guests/wasi-http.wit",
        })
    }

    fn program(self, folder: &Utf8Path) -> Utf8PathBuf {
        folder.join(match self {
            Self::Qjs => "node_modules/.bin/componentize-qjs",
            Self::Starling => "node_modules/.bin/componentize-js",
            Self::Python => "venv/bin/componentize-py",
        })
    }

    fn make(self, node: Option<&Node>, folder: &Utf8Path, plugin_dir: &Utf8Path, made: &Utf8Path) -> Result<()> {
        let (contract, source) = (self.contract(), plugin_dir.join(self.source()));
        let mut command = Command::new(self.program(folder));
        if let Some(node) = node {
            node.put_first(&mut command);
        }
        match self {
            Self::Qjs => {
                command.arg("--wit").arg(contract).args(["--world", "ripost:plugin/handler"]);
                // The engine's calls to wasi would be refused by every host of ours, and none matters to a handler.
                command.arg("--js").arg(source).args(["--sync", "--stub-wasi", "--opt-size"]);
            }
            Self::Starling => {
                command.arg(source).arg("--wit").arg(contract).args(["--world-name", "http"]);
            }
            Self::Python => {
                command.arg("--wit-path").arg(contract).args(["--world", "ripost:guests/http", "componentize"]);
                command.args(["app", "--python-path"]).arg(plugin_dir);
            }
        }
        run(
            command.arg(if self == Self::Starling { "--out" } else { "-o" }).arg(made),
            "is the script what it should be?",
        )
    }
}

/// Builds the component and names what it imports.
///
/// It is made once for each set of sources: the engine's snapshot in it differs from one build to the next, and a host
/// would take each for a new revision.
pub(super) fn build(tool: Tool, plugin_dir: &Utf8Path, progress: Progress<'_>) -> Result<(Vec<u8>, Vec<String>)> {
    let plugin_dir = &plugin_dir.canonicalize_utf8().with_context(|| format!("finding {plugin_dir}"))?;
    let name = plugin_dir.file_name().context("the guest's folder has a name")?;
    let folder = repository().join("target/guests/scripts").join(name);
    fs::create_dir_all(&folder).with_context(|| format!("creating {folder}"))?;
    let lock = fs::File::create(folder.join("xtask.lock")).context("creating the lock of the guest's build")?;
    lock.lock().context("waiting for another build of this guest")?;

    let mut inputs = read(&tool.contract())? + &read(&plugin_dir.join(tool.source()))?;
    inputs.push_str(&versions(tool, plugin_dir)?);
    let (made, made_of) = (folder.join("component.wasm"), folder.join("made-of"));
    let digest = hex(inputs.as_bytes());
    if !fs::read_to_string(&made_of).is_ok_and(|before| before == digest) {
        let node = match tool {
            Tool::Qjs | Tool::Starling => Some(setup::node(progress)?),
            Tool::Python => None,
        };
        install(tool, node.as_ref(), plugin_dir, &folder, progress)?;
        progress(tool.package());
        let _ = fs::remove_file(&made_of);
        tool.make(node.as_ref(), &folder, plugin_dir, &made)?;
        fs::write(&made_of, digest).with_context(|| format!("writing {made_of}"))?;
    }
    let bytes = fs::read(&made).with_context(|| format!("reading {made}"))?;
    let imports = component::imports(&bytes)?;
    Ok((bytes, imports))
}

fn versions(tool: Tool, plugin_dir: &Utf8Path) -> Result<String> {
    tool.packages().iter().map(|file| read(&plugin_dir.join(file))).collect()
}

/// The tool, installed beside the build once for each lock file and Node.js, whose native packages are its own.
fn install(
    tool: Tool,
    node: Option<&Node>,
    plugin_dir: &Utf8Path,
    folder: &Utf8Path,
    progress: Progress<'_>,
) -> Result<()> {
    let mut versions = versions(tool, plugin_dir)?;
    if let Some(node) = node {
        versions += &format!("Node.js {}\n", node.version);
    }
    let stamp = folder.join("installed");
    if tool.program(folder).is_file() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == versions) {
        return Ok(());
    }
    for file in tool.packages() {
        replace(&folder.join(file), read(&plugin_dir.join(file))?.as_bytes())?;
    }
    if let Some(node) = node {
        progress("npm ci --ignore-scripts");
        node.install(folder).with_context(|| format!("installing {}", tool.package()))?;
    } else {
        setup::python(progress)?;
        let command = |program: &str, args: &[&str]| {
            progress(&format!("{program} {}", args.join(" ")));
            let advice = "this guest's tool comes from PyPI: make it reachable, then try again";
            run(Command::new(program).args(args).current_dir(folder), advice)
        };
        command("python3", &["-m", "venv", "venv"])?;
        let pip = ["-m", "pip", "install", "--quiet", "--requirement", "requirements.txt"];
        command(folder.join("venv/bin/python").as_str(), &pip)?;
    }
    fs::write(&stamp, versions).with_context(|| format!("writing {stamp}"))
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
