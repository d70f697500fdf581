//! Which compiler makes guests: rustup's distributions do not always have, or cannot fetch, the wasm32 library.

use std::{env, process::Command, sync::OnceLock, time::Duration};

use anyhow::{Context, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};

use ripost_tests::Version;

use crate::setup::{Progress, RUST_LEAST, answers, answers_within, apt, repository};

/// The target that needs nothing of a host but what its world imports.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";
/// Debian's compiler of the current Firefox and Chromium, its library's source, and a linker for wasm.
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-22"];
const DEBIAN_LIBRARY: &str = "/usr/lib/rustlib/src/rust/library/Cargo.lock";
const DEBIAN_LINKER: &str = "wasm-ld-22";
/// A download that works takes a few seconds; where there is no network this is all that is lost.
const RUSTUP_LIMIT: Duration = Duration::from_secs(60);

/// A compiler that can make guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The one that builds the host, with the wasm32 library beside its own.
    Installed {
        /// Of that compiler.
        sysroot: Utf8PathBuf,
    },
    /// Debian's, which builds the library from source (`-Z build-std`): 40 s, once.
    Debian,
}

impl Toolchain {
    /// Takes the first that is there, and fetches one if none is.
    pub(crate) fn find(progress: Progress<'_>) -> Result<Self> {
        static FOUND: OnceLock<Toolchain> = OnceLock::new();
        if let Some(found) = FOUND.get() {
            return Ok(found.clone());
        }
        let found = Self::look_or_fetch(progress)?;
        Ok(FOUND.get_or_init(|| found).clone())
    }

    fn look_or_fetch(progress: Progress<'_>) -> Result<Self> {
        if let Some(installed) = Self::installed() {
            return Ok(installed);
        }
        // Before rustup: what is there is quicker than what may be fetched.
        if debian_is_there() {
            return Ok(Self::Debian);
        }
        progress("rustup target add wasm32-unknown-unknown");
        let mut rustup = Command::new("rustup");
        rustup.args(["target", "add", TARGET]).current_dir(repository());
        if answers_within(&mut rustup, RUSTUP_LIMIT)
            && let Some(installed) = Self::installed()
        {
            return Ok(installed);
        }
        apt::install(&DEBIAN_PACKAGES, progress).context(
            "guests need a Rust compiler with a wasm32 library: `rustup target add wasm32-unknown-unknown`, or Debian's",
        )?;
        if !debian_is_there() {
            bail!(
                "{} are installed, and /usr/bin/rustc is still no compiler of Rust {RUST_LEAST} or newer for guests: run `rustup target add {TARGET}`",
                DEBIAN_PACKAGES.join(", ")
            );
        }
        Ok(Self::Debian)
    }

    fn installed() -> Option<Self> {
        let output = Command::new("rustc").args(["--print", "sysroot"]).current_dir(repository()).output().ok()?;
        let sysroot = Utf8PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        let library = sysroot.join("lib/rustlib").join(TARGET).join("lib");
        (output.status.success() && library.is_dir()).then_some(Self::Installed { sysroot })
    }

    /// `cargo`, told which compiler and linker to use, and nothing of the cargo that runs this program.
    pub(super) fn cargo(&self) -> Command {
        let mut command = match self {
            Self::Installed { sysroot } => {
                // By path, not through rustup: a copy of a plugin elsewhere must not get another compiler.
                let own = |name: &str| Some(sysroot.join("bin").join(name)).filter(|path| path.is_file());
                Command::new(own("cargo").as_deref().unwrap_or(Utf8Path::new("cargo")))
            }
            Self::Debian => Command::new("/usr/bin/cargo"),
        };
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(confuses_a_child) {
                command.env_remove(name);
            }
        }
        match self {
            Self::Installed { sysroot } => {
                command.env("RUSTC", sysroot.join("bin/rustc"));
            }
            Self::Debian => {
                command.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
                command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER);
            }
        }
        command
    }

    /// What `cargo build` needs beside the target.
    pub(super) fn build_flags(&self) -> &'static [&'static str] {
        match self {
            Self::Installed { .. } => &[],
            Self::Debian => &["-Zbuild-std=std,panic_abort"],
        }
    }
}

/// Also whether it is new enough: an older one is brought up to date by installing it again.
fn debian_is_there() -> bool {
    let new_enough = |program| Version::of(Command::new(program)).is_ok_and(|version| version >= RUST_LEAST);
    Utf8Path::new(DEBIAN_LIBRARY).is_file()
        && ["/usr/bin/cargo", "/usr/bin/rustc"].into_iter().all(new_enough)
        && answers(DEBIAN_LINKER, &["--version"])
}

/// `cargo run` tells its child about the compiler and the package it was built with; a user's flags are for the host.
/// What says how to reach a registry stays.
fn confuses_a_child(name: &str) -> bool {
    const REACHING_REGISTRIES: [&str; 6] =
        ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_", "CARGO_TERM_"];
    match name {
        "LD_LIBRARY_PATH"
        | "DYLD_FALLBACK_LIBRARY_PATH"
        | "CARGO"
        | "RUSTFLAGS"
        | "RUSTDOCFLAGS"
        | "RUSTC"
        | "RUSTC_WRAPPER"
        | "RUSTC_WORKSPACE_WRAPPER"
        | "RUSTUP_TOOLCHAIN"
        | "OUT_DIR" => true,
        name if name.starts_with("CARGO_") => !REACHING_REGISTRIES.iter().any(|kept| name.starts_with(kept)),
        name => name.starts_with("__CARGO_"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Toolchain, confuses_a_child};

    #[test]
    fn a_child_learns_nothing_of_the_cargo_that_runs_xtask() {
        for gone in ["CARGO_MANIFEST_DIR", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "RUSTC_WRAPPER", "CARGO"] {
            assert!(confuses_a_child(gone), "{gone}");
        }
        for kept in ["CARGO_HOME", "CARGO_REGISTRIES_CRATES_IO_INDEX", "CARGO_HTTP_PROXY", "PATH", "HOME"] {
            assert!(!confuses_a_child(kept), "{kept}");
        }
    }

    #[test]
    fn debians_compiler_builds_the_library_and_an_installed_one_does_not() {
        let installed = Toolchain::Installed { sysroot: "/opt/rust".into() };
        assert!(installed.build_flags().is_empty());
        assert_eq!(Toolchain::Debian.build_flags(), ["-Zbuild-std=std,panic_abort"]);
        let command = Toolchain::Debian.cargo();
        let bootstrap = command.get_envs().find(|(name, _)| *name == "RUSTC_BOOTSTRAP");
        assert_eq!(bootstrap.and_then(|(_, value)| value), Some("1".as_ref()));
    }
}
