//! For operators: `/admin/v1` and `/metrics`. The command line speaks to the same.

mod api;
mod consumers;
mod owners;
mod runs;
mod status;
mod webhooks;

pub use api::Admin;
pub use consumers::{AddConsumer, AddedConsumer, ConsumerLine};
pub use owners::SetSecret;
pub use runs::RunShown;
pub use status::Status;
