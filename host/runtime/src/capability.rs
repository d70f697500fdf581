//! What a guest may call: one file an interface. What was not granted is linked to a refusal, because some
//! toolchains import the whole world whether they use it or not.

mod clock;
mod config;
pub(crate) mod http;
mod kv;
mod log;
mod outbound;
mod progress;
mod random;
mod secrets;
mod step;
pub(crate) mod wasi;

use wasmtime::component::{HasSelf, Linker};

use crate::bindings;
use crate::guest::State;

/// Links everything a handler may import. Called once for each engine; a component pays only for what it imports.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    bindings::Handler::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

impl bindings::types::Host for State {}
