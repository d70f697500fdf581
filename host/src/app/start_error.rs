//! Why the gateway cannot start: split by the exit code that it ends with.

use crate::keyring::KeyringError;
use crate::keyring::master_key::{Fit, Place};
use crate::plugins;
use camino::{Utf8Path, Utf8PathBuf};
use ripost_store::OpenError;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// The gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A value that only shows its fault when it is used.
    #[error("configuration: {0}")]
    Configuration(String),
    /// The data folder belongs to a newer version.
    #[error(transparent)]
    NewerData(OpenError),
    /// What the plugins are was written by a newer version.
    #[error("{0}")]
    NewerPlugins(plugins::RecordError),
    /// The master key is not that of the data folder.
    #[error("{}; {}", .fit.says(.place), .fit.to_do())]
    MasterKey {
        /// How it is.
        fit: Fit,
        /// Where it was looked for.
        place: Place,
    },
    /// A key or token is damaged.
    #[error(transparent)]
    DamagedKey(KeyringError),
    /// Another process has the data folder.
    #[error(transparent)]
    DataInUse(OpenError),
    /// Another process has the address.
    #[error("cannot listen on {address}: {source}; stop the other program, or choose another address with --listen")]
    AddressInUse {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// What the data folder holds is damaged, or part of it is gone.
    #[error(transparent)]
    DamagedData(OpenError),
    /// The folder of revisions is gone.
    #[error(
        "{folder} has no {file} any more: it holds the plugins that were pushed, rollbacks and stops, and what {unfinished} unfinished requests run. Restore the folder from a backup. To go on without it, start once with --new-revisions: pushed plugins must be pushed again, and unfinished requests fail whose revision is not in the plugins folder (their holds are released)"
    )]
    RevisionsLost {
        /// Where they were.
        folder: Utf8PathBuf,
        /// The record that is always there.
        file: &'static str,
        /// Requests that need them.
        unfinished: u64,
    },
    /// A folder or file that cannot be written.
    #[error("{path} cannot be written: {why}")]
    CannotWrite {
        /// Which.
        path: Utf8PathBuf,
        /// Why, and what to do.
        why: String,
    },
    /// Anything else, with its causes.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl StartError {
    /// With what to do about it.
    pub(super) fn cannot_write(path: &Utf8Path, source: &io::Error) -> Self {
        let why = match source.kind() {
            ErrorKind::ReadOnlyFilesystem => {
                "its disk is mounted read-only: mount it for writing, or name another folder".to_owned()
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "its disk is full: make room".to_owned(),
            ErrorKind::PermissionDenied => format!("{source}: give it to the user that runs the gateway"),
            _ => source.to_string(),
        };
        Self::CannotWrite { path: path.to_owned(), why }
    }
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Newer { .. } => Self::NewerData(error),
            OpenError::InUse { .. } => Self::DataInUse(error),
            OpenError::NotWritable { path, source } => Self::cannot_write(path.as_ref(), &source),
            OpenError::DamagedLog { .. } | OpenError::DamagedDatabase { .. } => Self::DamagedData(error),
            OpenError::Database { .. } => Self::Other(error.into()),
        }
    }
}

impl From<KeyringError> for StartError {
    fn from(error: KeyringError) -> Self {
        match error {
            KeyringError::NotAKey(Place::Environment) => Self::Configuration(error.to_string()),
            KeyringError::File { path, source } => Self::cannot_write(&path, &source),
            error => Self::DamagedKey(error),
        }
    }
}

impl From<plugins::OpenError> for StartError {
    fn from(error: plugins::OpenError) -> Self {
        match error {
            plugins::OpenError::Record(newer @ plugins::RecordError::Newer { .. }) => Self::NewerPlugins(newer),
            error => Self::Other(error.into()),
        }
    }
}
