//! Which unfinished requests name which revision: the store's answer to the plugins.

use crate::plugins::Pins;
use async_trait::async_trait;
use ripost_domain::api::{ApiName, Digest};
use ripost_store::{Repin, Store};
use std::collections::HashMap;
use std::sync::Arc;

/// Requests that are counted of one revision; with more it is many in any case.
const COUNTED_MAX: u64 = 100_000;
const PAGE: u32 = 1000;

/// The store as [`Pins`].
pub(super) struct PinsOfStore(pub(super) Arc<dyn Store>);

#[async_trait]
impl Pins for PinsOfStore {
    async fn repin(&self, from: Digest, to: Digest, apis: Vec<ApiName>) -> anyhow::Result<u64> {
        Ok(self.0.repin(Repin { from, to, apis }).await?)
    }

    async fn in_use(&self) -> anyhow::Result<HashMap<Digest, u64>> {
        let mut in_use = HashMap::new();
        for digest in self.0.revisions_in_use().await? {
            let (mut after, mut requests) = (None, 0);
            while requests < COUNTED_MAX {
                let page = self.0.pinned(digest, after, PAGE).await?;
                requests += page.len() as u64;
                match page.last() {
                    Some(last) if page.len() == PAGE as usize => after = Some(last.claimed.id),
                    _ => break,
                }
            }
            in_use.insert(digest, requests);
        }
        Ok(in_use)
    }
}
