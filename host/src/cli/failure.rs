//! How a command fails: its exit code, and what it says.

use super::out::note;
use crate::causes::chain;
use crate::config::ConfigError;
use anyhow::Context as _;
use camino::Utf8Path;
use std::io::{self, ErrorKind};
use std::process::ExitCode;

/// Why a command failed, as its exit code tells scripts (the numbers are those of sysexits.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Anything else; a receipt that does not hold, a plugin that is refused.
    Failure = 1,
    /// A comparison that cannot be made.
    Undecided = 2,
    /// The configuration, or the command line.
    Configuration = 64,
    /// Data that is damaged, or of a newer version; a key that does not fit.
    Data = 65,
    /// A file or folder that is not there.
    NoInput = 66,
    /// An address in use, or a gateway that does not answer.
    Unavailable = 69,
    /// A folder or an output that cannot be written.
    CannotWrite = 73,
}

/// A failed command: its exit code and its one line.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(super) exit: Exit,
    pub(super) error: anyhow::Error,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }

    /// A file or folder that the command line names could not be read: whether it is there, its exit code says.
    pub(super) fn reading(error: anyhow::Error, otherwise: Exit) -> Self {
        let is_missing = error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::NotFound);
        Self::new(if is_missing { Exit::NoInput } else { otherwise }, error)
    }

    /// Prints the error with its causes: the only place that does. Each error says what was tried, its source says why not.
    pub(super) fn print(&self) -> ExitCode {
        note!("ripost: {}", chain(&*self.error));
        ExitCode::from(self.exit as u8)
    }
}

/// For a folder that is read in words of its own.
///
/// # Errors
/// It is not there.
pub(super) fn is_there(folder: &Utf8Path) -> Result<(), Failure> {
    let found = std::fs::metadata(folder).with_context(|| format!("reading {folder}"));
    found.map(drop).map_err(|error| Failure::reading(error, Exit::Failure))
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { exit: Exit::Failure, error }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Configuration, error)
    }
}
