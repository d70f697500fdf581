//! `ripost compile-worker`: what the gateway starts itself as, to compile one component.

use crate::compile::worker::{Work, run};
use crate::wall::CompileLimits;
use clap::Args;
use ripost_runtime::Target;
use std::process::ExitCode;

/// Compile one component from standard input; the gateway starts this.
#[derive(Args)]
pub(super) struct CompileWorker {
    #[arg(long)]
    target: Target,
    #[arg(long)]
    parent: u32,
    #[arg(long)]
    memory_bytes: u64,
    #[arg(long)]
    address_space_bytes: u64,
    #[arg(long)]
    cpu_seconds: u64,
    #[arg(long)]
    open_files: u64,
}

impl CompileWorker {
    pub(super) fn run(self) -> ExitCode {
        let Self { target, parent, memory_bytes, address_space_bytes, cpu_seconds, open_files } = self;
        run(&Work {
            target,
            parent,
            limits: CompileLimits { memory_bytes, address_space_bytes, cpu_seconds, open_files },
        })
    }
}
