//! The program and its sandbox.

use super::Finding;
use crate::app;
use crate::compile::{self, Compile, Process};
use crate::config::Config;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

pub(super) fn version(_: &Config) -> Finding {
    Finding::ok(format!("ripost {} for {}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH))
}

/// Compiles a tiny component in a child, walls and all.
pub(super) fn compiler(config: &Config) -> Finding {
    match compile::self_test(config) {
        Ok(took) => Finding::ok(format!("compiles in a process of its own, in {} ms", took.as_millis())),
        Err(error) => Finding::fail(error, "no plugin can be compiled; what is in the cache still loads"),
    }
}

/// Builds both engines as a gateway would: reserving their address space is the only way to know whether it can.
pub(super) fn engines(config: &Config) -> Finding {
    let compile = Compile::new(Process::of(&config.compile, CancellationToken::new()), None, Arc::default());
    let described = match app::start_runtime(config, compile) {
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
