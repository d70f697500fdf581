//! What can go wrong.

/// The database did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The writer's queue is full: nothing was written, try again later.
    #[error("the writer's queue is full")]
    Busy,
    /// The disk, or whoever else holds the database, refused: nothing of this operation was written.
    #[error("the store refuses writes: {0}")]
    CommitFailed(String),
    /// One statement failed: nothing of this operation was written.
    #[error("the database refused: {0}")]
    Sql(String),
    /// A row or file holds what we never write.
    #[error("stored data is not readable: {0}")]
    Corrupt(String),
    /// A result file could not be written or read.
    #[error("file {path}: {message}")]
    File {
        /// Which.
        path: String,
        /// Why.
        message: String,
    },
    /// The store is closing.
    #[error("the store is closed")]
    Closed,
}

/// A write-back did not take place.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// Somebody else ended or claimed it meanwhile; drop the result.
    #[error("another run or a cancellation was first")]
    Fenced,
    /// The store's failure.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Written by a newer version of the program.
    #[error(
        "the data folder {path} was written by a newer version (schema {found}, this program knows {known}): use that version, or another folder"
    )]
    Newer {
        /// The folder.
        path: String,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Another process has it.
    #[error("the data folder {path} is in use by another ripost process: stop it, or use another folder")]
    InUse {
        /// The folder.
        path: String,
    },
    /// Not writable.
    #[error("{path} cannot be written")]
    NotWritable {
        /// The folder or file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Commits that were answered are in the log and cannot be read.
    #[error(
        "the log {path} is damaged at frame {frame}, with {commits} commits behind it: restore the data folder from a backup. Without one, move that file away and start: what was accepted since the last checkpoint is lost then, and `ripost ledger audit` says whether the rest is sound"
    )]
    DamagedLog {
        /// The file.
        path: String,
        /// The first that does not add up; 0 is its header.
        frame: u64,
        /// That SQLite would forget.
        commits: u64,
    },
    /// The file is no database, or its pages contradict each other.
    #[error("the database {path} is damaged ({message}): restore the data folder from a backup")]
    DamagedDatabase {
        /// The file.
        path: String,
        /// In SQLite's words.
        message: String,
    },
    /// SQLite's failure.
    #[error("opening the database {path}: {message}")]
    Database {
        /// The file.
        path: String,
        /// Why.
        message: String,
    },
}
