//! SIGKILL at every named point and at random moments, on the real binary: no accepted request is lost, none is paid
//! twice, and every webhook arrives.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod in_process;
mod many;
mod plugins;
mod points;
mod random;
mod retention;
mod scenario;
mod steps;

/// What a test gives back.
type Test = anyhow::Result<()>;
