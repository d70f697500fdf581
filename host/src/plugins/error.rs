//! Why the plugins cannot be opened, and why something that is asked of one cannot be done.

use super::record::RecordError;
use super::revision::RevisionError;
use crate::causes::chain;
use camino::Utf8PathBuf;
use ripost_domain::api::{ApiName, Digest};
use std::io;

/// The folders cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The plugins folder cannot be made or read.
    #[error("the plugins folder {path} cannot be used")]
    Folder {
        /// The folder.
        path: Utf8PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The revisions folder in the data folder cannot be made, read or cleared.
    #[error("the revisions folder cannot be used")]
    Revisions(#[from] RevisionError),
    /// What served last cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// An API of a revision cannot be had, or a plugin not be removed. Split by what the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The revision is not there, or damaged.
    #[error("{}", chain(.0))]
    Revision(RevisionError),
    /// The revision is there and cannot be made ready.
    #[error("revision {} cannot be made ready: {reason}", .digest.short())]
    Load {
        /// The revision.
        digest: Digest,
        /// Why not.
        reason: String,
    },
    /// The revision is there and cannot be made ready now: the compiler cannot be started, or the gateway stops.
    #[error("revision {} cannot be made ready now: {reason}", .digest.short())]
    NotNow {
        /// The revision.
        digest: Digest,
        /// Why not.
        reason: String,
    },
    /// The revision offers other APIs.
    #[error("revision {} does not offer {api}", .digest.short())]
    NoSuchApi {
        /// The revision.
        digest: Digest,
        /// What was asked for.
        api: ApiName,
    },
    /// No plugin of this key is or was there.
    #[error("there is no plugin `{0}`; `ripost plugins list` lists them")]
    Unknown(String),
    /// No plugin serves this API.
    #[error("no plugin serves {0}; `ripost status` lists what is served")]
    NotServed(ApiName),
    /// The operator stopped the plugin, and its requests with it.
    #[error("the operator stopped the plugin of revision {}", .0.short())]
    Stopped(Digest),
    /// An owner would start what the operator stopped.
    #[error("the operator stopped `{0}`, and only the operator starts it again")]
    OperatorsStop(String),
    /// Its plugin, or the revision before, has APIs of other owners, who would be rolled back with it.
    #[error("the plugin that offers {0} has APIs of other owners too, now or in the revision before; ask the operator")]
    Shared(ApiName),
    /// There is no revision before the one that serves.
    #[error(
        "there is no revision of `{0}` before the one that serves; push or copy the older files again; an operator can take it out of service with `ripost plugins stop {0}`"
    )]
    NoPrevious(String),
    /// Something else came into service meanwhile.
    #[error(
        "another revision of `{0}` came into service meanwhile; look at `ripost status`, and try again if it is still wanted"
    )]
    Changed(String),
    /// The revision before offers what somebody else does by now.
    #[error("the revision before offers {api}, which the plugin `{by}` offers by now; remove that one first")]
    Taken {
        /// The API.
        api: ApiName,
        /// Who offers it.
        by: String,
    },
    /// Its folder is there: the next scan would only bring it back.
    #[error("the folder `{0}` is still there; delete it first")]
    StillThere(String),
    /// The plugins folder cannot be read.
    #[error("{0}")]
    Folder(String),
    /// Which requests there are could not be read.
    #[error("reading which requests name which revision: {0}")]
    Requests(String),
    /// What serves could not be written down.
    #[error("writing down what serves: {0}")]
    Record(io::Error),
    /// The thread that did the work broke down.
    #[error("the work on a plugin was lost; try again")]
    Lost,
}

impl From<RevisionError> for PluginError {
    fn from(error: RevisionError) -> Self {
        Self::Revision(error)
    }
}
