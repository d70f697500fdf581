//! For operators and owners: `/admin/v1` and `/metrics`. The command line speaks to the same.

mod access;
mod allowances;
mod api;
mod apis;
mod balances;
mod consumers;
mod erase;
mod inputs;
mod keys;
mod openapi;
mod owners;
mod plugins;
mod push;
mod replay;
mod requests;
mod routes;
mod runs;
mod status;
mod tokens;
mod webhooks;

pub use access::Principal;
pub use allowances::{LimitShown, LimitsShown, SetLimits};
pub use api::Admin;
pub use apis::{ApiLine, PauseApi, PausedShown, SubscriberLine};
pub use balances::{AdjustBalance, AdjustedBalance};
pub use consumers::{AddConsumer, AddedConsumer, ConsumerLine};
pub use erase::{EraseConsumer, ErasedConsumer, ErasedRequest};
pub use keys::{AddConsumerKey, AddedConsumerKey, KeyLine, RevokeKey, RevokedKey};
pub use openapi::operations;
pub use owners::{OwnerLine, SetSecret, UpstreamSecret};
pub use plugins::StoppedPlugin;
pub use push::{CONTENT_DIGEST, CONTENT_TYPE, Pushed, Uploads, content_digest};
pub use requests::{RequestLine, RequestShown, RequestsShown};
pub use runs::{RunShown, StepShown};
pub use status::{FailuresShown, Queues, Status};
pub use tokens::{AddToken, AddedToken, RoleName, TokenLine, Tokens};
