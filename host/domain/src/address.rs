//! Where the gateway may connect: a table of addresses, and the rules for webhook URLs. Pure; looking names up and
//! connecting is `egress`'s.

mod network;
mod policy;
mod table;
mod webhook_url;

pub use network::{Network, ParseNetworkError};
pub use policy::{Policy, Refused};
pub use table::{Reason, Verdict, classify};
pub use webhook_url::{PlainHttp, UrlPolicy, UrlRefused, WebhookUrl, is_localhost_name};
