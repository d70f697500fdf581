//! The folder of revisions: it belongs to the database as the master key does.

use super::{GivenUp, StartError};
use crate::plugins::{Plugins, RECORD_FILE};
use anyhow::Context as _;
use bytes::Bytes;
use camino::Utf8Path;
use ripost_store::{Mark, Store};

/// Refuses to go on without a record that was there: requests would fail that a restored folder could still answer.
pub(super) async fn check(store: &dyn Store, folder: &Utf8Path, given_up: GivenUp) -> Result<(), StartError> {
    let mark = store.mark(Mark::Revisions).await.context("reading whether there were revisions")?;
    if mark.is_none() || Plugins::has_record(folder) {
        return Ok(());
    }
    let stats = store.stats().await.context("counting unfinished requests")?;
    let unfinished = stats.requests_accepted + stats.requests_running + stats.requests_awaiting;
    if given_up.new_revisions {
        tracing::warn!(%folder, unfinished, "The folder of revisions is gone and begins anew: pushed plugins must be pushed again; take the flag --new-revisions away");
        return Ok(());
    }
    Err(StartError::RevisionsLost { folder: folder.to_owned(), file: RECORD_FILE, unfinished })
}

/// From now on it is missed.
pub(super) async fn mark(store: &dyn Store, plugins: &Plugins) {
    let marked = match store.mark(Mark::Revisions).await {
        Ok(Some(_)) => plugins.make_record().map_err(anyhow::Error::from),
        Ok(None) => match plugins.make_record() {
            Ok(()) => store.set_mark(Mark::Revisions, Bytes::new()).await.map_err(anyhow::Error::from),
            Err(error) => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    };
    if let Err(error) = marked {
        tracing::warn!(%error, "That there is a folder of revisions could not be written down; the next start does it");
    }
}
