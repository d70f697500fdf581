//! A look into a data folder that a gateway may be running on. It leaves no file behind: one that root made beside the
//! database would keep the gateway out.

use super::{DATABASE_FILE, files, reads, schema, seal};
use crate::store::{Mark, OpenError, SealedSample, StoreError};
use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use ripost_domain::time::Timestamp;
use rusqlite::{Connection, OpenFlags};

/// The database of a folder, to read.
pub struct Beside {
    connection: Connection,
    path: Utf8PathBuf,
}

impl Beside {
    /// `None`: there is no database yet. Blocks.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(folder: &Utf8Path) -> Result<Option<Self>, StoreError> {
        let path = folder.join(DATABASE_FILE);
        // A folder that may not be entered is not one without a database.
        let is_there = path.try_exists().map_err(|error| files::failed(&path, &error))?;
        if !is_there {
            return Ok(None);
        }
        let connection = match Utf8Path::new(&format!("{path}-wal")).exists() {
            // Somebody has it open, or was killed: the log and its index are there to be shared.
            true => schema::open_reader(&path).map_err(|error| StoreError::Sql(error.to_string()))?,
            // Without a log, SQLite would make an empty one.
            false => open_unchanging(&path).map_err(|error| StoreError::Sql(error.to_string()))?,
        };
        Ok(Some(Self { connection, path }))
    }

    /// Whether this program can read it.
    ///
    /// # Errors
    /// It is of a newer version, or damaged.
    pub fn check_version(&self) -> Result<(), OpenError> {
        schema::version(&self.connection, &self.path).map(drop)
    }

    /// What [`crate::Store::newest`] says.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn newest(&self) -> Result<Option<Timestamp>, StoreError> {
        reads::newest(&self.connection).map_err(failed)
    }

    /// What [`crate::Store::mark`] says.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn mark(&self, mark: Mark) -> Result<Option<Bytes>, StoreError> {
        let has_marks = self.connection.table_exists(None, "marks").map_err(failed)?;
        if has_marks { seal::mark(&self.connection, mark).map_err(failed) } else { Ok(None) }
    }

    /// What [`crate::Store::sealed_sample`] says.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn sealed_sample(&self) -> Result<Option<SealedSample>, StoreError> {
        seal::sample(&self.connection).map_err(failed)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::Sql(error.to_string())
}

fn open_unchanging(path: &Utf8Path) -> rusqlite::Result<Connection> {
    let path = path.as_str().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{path}?immutable=1"), flags)
}
