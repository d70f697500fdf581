//! The Node.js that npm's packages run on: the machine's if it is new enough, else one that is installed into
//! `target/tools/node`.
//!
//! npm leaves optional packages out without a word where Node.js is older than they want, and native bindings are
//! optional packages: what is missing then shows much later, and says nothing of a version.

use crate::Version;
use crate::places;
use anyhow::{Context as _, Result, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use nix::fcntl::{Flock, FlockArg};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::{env, fs, slice};

/// What the packages of our lock files want at most.
const LEAST: Version = Version(22, 19, 0);
/// The first npm whose lock files are of version 3, and that Debian 12 has.
const NPM_LEAST: Version = Version(9, 0, 0);
/// What decides which Node.js is installed.
const PACKAGES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];
/// Where Debian keeps whom it trusts. Debian's Node.js reads that, one from npm has a list of its own, and behind a
/// network with an authority of its own it could reach nothing.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Node.js and npm.
#[derive(Debug, Clone)]
pub struct Node {
    /// In front of the machine's programs; none if its own are used.
    folder: Option<Utf8PathBuf>,
    /// Of Node.js itself.
    pub version: Version,
}

impl Node {
    /// The machine's, or ours, which is installed if it is not there. Several processes may ask at once.
    ///
    /// # Errors
    /// There is no npm to install it with, or its registry cannot be reached.
    pub fn ensure() -> Result<Self> {
        let npm = Version::of(Command::new("npm")).with_context(by_hand)?;
        ensure!(npm >= NPM_LEAST, "npm is {npm}, and {NPM_LEAST} or newer is needed: {}", by_hand());
        let machines = Self { folder: None, version: Version::of(Command::new("node")).with_context(by_hand)? };
        if machines.version >= LEAST { Ok(machines) } else { machines.install_newer() }
    }

    fn install_newer(&self) -> Result<Self> {
        let (from, to) = (places::workspace().join("tests/node"), places::target().join("tools/node"));
        fs::create_dir_all(&to).with_context(|| format!("creating {to}"))?;
        let lock = fs::File::create(to.join("lock")).with_context(|| format!("creating {to}/lock"))?;
        let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error).context("locking it")?;
        let mut packages = String::new();
        for name in PACKAGES {
            packages += &fs::read_to_string(from.join(name)).with_context(|| format!("reading {from}/{name}"))?;
        }
        // Where the package has it: the npm that Debian 12 has links no program of this one into `.bin`.
        let folder = to.join("node_modules").join(format!("node-linux-{}", cpu())).join("bin");
        let ask = || Version::of(Command::new(folder.join("node"))).with_context(by_hand);
        let stamp = to.join("installed");
        if !fs::read_to_string(&stamp).is_ok_and(|installed| installed == packages) {
            for name in PACKAGES {
                fs::copy(from.join(name), to.join(name)).with_context(|| format!("copying {from}/{name}"))?;
            }
            self.install(&to).with_context(|| format!("Node.js is {}, and {LEAST} is needed", self.version))?;
            ask()?;
            fs::write(&stamp, packages).with_context(|| format!("writing {stamp}"))?;
        }
        let version = ask()?;
        Ok(Self { folder: Some(folder), version })
    }

    /// Installs what the lock file in a folder names: all of it, or it is an error.
    ///
    /// # Errors
    /// npm fails, or leaves out what this machine should have.
    pub fn install(&self, folder: &Utf8Path) -> Result<()> {
        let mut npm = self.command("npm");
        npm.args(["ci", "--ignore-scripts"]).current_dir(folder).stdin(Stdio::null());
        let output = npm.output().context("starting npm")?;
        let advice = "make npm's registry reachable, and try again";
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`cd {folder} && npm ci --ignore-scripts` failed: {advice}\n{said}");
        let missing = left_out(folder)?;
        ensure!(missing.is_empty(), "npm left out {} in {folder}: {advice}\n{said}", missing.join(", "));
        Ok(())
    }

    /// `node`, or `npm`.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let own = self.folder.as_ref().map(|folder| folder.join(program)).filter(|path| path.exists());
        let mut command = Command::new(own.as_deref().unwrap_or(Utf8Path::new(program)));
        self.put_first(&mut command);
        command
    }

    /// Lets a program find this Node.js as `node`, which is how npm and the programs of packages find theirs.
    pub fn put_first(&self, command: &mut Command) {
        let Some(folder) = &self.folder else { return };
        let path = env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{folder}:{path}"));
        if env::var_os("NODE_EXTRA_CA_CERTS").is_none() && Utf8Path::new(AUTHORITIES).is_file() {
            command.env("NODE_EXTRA_CA_CERTS", AUTHORITIES);
        }
    }
}

fn by_hand() -> String {
    format!("install Node.js {}.{} or newer with npm, and try again", LEAST.0, LEAST.1)
}

