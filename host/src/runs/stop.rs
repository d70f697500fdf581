//! The operator stopped a plugin: what it has not ended is ended.

use super::Runs;
use super::decide;
use ripost_domain::api::Digest;
use ripost_store::{PinnedRun, StoreError};

/// Requests that are ended between two looks into the store.
const PAGE: u32 = 256;
/// Looks at all of them: one that changed hands in between is found by the next.
const ROUNDS_MAX: usize = 3;

impl Runs {
    /// Ends all unfinished requests of a revision as failed: holds are released and webhooks sent. A guest that is running
    /// is left to its end, which then counts for nothing. How many there were.
    ///
    /// # Errors
    /// The store cannot be read; those that were ended stay ended.
    pub async fn fail_pinned(&self, digest: Digest) -> Result<u64, StoreError> {
        let mut ended = 0;
        for _ in 0..ROUNDS_MAX {
            let round = self.fail_page_by_page(digest).await?;
            ended += round;
            if round == 0 {
                break;
            }
        }
        Ok(ended)
    }

    async fn fail_page_by_page(&self, digest: Digest) -> Result<u64, StoreError> {
        let (mut after, mut ended) = (None, 0);
        loop {
            let page = self.needs.store.pinned(digest, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(ended) };
            after = Some(last.claimed.id);
            for PinnedRun { state, claimed } in page {
                let entry = self.needs.live.enter(claimed.id);
                let active = self.what_tells(&claimed).await;
                self.finish(claimed, state, decide::stopped(), None, &entry, active.as_deref()).await;
                ended += 1;
            }
        }
    }
}
