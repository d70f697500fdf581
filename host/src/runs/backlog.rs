//! How many accepted requests wait in the store for a run. The count is kept in memory, in step with what this process
//! writes, and put right by the store now and then. Above the bound new calls are refused before anything is written.

use super::Runs;
use crate::problem::{Kind, Problem};
use ripost_store::StoreError;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A backlog that large does not go away in a moment.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The count.
#[derive(Debug)]
pub(super) struct Backlog {
    max: i64,
    /// May be below zero for a moment: a request can be claimed before its accept is heard of.
    count: AtomicI64,
}

impl Backlog {
    pub(super) fn new(max: u32) -> Self {
        Self { max: i64::from(max), count: AtomicI64::new(0) }
    }

    fn add(&self, count: i64) {
        self.count.fetch_add(count, Ordering::Relaxed);
    }

    fn is_full(&self) -> bool {
        self.count.load(Ordering::Relaxed) >= self.max
    }
}

impl Runs {
    /// Whether one more request may be accepted. Before anything is written.
    ///
    /// # Errors
    /// Too many wait (503).
    pub(crate) fn check_backlog(&self) -> Result<(), Problem> {
        if !self.recovered.load(Ordering::Acquire) {
            // What is accepted now could not be told from what the process before has left.
            return Err(StoreError::CommitFailed("what the process before left is not recovered yet".to_owned()).into());
        }
        if !self.backlog.is_full() {
            return Ok(());
        }
        let detail = format!(
            "{} accepted requests wait in the store for a run, which is the most (runs.backlog_max). Nothing was accepted; send it again after the time in Retry-After.",
            self.backlog.max
        );
        Err(Problem::new(Kind::Overloaded, detail).retry_after(RETRY_AFTER))
    }

    /// What the process before had leased is due again: new requests can be leased.
    pub(crate) fn set_recovered(&self) {
        self.recovered.store(true, Ordering::Release);
    }

    /// A request is in state `accepted`, durably: without a lease, or put back.
    pub(crate) fn one_waits(&self) {
        self.backlog.add(1);
    }

    /// So many are not any more: claimed, or ended.
    pub(crate) fn wait_no_more(&self, count: usize) {
        self.backlog.add(-i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Asks the store. What moves meanwhile may be counted twice until the next time.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub(crate) async fn count_backlog(&self) -> Result<(), StoreError> {
        let before = self.backlog.count.load(Ordering::Relaxed);
        let counted = self.needs.store.stats().await?.requests_accepted;
        self.backlog.add(i64::try_from(counted).unwrap_or(i64::MAX).saturating_sub(before));
        Ok(())
    }
}