/// This machine's, as npm calls it.
fn cpu() -> &'static str {
    match env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Packages of the lock file that are for machines of this kind and not there: native ones. Others may rightly be left
/// out, with a package of another machine that they are for.
fn left_out(folder: &Utf8Path) -> Result<Vec<String>> {
    let path = folder.join("package-lock.json");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let lock: Lock = serde_json::from_str(&text).with_context(|| format!("reading {path}"))?;
    let wanted = lock.packages.into_iter().filter(|(_, package)| package.is_native() && package.is_for_this_machine());
    Ok(wanted.map(|(place, _)| place).filter(|place| !folder.join(place).exists()).collect())
}

/// A lock file of npm, as far as it says what is for which machine.
#[derive(Deserialize)]
struct Lock {
    /// By where each is put.
    packages: BTreeMap<String, Package>,
}

#[derive(Deserialize)]
struct Package {
    #[serde(default)]
    os: OneOrMore,
    #[serde(default)]
    cpu: OneOrMore,
    #[serde(default)]
    libc: OneOrMore,
}

impl Package {
    fn is_native(&self) -> bool {
        !self.os.names().is_empty() || !self.cpu.names().is_empty()
    }

    fn is_for_this_machine(&self) -> bool {
        let libc = if cfg!(target_env = "musl") { "musl" } else { "glibc" };
        self.os.admits(env::consts::OS) && self.cpu.admits(cpu()) && self.libc.admits(libc)
    }
}

/// Names that are admitted, or with `!` in front are not.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl Default for OneOrMore {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

impl OneOrMore {
    fn names(&self) -> &[String] {
        match self {
            Self::One(one) => slice::from_ref(one),
            Self::More(names) => names,
        }
    }

    fn admits(&self, name: &str) -> bool {
        let names = self.names();
        let refused = names.iter().any(|other| other.strip_prefix('!') == Some(name));
        let listed = names.iter().filter(|other| !other.starts_with('!')).collect::<Vec<_>>();
        !refused && (listed.is_empty() || listed.iter().any(|other| *other == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_npm_left_out_is_named_and_one_of_another_machine_is_not_missed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let native = |name: &str| format!(r#""node_modules/{name}": {{ "os": ["linux"], "optional": true }}"#);
        let lock = format!(
            r#"{{ "packages": {{ "": {{ "name": "p" }}, {}, {}, "node_modules/other": {{ "os": "darwin" }},
               "node_modules/neither": {{ "cpu": ["!x64", "!arm64"] }}, "node_modules/its-own": {{ "optional": true }} }} }}"#,
            native("there"),
            native("gone"),
        );
        fs::write(folder.join("package-lock.json"), lock).unwrap();
        fs::create_dir_all(folder.join("node_modules/there")).unwrap();
        assert_eq!(left_out(folder).unwrap(), ["node_modules/gone"]);
    }

    /// Whoever takes a newer package has to take a newer Node.js with it.
    #[test]
    fn what_every_package_of_the_checkout_wants_is_met() {
        for folder in ["tests/peers", "tests/guests/js-http", "tests/guests/qjs"] {
            let path = places::workspace().join(folder).join("package-lock.json");
            let lock: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            for (place, package) in lock["packages"].as_object().unwrap() {
                let Some(wanted) = package["engines"]["node"].as_str() else { continue };
                assert!(meets(LEAST, wanted), "{folder}/{place} wants Node.js {wanted}, and {LEAST} is taken");
            }
        }
    }

    /// Ranges as npm has them, as far as lock files have them: `>=16 || 14 >=14.17`, `^20.19.0 || >=22.12.0`, `*`.
    fn meets(version: Version, range: &str) -> bool {
        let comparator = |text: &str| {
            let least = text.trim_start_matches(['>', '=', '^']).replace(".x", "");
            let parts = least.splitn(3, '.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
            let least = Version(parts[0], parts.get(1).copied().unwrap_or(0), parts.get(2).copied().unwrap_or(0));
            let newest_too = text.starts_with(">=") || text == "*";
            version >= least && (newest_too || version.0 == least.0)
        };
        range.split("||").any(|all| all.replace(">= ", ">=").split_whitespace().all(comparator))
    }

    #[test]
    fn ranges_are_read_as_npm_reads_them() {
        for range in [">=16 || 14 >=14.17", "^20.19.0 || >=22.12.0", "*", ">= 0.8", "20 || >=22", ">=0.8.x", "22"] {
            assert!(meets(Version(22, 18, 0), range), "{range}");
        }
        for range in ["^20.19.0 || ^22.18.1 || >=23.5.0", "20 || >=24", ">=22.18.1", "^12.22.0 || ^14.17.0"] {
            assert!(!meets(Version(22, 18, 0), range), "{range}");
        }
    }
}
