//! Why the gateway cannot start: split by the exit code that it ends with. Each says what was tried and what to do; the
//! cause is its source, which the command line prints behind it.

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
    #[error(transparent)]
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
    /// Another process has the address, or this machine does not have it now.
    #[error("cannot listen on {address} ({})", to_do(.source, .flag))]
    CannotListen {
        /// Which.
        address: SocketAddr,
        /// What chooses another.
        flag: &'static str,
        /// Why.
        source: io::Error,
    },
    /// This user may not have the address.
    #[error(
        "cannot listen on {address} (ports below 1024 are for root: choose another with {flag}, or give the program CAP_NET_BIND_SERVICE)"
    )]
    MayNotListen {
        /// Which.
        address: SocketAddr,
        /// What chooses another.
        flag: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The operator named a plugins folder that is not there.
    #[error(
        "the plugins folder {0} does not exist: make it, or name another one with --plugins (only the default, ./plugins, is made at the start)"
    )]
    NoPluginsFolder(Utf8PathBuf),
    /// A folder of plugins that cannot be used as it is.
    #[error(
        "the plugins folder {path} cannot be used (let the user that runs the gateway read it, or name another one with --plugins)"
    )]
    PluginsFolder {
        /// Which.
        path: Utf8PathBuf,
        /// Why not.
        source: io::Error,
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
    #[error("{path} cannot be written{}", room(.source))]
    CannotWrite {
        /// Which.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key or token that cannot be read or made.
    #[error(transparent)]
    KeyFile(KeyringError),
    /// A folder of revisions that cannot be made or read.
    #[error("the data folder cannot be used (give all of it to the user that runs the gateway)")]
    Data(#[source] plugins::OpenError),
    /// Anything else.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl StartError {
    pub(crate) fn cannot_listen(address: SocketAddr, flag: &'static str, source: io::Error) -> Self {
        match source.kind() {
            ErrorKind::PermissionDenied => Self::MayNotListen { address, flag, source },
            _ => Self::CannotListen { address, flag, source },
        }
    }

    pub(super) fn cannot_write(path: &Utf8Path, source: io::Error) -> Self {
        Self::CannotWrite { path: path.to_owned(), source }
    }
}

fn to_do(source: &io::Error, flag: &str) -> String {
    match source.kind() {
        ErrorKind::AddrInUse => format!("stop the other program, or choose another address with {flag}"),
        ErrorKind::AddrNotAvailable => format!("this machine does not have it: choose another address with {flag}"),
        _ => format!("choose another address with {flag}"),
    }
}

/// What helps, where it is known; behind it comes the cause.
fn room(source: &io::Error) -> &'static str {
    match source.kind() {
        ErrorKind::ReadOnlyFilesystem => " (mount its disk for writing, or name another folder)",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => " (make room on its disk)",
        ErrorKind::PermissionDenied => " (give it to the user that runs the gateway)",
        _ => "",
    }
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Newer { .. } => Self::NewerData(error),
            OpenError::InUse { .. } => Self::DataInUse(error),
            OpenError::NotWritable { path, source } => Self::cannot_write(path.as_ref(), source),
            OpenError::DamagedLog { .. } | OpenError::DamagedDatabase { .. } => Self::DamagedData(error),
            OpenError::Database { .. } => Self::Other(error.into()),
        }
    }
}

impl From<KeyringError> for StartError {
    fn from(error: KeyringError) -> Self {
        match error {
            KeyringError::NotAKey(Place::Environment) => Self::Configuration(error.to_string()),
            error @ KeyringError::File { .. } => Self::KeyFile(error),
            error => Self::DamagedKey(error),
        }
    }
}

