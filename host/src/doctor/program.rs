//! The program and its sandbox.

use super::Finding;
use crate::app;
use crate::config::Config;

pub(super) fn version(_: &Config) -> Finding {
    Finding::ok(format!("ripost {} for {}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH))
}

/// Builds both engines as a gateway would: reserving their address space is the only way to know whether it can.
pub(super) fn engines(config: &Config) -> Finding {
    let described = match app::start_runtime(config) {
        Ok(runtime) => runtime.describe(),
        Err(error) => return Finding::fail(error.to_string(), "the gateway will not start"),
    };
    if described.schemes.iter().all(|scheme| scheme.allocator == "pooling") {
        return Finding::ok(described.to_string());
    }
    Finding::warn(
        described.to_string(),
        "calls are slower without pools: allow more address space (ulimit -v, vm.overcommit_memory, vm.max_map_count) or lower runs.concurrency",
    )
}
