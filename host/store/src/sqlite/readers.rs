//! Connections that only read, used off the async threads.

use super::schema;
use crate::store::{OpenError, StoreError};
use camino::Utf8Path;
use rusqlite::Connection;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

/// A connection in use. It is back before its permit is, whoever hangs up and whatever panics.
struct Lent {
    connection: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.connection.take());
    }
}

impl Readers {
    pub(super) fn open(path: &Utf8Path, count: usize) -> Result<Self, OpenError> {
        let idle = (0..count).map(|_| schema::open_reader(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { idle: Arc::new(Mutex::new(idle)), permits: Arc::new(Semaphore::new(count)) })
    }

    /// Runs a short query. Each is one read transaction of its own, so none keeps the log from being reset.
    pub(super) async fn read<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let idle = self.idle.clone();
        // Who drops this future does not stop the query: the permit is the query's.
        let read = tokio::task::spawn_blocking(move || {
            let connection = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let lent = Lent { connection, idle, _permit: permit };
            let connection = lent.connection.as_ref().ok_or(StoreError::Closed)?;
            query(connection).map_err(|error| match error {
                rusqlite::Error::FromSqlConversionFailure(..) => StoreError::Corrupt(error.to_string()),
                error => StoreError::Sql(error.to_string()),
            })
        });
        read.await.map_err(|_| StoreError::Closed)?
    }

    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8PathBuf;
    use std::sync::mpsc;

    #[tokio::test]
    async fn a_reader_that_hangs_up_or_panics_takes_no_connection_from_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().join("ripost.sqlite3")).unwrap();
        drop(schema::open_writer(&path).unwrap());
        let readers = Readers::open(&path, 1).unwrap();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (go_on, goes_on) = mpsc::channel::<()>();
        let mut slow = Box::pin(readers.read(move |_| {
            begun.send(()).unwrap();
            let _ = goes_on.recv();
            Ok(())
        }));
        tokio::select! {
            _ = &mut slow => panic!("it waits"),
            begun = has_begun => begun.unwrap(),
        }
        drop(slow);
        assert_eq!(readers.permits.available_permits(), 0, "its query still has the connection");
        drop(go_on);
        readers.read(|_| Ok(())).await.unwrap();
        let broken: Result<(), _> = readers.read(|_| panic!("on purpose")).await;
        assert!(matches!(broken, Err(StoreError::Closed)));
        readers.read(|_| Ok(())).await.unwrap();
    }
}
