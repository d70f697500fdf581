//! The bodies of the targets. The host's own tests run them too.

#[path = "../../host/runtime/tests/common/mod.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod common;

pub mod admission;
pub mod answers;
pub mod manifest;
