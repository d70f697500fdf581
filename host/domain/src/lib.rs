//! The rules of Ripost, pure: ids, money, time, APIs, the states of requests and deliveries, the ledger's
//! entries, signatures and the address table.
//!
//! **Invariant:** this package knows no tokio, no wasmtime, no SQL and no HTTP server; it reads no clock and
//! throws no dice. It imports nothing of ours.

pub mod address;
pub mod api;
pub mod delivery;
pub mod event;
pub mod grant;
pub mod id;
pub mod ledger;
pub mod limit;
pub mod money;
pub mod path;
pub mod receipt;
pub mod request;
pub mod signature;
pub mod time;
pub mod units;
