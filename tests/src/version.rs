//! Versions of programs, as they print them themselves.

use anyhow::{Context as _, Result, ensure};
use std::fmt;
use std::process::{Command, Stdio};

/// `v22.23.5`, `Python 3.11.7`, `cargo 1.95.0 (…)`: the first number with dots in it, up to three parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// What a program says of itself; none if there is no such number in it.
    #[must_use]
    pub fn said_in(text: &str) -> Option<Self> {
        let words = text.split(|letter: char| !letter.is_ascii_digit() && letter != '.');
        words.filter(|word| word.contains('.')).find_map(|word| {
            let mut parts = word.split('.').map_while(|part| part.parse().ok());
            Some(Self(parts.next()?, parts.next()?, parts.next().unwrap_or(0)))
        })
    }

    /// That of a program, which is run with `--version`.
    ///
    /// # Errors
    /// It cannot be run, or says nothing of a version.
    pub fn of(mut program: Command) -> Result<Self> {
        let name = program.get_program().display().to_string();
        let output = program.arg("--version").stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("starting `{name} --version`"))?;
        ensure!(
            output.status.success(),
            "`{name} --version` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let text = String::from_utf8_lossy(&output.stdout);
        Self::said_in(&text).with_context(|| format!("`{name} --version` printed no version: {}", text.trim()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_programs_print_them_and_compared_as_numbers() {
        for (text, version) in [
            ("v22.23.5\n", Some(Version(22, 23, 5))),
            ("9.2.0\n", Some(Version(9, 2, 0))),
            ("Python 3.11.7", Some(Version(3, 11, 7))),
            ("cargo 1.95.0 (f2d3ce0bd 2026-03-21)", Some(Version(1, 95, 0))),
            ("rustc 1.96.0-nightly (1 2)", Some(Version(1, 96, 0))),
            ("Debian LLD 22.1 (compatible with GNU linkers)", Some(Version(22, 1, 0))),
            ("a tool without one, since 2026", None),
        ] {
            assert_eq!(Version::said_in(text), version, "{text}");
        }
        assert!(Version(9, 2, 0) < Version(18, 20, 4) && Version(18, 20, 4) < Version(20, 0, 0));
    }

    #[test]
    fn a_program_is_asked_and_one_that_is_not_there_is_named() {
        Version::of(Command::new("cargo")).unwrap();
        let error = format!("{:#}", Version::of(Command::new("no-such-program")).unwrap_err());
        assert!(error.contains("no-such-program --version"), "{error}");
    }
}
