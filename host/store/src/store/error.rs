//! What can go wrong.

/// The database did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The writer's queue is full: nothing was written, try again later.
    #[error("the writer's queue is full")]
    Busy,
    /// The commit failed: nothing of its group was written.
    #[error("the commit failed: {0}")]
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
    #[error("the data folder {path} cannot be written: {message}")]
    NotWritable {
        /// The folder or file.
        path: String,
        /// Why.
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
