//! What the contract looks like in Rust.

#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::unwrap_used,
    reason = "generated from wit/; the contract documents it"
)]

use wasmtime::component::{ComponentType, Lower};

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "handler",
    imports: {
        "ripost:plugin/kv": async,
        "ripost:plugin/outbound": async,
    },
    exports: { default: async },
});

pub(crate) use self::ripost::plugin::{clock, config, kv, log, outbound, progress, random, secrets, step, types};

/// The same record as [`types::Request`], borrowed: a body goes from the caller's buffer into the guest's memory and
/// is copied nowhere else.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct RequestRef<'a> {
    pub(crate) id: &'a str,
    pub(crate) owner: &'a str,
    pub(crate) api: &'a str,
    pub(crate) consumer: &'a str,
    pub(crate) attempt: u32,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: &'a [(&'a str, &'a [u8])],
    pub(crate) body: &'a [u8],
    #[component(name = "deadline-ms")]
    pub(crate) deadline_ms: u64,
    pub(crate) attributes: &'a [(String, String)],
}

/// Parameters and result of `handle`.
pub(crate) type HandleParams<'a> = (RequestRef<'a>,);
pub(crate) type HandleResult = (Result<types::Response, types::Failure>,);
