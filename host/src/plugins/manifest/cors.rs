//! `cors` of an API: whose pages may call it.

use super::{ManifestError, Reader, raw};
use crate::gateway::cors::Origins;
use std::sync::Arc;

impl Reader<'_> {
    pub(super) fn origins(&self, raw: Option<&raw::Cors>) -> Result<Arc<Origins>, ManifestError> {
        let Some(raw) = raw else { return Ok(Arc::default()) };
        let named = self.list("cors.origins", &raw.origins, |text| self.parsed("cors.origins", text))?;
        Ok(Arc::new(named.into_iter().collect()))
    }
}
