//! The gateway: its edges and its wiring. `main` is one line, so that two binaries can share this.
//!
//! **Invariant:** the packages below (`ripost-domain`, `ripost-store`, `ripost-runtime`) never import this one.
//! Only `problem` makes an HTTP error, only `egress` opens a connection to the outside, and only `app` owns tasks.

// A command prints through `cli::out`; what `serve` has to say goes to the log.
#![warn(clippy::print_stdout, clippy::print_stderr)]

// The shared bodies of the fuzz targets name it as its users do.
#[cfg(test)]
extern crate self as ripost;

pub mod admin;
pub mod app;
mod archive;
pub mod capability;
mod cases;
mod causes;
mod check;
pub mod cli;
pub mod compile;
pub mod config;
pub mod delivery;
pub mod doctor;
pub mod egress;
mod environment;
pub mod gateway;
mod heap;
pub mod keyring;
mod limits;
pub mod live;
mod machine;
mod nearest;
pub mod openapi;
pub mod plugins;
pub mod problem;
pub mod readiness;
pub mod reconcile;
mod replay;
pub mod retention;
pub mod runs;
pub mod schema;
pub mod storage;
pub mod telemetry;
pub mod transforms;
pub mod upstreams;
pub mod wall;
