//! Connections that only read, used off the async threads.

use super::schema;
use crate::store::{OpenError, StoreError};
use camino::Utf8Path;
use rusqlite::Connection;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Semaphore,
}

impl Readers {
    pub(super) fn open(path: &Utf8Path, count: usize) -> Result<Self, OpenError> {
        let idle = (0..count).map(|_| schema::open_reader(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { idle: Arc::new(Mutex::new(idle)), permits: Semaphore::new(count) })
    }

    /// Runs a short query. Each is one read transaction of its own, so none keeps the log from being reset.
    pub(super) async fn read<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let _permit = self.permits.acquire().await.map_err(|_| StoreError::Closed)?;
        let idle = self.idle.clone();
        let read = tokio::task::spawn_blocking(move || {
            let connection = idle.lock().unwrap_or_else(PoisonError::into_inner).pop().ok_or(StoreError::Closed)?;
            let answer = query(&connection).map_err(|error| match error {
                rusqlite::Error::FromSqlConversionFailure(..) => StoreError::Corrupt(error.to_string()),
                error => StoreError::Sql(error.to_string()),
            });
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            answer
        });
        read.await.map_err(|_| StoreError::Closed)?
    }

    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
