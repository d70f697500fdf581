//! The only way out: resolve, guard, connect, exchange.
//!
//! A name is looked up once, every answer is checked by the table, and the connection goes to an address that was
//! checked. Nothing is redirected, decoded, or sent through a proxy of the environment. Each exchange has one deadline
//! for everything, and drives its own connection: no task is spawned for it, so what is dropped is closed.

mod client;
mod connect;
mod connection;
mod error;
mod exchange;
mod facts;
mod guard;
mod own;
mod pool;
mod recent;
mod resolve;
mod tls;

pub use client::{EgressClient, Settings};
pub use error::{EgressError, Phase, SendError};
pub use exchange::{Answer, Exchange, Outgoing, Party};
pub(crate) use exchange::{HOP_BY_HOP, connection_options};
pub use facts::{Facts, Phases};
pub use guard::{Refused, Why};
pub use own::OwnAddresses;
pub use resolve::{Resolve, ResolveError, SystemResolver};
pub(crate) use tls::connector as tls_connector;

#[cfg(test)]
pub(crate) mod tests;
