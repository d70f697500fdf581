//! Why a file cannot be a handler or a transform, in words for its owner.

use super::Toolchain;
use crate::compiler::CompileError;
use crate::limits::Value;

/// One clear sentence each, saying what to do. Split by the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Make it smaller, or ask for a higher limit.
    #[error(
        "the component has {bytes} bytes and the limit `component` is {}: {}, or raise `component` in [api.limits]",
        Value::Bytes(*bytes_max),
        toolchain.smaller()
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
        /// What made it.
        toolchain: Toolchain,
    },
    /// Deploy the component, not what was compiled from it.
    #[error(
        "the file is compiled machine code (`.cwasm`), which is never loaded because it could do anything: deploy the component it was made from"
    )]
    Precompiled,
    /// Make a component of it.
    #[error(
        "the file is a core WebAssembly module, not a component: in Rust build it with `cargo build --release --target wasm32-wasip2`, which makes a component; of a module that embeds its world `wasm-tools component new` makes one"
    )]
    CoreModule,
    /// Assemble it.
    #[error("the file is WebAssembly text: make a binary component of it first, with `wasm-tools parse`")]
    Text,
    /// It is something else.
    #[error("the file is not a WebAssembly component: {0}")]
    NotAComponent(&'static str),
    /// Build or copy it again.
    #[error(
        "the component is damaged or uses features that are switched off here ({0}): build it again for WebAssembly 2.0 without threads, memory64, GC, multiple memories or async functions of the component model (`componentize-qjs --sync`)"
    )]
    Invalid(String),
    /// Build it for the right world.
    #[error("{why}")]
    WrongWorld {
        /// What it exports.
        exports: Vec<String>,
        /// What is wrong with that, and what to do.
        why: String,
    },
    /// Wait for a later version, or use our own interfaces.
    #[error(
        "`{name}` is a part of wasi:http that this version does not serve: export `wasi:http/incoming-handler@0.2` or `ripost:plugin/handle@1.0.0`, and call out through `ripost:plugin/outbound@1.0.0` or `wasi:http/outgoing-handler@0.2`"
    )]
    WasiHttp {
        /// The import or export.
        name: String,
    },
    /// It was built for another version of us.
    #[error(
        "the component imports `{name}`, which this version of Ripost does not have: update Ripost, or build against ripost:plugin@1.0.0"
    )]
    UnknownCapability {
        /// The import.
        name: String,
    },
    /// Do without it.
    #[error(
        "the component imports `{name}`, which no host function here answers: a handler may import ripost:plugin@1.0.0 and wasi 0.2 (io, clocks, random, cli, filesystem, sockets, http/outgoing-handler) and nothing else"
    )]
    ForeignImport {
        /// The import.
        name: String,
    },
    /// Do it in the handler.
    #[error(
        "the component imports `{name}`, and a transform has no capability but `log`: do what needs it in the handler, and rewrite nothing but what the transform is given"
    )]
    ImpureTransform {
        /// The import.
        name: String,
    },
    /// Use fewer.
    #[error(
        "the component needs {count} {what} and the limit `{limit}` is {count_max}: link its modules into one, or raise `{limit}` in [api.limits]"
    )]
    TooMany {
        /// `memories`, `tables` or `core instances`.
        what: &'static str,
        /// The limit's name.
        limit: &'static str,
        /// How many it needs.
        count: usize,
        /// The limit.
        count_max: usize,
    },
    /// Start with less, or ask for more.
    #[error(
        "the component starts with {bytes} bytes of memory and its limit `memory` is {}: raise `memory` in [api.limits], or link it with less (`-zstack-size`, `--initial-memory`)",
        Value::Bytes(usize::try_from(*bytes_max).unwrap_or(usize::MAX))
    )]
    InitialMemory {
        /// What it starts with, over all its memories.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// Build against our contract again.
    #[error("the component was built against another form of the contract ({0}): build it against ripost:plugin@1.0.0")]
    WrongShape(String),
    /// Simplify it.
    #[error("the component cannot be compiled here: {0}")]
    Compile(CompileError),
}
