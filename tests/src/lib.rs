//! The harness of the end-to-end tests, the crash tests, the demonstration and the bench: it starts the real binary on
//! a fresh folder and talks to it as a consumer, an owner, an operator and an endpoint would.
//!
//! **Invariant:** this package knows the host by its command line, its HTTP and its data folder alone; it never links
//! the host's code (the pure rules of `ripost-domain` and the list of failpoints aside).

pub mod audit;
pub mod cli;
pub mod consumer;
pub mod guests;
pub mod host;
pub mod hostile;
pub mod metrics;
pub mod node;
pub mod order;
pub mod peers;
pub mod places;
pub mod plugin;
pub mod reference;
pub mod signed;
pub mod sink;
pub mod syncs;
pub mod terminal;
pub mod version;
pub mod wait;
pub mod wire;

pub use cli::Output;
pub use consumer::{Answer, Call, Consumer};
pub use host::{Host, HostBuilder, Stopped};
pub use hostile::{Hostile, Mode};
pub use metrics::Metrics;
pub use node::Node;
pub use plugin::{Api, Plugin};
pub use signed::verify;
pub use sink::{Delivery, Reply, Sink};
pub use terminal::Terminal;
pub use version::Version;
pub use wait::until;
pub use wire::{Spoken, Wire};
