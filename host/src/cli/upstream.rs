//! `ripost upstream secret`

use super::out::outln;
use super::{Failure, client};
use crate::admin::UpstreamSecret;
use clap::Subcommand;
use http::Method;
use ripost_domain::api::Name;

/// Owners' own services that requests are forwarded to.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Print the secret that forwarded requests are signed with (Standard Webhooks, `whsec_…`)
    Secret {
        /// Whose upstreams
        owner: Name,
        #[command(flatten)]
        gateway: client::Gateway,
    },
}

impl Command {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self::Secret { owner, gateway } = self;
        let path = format!("/admin/v1/owners/{owner}/upstream-secret");
        let UpstreamSecret { secret } = gateway.ask(Method::GET, &path, None)?;
        outln!("{secret}");
        Ok(())
    }
}
