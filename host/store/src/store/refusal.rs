//! A store that does not take writes for the moment.

use std::fmt;

/// Why a write was refused: by what an operator has to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// No room on the disk, or in the user's quota.
    DiskFull,
    /// The disk, or a file, may not be written.
    ReadOnly,
    /// Another process holds the database.
    Locked,
    /// Anything else; the message says what.
    Other,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::DiskFull, Self::ReadOnly, Self::Locked, Self::Other];

    /// As it is counted.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DiskFull => "disk-full",
            Self::ReadOnly => "read-only",
            Self::Locked => "locked",
            Self::Other => "other",
        }
    }

    /// What helps.
    #[must_use]
    pub const fn to_do(self) -> &'static str {
        match self {
            Self::DiskFull => "make room on the disk of the data folder",
            Self::ReadOnly => "make the disk and the files of the data folder writable",
            Self::Locked => "end the other program that has the database open",
            Self::Other => "see the log",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::DiskFull => "the disk is full",
            Self::ReadOnly => "the disk is read-only",
            Self::Locked => "the database is locked",
            Self::Other => "the write failed",
        })
    }
}

/// The last write that was refused. It holds until a write of some size has succeeded: on an almost full disk small
/// writes go on succeeding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub cause: Cause,
    /// In the words of the database or of the system.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({}): {}", self.cause, self.message, self.cause.to_do())
    }
}