impl From<plugins::OpenError> for StartError {
    fn from(error: plugins::OpenError) -> Self {
        match error {
            plugins::OpenError::Record(newer @ plugins::RecordError::Newer { .. }) => Self::NewerPlugins(newer),
            plugins::OpenError::Folder { path, source } => Self::PluginsFolder { path, source },
            error @ (plugins::OpenError::Record(_) | plugins::OpenError::Revisions(_)) => Self::Data(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::chain;
    use crate::plugins::{RecordError, RevisionError};
    use anyhow::anyhow;
    use std::collections::BTreeSet;

    fn io(kind: ErrorKind) -> io::Error {
        kind.into()
    }

    /// What each part of a start can come back with, and what no part has a type for.
    fn all() -> Vec<StartError> {
        let path = || "/data/file".to_owned();
        let folder = || Utf8PathBuf::from("/data/folder");
        let address = SocketAddr::from(([127, 0, 0, 1], 3000));
        let damaged = serde_json::from_str::<u8>("{").unwrap_err();
        let mut all: Vec<StartError> = [
            OpenError::Newer { path: path(), found: 9, known: 1 },
            OpenError::InUse { path: path() },
            OpenError::NotWritable { path: path(), source: io(ErrorKind::ReadOnlyFilesystem) },
            OpenError::DamagedLog { path: path(), frame: 1, commits: 2 },
            OpenError::DamagedDatabase { path: path(), message: "file is not a database".to_owned() },
            OpenError::Database { path: path(), message: "disk I/O error".to_owned() },
        ]
        .map(StartError::from)
        .into();
        all.extend(
            [
                KeyringError::File { path: folder(), source: io(ErrorKind::PermissionDenied) },
                KeyringError::NotAKey(Place::Environment),
                KeyringError::NotAKey(Place::File(folder())),
                KeyringError::NotAToken { path: folder(), chars_min: 24 },
                KeyringError::EmptyToken(folder()),
                KeyringError::DoesNotOpen,
            ]
            .map(StartError::from),
        );
        let making = |kind| RevisionError::Io { doing: "making", path: folder(), source: io(kind) };
        all.extend(
            [
                plugins::OpenError::Folder { path: folder(), source: io(ErrorKind::NotADirectory) },
                plugins::OpenError::Revisions(making(ErrorKind::AlreadyExists)),
                plugins::OpenError::Record(RecordError::Newer { path: folder(), version: 9 }),
                plugins::OpenError::Record(RecordError::Damaged { path: folder(), source: damaged }),
                plugins::OpenError::Record(RecordError::Io { path: folder(), source: io(ErrorKind::PermissionDenied) }),
            ]
            .map(StartError::from),
        );
        for kind in [ErrorKind::AddrInUse, ErrorKind::AddrNotAvailable, ErrorKind::PermissionDenied, ErrorKind::Other] {
            all.push(StartError::cannot_listen(address, "--listen", io(kind)));
        }
        for kind in [ErrorKind::StorageFull, ErrorKind::PermissionDenied, ErrorKind::Other] {
            all.push(StartError::cannot_write(&folder(), io(kind)));
        }
        for fit in [Fit::Missing, Fit::Other] {
            all.push(StartError::MasterKey { fit, place: Place::File(folder()) });
        }
        all.extend([
            StartError::Configuration("delivery.allow: `10.0.0.0/33` is no network".to_owned()),
            StartError::RevisionsLost { folder: folder(), file: "active.json", unfinished: 3 },
            StartError::NoPluginsFolder(folder()),
            StartError::Other(anyhow!(making(ErrorKind::Other)).context("counting the requests that wait")),
        ]);
        all
    }

    /// No `_` arm: a new error does not compile until there is one of it above.
    fn kind(error: &StartError) -> usize {
        match error {
            StartError::Configuration(_) => 0,
            StartError::NewerData(_) => 1,
            StartError::NewerPlugins(_) => 2,
            StartError::MasterKey { .. } => 3,
            StartError::DamagedKey(_) => 4,
            StartError::DataInUse(_) => 5,
            StartError::CannotListen { .. } => 6,
            StartError::MayNotListen { .. } => 7,
            StartError::NoPluginsFolder(_) => 8,
            StartError::PluginsFolder { .. } => 9,
            StartError::DamagedData(_) => 10,
            StartError::RevisionsLost { .. } => 11,
            StartError::CannotWrite { .. } => 12,
            StartError::KeyFile(_) => 13,
            StartError::Data(_) => 14,
            StartError::Other(_) => 15,
        }
    }

    #[test]
    fn no_start_error_says_anything_twice_and_each_says_its_cause() {
        let all = all();
        let kinds: BTreeSet<usize> = all.iter().map(kind).collect();
        assert!(kinds.into_iter().eq(0..16), "one of each is looked at");
        for error in &all {
            let text = chain(error);
            let parts: Vec<&str> =
                text.split([':', ';', '(', ')']).map(str::trim).filter(|part| part.len() > 3).collect();
            let different: BTreeSet<&&str> = parts.iter().collect();
            assert_eq!(parts.len(), different.len(), "{text}");
            // The last of the chain is the reason of the system or of a parser, if there is one.
            let cause = std::iter::successors(std::error::Error::source(error), |&error| error.source()).last();
            let cause = cause.map(ToString::to_string).unwrap_or_default();
            assert!(text.ends_with(&cause) && (cause.is_empty() || text.matches(&cause).count() == 1), "{text}");
        }
    }
}
