//! `ripost erase request | consumer`

use super::out::outln;
use super::{Failure, client};
use crate::admin::{EraseConsumer, ErasedConsumer, ErasedRequest};
use anyhow::Context as _;
use clap::Subcommand;
use http::Method;
use ripost_domain::id::RequestId;

/// What is to go.
#[derive(Subcommand)]
pub(super) enum Command {
    /// A request that has ended: what was sent, answered and delivered, and that it was there
    Request {
        /// Which one
        request: RequestId,
        #[command(flatten)]
        gateway: client::Gateway,
    },
    /// A consumer: its keys and its name now, its requests as they end
    Consumer {
        /// Its name, or its id
        name: String,
        /// Leave what it has in the ledger, where nobody can spend it
        #[arg(long)]
        keep_balance: bool,
        #[command(flatten)]
        gateway: client::Gateway,
    },
}

impl Command {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Request { request, gateway } => {
                let path = format!("/admin/v1/requests/{request}");
                let erased: ErasedRequest = gateway.ask(Method::DELETE, &path, None)?;
                outln!("erased: {}", erased.request);
                if erased.undelivered > 0 {
                    outln!("webhooks that will not be delivered: {}", erased.undelivered);
                }
            }
            Self::Consumer { name, keep_balance, gateway } => {
                let path = format!("/admin/v1/consumers/{}", client::segment(&name));
                let fields = serde_json::to_value(EraseConsumer { keep_balance }).context("writing the request")?;
                let erased: ErasedConsumer = gateway.ask(Method::DELETE, &path, Some(&fields))?;
                outln!("erased: {name}, in the ledger {} with {} USDC", erased.consumer, erased.available);
                outln!("Its keys are void. Its requests go now; those that have not ended go as they end.");
            }
        }
        Ok(())
    }
}
