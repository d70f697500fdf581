//! Why the gateway cannot start: split by the exit code that it ends with.

use crate::plugins;
use camino::Utf8PathBuf;
use ripost_store::OpenError;
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
    /// A folder that cannot be written.
    #[error("the folder {path} cannot be written: {message}")]
    CannotWrite {
        /// Which.
        path: Utf8PathBuf,
        /// Why.
        message: String,
    },
    /// Anything else, with its causes.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Newer { .. } => Self::NewerData(error),
            OpenError::InUse { .. } => Self::DataInUse(error),
            OpenError::NotWritable { path, message } => Self::CannotWrite { path: path.into(), message },
            OpenError::Database { .. } => Self::Other(error.into()),
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
