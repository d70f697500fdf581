//! `ripost rollback OWNER/SLUG`

use super::out::outln;
use super::{Failure, client};
use crate::plugins::RolledBack;
use clap::Args;
use http::Method;
use ripost_domain::api::ApiName;

/// Go back to the revision before the one that serves
///
/// The plugin that offers the API is swapped as a whole, with all its APIs, and requests that have not ended go with it.
/// It holds until another revision comes, over restarts as well; `ripost plugins start` ends that earlier.
#[derive(Args)]
pub(super) struct Rollback {
    /// Any API of the plugin
    #[arg(value_name = "OWNER/SLUG")]
    api: ApiName,
    #[command(flatten)]
    gateway: client::Gateway,
}

impl Rollback {
    pub(super) fn run(self) -> Result<(), Failure> {
        let path = format!("/admin/v1/apis/{}/rollback", self.api);
        let RolledBack { key, from, to } = self.gateway.ask(Method::POST, &path, None)?;
        outln!("{key}: {} serves in place of {}, until another revision comes", to.short(), from.short());
        Ok(())
    }
}
