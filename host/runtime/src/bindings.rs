//! What the contract looks like in Rust.

#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::unwrap_used,
    reason = "generated from wit/; the contract documents it"
)]

use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower, Resource};
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};

use crate::role::{Role, TransformKind};

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "handler",
    imports: {
        "ripost:plugin/kv": async,
        "ripost:plugin/outbound": async,
        "ripost:plugin/step": async,
    },
    exports: { default: async },
});

pub(crate) use self::ripost::plugin::{clock, config, kv, log, outbound, progress, random, secrets, step, types};

/// Borrowed header fields.
pub(crate) type HeadersRef<'a> = Vec<(&'a str, &'a [u8])>;

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
    pub(crate) headers: HeadersRef<'a>,
    pub(crate) body: &'a [u8],
    #[component(name = "deadline-ms")]
    pub(crate) deadline_ms: u64,
    pub(crate) attributes: &'a [(String, String)],
}

/// The same record as [`types::Response`], borrowed.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct ResponseRef<'a> {
    pub(crate) status: u16,
    pub(crate) headers: HeadersRef<'a>,
    pub(crate) body: &'a [u8],
    pub(crate) attributes: &'a [(String, String)],
}

/// `transform-webhook`'s record, borrowed.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct WebhookRef<'a> {
    pub(crate) event: &'a str,
    pub(crate) headers: HeadersRef<'a>,
    pub(crate) body: &'a [u8],
    pub(crate) attributes: &'a [(String, String)],
}

/// `transform-webhook`'s record, as a guest answers it.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Webhook {
    pub(crate) event: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) attributes: Vec<(String, String)>,
}

/// `transform-request`'s record.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Rewrite {
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) attributes: Vec<(String, String)>,
}

/// What the export of a role takes and returns.
pub(crate) trait Export {
    const ROLE: Role;
    type Params<'a>: ComponentNamedList + Lower + Send + Sync;
    type Return: ComponentNamedList + Lift + Send + Sync + 'static;
}

macro_rules! exports {
    ($($export:ident $role:expr, $params:ty => $return:ty;)*) => {$(
        pub(crate) enum $export {}

        impl Export for $export {
            const ROLE: Role = $role;
            type Params<'a> = $params;
            type Return = $return;
        }
    )*};
}

exports! {
    Handle Role::Handler, (RequestRef<'a>,) => (Result<types::Response, types::Failure>,);
    HandleHttp Role::HttpHandler, (Resource<HostIncomingRequest>, Resource<HostResponseOutparam>) => ();
    ApplyRequest Role::Transform(TransformKind::Request), (RequestRef<'a>,) => (Result<Rewrite, types::Problem>,);
    ApplyResponse Role::Transform(TransformKind::Response), (RequestRef<'a>, ResponseRef<'a>)
        => (Result<types::Response, types::Problem>,);
    ApplyWebhook Role::Transform(TransformKind::Webhook), (WebhookRef<'a>,) => (Result<Webhook, types::Problem>,);
}
