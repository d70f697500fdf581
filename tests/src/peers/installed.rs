//! Where the programs come from.

use crate::{Node, Version, places};
use anyhow::{Context as _, Result, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use nix::fcntl::{Flock, FlockArg};
use std::fs;
use std::process::{Command, Stdio};

/// What decides which packages are installed.
const PACKAGES: [&str; 4] = ["package.json", "package-lock.json", ".npmrc", "requirements.txt"];
/// What the requirements want at most.
pub const PYTHON_LEAST: Version = Version(3, 11, 0);

/// A program that is installed beside the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The shell, for what is written for curl.
    Shell,
    /// node.
    Node,
    /// Python, of the environment with the requirements.
    Python,
}

/// All programs, with their packages.
#[derive(Debug)]
pub struct Peers {
    /// Where the packages and our scripts are.
    pub folder: Utf8PathBuf,
    node: Node,
}

impl Peers {
    /// Installs what is missing. Several processes may ask at once.
    ///
    /// # Errors
    /// curl, npm or Python is not there, or the packages cannot be had.
    pub fn ensure() -> Result<Self> {
        let from = places::workspace().join("tests/peers");
        let to = places::target().join("peers");
        fs::create_dir_all(to.join("samples"))?;
        let lock = fs::File::create(to.join("lock"))?;
        let _lock =
            Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error).context("locking target/peers")?;

        let node = Node::ensure()?;
        // Native packages are for one Node.js.
        let mut versions = format!("Node.js {}\n", node.version);
        for name in PACKAGES {
            versions += &fs::read_to_string(from.join(name)).with_context(|| format!("reading {from}/{name}"))?;
        }
        copy_scripts(&from, &to)?;
        copy_scripts(&from.join("samples"), &to.join("samples"))?;
        let stamp = to.join("installed");
        if !fs::read_to_string(&stamp).is_ok_and(|installed| installed == versions) {
            for name in PACKAGES {
                fs::copy(from.join(name), to.join(name))?;
            }
            install(&node, &to)?;
            fs::write(stamp, versions)?;
        }
        Ok(Self { folder: to, node })
    }

    /// To be run in the folder.
    pub(super) fn program(&self, program: Program) -> tokio::process::Command {
        let mut command = match program {
            Program::Shell => Command::new("sh"),
            Program::Node => self.node.command("node"),
            Program::Python => Command::new(self.folder.join("venv/bin/python")),
        };
        // A proxy of the machine's has no business with loopback.
        for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
            command.env_remove(name);
        }
        command.current_dir(&self.folder);
        command.into()
    }
}

fn install(node: &Node, to: &Utf8Path) -> Result<()> {
    run(to, "curl", &["--version"], "install curl (Debian: apt-get install curl)")?;
    node.install(to)?;
    let python = "install Python 3.11 or newer (Debian: apt-get install python3-venv)";
    let found = Version::of(Command::new("python3")).context(python)?;
    ensure!(found >= PYTHON_LEAST, "python3 is {found}: {python}");
    run(to, "python3", &["-m", "venv", "venv"], python)?;
    let requirements = ["-m", "pip", "install", "--quiet", "--requirement", "requirements.txt"];
    run(to, to.join("venv/bin/python").as_str(), &requirements, "make PyPI reachable")
}

/// Always the checkout's own: they are small, and the stamp is about versions only.
fn copy_scripts(from: &Utf8Path, to: &Utf8Path) -> Result<()> {
    for entry in from.read_dir_utf8()? {
        let entry = entry?;
        if matches!(entry.path().extension(), Some("sh" | "mjs" | "py" | "ts")) {
            // By rename: a program of another test may be reading the old one.
            let draft = to.join(format!("{}.draft", entry.file_name()));
            fs::copy(entry.path(), &draft)?;
            fs::rename(&draft, to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn run(folder: &Utf8Path, program: &str, arguments: &[&str], advice: &str) -> Result<()> {
    let what = format!("`{program} {}`", arguments.join(" "));
    let output = Command::new(program).args(arguments).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{what} does not start: {advice}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what} failed: {advice}\n{text}");
    Ok(())
}
